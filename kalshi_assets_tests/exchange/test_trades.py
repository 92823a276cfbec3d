from __future__ import annotations

import itertools
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import MalformedResponse
from kalshi_assets.exchange import Findings
from kalshi_assets.exchange.trades import TRADES, trade_table
from kalshi_assets_tests.exchange.bodies import trade

AT = "2026-11-20T12:18:04.434321Z"


def test_a_trade_value_by_value() -> None:
    (row,) = trade_table([trade("a", AT)]).to_pylist()
    moment = datetime(2026, 11, 20, 12, 18, 4, 434321, tzinfo=UTC)
    assert row == {
        "trade_id": "a", "ticker": "KXZZZ-26DEC-T0.3", "sequence": 1795177084434321 * 1000, "ts": moment,
        "yes_price_usd": Decimal("0.42"), "no_price_usd": Decimal("0.58"), "count_contracts": Decimal("10"),
        "taker_side": "no", "is_block_trade": False,
    }  # fmt: skip
    assert trade_table([]).schema == TRADES
    lake = TABLES["trades"].schema
    assert all(lake.field(f.name).type == f.type for f in TRADES)


def test_newest_first_becomes_oldest_first_and_ties_keep_the_exchanges_order() -> None:
    newest_first = [trade("d", AT), trade("c", AT), trade("b", AT), trade("a", "2026-11-20T12:18:04.4Z")]
    table = trade_table(newest_first)
    assert table["trade_id"].to_pylist() == ["a", "b", "c", "d"]
    sequence = table["sequence"].to_pylist()
    assert sequence == sorted(set(sequence))


def test_twins_count_once() -> None:
    table = trade_table([trade("b", AT), trade("a", AT), trade("b", AT)])
    assert sorted(table["trade_id"].to_pylist()) == ["a", "b"]


@settings(deadline=None)
@given(
    moments=st.lists(st.integers(0, 6), min_size=1, max_size=25).map(sorted),
    data=st.data(),
)
def test_a_sequence_does_not_depend_on_where_the_window_begins(moments: list[int], data: st.DataObject) -> None:
    rows = [trade(f"t{i}", f"2026-11-20T12:18:0{s}Z") for i, s in enumerate(moments)][::-1]
    whole = dict(zip(*(trade_table(rows)[c].to_pylist() for c in ("trade_id", "sequence")), strict=True))
    assert [whole[f"t{i}"] for i in range(len(moments))] == sorted(whole.values())
    begin = data.draw(st.integers(0, 6))
    part = [r for r in rows if int(r["created_time"][18]) >= begin]
    for row in trade_table(part).to_pylist():
        assert row["sequence"] == whole[row["trade_id"]]


@pytest.mark.parametrize(
    ("changes", "side"),
    [
        ({}, "no"),
        ({"taker_side": ...}, "no"),
        ({"taker_outcome_side": ...}, "no"),
        ({"taker_outcome_side": ..., "taker_side": ..., "taker_book_side": "bid"}, "yes"),
        ({"taker_outcome_side": ..., "taker_book_side": ..., "taker_side": "yes"}, "yes"),
        ({"taker_outcome_side": ..., "taker_book_side": ..., "taker_side": ...}, None),
        ({"taker_outcome_side": "maybe"}, None),
        ({"taker_outcome_side": ["yes"]}, None),
    ],
)
def test_the_takers_side(changes: dict[str, Any], side: str | None) -> None:
    findings = Findings()
    assert trade_table([trade("a", AT, **changes)], findings)["taker_side"].to_pylist() == [side]
    assert (len(findings) == 1) is (side is None)


def test_prices_that_do_not_sum_to_one_are_found_and_kept() -> None:
    findings = Findings()
    trade_table(
        [trade("a", AT, no_price_dollars="0.6000"), trade("b", AT), trade("c", AT, no_price_dollars=...)], findings
    )
    assert [(f.kind, f.count) for f in findings.summary()] == [("prices_do_not_sum_to_one", 1)]


@pytest.mark.parametrize(
    "changes",
    [
        {"ticker": None}, {"created_time": ...}, {"created_time": "yesterday"},
        {"created_time": "2026-11-20T12:18:04"}, {"created_time": 1795177084}, {"yes_price_dollars": ...},
        {"yes_price_dollars": "1.5"}, {"yes_price_dollars": 42}, {"count_fp": None}, {"count_fp": "-1.00"},
    ],
)  # fmt: skip
def test_a_changed_shape_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedResponse):
        trade_table([trade("z", AT), trade("a", AT, **changes)])


@pytest.mark.parametrize("row", ["not a trade", trade(..., AT), trade(5, AT), trade(None, AT), trade("\ud800", AT)])
def test_a_trade_must_be_an_object_with_an_id(row: Any) -> None:
    with pytest.raises(MalformedResponse):
        trade_table([trade("z", AT), row])


def test_markets_must_not_mix() -> None:
    with pytest.raises(MalformedResponse, match="mixed"):
        trade_table([trade("a", AT), trade("b", AT, ticker="OTHER")])


def test_more_ties_than_the_sequence_can_rank_are_refused() -> None:
    rows = [trade(str(i), AT) for i in range(1001)]
    with pytest.raises(MalformedResponse, match="1000"):
        trade_table(rows)
    assert len(set(itertools.chain(trade_table(rows[1:])["sequence"].to_pylist()))) == 1000
