"""Stage 3: candles, trades and books of every contract, from whichever tier holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.gates import check_quotes_ordered
from kalshi_assets.core.tables import TABLES
from kalshi_assets.exchange.client import Exchange
from kalshi_assets.exchange.models import Cutoff
from kalshi_assets.exchange.routing import MarketRef
from kalshi_assets.stages.books import held_books, pull_books, trading
from kalshi_assets.stages.commit import finish
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.stages.evidence import require_evidence
from kalshi_assets.store.lake import Scope

STAGE = "quotes"
# Requests under way at once: enough to hide the latency of one connection, few enough for the limiter.
WORKERS = 4
# The closing period ends after trading stops, so its candle is stamped up to one period later.
CLOSING_PERIODS = 2
# Recorded opening times are not always exact; asking for more costs no request.
BEFORE_OPENING = timedelta(days=365)
UNQUOTED = "a ladder may never have been quoted"


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
class _Ladder:
    event_ticker: str
    series_ticker: str
    event_date: date
    opened: datetime
    closed: datetime
    contracts: tuple[MarketRef, ...]


def quotes(context: StageContext, scope: Scope, windows: Sequence[CandleWindow] = WINDOWS) -> StageResult:
    """Pull candles and trades of the scope's contracts, and the books of those that still trade.

    The historical cutoff is read before and after; when it moved meanwhile the
    pull is repeated once, since a market may have changed tier between two requests.

    Raises:
        GateError: when the catalog is not vouched for.
        ExchangeError: when the exchange answers wrongly or not at all.
    """
    lake, dates = context.lake, scope.event_dates
    require_evidence(lake, STAGE, dates)
    contracts = lake.read("contracts", event_dates=dates, series=scope.series)
    ladders = _ladders(contracts)
    exchange = context.exchange()
    cutoff = exchange.cutoff()
    pulled = _pull(context, exchange, ladders, windows, cutoff)
    after = exchange.cutoff()
    if after.market_settled_ts != cutoff.market_settled_ts or after.trades_created_ts != cutoff.trades_created_ts:
        pulled = _pull(context, exchange, ladders, windows, after)
    # A date may hold events of other series only: then there is no ladder to pull.
    candles, trades, coverage = (
        pa.concat_tables([TABLES[name].schema.empty_table(), *(tables[i] for tables in pulled)])
        for i, name in enumerate(("quotes", "trades", "coverage"))
    )
    books, tops = pull_books(exchange, trading(contracts, context.now()))
    # One piece a column: thousands of small chunks make sorting and writing ten times slower.
    candles = pa.concat_tables([candles, held_books(lake, scope), tops]).combine_chunks()
    trades = trades.combine_chunks()
    run_id = context.run_id
    changed = {
        "orderbooks": lake.upsert("orderbooks", books, run_id=run_id).rows,
        "trades": lake.replace("trades", trades, scope=scope, run_id=run_id).rows,
        "quotes": lake.replace("quotes", candles, scope=scope, run_id=run_id).rows,
        "coverage": lake.upsert("coverage", coverage, run_id=run_id).rows,
    }
    silent = pc.sum(pc.subtract(coverage["expected"], coverage["received"])).as_py() or 0
    notes = [f"{silent} contracts were never quoted."] if silent else []
    return finish(
        context,
        STAGE,
        dates,
        changed=changed,
        gate=_ordered,
        notes=notes,
        may_be_empty={"trades": "a ladder may never have traded", "quotes": UNQUOTED},
    )


def _ordered(stored: Mapping[str, pa.Table], dates: Sequence[date]) -> Sequence[GateResult]:
    return check_quotes_ordered(stored["quotes"], dates, allow_empty=UNQUOTED)


def _ladders(contracts: pa.Table) -> list[_Ladder]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    wanted = ["event_ticker", "series_ticker", "event_date", "ticker", "open_time", "close_time", "settlement_time"]
    for row in contracts.select(wanted).to_pylist():
        grouped.setdefault(row["event_ticker"], []).append(row)
    return [_ladder(rows) for _, rows in sorted(grouped.items())]


def _ladder(rows: Sequence[Mapping[str, Any]]) -> _Ladder:
    first = rows[0]
    return _Ladder(
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
    context: StageContext,
    exchange: Exchange,
    ladders: Sequence[_Ladder],
    windows: Sequence[CandleWindow],
    cutoff: Cutoff,
) -> list[tuple[pa.Table, pa.Table, pa.Table]]:
    """Candles, trades and coverage of each ladder, in the ladders' order whatever finishes first."""
    results: list[tuple[pa.Table, pa.Table, pa.Table]] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        work = [pool.submit(_pull_ladder, exchange, ladder, windows, cutoff) for ladder in ladders]
        try:
            for done, future in enumerate(work, start=1):
                results.append(future.result())
                context.progress(STAGE, "ladders", done, len(ladders))
        except BaseException:  # Also an interrupt: requests not yet sent must not be waited for.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def _pull_ladder(
    exchange: Exchange, ladder: _Ladder, windows: Sequence[CandleWindow], cutoff: Cutoff
) -> tuple[pa.Table, pa.Table, pa.Table]:
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
    trades = [
        exchange.trades(
            ref, start=ladder.opened - BEFORE_OPENING, end=ladder.closed + timedelta(minutes=1), cutoff=cutoff
        )
        for ref in ladder.contracts
    ]
    quoted = pa.concat_tables(candles)
    return (
        _filed("quotes", ladder, quoted, source="candle"),
        _filed("trades", ladder, pa.concat_tables(trades)),
        _coverage(ladder, quoted),
    )


def _filed(name: str, ladder: _Ladder, table: pa.Table, *, source: str | None = None) -> pa.Table:
    """Raw rows with the ladder's keys; an observation is known when its period has ended."""
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


def _coverage(ladder: _Ladder, quoted: pa.Table) -> pa.Table:
    expected = len(ladder.contracts)
    received = pc.count_distinct(quoted["ticker"]).as_py()
    missing = expected - received
    return pa.Table.from_pylist(
        [
            {
                "event_ticker": ladder.event_ticker,
                "series_ticker": ladder.series_ticker,
                "event_date": ladder.event_date,
                "endpoint": "candlesticks",
                "ts": ladder.closed,
                "known_at": ladder.closed,
                "expected": expected,
                "received": received,
                "complete": True,
                "reason": f"{missing} contracts were never quoted" if missing else None,
            }
        ],
        schema=TABLES["coverage"].schema,
    )
