from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import MalformedResponse
from kalshi_assets.exchange.orderbooks import ORDERBOOKS, orderbook_table

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)


def book(ticker: str, yes: Any, no: Any) -> dict[str, Any]:
    return {"ticker": ticker, "orderbook_fp": {"yes_dollars": yes, "no_dollars": no}}


def levels(body: dict[str, Any]) -> list[tuple[Any, ...]]:
    table = orderbook_table(body, NOW)
    assert table.schema == ORDERBOOKS
    return [(r["ticker"], r["side"], r["level"], r["price_usd"], r["size_contracts"]) for r in table.to_pylist()]


def test_the_best_bid_is_level_zero_in_whatever_order_it_came() -> None:
    ascending = [["0.0100", "2637.00"], ["0.4000", "300.00"], ["0.4100", "120.50"]]
    expected = [
        ("A", "yes", 0, Decimal("0.41"), Decimal("120.5")),
        ("A", "yes", 1, Decimal("0.4"), Decimal("300")),
        ("A", "yes", 2, Decimal("0.01"), Decimal("2637")),
        ("A", "no", 0, Decimal("0.57"), Decimal("50")),
    ]
    assert levels({"orderbooks": [book("A", ascending, [["0.5700", "50.00"]])]}) == expected
    assert levels({"orderbooks": [book("A", ascending[::-1], [["0.5700", "50.00"]])]}) == expected


def test_books_carry_our_clock_on_receipt() -> None:
    table = orderbook_table({"orderbooks": [book("A", [["0.4", "1.00"]], [])]}, NOW)
    assert table["ts"].to_pylist() == [NOW]
    lake = TABLES["orderbooks"].schema
    assert all(lake.field(f.name).type == f.type for f in ORDERBOOKS)


@pytest.mark.parametrize("empty", [[], None])
def test_an_empty_book_has_no_row(empty: Any) -> None:
    assert levels({"orderbooks": [book("A", empty, empty)]}) == []
    assert levels({"orderbooks": []}) == []


@pytest.mark.parametrize(
    "body",
    [
        {}, {"orderbooks": None}, {"orderbooks": [3]}, {"orderbooks": [{"ticker": "A"}]},
        {"orderbooks": [book("A", [["0.4"]], [])]}, {"orderbooks": [book("A", [["0.4", None]], [])]},
        {"orderbooks": [book("A", [[0.4, 1]], [])]}, {"orderbooks": [book("A", "x", [])]},
        {"orderbooks": [book("A", [["1.4", "1.00"]], [])]},
    ],
)  # fmt: skip
def test_what_is_no_book_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(MalformedResponse):
        orderbook_table(body, NOW)
