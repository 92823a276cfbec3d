"""Stage 1: the series, their events and contracts, and when each number is due.

Prints and calendars are filed here as well: an event belongs to a release,
and what had been published is known by its own times, not by who reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.gates import check_catalog_complete
from kalshi_assets.errors import DomainError
from kalshi_assets.stages.commit import Gate, finish
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.mappings import record_mapping

STAGE = "market_catalog"


def market_catalog(context: StageContext, scope: Scope) -> StageResult:
    """Write the catalog of the scope's event dates.

    Raises:
        DomainError: when a date of the scope has no event in the catalog.
    """
    lake, run_id = context.lake, context.run_id
    catalog = context.catalog(tuple(scope.series or ()))
    # A range may hold dates of other series, and dates that an event has left: the lake knows both.
    mapped = {*lake.event_dates("events"), *lake.read("event_market_map", history=True)["event_date"].to_pylist()}
    absent = sorted({*scope.event_dates} - {*catalog.event_dates} - mapped)
    if absent:
        raise DomainError(
            f"No event of {', '.join(scope.series or ['any series'])} falls on {absent[0]}"
            f"{f' and {len(absent) - 1} more dates' if len(absent) > 1 else ''}: "
            "register the dates that the exchange lists (kalshi-assets run does)."
        )
    changed = {
        name: lake.upsert(name, getattr(catalog, name), run_id=run_id).rows
        for name in ("series", "release_calendar", "macro_observations", "asset_prices")
    }
    changed["event_market_map"] = record_mapping(lake, catalog.event_market_map, run_id=run_id).rows
    changed["coverage"] = lake.upsert("coverage", _within(catalog.coverage, scope), run_id=run_id).rows
    for name in ("contracts", "events"):
        changed[name] = lake.replace(name, _within(getattr(catalog, name), scope), scope=scope, run_id=run_id).rows
    return finish(context, STAGE, scope.event_dates, changed=changed, gate=_complete(lake), notes=catalog.notes)


def _complete(lake: Lake) -> Gate:
    def gate(stored: Mapping[str, pa.Table], dates: Sequence[date]) -> Sequence[GateResult]:
        coverage = lake.read("coverage", event_dates=dates)
        return check_catalog_complete(stored["events"], stored["contracts"], coverage, dates)

    return gate


def _within(table: pa.Table, scope: Scope) -> pa.Table:
    mask = pc.is_in(table["event_date"], pa.array(list(scope.event_dates), pa.date32()))
    if scope.series is not None:
        mask = pc.and_(mask, pc.is_in(table["series_ticker"], pa.array(list(scope.series), pa.string())))
    return table.filter(mask)
