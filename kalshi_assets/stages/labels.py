"""Stage 6: what each release turned out to be, and when one could have learned it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pyarrow as pa

from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.gates import check_labels_learned_after_release
from kalshi_assets.core.labels import label_table
from kalshi_assets.stages.commit import finish, whole
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.stages.evidence import require_evidence
from kalshi_assets.store.lake import Scope

STAGE = "labels"


@whole
def labels(context: StageContext, scope: Scope) -> StageResult:
    """Label the events of the scope: first print, later vintages, settlement, surprise.

    Raises:
        GateError: when the stages that it reads are not vouched for.
    """
    lake, dates = context.lake, scope.event_dates
    require_evidence(lake, STAGE, dates)
    rows = label_table(
        lake.read("events", event_dates=dates, series=scope.series),
        lake.read("macro_observations", history=True),
        lake.read("contracts", event_dates=dates, series=scope.series),
        lake.read("distributions", event_dates=dates, series=scope.series),
        specs=lake.read("contract_specs", event_dates=dates, series=scope.series),
    )
    commit = lake.replace(STAGE, rows, scope=scope, run_id=context.run_id)
    return finish(context, STAGE, dates, changed={STAGE: commit.rows}, gate=_learned_after_release)


def _learned_after_release(stored: Mapping[str, pa.Table], dates: Sequence[date]) -> Sequence[GateResult]:
    return check_labels_learned_after_release(stored[STAGE], dates)
