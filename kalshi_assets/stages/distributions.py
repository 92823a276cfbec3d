"""Stage 4: the implied distribution of every event at every snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pyarrow as pa

from kalshi_assets.core.distribution import DistributionConfig, build_distributions
from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.gates import check_distribution_laws
from kalshi_assets.core.horizons import snapshot_grid
from kalshi_assets.stages.commit import finish, whole
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.stages.evidence import require_evidence
from kalshi_assets.store.lake import Scope

STAGE = "distributions"


@whole
def distributions(context: StageContext, scope: Scope, config: DistributionConfig | None = None) -> StageResult:
    """Build the distributions and their rungs for the scope.

    Raises:
        GateError: when the stages that it reads are not vouched for.
    """
    lake, dates = context.lake, scope.event_dates
    require_evidence(lake, STAGE, dates)
    built = build_distributions(
        lake.read("contract_specs", event_dates=dates, series=scope.series, history=True),
        lake.read("quotes", event_dates=dates, series=scope.series, history=True),
        snapshot_grid(lake.read("events", event_dates=dates, series=scope.series)),
        config or DistributionConfig(),
    )
    # Rungs first: a reader who sees a distribution must find the rungs that it was built from.
    rungs = lake.replace("distribution_rungs", built.rungs, scope=scope, run_id=context.run_id)
    moments = lake.replace(STAGE, built.distributions, scope=scope, run_id=context.run_id)
    return finish(
        context,
        STAGE,
        dates,
        changed={STAGE: moments.rows, "distribution_rungs": rungs.rows},
        gate=_laws,
        may_be_empty={"distribution_rungs": "an event whose contracts were never quoted has no rungs"},
    )


def _laws(stored: Mapping[str, pa.Table], dates: Sequence[date]) -> Sequence[GateResult]:
    return check_distribution_laws(stored[STAGE], dates)
