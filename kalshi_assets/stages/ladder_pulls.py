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
    """Which candles to pull: their length, and how long before the close they start (None: from the opening)."""

    period_minutes: int
    before_close: timedelta | None = None


WINDOWS = (
    CandleWindow(1440),
    CandleWindow(60, timedelta(days=35)),
    CandleWindow(1, timedelta(days=2)),
)


@dataclass(frozen=True, slots=True)
class Ladder:
    """The contracts of one event, and when they could be traded."""

    event_ticker: str
    series_ticker: str
    event_date: date
    opened: datetime
    closed: datetime
    contracts: tuple[MarketRef, ...]


def ladders_of(contracts: pa.Table) -> list[Ladder]:
    """The ladders of some rows of table ``contracts``, sorted by event."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    wanted = ["event_ticker", "series_ticker", "event_date", "ticker", "open_time", "close_time", "settlement_time"]
    for row in contracts.select(wanted).to_pylist():
        grouped.setdefault(row["event_ticker"], []).append(row)
    return [_ladder(rows) for _, rows in sorted(grouped.items())]


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


def _ladder(rows: Sequence[Mapping[str, Any]]) -> Ladder:
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
    )


def _pull(
    exchange: Exchange, ladder: Ladder, windows: Sequence[CandleWindow], cutoff: Cutoff
) -> tuple[pa.Table, pa.Table]:
    candles = []
    for window in windows:
        earliest = ladder.closed - window.before_close if window.before_close else ladder.opened
        start = max(ladder.opened, earliest)
        end = ladder.closed + CLOSING_PERIODS * timedelta(minutes=window.period_minutes)
        candles.append(
            exchange.candlesticks(
                ladder.contracts, period_minutes=window.period_minutes, start=start, end=end, cutoff=cutoff
            )
        )
    start = first_trade_time(ladder.opened, cutoff)
    end = ladder.closed + timedelta(minutes=1)
    trades = [exchange.trades(ref, start=start, end=end, cutoff=cutoff) for ref in ladder.contracts]
    return (
        _filed("quotes", ladder, pa.concat_tables(candles), source="candle"),
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
