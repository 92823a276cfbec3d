"""Stage 5: one row per event and horizon, nothing in it that was not known at its as-of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.conditions import policy_rate
from kalshi_assets.core.features import SNAPSHOT_COLUMNS
from kalshi_assets.core.features import feature_panel as build_panel
from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.gates import check_order_of_times
from kalshi_assets.core.microstructure import QUOTE_COLUMNS
from kalshi_assets.core.reference_features import REFERENCE_TABLES, References
from kalshi_assets.macro.facts import load_fomc_meetings
from kalshi_assets.settings import facts_folder
from kalshi_assets.stages.commit import Gate, finish, whole
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.stages.evidence import require_evidence
from kalshi_assets.stages.leak_gates import all_of, leak_gate, panel_recipe
from kalshi_assets.store.lake import Lake, Scope

STAGE = "feature_panel"
_EVENT_COLUMNS = ("event_ticker", "series_ticker", "period", "known_at")
NOTHING_KNOWN = "nothing was known of the ladder at any horizon"


@whole
def feature_panel(context: StageContext, scope: Scope) -> StageResult:
    """Build the panel rows of the scope from distributions, quotes, prints and prices as known then.

    Raises:
        GateError: when the stages that it reads are not vouched for.
    """
    lake, dates = context.lake, scope.event_dates
    require_evidence(lake, STAGE, dates)
    notes = context.references()
    rows = build_panel(**panel_inputs(lake, scope))
    commit = lake.replace(STAGE, rows, scope=scope, run_id=context.run_id)
    return finish(
        context,
        STAGE,
        dates,
        changed={STAGE: commit.rows},
        gate=all_of(
            _order_of_times(lake), leak_gate(lake, STAGE, panel_recipe(panel_inputs, build_panel), series=scope.series)
        ),
        may_be_empty={STAGE: NOTHING_KNOWN},
        notes=notes,
    )


def panel_inputs(lake: Lake, scope: Scope) -> dict[str, Any]:
    """What the lake holds of all that ``core.features.feature_panel`` takes for a scope."""
    dates, series = scope.event_dates, scope.series
    macro, prices = lake.read("macro_observations", history=True), lake.read("asset_prices", history=True)
    references = References(
        events=lake.read("events", event_dates=dates, series=series, history=True, columns=_EVENT_COLUMNS),
        **{name: lake.read(name, history=True) for name in REFERENCE_TABLES},
        policy_rate=policy_rate(macro, prices),
        meetings=load_fomc_meetings(facts_folder()),
    )
    return {
        "distributions": lake.read("distributions", event_dates=dates, series=series, columns=SNAPSHOT_COLUMNS),
        "quotes": lake.read("quotes", event_dates=dates, series=series, history=True, columns=QUOTE_COLUMNS),
        "macro_observations": macro,
        "asset_prices": prices,
        "references": references,
    }


def _order_of_times(lake: Lake) -> Gate:
    """The order of times; only a date on which no distribution had any input may have no row."""

    def gate(stored: Mapping[str, pa.Table], dates: Sequence[date]) -> Sequence[GateResult]:
        inputs = lake.read("distributions", event_dates=dates, columns=["event_date", "inputs_known_at"])
        known = set(inputs.filter(pc.is_valid(inputs["inputs_known_at"]))["event_date"].to_pylist())
        with_inputs = [d for d in dates if d in known]
        without = [d for d in dates if d not in known]
        return (
            *(check_order_of_times(stored[STAGE], with_inputs) if with_inputs else ()),
            *(check_order_of_times(stored[STAGE], without, allow_empty=NOTHING_KNOWN) if without else ()),
        )

    return gate
