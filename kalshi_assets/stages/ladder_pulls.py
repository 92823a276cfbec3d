"""Downloads candles and trades of whole ladders, several at once; what is filed and checked is ``stages.quotes``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.tables import TABLES, TIME
from kalshi_assets.exchange.candles import CANDLES
from kalshi_assets.exchange.client import Exchange
from kalshi_assets.exchange.models import Cutoff
from kalshi_assets.exchange.routing import MarketRef
from kalshi_assets.stages.context import StageContext

# Requests under way at once: enough to hide the latency of one connection, few enough for the limiter.
WORKERS = 4
# The closing period ends after trading stops, so its candle is stamped up to one period later.
CLOSING_PERIODS = 2
BEFORE_OPENING = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class CandleWindow:
    """Which candles to pull: their length, and how long before the release they start (None: from the opening)."""

    period_minutes: int
    before_close: timedelta | None = None


WINDOWS = (
    CandleWindow(1440),
    CandleWindow(60, timedelta(days=35)),
    CandleWindow(1, timedelta(days=2)),
)


@dataclass(frozen=True, slots=True)
class DueTime:
    """A release time while it was the one to believe: from ``since`` until before ``until`` (None: ever after)."""

    at: datetime
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Ladder:
    """The contracts of one event, when they could be traded, and when their number was due as known at each time."""

    event_ticker: str
    series_ticker: str
    event_date: date
    opened: datetime
    closed: datetime
    contracts: tuple[MarketRef, ...]
    due: tuple[DueTime, ...] = ()

    def spans(self, window: CandleWindow) -> list[tuple[datetime, datetime]]:
        """First end of a period and the bound of it, of each stretch of time that a window covers.

        What is pulled of a time rests on the release as it was known then: else which quotes there are from before
        a move would tell of it.
        """
        end = self.closed + CLOSING_PERIODS * timedelta(minutes=window.period_minutes)
        if window.before_close is None:
            return [(self.opened, end)]
        due = self.due or (DueTime(self.closed, self.opened, None),)
        spans = [
            (max(self.opened, d.since, d.at - window.before_close), min(end, d.until) if d.until else end) for d in due
        ]
        return [(start, stop) for start, stop in spans if start < stop]


def ladders_of(contracts: pa.Table, events: pa.Table | None = None) -> list[Ladder]:
    """The ladders of some rows of table ``contracts``, sorted by event.

    Args:
        contracts: newest rows of the contracts.
        events: all versions of the events, for the windows of candles; without them the close stands for the release.
    """
    due = _due_times(events) if events is not None else {}
    grouped: dict[str, list[dict[str, Any]]] = {}
    wanted = ["event_ticker", "series_ticker", "event_date", "ticker", "open_time", "close_time", "settlement_time"]
    for row in contracts.select(wanted).to_pylist():
        grouped.setdefault(row["event_ticker"], []).append(row)
    return [_ladder(rows, due.get(event, ())) for event, rows in sorted(grouped.items())]


def first_trade_time(opened: datetime, cutoff: Cutoff) -> datetime:
    """From when on trades of a ladder are asked for: well before its opening, as recorded openings are not exact.

    Of a ladder that opened after the boundary only the live tier can hold trades; asking across it
    would cost a request more for each contract.
    """
    start = opened - BEFORE_OPENING
    return max(start, cutoff.trades_created_ts) if opened >= cutoff.trades_created_ts else start


def pull_ladders(
    context: StageContext,
    stage: str,
    exchange: Exchange,
    ladders: Sequence[Ladder],
    windows: Sequence[CandleWindow],
    cutoff: Cutoff,
) -> tuple[pa.Table, pa.Table]:
    """Rows of ``quotes`` and of ``trades``, in the ladders' order whatever finishes first.

    A candle whose period had not ended when it was asked for is left out: the exchange serves what it is
    so far, and its completion would look like a correction.
    """
    asked_at = pa.scalar(context.now(), TIME)
    pulled: list[tuple[pa.Table, pa.Table]] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        work = [pool.submit(_pull, exchange, ladder, windows, cutoff) for ladder in ladders]
        try:
            for done, future in enumerate(work, start=1):
                pulled.append(future.result())
                context.progress(stage, "ladders", done, len(ladders))
        except BaseException:  # Also an interrupt: requests not yet sent must not be waited for.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    # One piece a column: thousands of small chunks make sorting and writing ten times slower. A date
    # may hold events of other series only: then there is no ladder at all.
    candles, trades = (
        pa.concat_tables([TABLES[name].schema.empty_table(), *(tables[i] for tables in pulled)]).combine_chunks()
        for i, name in enumerate(("quotes", "trades"))
    )
    return candles.filter(pc.less_equal(candles["ts"], asked_at)), trades


def _due_times(events: pa.Table) -> dict[str, tuple[DueTime, ...]]:
    """By event its release times, each with the time for which it was believed."""
    told: dict[str, list[tuple[datetime, datetime]]] = {}
    for row in events.select(["event_ticker", "known_at", "release_time"]).sort_by("known_at").to_pylist():
        mine = told.setdefault(row["event_ticker"], [])
        if not mine or mine[-1][1] != row["release_time"]:
            mine.append((row["known_at"], row["release_time"]))
    return {
        event: tuple(
            DueTime(at, since, until)
            for (since, at), until in zip(mine, [*(known_at for known_at, _ in mine[1:]), None], strict=True)
        )
        for event, mine in told.items()
    }


def _ladder(rows: Sequence[Mapping[str, Any]], due: tuple[DueTime, ...]) -> Ladder:
    first = rows[0]
    return Ladder(
        event_ticker=str(first["event_ticker"]),
        series_ticker=str(first["series_ticker"]),
        event_date=first["event_date"],
        opened=min(r["open_time"] for r in rows),
        closed=max(r["close_time"] for r in rows),
        contracts=tuple(
            MarketRef(
                ticker=str(r["ticker"]),
                event_ticker=str(r["event_ticker"]),
                series_ticker=str(r["series_ticker"]),
                settlement_time=r["settlement_time"],
            )
            for r in rows
        ),
        due=due,
    )


def _pull(
    exchange: Exchange, ladder: Ladder, windows: Sequence[CandleWindow], cutoff: Cutoff
) -> tuple[pa.Table, pa.Table]:
    candles = [
        exchange.candlesticks(
            ladder.contracts, period_minutes=window.period_minutes, start=start, end=end, cutoff=cutoff
        )
        for window in windows
        for start, end in ladder.spans(window)
    ]
    start = first_trade_time(ladder.opened, cutoff)
    end = ladder.closed + timedelta(minutes=1)
    trades = [exchange.trades(ref, start=start, end=end, cutoff=cutoff) for ref in ladder.contracts]
    return (
        _filed("quotes", ladder, pa.concat_tables([CANDLES.empty_table(), *candles]), source="candle"),
        _filed("trades", ladder, pa.concat_tables(trades)),
    )


def _filed(name: str, ladder: Ladder, table: pa.Table, *, source: str | None = None) -> pa.Table:
    """Raw rows with the ladder's keys; an observation that was never seen is known when its period has ended."""
    schema, n = TABLES[name].schema, table.num_rows
    given = {c: table[c] for c in table.column_names}
    constant = {
        "event_ticker": ladder.event_ticker,
        "series_ticker": ladder.series_ticker,
        "event_date": ladder.event_date,
        "source": source,
    }
    columns = []
    for field in schema:
        if field.name in given:
            columns.append(given[field.name].cast(field.type))
        elif field.name == "known_at":
            columns.append(given["ts"].cast(field.type))
        else:
            columns.append(pa.repeat(pa.scalar(constant[field.name], field.type), n))
    return pa.table(columns, schema=schema)
