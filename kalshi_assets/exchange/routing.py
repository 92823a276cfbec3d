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
    """Cover [start, end) with windows of at most ``cap`` candles each.

    The exchange counts the requested range, both ends included, so a window spans
    one period less than the cap. Neighbours share their boundary second.

    Raises:
        UsageError: a time without zone, an empty range, or a period that the exchange does not have.
    """
    if period_minutes not in PERIODS_MIN:
        raise UsageError(f"A candle lasts 1, 60 or 1440 minutes, not {period_minutes}.")
    start_s, end_s = unix_floor(start), unix_ceil(end)
    if end <= start:
        raise UsageError(f"The range from {start.isoformat()} to {end.isoformat()} is empty.")
    step = max(1, cap - 1) * period_minutes * 60
    starts = range(start_s, end_s, step)
    return [Window(s, min(s + step, end_s)) for s in starts]


def batch_size(markets: int, start: datetime, end: datetime, period_minutes: int) -> int:
    """Tickers per batch request that make the fewest requests for the whole job."""
    periods = max(1, ceil((end - start).total_seconds() / (period_minutes * 60)))

    def requests(size: int) -> int:
        return ceil(markets / size) * ceil(periods / max(1, BATCH_CAP // size - 1))

    largest = max(1, min(BATCH_TICKERS, markets))
    return min(range(1, largest + 1), key=lambda size: (requests(size), -size))


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
