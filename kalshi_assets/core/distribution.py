"""The public door of the ladder: specs, quotes and snapshot times in, implied distributions out.

It runs the snapshot kernel once over all snapshots.
The ideas are elsewhere: ``asof``, ``staleness``, ``ladder``, ``tails``,
``moments``, ``distances``, ``quality``; the tables' shapes in ``spec_index``
and ``distribution_rows``. Reading and writing the store is the stages' work.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.asof import QuoteColumns, quote_columns
from kalshi_assets.core.columns import codes, times
from kalshi_assets.core.distances import N_DISTANCES
from kalshi_assets.core.distribution_rows import Evaluation, distribution_rows, rung_rows
from kalshi_assets.core.horizons import SNAPSHOTS
from kalshi_assets.core.quality import QualityGates
from kalshi_assets.core.rungs import RUNG_NUMBERS, RungRows
from kalshi_assets.core.snapshot_numbers import COUNTS, NUMBERS
from kalshi_assets.core.snapshots import Instants, Rules, evaluate_all
from kalshi_assets.core.spec_index import Ladders, index_specs, known_contracts
from kalshi_assets.core.staleness import FEED_POLICIES, FeedPolicy, StalePolicy
from kalshi_assets.core.tables import TABLES
from kalshi_assets.core.tails import TAIL_POLICIES
from kalshi_assets.core.trade_prices import trade_prices
from kalshi_assets.errors import DomainError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_LAGS_S = (3_600, 86_400)
QUOTES, TRADES = BASES = ("quotes", "trades")


@dataclass(frozen=True, slots=True)
class DistributionConfig:
    """Every choice behind a distribution.

    Attributes:
        basis: ``quotes`` (bids and asks bound the law, mids are its targets) or ``trades`` (last prices are
            targets, weighted by recency; nothing bounds the law, so it has no bands and no spread).
        tail_policy: ``step``, ``hazard`` or ``truncate``; see ``core.tails``.
        max_mid_spread_usd: widest spread whose mid is believed without reserve; a wider quote is a constraint.
        wide_targets: in a threshold ladder a wider quote is also a weak target where it says more than its
            neighbours; False leaves it a constraint.
        price_tick_usd: floor of the spread in the weights.
        trade_fresh_days: c in the weight ``1 / (c + age in days)`` of a trade. The reference study's value,
            not tuned; a great one weighs all trades alike.
        correct_range: prices stand for probabilities between nought and one although only one to 99
            cents can be quoted: ``clip((p - 0.01) / 0.98, 0, 1)`` replaces every live bid and ask.
        stale: the dynamic cutoff.
        feeds: staleness rules by feed, first fit wins.
        source_priority: sources that win a tie at one ``ts``.
        gates: the hard gates.
        volume_window_s: recent window of the liquidity proxy.
        lag_max_age: a lagged ladder counts only if its newest quote is at most this many lags
            older than the lagged time: a feed of daily bars cannot say what changed in an hour.
        tail_thresholds: values t of P(X >= t) by event type, in the series' unit; a type that is
            not named gets the 60th, 75th and 90th percentile of its ladder's cutpoints.
        max_support_points: longest mass function listed point by point.
    """

    basis: str = QUOTES
    tail_policy: str = "step"
    max_mid_spread_usd: float = 0.10
    wide_targets: bool = True
    price_tick_usd: float = 0.01
    trade_fresh_days: float = 0.25
    correct_range: bool = False
    stale: StalePolicy = field(default_factory=StalePolicy)
    feeds: tuple[FeedPolicy, ...] = FEED_POLICIES
    source_priority: tuple[str, ...] = ("book",)
    gates: QualityGates = field(default_factory=QualityGates)
    volume_window_s: float = 86_400.0
    lag_max_age: float = 3.0
    tail_thresholds: dict[str, tuple[float, float, float]] = field(
        default_factory=lambda: {"CPI": (3.0, 3.5, 4.0), "UNEMPLOYMENT": (4.0, 4.2, 4.5)}
    )
    max_support_points: int = 4096


@dataclass(frozen=True, slots=True)
class DistributionTables:
    """Results of ``build_distributions``.

    Attributes:
        distributions: rows of table ``distributions``, one a snapshot.
        rungs: rows of table ``distribution_rungs``, one a (snapshot, known contract).
    """

    distributions: pa.Table
    rungs: pa.Table


def _thresholds(types: list[str | None], config: DistributionConfig) -> Floats:
    nothing = (np.nan, np.nan, np.nan)
    return np.array([config.tail_thresholds.get((t or "").upper(), nothing) for t in types]).reshape(-1, 3)


def _instants(ladders: Ladders, snapshots: pa.Table, config: DistributionConfig) -> Instants:
    kinds = pc.unique(snapshots["event_type"].combine_chunks())
    kind = np.asarray(pc.index_in(snapshots["event_type"], value_set=kinds).to_numpy(), np.int64)
    types = kinds.to_pylist() or [None]
    return Instants(
        event=codes(snapshots["event_ticker"], ladders.events),
        as_of=times(snapshots["as_of"]),
        release=times(snapshots["release_time"]),
        listed=times(snapshots["listed_at"]),
        multiplier=np.array([config.stale.type_multiplier(t) for t in types])[kind],
        thresholds=_thresholds(types, config)[kind],
    )


def _rules(config: DistributionConfig) -> Rules:
    gates = config.gates
    return Rules(
        stale=config.stale.as_numbers(),
        volume_window=int(config.volume_window_s * 1e6),
        min_coverage=gates.min_coverage,
        good_coverage=gates.good_coverage,
        min_contracts=gates.min_contracts,
        max_width=gates.max_median_spread_usd,
        good_width=gates.good_median_spread_usd,
        max_cost=gates.max_repair_cost_usd,
        max_spread=round(config.max_mid_spread_usd * 1e6),
        price_tick=max(round(config.price_tick_usd * 1e6), 1),
        stretch=config.correct_range,
        fresh_days=config.trade_fresh_days if config.basis == TRADES else np.nan,
        policy=TAIL_POLICIES[config.tail_policy],
        max_points=config.max_support_points,
        wide_targets=config.wide_targets,
        lags=tuple(lag * 1_000_000 for lag in _LAGS_S),
        lag_max_age=config.lag_max_age,
    )


def _evaluate(ladders: Ladders, quotes: QuoteColumns, snapshots: pa.Table, config: DistributionConfig) -> Evaluation:
    instants, specs = _instants(ladders, snapshots, config), ladders.index
    n = snapshots.num_rows
    known = known_contracts(instants.event, instants.as_of, specs.offsets, specs.rows)
    offsets = np.concatenate([[0], np.cumsum(known)]).astype(np.int64)
    rows = int(offsets[-1])
    rungs = RungRows(
        offsets,
        np.empty(rows, np.int64),
        np.empty(rows, np.int64),
        np.empty((rows, len(RUNG_NUMBERS))),
        np.empty(rows, np.int64),
    )
    ticks, numbers, counts = np.empty(n), np.empty((n, len(NUMBERS))), np.empty((n, len(COUNTS)), np.int64)
    distances = np.empty((n, len(_LAGS_S) * N_DISTANCES))
    laws = evaluate_all(instants, specs, quotes, _rules(config), ticks, numbers, counts, distances, rungs)
    return Evaluation(ticks, numbers, counts, distances, rungs, *laws)


def _ordered_snapshots(snapshots: pa.Table) -> pa.Table:
    required = tuple(f.name for f in SNAPSHOTS if not f.nullable)
    missing = [c for c in required if c not in snapshots.column_names]
    if missing:
        raise DomainError(f"The snapshots have no column {', '.join(missing)}; make them with snapshot_grid.")
    for name in required:
        if snapshots[name].null_count:
            raise DomainError(f"A snapshot has no {name}; every snapshot needs its event, horizon and time.")
    for f in SNAPSHOTS:
        if f.name not in snapshots.column_names:
            snapshots = snapshots.append_column(f, pa.nulls(snapshots.num_rows, f.type))
    arrays = [pc.cast(snapshots[f.name], f.type) for f in SNAPSHOTS]
    key = [(c, "ascending") for c in TABLES["distributions"].key]
    return pa.table(arrays, schema=SNAPSHOTS).sort_by(key).combine_chunks()


def build_distributions(
    specs: pa.Table, prices: pa.Table, snapshots: pa.Table, config: DistributionConfig | None = None
) -> DistributionTables:
    """Implied distributions of any number of events at any number of times.

    A snapshot sees the specs and quotes with known_at <= as_of and nothing
    else: later rows, whatever they say, leave its bits unchanged.

    Args:
        specs: rows of table ``contract_specs``, any versions.
        prices: rows of table ``quotes``; the closing bid and ask, volume and
            open interest are read. A null side is no bid (bound 0) or no ask (bound 1).
            Rows of table ``trades`` where that is the basis.
        snapshots: rows shaped as ``horizons.SNAPSHOTS`` (``listed_at`` may be null).
        config: every choice; the defaults when None.

    Returns:
        Rows of ``distributions``, sorted by its key, with ``ts = known_at =
        as_of``, and rows of ``distribution_rungs``, sorted by snapshot and
        ticker. Values are in the series' unit, NaN never occurs: what could
        not be computed, or what a gate withheld, is null, and
        ``hard_gate_failed``, ``gate_reason`` and ``quality_flags`` say why.

    Raises:
        DomainError: a column is absent, a snapshot lacks its event or time, or
            the tail policy or the basis is unknown.
    """
    config = config or DistributionConfig()
    if config.basis not in BASES:
        raise DomainError(f"Unknown basis {config.basis!r}; choose one of {', '.join(BASES)}.")
    if config.tail_policy not in TAIL_POLICIES:
        raise DomainError(f"Unknown tail policy {config.tail_policy!r}; choose one of {', '.join(TAIL_POLICIES)}.")
    ordered = _ordered_snapshots(snapshots)
    ladders = index_specs(specs)
    quotes = trade_prices(prices) if config.basis == TRADES else prices
    columns = quote_columns(quotes, ladders.tickers, source_priority=config.source_priority, policies=config.feeds)
    run = _evaluate(ladders, columns, ordered, config)
    return DistributionTables(
        distributions=distribution_rows(ordered, ladders, run, config.tail_policy, config.basis),
        rungs=rung_rows(ordered, ladders, run),
    )
