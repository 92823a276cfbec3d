"""Stage 5: one row per event and horizon, nothing in it that was not known at its as-of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.features import feature_panel as build_panel
from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.gates import check_order_of_times
from kalshi_assets.stages.commit import Gate, finish, whole
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.stages.evidence import require_evidence
from kalshi_assets.store.lake import Lake, Scope

STAGE = "feature_panel"
NOTHING_KNOWN = "nothing was known of the ladder at any horizon"


@whole
def feature_panel(context: StageContext, scope: Scope) -> StageResult:
    """Build the panel rows of the scope from distributions, quotes, prints and prices as known then.

    Raises:
        GateError: when the stages that it reads are not vouched for.
    """
    lake, dates = context.lake, scope.event_dates
    require_evidence(lake, STAGE, dates)
    rows = build_panel(
        lake.read("distributions", event_dates=dates, series=scope.series),
        lake.read("quotes", event_dates=dates, series=scope.series, history=True),
        lake.read("macro_observations", history=True),
        lake.read("asset_prices", history=True),
    )
    commit = lake.replace(STAGE, rows, scope=scope, run_id=context.run_id)
    return finish(
        context,
        STAGE,
        dates,
        changed={STAGE: commit.rows},
        gate=_order_of_times(lake),
        may_be_empty={STAGE: NOTHING_KNOWN},
    )


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
