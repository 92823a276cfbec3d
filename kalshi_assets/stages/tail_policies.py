"""The strategy once more under each other declared tail policy, in memory, for the verdict's sensitivity gate.

These fits choose nothing and can only lower a verdict, so they are not trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.bases import distributions_by_basis, traded_series
from kalshi_assets.core.decision_panel import last_decisions
from kalshi_assets.core.distribution import DistributionConfig
from kalshi_assets.core.features import feature_panel
from kalshi_assets.core.horizons import snapshot_grid
from kalshi_assets.core.pnl import event_pnl
from kalshi_assets.core.strategy import StrategyConfig
from kalshi_assets.core.walk_forward import walk_forward
from kalshi_assets.store.lake import Lake

if TYPE_CHECKING:
    from kalshi_assets.stages.verdict import Record


def pnl_under_other_tails(
    lake: Lake, history: Sequence[date], record: Record, config: StrategyConfig
) -> dict[str, pa.Table]:
    """What the strategy would have earned under each declared tail policy but its own (the first).

    Args:
        lake: quotes, specs, prints and prices are read from it.
        history: event dates to rebuild.
        record: what the verdict rests on; its labels, contracts and series are the same under every policy.
        config: the strategy.

    Returns:
        One table of ``core.pnl`` for each other policy.
    """
    specs = lake.read("contract_specs", event_dates=history, history=True)
    quotes = lake.read("quotes", event_dates=history, history=True)
    snapshots = snapshot_grid(lake.read("events", event_dates=history, history=True), daily_grid=False)
    traded = traded_series(lake.read("distributions", event_dates=history, columns=["series_ticker", "basis"]))
    trades = lake.read("trades", event_dates=history, history=True)
    prints = lake.read("macro_observations", history=True)
    prices = lake.read("asset_prices", history=True)
    earned = {}
    for policy in config.tail_policies[1:]:
        config_of = replace(DistributionConfig(), tail_policy=policy)
        built = distributions_by_basis(specs, quotes, trades, snapshots, config_of, traded=traded)
        panel = feature_panel(built.distributions, quotes, prints, prices)
        tested = walk_forward(panel, record.labels, test_dates=history, config=config)
        rungs = built.rungs.filter(pc.equal(built.rungs["horizon"], config.horizon))
        earned[policy] = event_pnl(
            last_decisions(tested.predictions), rungs, record.contracts, record.series, config=config
        )
    return earned
