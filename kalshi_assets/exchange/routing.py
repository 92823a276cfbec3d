"""Which tier to ask, and in which portions; sending the requests does not belong here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil

from kalshi_assets.errors import UsageError
from kalshi_assets.exchange.models import Cutoff, Tier

PERIODS_MIN = (1, 60, 1440)
SINGLE_CAP = 5_000
BATCH_CAP = 10_000
BATCH_TICKERS = 100
TRADE_OVERLAP = timedelta(seconds=60)

# What a comma-separated list of tickers can carry; old tickers hold spaces, commas and ">".
_PLAIN_TICKER = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class MarketRef:
    """What routing must know of a market.

    Attributes:
        ticker: the market.
        event_ticker: its event.
        series_ticker: its series, as the exchange files it.
        settlement_time: when it settled; None while it has not, or where that is unknown.
    """

    ticker: str
    event_ticker: str
    series_ticker: str
    settlement_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A span of Unix seconds, both ends included, as the exchange reads ``start_ts`` and ``end_ts``."""

    start_s: int
    end_s: int


def candle_tier(ref: MarketRef, cutoff: Cutoff) -> Tier:
    """The tier to ask first: by the market's settlement, never by the candles' times.

    An open market keeps its oldest candles on the live tier. A market whose settlement
    time is unknown is asked for there too; absence then leads to the other tier.
    """
    settled = ref.settlement_time
    return "historical" if settled is not None and settled < cutoff.market_settled_ts else "live"


def can_batch(ticker: str) -> bool:
    """True where the ticker can go into a comma-separated list."""
    return _PLAIN_TICKER.fullmatch(ticker) is not None


def windows(start: datetime, end: datetime, period_minutes: int, cap: int) -> list[Window]:
    """Cover [start, end) with the fewest windows of at most ``cap`` candles each.

    The exchange counts the requested range over the period, not the candles that are
    there. Windows are of equal length, so that none is at the cap where it need not be.
    Neighbours share their boundary second, because both ends of a window are included.

    Raises:
        UsageError: a time without zone, an empty range, or a period that the exchange does not have.
    """
    start_s, end_s, period_s = asked_seconds(start, end, period_minutes)
    count = _windows(end_s - start_s, period_s, cap)
    periods = ceil((end_s - start_s) / period_s)
    step = ceil(periods / count) * period_s
    return [Window(s, min(s + step, end_s)) for s in range(start_s, end_s, step)]


def batch_sizes(markets: int, start: datetime, end: datetime, period_minutes: int) -> list[int]:
    """Tickers per batch, largest batch first, that make the fewest requests for the whole job.

    One request carries at most 100 tickers and 10,000 candles over all of them, so a batch
    of n tickers takes windows of 10,000 // n periods. The sizes are the best of all ways to
    split the markets into batches that are asked for window by window; of equally good ways
    the one with fewest batches. (Tickers are not regrouped between windows: an answer then
    tells at once which market has left the live tier, and the market is fetched whole.)

    Raises:
        UsageError: as of ``windows``.
    """
    start_s, end_s, period_s = asked_seconds(start, end, period_minutes)
    largest = min(BATCH_TICKERS, max(1, markets))
    requests = {n: _windows(end_s - start_s, period_s, BATCH_CAP // n) for n in range(1, largest + 1)}
    # best[m]: requests, batches and size of the last batch for m markets.
    best: list[tuple[int, int, int]] = [(0, 0, 0)]
    for m in range(1, markets + 1):
        sizes = range(1, min(largest, m) + 1)
        best.append(min((best[m - n][0] + requests[n], best[m - n][1] + 1, n) for n in sizes))
    sizes_found: list[int] = []
    while markets:
        sizes_found.append(best[markets][2])
        markets -= sizes_found[-1]
    return sorted(sizes_found, reverse=True)


def asked_seconds(start: datetime, end: datetime, period_minutes: int) -> tuple[int, int, int]:
    """First and last Unix second of a request that covers [start, end), and the seconds in a period.

    Raises:
        UsageError: as of ``windows``.
    """
    if period_minutes not in PERIODS_MIN:
        raise UsageError(f"A candle lasts 1, 60 or 1440 minutes, not {period_minutes}.")
    start_s, end_s = unix_floor(start), unix_ceil(end)
    if end <= start:
        raise UsageError(f"The range from {start.isoformat()} to {end.isoformat()} is empty.")
    return start_s, end_s, period_minutes * 60


def _windows(span_s: int, period_s: int, cap: int) -> int:
    return ceil(span_s / (max(1, cap) * period_s))


def trade_spans(start: datetime, end: datetime, cutoff: Cutoff) -> Iterator[tuple[Tier, Window]]:
    """The spans to ask of each tier, older first: trades are filed by their own time.

    The spans overlap by a minute around the boundary; twins are told by their id.
    """
    if end <= start:
        raise UsageError(f"The range from {start.isoformat()} to {end.isoformat()} is empty.")
    boundary = cutoff.trades_created_ts
    if start < boundary:
        yield "historical", Window(unix_floor(start), unix_ceil(min(end, boundary + TRADE_OVERLAP)))
    if end > boundary:
        yield "live", Window(unix_floor(max(start, boundary - TRADE_OVERLAP)), unix_ceil(end))


def unix_floor(moment: datetime) -> int:
    """The last whole Unix second at or before a moment."""
    return _micros(moment) // 1_000_000


def unix_ceil(moment: datetime) -> int:
    """The first whole Unix second at or after a moment."""
    return -(-_micros(moment) // 1_000_000)


def _micros(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise UsageError(f"The time {moment.isoformat()} has no zone; give it in UTC.")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
