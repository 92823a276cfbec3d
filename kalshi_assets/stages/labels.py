"""Stage 6: what each release turned out to be, and when one could have learned it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow as pa

from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.gates import check_labels_learned_after_release
from kalshi_assets.core.labels import CONTRACT_COLUMNS, EVENT_COLUMNS, IMPLIED_COLUMNS, SPEC_COLUMNS, label_table
from kalshi_assets.core.response_table import WINDOWS, response_table, symbols_of
from kalshi_assets.core.tables import TABLES
from kalshi_assets.core.trading_sessions import CALENDAR_OF
from kalshi_assets.macro.trading_days import NOT_INSTALLED, calendars_installed, trading_sessions
from kalshi_assets.stages.commit import finish, whole
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.stages.evidence import require_evidence
from kalshi_assets.store.lake import Lake, Scope

STAGE = "labels"
RESPONSES = "asset_responses"


@whole
def labels(context: StageContext, scope: Scope) -> StageResult:
    """Label the events of the scope: first print, later vintages, settlement, surprise.

    Raises:
        GateError: when the stages that it reads are not vouched for.
    """
    lake, dates = context.lake, scope.event_dates
    require_evidence(lake, STAGE, dates)
    notes = list(context.references())
    rows = label_table(**label_inputs(lake, scope))
    responses, more = responses_of(lake, scope)
    changed = {
        STAGE: lake.replace(STAGE, rows, scope=scope, run_id=context.run_id).rows,
        RESPONSES: lake.replace(RESPONSES, responses, scope=scope, run_id=context.run_id).rows,
    }
    return finish(
        context,
        STAGE,
        dates,
        changed=changed,
        gate=_learned_after_release,
        may_be_empty={RESPONSES: "no asset prices are held"},
        notes=[*notes, *more],
    )


def label_inputs(lake: Lake, scope: Scope) -> dict[str, Any]:
    """What the lake holds of all that ``core.labels.label_table`` takes for a scope."""
    dates, series = scope.event_dates, scope.series
    return {
        "events": lake.read("events", event_dates=dates, series=series, columns=EVENT_COLUMNS),
        "macro_observations": lake.read("macro_observations", history=True),
        "contracts": lake.read("contracts", event_dates=dates, series=series, columns=CONTRACT_COLUMNS),
        "distributions": lake.read("distributions", event_dates=dates, series=series, columns=IMPLIED_COLUMNS),
        "specs": lake.read("contract_specs", event_dates=dates, series=series, columns=SPEC_COLUMNS),
        "consensus": lake.read("consensus", history=True),
    }


def responses_of(lake: Lake, scope: Scope) -> tuple[pa.Table, list[str]]:
    """The asset responses of a scope, without writing them, and why some assets have none."""
    prices = {table: lake.read(table, history=True) for table, _ in WINDOWS.values()}
    symbols = sorted({s for table in prices.values() for s in symbols_of(table)})
    events = lake.read("events", event_dates=scope.event_dates, series=scope.series, columns=EVENT_COLUMNS)
    if not symbols or not events.num_rows:
        return TABLES[RESPONSES].schema.empty_table(), []
    wanted = sorted({calendar for s in symbols if (calendar := CALENDAR_OF.get(s))})
    if not calendars_installed():
        without = [s for s in symbols if s in CALENDAR_OF]
        notes = [f"The responses of {', '.join(without)} were not made: {NOT_INSTALLED}."] if without else []
        return response_table(events, prices, {}), notes
    releases = [moment.date() for moment in events["release_time"].to_pylist()]
    sessions = {name: trading_sessions(name, min(releases), max(releases)) for name in wanted}
    return response_table(events, prices, sessions), []


def _learned_after_release(stored: Mapping[str, pa.Table], dates: Sequence[date]) -> Sequence[GateResult]:
    return check_labels_learned_after_release(stored[STAGE], dates)
