"""Stage 3: candles, trades and books of every contract, from whichever tier holds them.

What was stored stays: what the exchange serves otherwise later is a version of its own
(``core.corrections``), and what it does not serve any more is kept as seen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.contract_history import refile
from kalshi_assets.core.corrections import QUOTES, TRADES, CorrectionRule, corrected, newest_of_each
from kalshi_assets.core.coverage import PAGES, coverage_versions, quote_coverage
from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.gates import check_quotes_ordered
from kalshi_assets.core.rejection import reject_quotes, rejected_quotes
from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import ExchangeError, StoreError, StoreUnreachable
from kalshi_assets.exchange.models import Cutoff
from kalshi_assets.stages.books import pull_books, trading
from kalshi_assets.stages.commit import finish, whole
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.stages.deletions import deleted_contracts
from kalshi_assets.stages.evidence import require_evidence
from kalshi_assets.stages.filing import dates_of_events
from kalshi_assets.stages.ladder_pulls import WINDOWS, CandleWindow, ladders_of, pull_ladders
from kalshi_assets.stages.seams import seam_gates, seams_of
from kalshi_assets.store.lake import Lake, Scope

STAGE = "quotes"
UNQUOTED = "a ladder may never have been quoted"


@whole
def quotes(context: StageContext, scope: Scope, windows: Sequence[CandleWindow] = WINDOWS) -> StageResult:
    """Pull candles and trades of the scope's contracts, and the books of those that still trade.

    The historical cutoff is read before and after; when it moved meanwhile the pull is repeated
    once, since a market may have changed tier between two requests. What was received of a range
    that is over is journalled, so that a pull which broke off goes on where it stopped.

    Raises:
        GateError: when the catalog is not vouched for.
        ExchangeError: when the exchange answers wrongly or not at all.
    """
    lake, dates, run_id = context.lake, scope.event_dates, context.run_id
    require_evidence(lake, STAGE, dates)
    contracts = lake.read("contracts", event_dates=dates, series=scope.series)
    events = lake.read("events", event_dates=dates, series=scope.series, history=True)
    exchange = context.exchange()
    try:
        cutoff = exchange.cutoff()
        deleted = deleted_contracts(exchange, contracts)
        ladders = ladders_of(contracts.filter(pc.invert(pc.is_in(contracts["ticker"], deleted))), events)
        candles, trades = pull_ladders(context, STAGE, exchange, ladders, windows, cutoff)
        after = exchange.cutoff()
        if _boundary(after) != _boundary(cutoff):
            if context.journal:
                context.journal.clear()
            candles, trades = pull_ladders(context, STAGE, exchange, ladders, windows, after)
        # Evidence is about whole dates, also where the scope is some of their series.
        seams = seams_of(exchange, ladders_of(lake.read("contracts", event_dates=dates)), after)
        books, tops = pull_books(exchange, trading(contracts, context.now()))
    except ExchangeError:
        _file_checkpoints(context)
        raise
    received_at, held = context.now(), _held(lake, scope)
    prices = _with_corrections(held, "quotes", scope, pa.concat_tables([candles, tops]), QUOTES, received_at)
    trades = _with_corrections(held, "trades", scope, trades, TRADES, received_at)
    kept, rejected = reject_quotes(prices)
    coverage = quote_coverage(
        contracts,
        newest_of_each(prices.filter(pc.equal(prices["source"], "candle")), QUOTES),
        newest_of_each(trades, TRADES),
        _pages(context),
        _minutes_before_close(windows),
    )
    news = coverage_versions(held["coverage"], coverage, received_at)
    changed = {
        "orderbooks": lake.upsert("orderbooks", books, run_id=run_id).rows,
        "trades": lake.replace("trades", trades, scope=scope, run_id=run_id).rows,
        "quotes": lake.replace("quotes", kept, scope=scope, run_id=run_id).rows,
        "rejected_rows": lake.replace("rejected_rows", rejected, scope=scope, run_id=run_id).rows,
        "coverage": lake.append("coverage", news, run_id=run_id).rows,
        "ingest_checkpoints": _file_checkpoints(context),
    }

    def gate(stored: Mapping[str, pa.Table], days: Sequence[date]) -> Sequence[GateResult]:
        return [*check_quotes_ordered(stored["quotes"], days, allow_empty=UNQUOTED), *seam_gates(seams, days)]

    result = finish(
        context,
        STAGE,
        dates,
        changed=changed,
        gate=gate,
        notes=[*_notes(coverage), *_deletions(deleted), *_rejections(rejected), *_oddities(context)],
        may_be_empty={"trades": "a ladder may never have traded", "quotes": UNQUOTED},
    )
    if context.journal:
        context.journal.clear()
    return result


def _held(lake: Lake, scope: Scope) -> dict[str, pa.Table]:
    """All versions of the scope's rows by table, from every date under which their events ever were.

    Quotes that were put aside are among the quotes: they were seen, so what replaces them is a correction.
    """
    dates, series = dates_of_events(lake, scope), scope.series
    names = ("quotes", "trades", "coverage")
    held = {name: lake.read(name, event_dates=dates, series=series, history=True) for name in names}
    try:
        aside = rejected_quotes(lake.read("rejected_rows", event_dates=dates, series=series))
    except StoreUnreachable:
        raise
    except StoreError:
        # No other table rests on these rows, and the file that cannot be read is written anew.
        aside = held["quotes"].slice(0, 0)
    return {
        **held,
        "quotes": pa.concat_tables([held["quotes"], aside]),
        "events": lake.read("events", event_dates=dates, columns=["event_ticker", "event_date"]),
    }


def _with_corrections(
    held: Mapping[str, pa.Table],
    name: str,
    scope: Scope,
    stated: pa.Table,
    rule: CorrectionRule,
    received_at: datetime,
) -> pa.Table:
    """All rows of a table that belong into the scope: those held, and what is new."""
    owned, stranded = refile(held[name], held["events"], scope.event_dates, rule.key)
    return pa.concat_tables([owned, stranded, corrected(owned, stated, rule, received_at=received_at)]).combine_chunks()


def _minutes_before_close(windows: Sequence[CandleWindow]) -> timedelta | None:
    """How long before the close the minutes start, None from the opening on; zero where none are pulled."""
    spans = [w.before_close for w in windows if w.period_minutes == 1] or [timedelta(0)]
    return None if None in spans else max(span for span in spans if span is not None)


def _pages(context: StageContext) -> pa.Table:
    """The pages of the downloads that the journal holds, by the first contract that was asked for."""
    points = context.journal.checkpoints() if context.journal else []
    rows = [
        {
            "ticker": re.split("[,@]", point.key, maxsplit=1)[0],
            "feed": "trades" if point.endpoint.endswith("/trades") else "candlesticks",
            "pages": point.pages,
        }
        for point in points
    ]
    return pa.Table.from_pylist(rows, schema=PAGES)


def _boundary(cutoff: Cutoff) -> tuple[datetime, datetime]:
    """The two fields that decide where candles and trades are."""
    return cutoff.market_settled_ts, cutoff.trades_created_ts


def _file_checkpoints(context: StageContext) -> int:
    """How far each resumable download came, as rows of ``ingest_checkpoints``; the number of rows changed."""
    if context.journal is None:
        return 0
    rows = []
    for point in context.journal.checkpoints():
        start, end = (datetime.fromtimestamp(s, UTC) for s in (point.start_s, point.end_s))
        rows.append(
            {
                "endpoint": point.endpoint,
                "key": point.key,
                "range_start": start,
                "range_end": end,
                "ts": end,
                "known_at": end,
                "cursor": point.cursor,
                "pages": point.pages,
                "rows": point.rows,
                "complete": point.complete,
            }
        )
    table = pa.Table.from_pylist(rows, schema=TABLES["ingest_checkpoints"].schema)
    return context.lake.upsert("ingest_checkpoints", table, run_id=context.run_id).rows


def _deletions(deleted: pa.Array) -> list[str]:
    if not len(deleted):
        return []
    return [f"The exchange has deleted {len(deleted)} provisional contracts, the first is {deleted[0]}; kept as seen."]


def _rejections(rejected: pa.Table) -> list[str]:
    if not rejected.num_rows:
        return []
    why = rejected["reason"][0]
    return [f"{rejected.num_rows} impossible quotes were put aside, the first because {why} (table rejected_rows)."]


def _oddities(context: StageContext) -> list[str]:
    """A sentence where the exchange sent what its documentation does not know."""
    found = context.findings()
    if not found:
        return []
    first = found[0]
    return [
        f"The exchange sent {len(found)} kinds of undocumented fields or values, the first is {first.field!r} of "
        f"{first.endpoint} (table ingest_log)."
    ]


def _notes(coverage: pa.Table) -> list[str]:
    """One sentence an endpoint where something is missing."""
    short = coverage.filter(pc.less(coverage["received"], coverage["expected"]))
    notes = []
    for endpoint, what in (
        ("candlesticks", "contracts were never quoted"),
        ("candlesticks.volume", "contracts have daily candles that do not add up to their volume"),
        ("candlesticks.minutes", "days have minutes that do not add up to their volume"),
        ("trades.volume", "contracts have trades that do not add up to their volume"),
    ):
        mine = short.filter(pc.equal(short["endpoint"], endpoint))
        if mine.num_rows:
            missing = pc.sum(pc.subtract(mine["expected"], mine["received"])).as_py()
            notes.append(f"{missing} {what} (table coverage).")
    return notes
