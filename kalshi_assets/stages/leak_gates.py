"""The leak gates as stages run them: which tables go into which rows, which rows are sampled, and the seed.

Belongs here: reading what the probes need, for no more dates than they sample.
The probes themselves are ``core.leak_probes``, what they mean ``core.leak_verdicts``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.bases import distributions_by_basis, distributions_from_trades, traded_series
from kalshi_assets.core.columns import days
from kalshi_assets.core.conditions import policy_rate
from kalshi_assets.core.distribution import DistributionConfig
from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.horizons import EVENT_FACTS, relaid, snapshot_grid
from kalshi_assets.core.leak_perturbations import Inputs
from kalshi_assets.core.leak_probes import Probing, probe
from kalshi_assets.core.leak_sample import Budget, Build, Outputs, Pipeline
from kalshi_assets.core.leak_verdicts import leak_results
from kalshi_assets.core.microstructure import QUOTE_COLUMNS
from kalshi_assets.core.reference_features import REFERENCE_TABLES, References
from kalshi_assets.stages.commit import Gate
from kalshi_assets.stages.evidence import OUTPUTS, data_hashes
from kalshi_assets.stages.sources_hash import sources_hash
from kalshi_assets.store.lake import Lake, Scope

EVENTS, SPECS, QUOTES, TRADES, DISTRIBUTIONS, RUNGS, FROM_TRADES, PANEL = (
    "events", "contract_specs", "quotes", "trades",
    "distributions", "distribution_rungs", "trade_distributions", "feature_panel",
)  # fmt: skip
_EVENT_COLUMNS = ("event_ticker", "series_ticker", "event_date", "period", "ts", "known_at", *EVENT_FACTS)
_QUOTE_COLUMNS = tuple(
    dict.fromkeys(
        ("event_ticker", "series_ticker", "event_date", "ticker", "source", "period_s", "ts", "known_at",
         "yes_bid_close_usd", "yes_ask_close_usd", "volume_contracts", "open_interest_contracts", *QUOTE_COLUMNS)
    )
)  # fmt: skip
# A distribution does not look at its neighbours, so a few of each event's are enough.
_REACH = 4
_NO_ROWS = "nothing was known of the ladder at any horizon"

PanelFrom = Callable[[pa.Table, Inputs], pa.Table]
PanelInputs = Callable[[Lake, Scope], dict[str, Any]]
Recipe = Callable[[Lake, Sequence[date]], Pipeline]


def distributions_build(config: DistributionConfig, traded: Sequence[str] = ()) -> Build:
    """All three tables of the stage from events, specs, quotes and trades; some series rest on trades.

    Snapshots are laid by the events that are given, whatever was known when they were asked for.
    """

    def build(inputs: Inputs, snapshots: pa.Table) -> Outputs:
        grid = relaid(snapshots, inputs[EVENTS])
        specs, trades = inputs[SPECS], inputs[TRADES]
        built = distributions_by_basis(specs, inputs[QUOTES], trades, grid, config, traded=traded)
        from_trades = distributions_from_trades(specs, trades, grid, config)
        return {DISTRIBUTIONS: built.distributions, RUNGS: built.rungs, FROM_TRADES: from_trades}

    return build


def panel_build(panel_from: PanelFrom, config: DistributionConfig | None = None, traded: Sequence[str] = ()) -> Build:
    """The panel end to end: from events, specs and quotes over distributions, so that a leak in any shows.

    Args:
        panel_from: makes panel rows from distributions and the other inputs.
        config: of the distributions.
        traded: series whose distributions rest on trades.
    """
    chosen = config or DistributionConfig()
    last: list[tuple[pa.Table, ...]] = []

    def build(inputs: Inputs, snapshots: pa.Table) -> Outputs:
        given = inputs[EVENTS], inputs[SPECS], inputs[QUOTES], inputs[TRADES], snapshots
        # Probes of what all events share come with the same ladders again and again.
        if not last or any(a is not b for a, b in zip(last[0], given, strict=False)):
            events, specs, quotes, trades, asked = given
            built = distributions_by_basis(specs, quotes, trades, relaid(asked, events), chosen, traded=traded)
            last[:] = [(*given, built.distributions)]
        return {PANEL: panel_from(last[0][-1], inputs)}

    return build


def distributions_recipe(config: DistributionConfig) -> Recipe:
    """The distributions of some dates as a pipeline, without what is stored of them."""

    def recipe(lake: Lake, dates: Sequence[date]) -> Pipeline:
        inputs = ladders(lake, dates)
        build = distributions_build(config, _traded(lake, dates))
        return Pipeline(DISTRIBUTIONS, inputs, snapshot_grid(inputs[EVENTS]), build, reach=_REACH)

    return recipe


def _traded(lake: Lake, dates: Sequence[date]) -> tuple[str, ...]:
    return traded_series(lake.read(DISTRIBUTIONS, event_dates=dates, columns=("series_ticker", "basis")))


def ladders(lake: Lake, dates: Sequence[date], traded: Sequence[str] | None = None) -> dict[str, pa.Table]:
    """All versions of what is known of the ladders of some dates, with the columns that any row is made from.

    Args:
        lake: the store.
        dates: event dates.
        traded: series whose trades are wanted; all when None.
    """
    return {
        EVENTS: lake.read(EVENTS, event_dates=dates, history=True, columns=_EVENT_COLUMNS),
        TRADES: lake.read(TRADES, event_dates=dates, series=traded, history=True),
        SPECS: lake.read(SPECS, event_dates=dates, history=True),
        QUOTES: lake.read(QUOTES, event_dates=dates, history=True, columns=_QUOTE_COLUMNS),
    }


def panel_recipe(read: PanelInputs, build: Callable[..., pa.Table]) -> Recipe:
    """The panel of some dates as a pipeline, end to end from events, specs and quotes.

    Args:
        read: what the stage reads for a scope: the arguments of ``build`` by name, ``distributions`` and
            ``references`` among them.
        build: the panel's own function.
    """

    def recipe(lake: Lake, dates: Sequence[date]) -> Pipeline:
        given = read(lake, Scope(event_dates=dates))
        references: References = given["references"]
        tables = {n: t for n, t in given.items() if n not in (DISTRIBUTIONS, "references")}
        traded = _traded(lake, dates)
        inputs = {**tables, **{n: getattr(references, n) for n in REFERENCE_TABLES}, **ladders(lake, dates, traded)}

        def panel_from(distributions: pa.Table, changed: Inputs) -> pa.Table:
            known = replace(
                references,
                events=changed[EVENTS],
                **{n: changed[n] for n in REFERENCE_TABLES},
                policy_rate=policy_rate(changed["macro_observations"], changed["asset_prices"]),
            )
            return build(distributions=distributions, references=known, **{n: changed[n] for n in tables})

        return Pipeline(PANEL, inputs, snapshot_grid(inputs[EVENTS]), panel_build(panel_from, traded=traded))

    return recipe


def seed_of(lake: Lake, stage: str, dates: Sequence[date]) -> int:
    """A seed that follows from the stage's data, so that a probing can be repeated from the lake alone."""
    hashes = data_hashes(lake, stage, dates)
    text = "|".join(f"{day}:{hashes[day]}" for day in sorted(hashes))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def probe_stored(
    lake: Lake,
    stage: str,
    recipe: Recipe,
    stored: Mapping[str, pa.Table],
    *,
    seed: int,
    series: Sequence[str] | None = None,
    budget: Budget | None = None,
) -> Probing:
    """Probe what a stage has stored, on no more dates than are sampled.

    Args:
        lake: holds the inputs.
        stage: the stage.
        recipe: makes its pipeline for some dates.
        stored: its tables, the one that is sampled first.
        seed: draws dates, rows and made-up values.
        series: whose rows were built just now and must be what their inputs give; all when None. Rows of other
            series are probed too, but may be older than the inputs that they share with these.
        budget: bounds of the probing.
    """
    bounds = budget or Budget()
    main = stored[OUTPUTS[stage][0]]
    held, n_rows = np.unique(days(main["event_date"]), return_counts=True)
    some = np.random.default_rng([seed, 2**31]).permutation(held)[: bounds.events]
    chosen = pa.array(np.sort(some).astype(np.int32)).cast(pa.date32())
    mine = {name: table.filter(pc.is_in(table["event_date"], value_set=chosen)) for name, table in stored.items()}
    pipeline = replace(recipe(lake, chosen.to_pylist()), stored=mine, fresh=series)
    probing = probe(pipeline, seed=seed, budget=bounds)
    return replace(probing, available=dict(zip(held.tolist(), n_rows.tolist(), strict=True)))


def leak_gate(lake: Lake, stage: str, recipe: Recipe, *, series: Sequence[str] | None) -> Gate:
    """The gates ``LEAK_GATES`` of a stage, beside its own rules.

    Args:
        lake: holds what the stage read and wrote.
        stage: its name.
        recipe: makes its pipeline for some dates.
        series: the series of the run; all when None.
    """

    def gate(stored: Mapping[str, pa.Table], dates: Sequence[date]) -> Sequence[GateResult]:
        probing = probe_stored(lake, stage, recipe, stored, seed=seed_of(lake, stage, dates), series=series)
        return leak_results(probing, dates, code=sources_hash(), allow_empty=_NO_ROWS)

    return gate


def all_of(*gates: Gate) -> Gate:
    """Several gates as one."""

    def gate(stored: Mapping[str, pa.Table], dates: Sequence[date]) -> Sequence[GateResult]:
        return [result for each in gates for result in each(stored, dates)]

    return gate
