"""The best level of a book."""

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa

from kalshi_assets.core.order_books import top_of_book
from kalshi_assets.core.tables import PRICE, TIME

SCHEMA = pa.schema([("ticker", pa.string()), ("side", pa.string()), ("price_usd", PRICE), ("ts", TIME)])
T0, T1 = datetime(2024, 10, 10, 12, tzinfo=UTC), datetime(2024, 10, 10, 12, 1, tzinfo=UTC)


def books(*rows):
    columns = zip(*rows, strict=True) if rows else ([], [], [], [])
    return pa.table([pa.array(list(c), f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def test_best_bid_and_the_ask_that_the_other_side_makes():
    made = top_of_book(
        books(
            ("A", "yes", Decimal("0.01"), T0),
            ("A", "yes", Decimal("0.41"), T0),
            ("A", "no", Decimal("0.57"), T0),
            ("A", "no", Decimal("0.5675"), T0),
        )
    ).to_pylist()
    assert made == [
        {"ticker": "A", "ts": T0, "yes_bid_close_usd": Decimal("0.41"), "yes_ask_close_usd": Decimal("0.43")}
    ]


def test_an_empty_side_stays_empty():
    made = top_of_book(books(("B", "no", Decimal("0.99"), T0), ("A", "yes", Decimal("0.02"), T1))).to_pylist()
    assert [(r["ticker"], r["yes_bid_close_usd"], r["yes_ask_close_usd"]) for r in made] == [
        ("A", Decimal("0.02"), None),
        ("B", None, Decimal("0.01")),
    ]


def test_snapshots_are_kept_apart():
    made = top_of_book(books(("A", "yes", Decimal("0.4"), T0), ("A", "yes", Decimal("0.3"), T1))).to_pylist()
    assert [r["yes_bid_close_usd"] for r in made] == [Decimal("0.4"), Decimal("0.3")]


def test_no_books_no_rows():
    assert top_of_book(books()).num_rows == 0
