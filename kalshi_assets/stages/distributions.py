"""Stage 4: the implied distribution of every event at every snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

import pyarrow as pa

from kalshi_assets.core.asof import QUOTE_COLUMNS
from kalshi_assets.core.bases import distributions_by_basis, distributions_from_trades
from kalshi_assets.core.distribution import DistributionConfig
from kalshi_assets.core.gate_results import NOTHING_TO_CHECK, GateResult
from kalshi_assets.core.gates import check_distribution_laws
from kalshi_assets.core.horizons import snapshot_grid
from kalshi_assets.stages.commit import Gate, finish, whole
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.stages.evidence import require_evidence
from kalshi_assets.stages.leak_gates import all_of, distributions_recipe, leak_gate
from kalshi_assets.store.lake import Lake, Scope

STAGE, BESIDE = "distributions", "trade_distributions"
UNKNOWN = "no event of the date was known before its release"


@whole
def distributions(context: StageContext, scope: Scope, config: DistributionConfig | None = None) -> StageResult:
    """Build the distributions and their rungs for the scope.

    Raises:
        GateError: when the stages that it reads are not vouched for.
    """
    lake, dates = context.lake, scope.event_dates
    require_evidence(lake, STAGE, dates)
    chosen = config or DistributionConfig()
    specs = lake.read("contract_specs", event_dates=dates, series=scope.series, history=True)
    trades = lake.read("trades", event_dates=dates, series=scope.series, history=True)
    grid = snapshot_grid(lake.read("events", event_dates=dates, series=scope.series, history=True))
    built = distributions_by_basis(
        specs,
        lake.read("quotes", event_dates=dates, series=scope.series, history=True, columns=QUOTE_COLUMNS),
        trades,
        grid,
        chosen,
        traded=context.traded_series,
    )
    from_trades = distributions_from_trades(specs, trades, grid, chosen)
    # Rungs first: a reader who sees a distribution must find the rungs that it was built from.
    rungs = lake.replace("distribution_rungs", built.rungs, scope=scope, run_id=context.run_id)
    beside = lake.replace(BESIDE, from_trades, scope=scope, run_id=context.run_id)
    moments = lake.replace(STAGE, built.distributions, scope=scope, run_id=context.run_id)
    return finish(
        context,
        STAGE,
        dates,
        changed={STAGE: moments.rows, "distribution_rungs": rungs.rows, BESIDE: beside.rows},
        gate=all_of(_laws(lake), leak_gate(lake, STAGE, distributions_recipe(chosen), series=scope.series)),
        may_be_empty={
            "distribution_rungs": "an event whose contracts were never quoted has no rungs",
            **dict.fromkeys((STAGE, BESIDE), UNKNOWN),
        },
    )


def _laws(lake: Lake) -> Gate:
    """The laws of both tables: of each date the first failure, else what was said of the first table.

    Only a date whose events nobody knew of before their releases may have no row.
    """

    def gate(stored: Mapping[str, pa.Table], dates: Sequence[date]) -> Sequence[GateResult]:
        known = set(snapshot_grid(lake.read("events", event_dates=dates, history=True))["event_date"].to_pylist())
        said: dict[date, GateResult] = {}
        for name in (STAGE, BESIDE):
            for result in check_distribution_laws(stored[name], dates, allow_empty=UNKNOWN):
                if not result.n_rows and result.event_date in known:
                    result = replace(result, passed=False, detail=f"{NOTHING_TO_CHECK}, though events were known")
                if not result.passed:
                    result = replace(result, detail=f"{name}: {result.detail}")
                held = said.setdefault(result.event_date, result)
                said[result.event_date] = held if result.passed or not held.passed else result
        return tuple(said.values())

    return gate
