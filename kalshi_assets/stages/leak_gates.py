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

from kalshi_assets.core.bases import distributions_by_basis, traded_series
from kalshi_assets.core.columns import days
from kalshi_assets.core.conditions import policy_rate
from kalshi_assets.core.distribution import DistributionConfig
from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.horizons import snapshot_grid
from kalshi_assets.core.leak_perturbations import Inputs
from kalshi_assets.core.leak_probes import Probing, probe
from kalshi_assets.core.leak_sample import Budget, Build, Outputs, Pipeline
from kalshi_assets.core.leak_verdicts import leak_results
from kalshi_assets.core.microstructure import QUOTE_COLUMNS
from kalshi_assets.core.reference_features import REFERENCE_TABLES, References
from kalshi_assets.core.tables import TABLES
from kalshi_assets.stages.commit import Gate, code_version
from kalshi_assets.stages.evidence import OUTPUTS, data_hashes
from kalshi_assets.store.lake import Lake, Scope

SPECS, QUOTES, TRADES, DISTRIBUTIONS, RUNGS, PANEL = (
    "contract_specs", "quotes", "trades", "distributions", "distribution_rungs", "feature_panel",
)  # fmt: skip
_QUOTE_COLUMNS = tuple(
    dict.fromkeys(
        ("event_ticker", "series_ticker", "event_date", "ticker", "source", "period_s", "ts", "known_at",
         "yes_bid_close_usd", "yes_ask_close_usd", "volume_contracts", "open_interest_contracts", *QUOTE_COLUMNS)
    )
)  # fmt: skip
# A distribution does not look at its neighbours, so a few of each event's are enough.
_REACH = 4
_NO_TRADES = TABLES[TRADES].schema.empty_table()
_NO_ROWS = "nothing was known of the ladder at any horizon"

PanelFrom = Callable[[pa.Table, Inputs], pa.Table]
PanelInputs = Callable[[Lake, Scope], dict[str, Any]]
Recipe = Callable[[Lake, Sequence[date]], Pipeline]


def distributions_build(config: DistributionConfig, traded: Sequence[str] = ()) -> Build:
    """Distributions and rungs from specs and quotes, and for some series from trades."""

    def build(inputs: Inputs, snapshots: pa.Table) -> Outputs:
        prices = inputs[QUOTES], inputs.get(TRADES, _NO_TRADES)
        built = distributions_by_basis(inputs[SPECS], *prices, snapshots, config, traded=traded)
        return {DISTRIBUTIONS: built.distributions, RUNGS: built.rungs}

    return build


def panel_build(panel_from: PanelFrom, config: DistributionConfig | None = None, traded: Sequence[str] = ()) -> Build:
    """The panel end to end: from specs and quotes over distributions, so that a leak in either shows.

    Args:
        panel_from: makes panel rows from distributions and the other inputs.
        config: of the distributions.
        traded: series whose distributions rest on trades.
    """
    chosen = config or DistributionConfig()
    last: list[tuple[pa.Table, ...]] = []

    def build(inputs: Inputs, snapshots: pa.Table) -> Outputs:
        given = inputs[SPECS], inputs[QUOTES], inputs.get(TRADES, _NO_TRADES), snapshots
        # Probes of what all events share come with the same ladders again and again.
        if not last or any(a is not b for a, b in zip(last[0], given, strict=False)):
            last[:] = [(*given, distributions_by_basis(*given, chosen, traded=traded).distributions)]
        return {PANEL: panel_from(last[0][-1], inputs)}

    return build


def distributions_recipe(config: DistributionConfig) -> Recipe:
    """The distributions of some dates as a pipeline, without what is stored of them."""

    def recipe(lake: Lake, dates: Sequence[date]) -> Pipeline:
        grid = snapshot_grid(lake.read("events", event_dates=dates, history=True))
        traded = _traded(lake, dates)
        return Pipeline(
            DISTRIBUTIONS, ladders(lake, dates, traded), grid, distributions_build(config, traded), reach=_REACH
        )

    return recipe


def _traded(lake: Lake, dates: Sequence[date]) -> tuple[str, ...]:
    return traded_series(lake.read(DISTRIBUTIONS, event_dates=dates, columns=("series_ticker", "basis")))


def ladders(lake: Lake, dates: Sequence[date], traded: Sequence[str] = ()) -> dict[str, pa.Table]:
    """All versions of the specs and quotes of some dates, with the columns that any row is made from.

    Trades are there only where the distributions of a series rest on them.
    """
    return {
        **({TRADES: lake.read(TRADES, event_dates=dates, series=traded, history=True)} if traded else {}),
        SPECS: lake.read(SPECS, event_dates=dates, history=True),
        QUOTES: lake.read(QUOTES, event_dates=dates, history=True, columns=_QUOTE_COLUMNS),
    }


def panel_recipe(read: PanelInputs, build: Callable[..., pa.Table]) -> Recipe:
    """The panel of some dates as a pipeline, end to end from specs and quotes.

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
                **{n: changed[n] for n in REFERENCE_TABLES},
                policy_rate=policy_rate(changed["macro_observations"], changed["asset_prices"]),
            )
            return build(distributions=distributions, references=known, **{n: changed[n] for n in tables})

        return Pipeline(
            PANEL,
            inputs,
            snapshot_grid(lake.read("events", event_dates=dates, history=True)),
            panel_build(panel_from, traded=traded),
        )

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
        return leak_results(probing, dates, code=code_version(), allow_empty=_NO_ROWS)

    return gate


def all_of(*gates: Gate) -> Gate:
    """Several gates as one."""

    def gate(stored: Mapping[str, pa.Table], dates: Sequence[date]) -> Sequence[GateResult]:
        return [result for each in gates for result in each(stored, dates)]

    return gate
