"""As-of lookup over many feeds, with late arrivals."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.asof import QuoteColumns, last_known, quote_columns
from kalshi_assets.core.quote_rows import BAD_PRICE, NO_PRICE, QUOTE, pack_ladder
from kalshi_assets.core.spec_index import SPEC, Records
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.ladder_rows import AS_OF, quote, quotes_table

DAY_US = 86_400_000_000


class Packed(NamedTuple):
    """Sorted quotes and the records that lookups read."""

    columns: QuoteColumns
    rows: Records

    def of(self, contract: int) -> Records:
        """The records of a contract."""
        return self.rows[self.columns.offsets[contract] : self.columns.offsets[contract + 1]]


def packed(quotes: pa.Table, tickers: tuple[str, ...] = ("A", "B")) -> Packed:
    columns = quote_columns(quotes, pa.array(tickers))
    specs = np.zeros(len(tickers), SPEC)
    specs["contract"] = np.arange(len(tickers))
    rows = np.zeros(columns.ts.size, QUOTE)
    feeds, shift = np.empty(columns.feed_rank.size, np.int64), np.empty(len(tickers), np.int64)
    pack_ladder(
        0,
        len(tickers),
        specs,
        *columns[:10],
        DAY_US,
        np.empty(columns.ts.size, np.int64),
        feeds,
        feeds.copy(),
        feeds.copy(),
        np.empty(len(tickers), np.bool_),
        shift,
        rows,
    )
    assert not shift.any(), "one event holds all contracts, in the order of the columns"
    return Packed(columns, rows)


def index(rows: list[dict[str, Any]], tickers: tuple[str, ...] = ("A", "B")) -> Packed:
    return packed(quotes_table(rows), tickers)


def minute(k: int) -> Any:
    return AS_OF + timedelta(minutes=k)


def volumes(found: Packed, contract: int = 0) -> list[float]:
    """What each row of a contract says was traded within a day."""
    return [float(v) for v in found.of(contract)["volume"]]


def seen(found: Packed, contract: int, minutes: int) -> int | None:
    """The bid in cents that an observer uses at a minute."""
    at = int(minute(minutes).timestamp()) * 1_000_000
    start, stop = found.columns.offsets[contract : contract + 2]
    row = last_known(found.columns.known_at, start, stop, at)
    rows = found.of(contract)
    return None if row < 0 else int(rows["bid"][rows["newest"][row - start]]) // 10_000


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
    assert found.rows["feed"].tolist() == [0, 0, 1, 0, 0]
    assert volumes(found)[:4] == [5.0, 12.0, 100.0, 8.0]
    assert np.isnan(volumes(found)[4])


def test_rows_that_arrive_together_share_one_window_whatever_their_order() -> None:
    rows = [quote("A", 0.1, 0.2, at=minute(k), known_at=minute(9), volume=v) for k, v in enumerate((0.1, 0.2, 0.7))]
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        assert volumes(index([rows[i] for i in order])) == [1.0, 1.0, 1.0]


def test_a_corrected_bar_counts_once() -> None:
    day = 24 * 60
    rows = [
        quote("A", 0.1, 0.2, at=minute(0), volume=5.0),
        quote("A", 0.1, 0.2, at=minute(1), volume=1.0),
        quote("A", 0.1, 0.2, at=minute(0), known_at=minute(2), volume=7.0),
        quote("A", 0.1, 0.2, at=minute(0), known_at=minute(3), volume=2.0),
        quote("A", 0.1, 0.2, at=minute(day), volume=4.0),
        quote("A", 0.1, 0.2, at=minute(0), known_at=minute(day + 1), volume=90.0),
    ]
    assert volumes(index(rows)) == [5.0, 6.0, 8.0, 3.0, 5.0, 4.0]
    beside = quote("A", 0.1, 0.2, at=minute(0), volume=50.0, period_s=3_600)
    assert volumes(index([beside, *rows])) == [50.0, 5.0, 6.0, 8.0, 3.0, 5.0, 4.0]


def sides(found: Packed) -> tuple[list[int], list[int]]:
    return [int(p) for p in found.rows["bid"]], [int(p) for p in found.rows["ask"]]


def priced(bids: pa.ChunkedArray, asks: pa.ChunkedArray) -> Packed:
    table = quotes_table([quote("A", None, None, at=minute(k)) for k in range(len(bids))])
    for name, column in (("yes_bid_close_usd", bids), ("yes_ask_close_usd", asks)):
        table = table.set_column(table.column_names.index(name), name, column)
    return packed(table, ("A",))


BIDS = [0.01, 0.5, None, 0.0, 1.0, -0.1, 1.5]
ASKS = [0.99, None, 1.0, 0.0, 2.0, 0.5, 0.000001]
BID_UNITS = [10_000, 500_000, NO_PRICE, NO_PRICE, *[BAD_PRICE] * 3]
ASK_UNITS = [990_000, NO_PRICE, NO_PRICE, BAD_PRICE, BAD_PRICE, 500_000, 1]


def test_floats_become_integers() -> None:
    found = priced(pa.chunked_array([BIDS], pa.float64()), pa.chunked_array([ASKS], pa.float64()))
    assert sides(found) == (BID_UNITS, ASK_UNITS)


@pytest.mark.parametrize("kind", [pa.decimal128(7, 6), pa.decimal128(20, 8)], ids=str)
@pytest.mark.parametrize("cut", [0, 2, 5])
def test_decimals_become_integers_wherever_they_lie(kind: pa.DataType, cut: int) -> None:
    def column(prices: list[float | None]) -> pa.ChunkedArray:
        exact = [None if p is None else Decimal(f"{p:.6f}") for p in prices]
        padded = pa.array([Decimal("0.3"), *exact], kind)
        return pa.chunked_array([padded[1 : 1 + cut], padded[1 + cut :]])

    found = priced(column(BIDS), column(ASKS))
    assert sides(found) == (BID_UNITS, ASK_UNITS)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e300, -1e300])
def test_what_is_no_number_is_a_bad_price_and_no_count(wrong: float) -> None:
    rows = [quote("A", wrong, wrong, volume=wrong, open_interest=wrong), quote("A", 0.5, 0.6, at=minute(0))]
    found = index(rows)
    assert sides(found) == ([BAD_PRICE, 500_000], [BAD_PRICE, 600_000])
    assert np.isnan(volumes(found)[0])
    assert found.columns.interests[0, 0] < 0
    assert volumes(found)[1] == 10.0


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DomainError, match="known_at"):
        quote_columns(quotes_table([]).drop_columns("known_at"), pa.array(["A"]))


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
    chunked = packed(parts)
    assert chunked.columns.known_at.tolist() == whole.columns.known_at.tolist()
    for name in ("ts", "newest", "bid", "ask"):
        assert chunked.rows[name].tolist() == whole.rows[name].tolist()
    for found in (whole, chunked):
        assert found.columns.feed_reports_changes[found.rows["feed"]].tolist() == [False, True, True, False]


traded = st.tuples(
    st.sampled_from("AB"), st.integers(0, 40), st.sampled_from([0, 3]), st.sampled_from([60, 3600]),
    st.one_of(st.none(), st.integers(0, 5)),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(traded, max_size=25), st.booleans())
def test_volume_against_a_plain_sum(rows: list[tuple[str, int, int, int, int | None]], one_feed: bool) -> None:
    # The table's key: one row for what a feed said of an instant at a time.
    rows = list(
        {r[:4]: r for r in ((t, hour, late, 60 if one_feed else p, v) for t, hour, late, p, v in rows)}.values()
    )
    table = [
        quote(t, 0.1, 0.2, at=minute(60 * hour), known_at=minute(60 * (hour + late)), period_s=p, volume=v)
        for t, hour, late, p, v in rows
    ]
    found = index(table)
    for contract, name in enumerate("AB"):
        known = sorted((r for r in rows if r[0] == name), key=lambda r: r[1] + r[2])
        for row, volume in zip(known, volumes(found, contract), strict=True):
            if row[4] is None:
                assert np.isnan(volume)
                continue
            at = row[1] + row[2]
            told = [r for r in known if r[3] == row[3] and r[1] + r[2] <= at]
            first = {r[1]: r[1] + r[2] for r in reversed(told)}
            newest = {r[1]: r[4] or 0 for r in told}
            assert volume == sum(newest[hour] for hour in newest if first[hour] > at - 24)
