"""Stage 4: the implied distribution of every event at every snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.asof import QUOTE_COLUMNS
from kalshi_assets.core.bases import distributions_by_basis
from kalshi_assets.core.distribution import TRADES, DistributionConfig, build_distributions
from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.gates import check_distribution_laws
from kalshi_assets.core.horizons import snapshot_grid
from kalshi_assets.stages.commit import finish, whole
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.stages.evidence import require_evidence
from kalshi_assets.stages.leak_gates import all_of, distributions_recipe, leak_gate
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
    chosen = config or DistributionConfig()
    specs = lake.read("contract_specs", event_dates=dates, series=scope.series, history=True)
    trades = lake.read("trades", event_dates=dates, series=scope.series, history=True)
    events = lake.read("events", event_dates=dates, series=scope.series, history=True)
    built = distributions_by_basis(
        specs,
        lake.read("quotes", event_dates=dates, series=scope.series, history=True, columns=QUOTE_COLUMNS),
        trades,
        snapshot_grid(events),
        chosen,
        traded=context.traded_series,
    )
    with_trades = events.filter(pc.is_in(events["event_ticker"], pc.unique(trades["event_ticker"])))
    from_trades = build_distributions(
        specs, trades, snapshot_grid(with_trades, daily_grid=False), replace(chosen, basis=TRADES)
    )
    # Rungs first: a reader who sees a distribution must find the rungs that it was built from.
    rungs = lake.replace("distribution_rungs", built.rungs, scope=scope, run_id=context.run_id)
    beside = lake.replace("trade_distributions", from_trades.distributions, scope=scope, run_id=context.run_id)
    moments = lake.replace(STAGE, built.distributions, scope=scope, run_id=context.run_id)
    return finish(
        context,
        STAGE,
        dates,
        changed={STAGE: moments.rows, "distribution_rungs": rungs.rows, "trade_distributions": beside.rows},
        gate=all_of(_laws, leak_gate(lake, STAGE, distributions_recipe(chosen), series=scope.series)),
        may_be_empty={
            "distribution_rungs": "an event whose contracts were never quoted has no rungs",
            "trade_distributions": "a ladder may never have traded",
        },
    )


def _laws(stored: Mapping[str, pa.Table], dates: Sequence[date]) -> Sequence[GateResult]:
    return check_distribution_laws(stored[STAGE], dates)
