"""As-of lookup over many feeds, with late arrivals."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.asof import BAD_PRICE, NO_PRICE, QuoteIndex, index_quotes, last_known, micro_prices
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.ladder_rows import AS_OF, quote, quotes_table


def index(rows: list[dict[str, Any]], tickers: tuple[str, ...] = ("A", "B")) -> QuoteIndex:
    return index_quotes(quotes_table(rows), pa.array(tickers))


def minute(k: int) -> Any:
    return AS_OF + timedelta(minutes=k)


def seen(found: QuoteIndex, contract: int, minutes: int) -> int | None:
    """The bid in cents that an observer uses at a minute."""
    at = int(minute(minutes).timestamp()) * 1_000_000
    row = last_known(found.known_at, found.offsets[contract], found.offsets[contract + 1], at)
    return None if row < 0 else int(found.rows["bid"][found.rows["newest"][row]]) // 10_000


def test_the_newest_row_known_at_the_time() -> None:
    found = index([quote("A", 0.10, 0.20, at=minute(0)), quote("A", 0.11, 0.20, at=minute(5))])
    assert [seen(found, 0, k) for k in (-1, 0, 4, 5, 99)] == [None, 10, 10, 11, 11]
    assert seen(found, 1, 99) is None


def test_a_row_counts_from_when_it_was_known_and_not_from_what_it_describes() -> None:
    found = index([quote("A", 0.10, 0.20, at=minute(0)), quote("A", 0.11, 0.20, at=minute(1), known_at=minute(9))])
    assert [seen(found, 0, k) for k in (1, 8, 9)] == [10, 10, 11]


def test_a_late_arrival_about_an_earlier_time_displaces_nothing() -> None:
    found = index([quote("A", 0.10, 0.20, at=minute(5)), quote("A", 0.11, 0.20, at=minute(1), known_at=minute(9))])
    assert [seen(found, 0, k) for k in (5, 9, 99)] == [10, 10, 10]


def test_a_correction_wins_once_it_is_known() -> None:
    found = index([quote("A", 0.10, 0.20, at=minute(5)), quote("A", 0.12, 0.20, at=minute(5), known_at=minute(7))])
    assert [seen(found, 0, k) for k in (6, 7)] == [10, 12]


def test_ties_go_to_the_book_and_then_to_the_finer_bar() -> None:
    rows = [
        quote("A", 0.10, 0.20, at=minute(0), period_s=86_400),
        quote("A", 0.11, 0.20, at=minute(0), period_s=3_600),
        quote("A", 0.12, 0.20, at=minute(0), source="book", period_s=0),
    ]
    assert seen(index(rows), 0, 0) == 12
    assert seen(index(rows[:2]), 0, 0) == 11
    assert seen(index(rows[1::-1]), 0, 0) == 11


def test_volume_is_a_window_of_the_rows_own_feed() -> None:
    rows = [
        quote("A", 0.1, 0.2, at=minute(0), volume=5.0),
        quote("A", 0.1, 0.2, at=minute(10), volume=7.0),
        quote("A", 0.1, 0.2, at=minute(10), volume=100.0, period_s=3_600),
        quote("A", 0.1, 0.2, at=minute(24 * 60 + 5), volume=1.0),
        quote("A", 0.1, 0.2, at=minute(24 * 60 + 6), volume=None),
    ]
    found = index(rows)
    volume, finest = found.rows["volume"], found.rows["feed"] == found.rows["feed"][0]
    assert volume[finest][:3].tolist() == [5.0, 12.0, 8.0]
    assert np.isnan(volume[finest][3])
    assert volume[~finest].tolist() == [100.0]


def test_rows_that_arrive_together_share_one_window_whatever_their_order() -> None:
    rows = [quote("A", 0.1, 0.2, at=minute(k), known_at=minute(9), volume=v) for k, v in enumerate((0.1, 0.2, 0.7))]
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        assert index([rows[i] for i in order]).rows["volume"].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("prices", "empty", "expected"),
    [
        ([0.01, 0.5, None, 0.0, 1.0, -0.1, 1.5], 0, [10_000, 500_000, NO_PRICE, NO_PRICE, *[BAD_PRICE] * 3]),
        ([0.99, None, 1.0, 0.0, 2.0], 1_000_000, [990_000, NO_PRICE, NO_PRICE, BAD_PRICE, BAD_PRICE]),
    ],
)
def test_prices_as_integers(prices: list[float | None], empty: int, expected: list[int]) -> None:
    assert micro_prices(pa.chunked_array([prices], pa.float64()), empty).tolist() == expected
    exact = [None if p is None else Decimal(repr(p)) for p in prices]
    decimals = pa.chunked_array([pa.array(exact[:2], pa.decimal128(7, 6)), pa.array(exact[2:], pa.decimal128(7, 6))])
    assert micro_prices(decimals, empty).tolist() == expected
    assert micro_prices(decimals.slice(1), empty).tolist() == expected[1:]


def test_nan_is_no_price() -> None:
    assert micro_prices(pa.chunked_array([[float("nan"), 0.5]]), 0).tolist() == [NO_PRICE, 500_000]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DomainError, match="known_at"):
        index_quotes(quotes_table([]).drop_columns("known_at"), pa.array(["A"]))


row = st.tuples(
    st.sampled_from("AB"), st.integers(0, 12), st.integers(0, 12), st.sampled_from([0, 60, 3600]), st.integers(1, 98)
)


@settings(deadline=None)
@given(st.lists(row, max_size=15), st.integers(-1, 26), st.randoms())
def test_against_a_plain_scan(rows: list[tuple[str, int, int, int, int]], at: int, random: Any) -> None:
    table = [
        quote(
            t, bid / 100, 0.99, at=minute(ts), known_at=minute(ts + late), period_s=period,
            source="candle" if period else "book",
        )
        for t, ts, late, period, bid in rows
    ]  # fmt: skip
    random.shuffle(table)
    found = index(table)
    for contract, name in enumerate("AB"):
        known = [r for r in rows if r[0] == name and r[1] + r[2] <= at]
        # newest described instant, then finer feed, then later knowledge, then the better bid
        best = max(known, key=lambda r: (r[1], -r[3], r[1] + r[2], r[4]), default=None)
        assert seen(found, contract, at) == (None if best is None else best[4])


def test_how_a_table_is_chunked_is_no_information() -> None:
    rows = [
        quote("A", 0.12, 0.20, at=minute(0), source="book", period_s=0),
        quote("A", 0.11, 0.20, at=minute(0), period_s=3_600),
        quote("B", 0.10, 0.20, at=minute(1), period_s=86_400, volume=None),
        quote("B", 0.13, None, at=minute(2), source="book", period_s=0),
    ]
    whole = index(rows)
    parts = pa.concat_tables([quotes_table([r]) for r in rows[2:] + rows[:2]])
    chunked = index_quotes(parts, pa.array(["A", "B"]))
    for name in ("ts", "known_at", "newest", "bid", "ask"):
        assert chunked.rows[name].tolist() == whole.rows[name].tolist()
    for found in (whole, chunked):
        assert found.feed_reports_changes[found.rows["feed"]].tolist() == [False, True, True, False]
