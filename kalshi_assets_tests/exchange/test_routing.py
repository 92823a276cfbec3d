from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.errors import UsageError
from kalshi_assets.exchange import Cutoff, MarketRef, routing
from kalshi_assets.exchange.paths import segment
from kalshi_assets.exchange.routing import (
    BATCH_CAP,
    PERIODS_MIN,
    SINGLE_CAP,
    Window,
    batch_sizes,
    can_batch,
    candle_tier,
    trade_spans,
    unix_ceil,
    unix_floor,
    windows,
)
from kalshi_assets_tests.exchange.bodies import CUTOFF

BOUNDARY = datetime(2026, 9, 23, tzinfo=UTC)
CUT = Cutoff.parse(CUTOFF, "/historical/cutoff")
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("settled", "tier"),
    [(None, "live"), (BOUNDARY - SECOND, "historical"), (BOUNDARY, "live"), (BOUNDARY + SECOND, "live")],
)
def test_settlement_decides_the_tier_of_candles(settled: datetime | None, tier: str) -> None:
    assert candle_tier(MarketRef("T", "E", "S", settled), CUT) == tier


@pytest.mark.parametrize(
    ("ticker", "plain"),
    [
        ("KXZZZ-26DEC-T-0.1", True), ("KXPAYROLLS-26SEP-T125000", True), ("JOBLESS-22SEP10-C220,000", False),
        ("GDP-232022 Q4-T0.0", False), ("FEDDECISION-23JUN-C>25", False), ("", False),
    ],
)  # fmt: skip
def test_odd_tickers_stay_out_of_comma_lists(ticker: str, plain: bool) -> None:
    assert can_batch(ticker) is plain


def test_a_path_segment_is_encoded_whole() -> None:
    assert segment("JOBLESS-22SEP10-C220,000") == "JOBLESS-22SEP10-C220%2C000"
    assert segment("a/../b?c#d%") == "a%2F..%2Fb%3Fc%23d%25"
    for bad in ("", ".", ".."):
        with pytest.raises(UsageError):
            segment(bad)


def test_windows_of_a_known_range() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    s = int(start.timestamp())
    assert windows(start, start + timedelta(hours=4), 60, cap=3) == [Window(s, s + 7200), Window(s + 7200, s + 14400)]
    assert windows(start, start + timedelta(days=30), 60, SINGLE_CAP) == [Window(s, s + 30 * 86400)]


times = st.timedeltas(timedelta(0), timedelta(days=2000)).map(lambda passed: datetime(2021, 1, 1, tzinfo=UTC) + passed)


@settings(deadline=None)
@given(start=times, length=st.timedeltas(timedelta(microseconds=1), timedelta(days=40)),
       minutes=st.sampled_from(PERIODS_MIN), cap=st.sampled_from([100, 416, SINGLE_CAP]))  # fmt: skip
def test_windows_cover_the_range_within_the_cap_and_are_the_fewest(
    start: datetime, length: timedelta, minutes: int, cap: int
) -> None:
    end = start + length
    parts = windows(start, end, minutes, cap)
    assert parts[0].start_s <= start.timestamp()
    assert parts[-1].end_s >= end.timestamp()
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(parts))
    # What the exchange counts: the requested range over the period.
    assert all((w.end_s - w.start_s) / (minutes * 60) <= cap for w in parts)
    assert len(parts) == ceil((parts[-1].end_s - parts[0].start_s) / (cap * minutes * 60))


def test_windows_are_of_equal_length_and_not_at_the_cap() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    s = int(start.timestamp())
    assert windows(start, start + timedelta(minutes=5001), 1, SINGLE_CAP) == [
        Window(s, s + 2501 * 60), Window(s + 2501 * 60, s + 5001 * 60),
    ]  # fmt: skip
    assert windows(start, start + timedelta(minutes=5000), 1, SINGLE_CAP) == [Window(s, s + 5000 * 60)]


# The number of batch requests


@pytest.mark.parametrize(
    ("markets", "periods", "sizes"),
    [
        (1, 10_000, [1]), (100, 100, [100]), (101, 100, [100, 1]), (250, 40, [100, 100, 50]),
        (20, 500, [20]), (20, 501, [20]), (120, 150, [66, 54]), (12, 842, [12]), (3, 10_000, [2, 1]),
    ],
)  # fmt: skip
def test_sizes_of_known_batches(markets: int, periods: int, sizes: list[int]) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert batch_sizes(markets, start, start + timedelta(hours=periods), 60) == sizes


@settings(deadline=None, max_examples=60)
@given(markets=st.integers(1, 400), periods=st.integers(1, 100), minutes=st.sampled_from(PERIODS_MIN))
def test_what_fits_one_call_costs_one_call_a_hundred(markets: int, periods: int, minutes: int) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    end = start + periods * timedelta(minutes=minutes)
    sizes = batch_sizes(markets, start, end, minutes)
    assert sum(sizes) == markets
    assert sum(len(windows(start, end, minutes, BATCH_CAP // n)) for n in sizes) == ceil(markets / 100)


def fewest_requests(markets: int, periods: int, most_tickers: int, most_candles: int) -> int:
    """The oracle: every way to split the markets into batches, each walked in the longest windows allowed."""
    fewest = [0]
    for total in range(1, markets + 1):
        ways = []
        for size in range(1, min(most_tickers, total) + 1):
            left, requests = periods, 0
            while left > 0:
                left -= next(n for n in range(most_candles, 0, -1) if n * size <= most_candles)
                requests += 1
            ways.append(requests + fewest[total - size])
        fewest.append(min(ways))
    return fewest[markets]


def partitions(total: int, largest: int) -> Iterator[list[int]]:
    if total == 0:
        yield []
    for size in range(min(total, largest), 0, -1):
        for rest in partitions(total - size, size):
            yield [size, *rest]


def test_the_oracle_of_batches_agrees_with_trying_everything() -> None:
    for markets, periods in itertools.product(range(1, 11), (1, 3, 7, 20, 31)):
        tried = [sum(ceil(periods / (30 // n)) for n in sizes) for sizes in partitions(markets, 5)]
        assert fewest_requests(markets, periods, 5, 30) == min(tried)


def test_batches_make_the_fewest_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "BATCH_TICKERS", 6)
    monkeypatch.setattr(routing, "BATCH_CAP", 40)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for markets, periods in itertools.product(range(1, 20), range(1, 60, 4)):
        end = start + timedelta(hours=periods)
        sizes = batch_sizes(markets, start, end, 60)
        parts = [(n, windows(start, end, 60, 40 // n)) for n in sizes]
        assert sum(sizes) == markets
        assert max(sizes) <= 6
        assert all(n * (w.end_s - w.start_s) / 3600 <= 40 for n, found in parts for w in found)
        assert sum(len(found) for _, found in parts) == fewest_requests(markets, periods, 6, 40)


@pytest.mark.parametrize("minutes", [0, 5, 15, 61])
def test_other_periods_do_not_exist(minutes: int) -> None:
    with pytest.raises(UsageError, match="1, 60 or 1440"):
        windows(BOUNDARY, BOUNDARY + SECOND, minutes, 100)


def test_empty_ranges_and_zoneless_times_are_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        windows(BOUNDARY, BOUNDARY, 60, 100)
    with pytest.raises(UsageError, match="no zone"):
        windows(datetime(2026, 1, 1), BOUNDARY, 60, 100)  # noqa: DTZ001
    with pytest.raises(UsageError, match="empty"):
        list(trade_spans(BOUNDARY, BOUNDARY, CUT))


def test_trades_route_by_their_own_time_with_a_minute_of_overlap() -> None:
    b = int(BOUNDARY.timestamp())
    day = timedelta(days=1)
    before = list(trade_spans(BOUNDARY - 2 * day, BOUNDARY - day, CUT))
    assert before == [("historical", Window(b - 2 * 86400, b - 86400))]
    after = list(trade_spans(BOUNDARY + day, BOUNDARY + 2 * day, CUT))
    assert after == [("live", Window(b + 86400, b + 2 * 86400))]
    across = list(trade_spans(BOUNDARY - day, BOUNDARY + day, CUT))
    assert across == [("historical", Window(b - 86400, b + 60)), ("live", Window(b - 60, b + 86400))]
    assert [tier for tier, _ in trade_spans(BOUNDARY - day, BOUNDARY, CUT)] == ["historical"]
    assert [tier for tier, _ in trade_spans(BOUNDARY, BOUNDARY + day, CUT)] == ["live"]


def test_seconds_round_outwards() -> None:
    moment = datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    assert unix_ceil(moment) - unix_floor(moment) == 1
    new_york_like = moment.astimezone(timezone(timedelta(hours=-5)))
    assert unix_floor(new_york_like) == unix_floor(moment)
