"""The public door of the ladder: specs, quotes and snapshot times in, implied distributions out.

It encodes Arrow tables as flat arrays, runs the snapshot kernel once over all
snapshots and their lagged twins, and writes the two result tables. The ideas
are elsewhere: ``asof``, ``staleness``, ``ladder``, ``tails``, ``moments``,
``distances``, ``quality``. Reading and writing the store is the stages' work.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core import snapshots as kernel
from kalshi_assets.core.asof import QuoteIndex, index_quotes, microseconds
from kalshi_assets.core.contracts import spec_version, weakest_resolution
from kalshi_assets.core.directions import UNRESOLVED
from kalshi_assets.core.distances import N_DISTANCES, lagged_distances
from kalshi_assets.core.horizons import SNAPSHOTS
from kalshi_assets.core.ladder import MINUS, PLUS
from kalshi_assets.core.live_quotes import SPEC, UNKNOWN_TIME, SpecIndex, known_contracts
from kalshi_assets.core.quality import FLAGS, GATE_REASONS, PASSED, QualityGates
from kalshi_assets.core.rungs import RUNG_NUMBERS, RungRows
from kalshi_assets.core.snapshots import Instants, Rules
from kalshi_assets.core.staleness import FEED_POLICIES, FeedPolicy, StalePolicy
from kalshi_assets.core.tables import DISTANCES, TABLES, TEXT, TIME
from kalshi_assets.core.tails import TAIL_POLICIES
from kalshi_assets.errors import DomainError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_FOREVER = 1 << 62
_LAGS_S = (3_600, 86_400)
_SPEC_COLUMNS = (
    "event_ticker", "ticker", "spec_id", "known_at", "direction", "floor_strike", "cap_strike", "tick",
    "lo_index", "hi_index", "source", "confidence",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DistributionConfig:
    """Every choice behind a distribution.

    Attributes:
        tail_policy: ``step``, ``hazard`` or ``truncate``; see ``core.tails``.
        max_mid_spread_usd: widest spread whose mid is believed; a wider quote is only a constraint.
        price_tick_usd: floor of the spread in the weights.
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

    tail_policy: str = "step"
    max_mid_spread_usd: float = 0.10
    price_tick_usd: float = 0.01
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


@dataclass(frozen=True, slots=True)
class _Ladders:
    """Specs of all events: the kernel's arrays, and the rows they came from in the same order."""

    events: pa.Array
    tickers: pa.Array
    table: pa.Table
    index: SpecIndex


def _require(table: pa.Table, columns: tuple[str, ...], what: str) -> None:
    missing = [c for c in columns if c not in table.column_names]
    if missing:
        raise DomainError(f"The {what} have no column {', '.join(missing)}.")


def _reals(column: pa.ChunkedArray) -> Floats:
    return np.asarray(pc.fill_null(pc.cast(column, pa.float64()), np.nan).to_numpy(), np.float64)


def _ends(column: pa.ChunkedArray, infinite: int, shift: int) -> Ints:
    missing = pc.is_null(column).to_numpy()
    values = np.asarray(pc.fill_null(column, 0).to_numpy(), np.int64)
    return np.where(missing, infinite, np.clip(values, MINUS // 2, PLUS // 2) + shift)


def _codes(column: pa.ChunkedArray, names: pa.Array) -> Ints:
    return np.asarray(pc.fill_null(pc.index_in(column, value_set=names), -1).to_numpy(), np.int64)


def _sorted_names(column: pa.ChunkedArray) -> pa.Array:
    names = pc.unique(column.combine_chunks())
    return names.take(pc.array_sort_indices(names))


def _ladders(specs: pa.Table) -> _Ladders:
    _require(specs, _SPEC_COLUMNS, "contract specs")
    specs = specs.select(_SPEC_COLUMNS)
    specs = specs.filter(pc.and_(pc.is_valid(specs["ticker"]), pc.is_valid(specs["known_at"])))
    events, tickers = _sorted_names(specs["event_ticker"]), _sorted_names(specs["ticker"])
    known_at, _ = microseconds(specs["known_at"])
    contract = _codes(specs["ticker"], tickers)
    lo = _ends(specs["lo_index"], MINUS, 0)
    hi = _ends(specs["hi_index"], PLUS, 1)
    # a contract's spec holds until its next version is known; the spec id decides between two of one instant
    version = _codes(specs["spec_id"], _sorted_names(specs["spec_id"]))
    order = np.lexsort((version, known_at, contract))
    until = np.full(contract.size, _FOREVER, np.int64)
    same = contract[order][1:] == contract[order][:-1]
    until[order[:-1][same]] = known_at[order[1:][same]]
    event = _codes(specs["event_ticker"], events)
    order = np.lexsort((version, known_at, contract, hi, lo, event))
    specs, event, contract = specs.take(pa.array(order)), event[order], contract[order]
    lo, hi = lo[order], hi[order]
    tick = _reals(specs["tick"])
    unresolved = pc.fill_null(pc.equal(specs["direction"], UNRESOLVED), True).to_numpy()
    resolved = ~unresolved & (tick > 0.0) & (lo < hi) & ((lo != MINUS) | (hi != PLUS))
    offsets = np.searchsorted(event, np.arange(len(events) + 1)).astype(np.int64)
    by_ticker = np.lexsort((contract, event)).astype(np.int64)
    rows = np.empty(contract.size, SPEC)
    rows["known_at"], rows["until"] = known_at[order], until[order]
    rows["lo"], rows["hi"], rows["contract"] = lo, hi, contract
    rows["resolved"], rows["tick"] = resolved, tick
    index = SpecIndex(offsets, rows, by_ticker)
    return _Ladders(events, tickers, specs, index)


def _thresholds(types: list[str | None], config: DistributionConfig) -> Floats:
    nothing = (np.nan, np.nan, np.nan)
    return np.array([config.tail_thresholds.get((t or "").upper(), nothing) for t in types]).reshape(-1, 3)


def _spec_versions(ladders: _Ladders, event: Ints, as_of: Ints) -> tuple[Ints, list[tuple[str, str, str]]]:
    """Which ladder version each snapshot saw, and (version, source, confidence) of each version.

    The set of known specs changes only when a spec becomes known, so it is
    named once per (event, such an instant) and not once per snapshot.
    """
    step = np.full(event.size, -1, np.int64)
    versions: list[tuple[str, str, str]] = []
    ids = ladders.table["spec_id"].to_pylist()
    sources = ladders.table["source"].to_pylist()
    confidences = ladders.table["confidence"].to_pylist()
    order = np.argsort(event, kind="stable")
    bounds = np.searchsorted(event[order], np.arange(len(ladders.events) + 1))
    for e in range(len(ladders.events)):
        rows = order[bounds[e] : bounds[e + 1]]
        if rows.size == 0:
            continue
        specs = np.arange(ladders.index.offsets[e], ladders.index.offsets[e + 1])
        instants = np.unique(ladders.index.rows["known_at"][specs])
        seen = np.searchsorted(instants, as_of[rows], side="right") - 1
        for k in np.unique(seen[seen >= 0]).tolist():
            t = instants[k]
            held = specs[
                (ladders.index.rows["known_at"][specs] <= t) & (t < ladders.index.rows["until"][specs])
            ].tolist()
            weakest = weakest_resolution([sources[i] or "none" for i in held], [confidences[i] or "none" for i in held])
            step[rows[seen == k]] = len(versions)
            versions.append((spec_version(ids[i] for i in held), *weakest))
    return step, versions


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """What the kernel returned for one batch; see ``snapshots.evaluate``."""

    ticks: Floats
    numbers: Floats
    counts: Ints
    rungs: RungRows
    offsets: Ints
    index: Ints
    mass: Floats


def _instants(ladders: _Ladders, snapshots: pa.Table, config: DistributionConfig, lags_us: tuple[int, ...]) -> Instants:
    """The snapshots and, behind them, the same snapshots one lag earlier each."""
    copies = 1 + len(lags_us)
    as_of, _ = microseconds(snapshots["as_of"])
    release, no_release = microseconds(snapshots["release_time"])
    listed, no_listing = microseconds(snapshots["listed_at"])
    kinds = pc.unique(snapshots["event_type"].combine_chunks())
    kind = np.asarray(pc.index_in(snapshots["event_type"], value_set=kinds).to_numpy(), np.int64)
    types = kinds.to_pylist() or [None]
    multiplier = np.array([config.stale.type_multiplier(t) for t in types])
    return Instants(
        event=np.tile(_codes(snapshots["event_ticker"], ladders.events), copies),
        as_of=np.concatenate([as_of, *(as_of - lag for lag in lags_us)]),
        release=np.tile(np.where(no_release, UNKNOWN_TIME, release), copies),
        listed=np.tile(np.where(no_listing, UNKNOWN_TIME, listed), copies),
        multiplier=np.tile(multiplier[kind], copies),
        thresholds=np.tile(_thresholds(types, config)[kind], (copies, 1)),
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
        max_cost=gates.max_repair_cost_usd,
        max_spread=round(config.max_mid_spread_usd * 1e6),
        price_tick=max(round(config.price_tick_usd * 1e6), 1),
        policy=TAIL_POLICIES[config.tail_policy],
        max_points=config.max_support_points,
    )


def _evaluate(
    ladders: _Ladders, quotes: QuoteIndex, snapshots: pa.Table, config: DistributionConfig, lags_us: tuple[int, ...]
) -> _Evaluation:
    instants, specs = _instants(ladders, snapshots, config, lags_us), ladders.index
    n, total = snapshots.num_rows, instants.event.size
    known = known_contracts(instants.event[:n], instants.as_of[:n], specs.offsets, specs.rows)
    offsets = np.concatenate([[0], np.cumsum(known)]).astype(np.int64)
    rows = int(offsets[-1])
    rungs = RungRows(
        offsets,
        np.empty(rows, np.int64),
        np.empty(rows, np.int64),
        np.empty((rows, len(RUNG_NUMBERS))),
        np.empty(rows, np.int64),
    )
    ticks, numbers = np.empty(total), np.empty((total, len(kernel.NUMBERS)))
    counts = np.empty((total, len(kernel.COUNTS)), np.int64)
    widest = int(np.diff(specs.offsets).max(initial=1))
    scratch = kernel.scratch_arrays(widest, quotes.feed_carry_us.size, config.max_support_points)
    laws = kernel.evaluate(instants, specs, quotes, _rules(config), scratch, ticks, numbers, counts, rungs)
    return _Evaluation(ticks, numbers, counts, rungs, *laws)


def _lag_distances(run: _Evaluation, as_of: Ints, lags_us: tuple[int, ...], max_age: float) -> Floats:
    """Distances to the lagged twins, shape (n, lags * 5); NaN where one is gated or the twin is too old."""
    n = as_of.size
    out = np.full((len(lags_us), n, N_DISTANCES), np.nan)
    now = np.arange(n)
    newest = run.counts[:, kernel.COUNTS.index("newest_quote_known_at")]
    for k, lag in enumerate(lags_us):
        then = now + (k + 1) * n
        usable = (newest[then] >= as_of - lag - int(max_age * lag)) & (run.ticks[then] == run.ticks[now])
        lagged_distances(run.offsets, run.index, run.mass, now, np.where(usable, then, -1), run.ticks[now], out[k])
    return np.concatenate(list(out), axis=1)


def _nullable(values: Floats) -> pa.Array:
    return pa.array(values, from_pandas=True)


def _times(values: Ints) -> pa.Array:
    return pa.array(values, pa.int64(), mask=values == UNKNOWN_TIME).cast(TIME)


def _names(codes: Ints, names: tuple[str, ...] | list[str], missing: npt.NDArray[np.bool_]) -> pa.Array:
    return pa.array([*names], TEXT).take(pa.array(codes, pa.int64(), mask=missing))


def _flag_lists(bits: Ints) -> pa.Array:
    matrix = (bits[:, None] >> np.arange(len(FLAGS))) & 1
    offsets = np.concatenate([[0], np.cumsum(matrix.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(FLAGS, TEXT).take(pa.array(np.nonzero(matrix)[1])))


def _real_lists(offsets: Ints, values: Floats, absent: npt.NDArray[np.bool_]) -> pa.Array:
    return pa.ListArray.from_arrays(
        pa.array(offsets.astype(np.int32)), pa.array(values), mask=pa.array(absent) if absent.size else None
    )


def _distribution_table(
    snapshots: pa.Table, ladders: _Ladders, run: _Evaluation, distances: Floats, config: DistributionConfig
) -> pa.Table:
    n = snapshots.num_rows
    numbers = dict(zip(kernel.NUMBERS, run.numbers[:n].T, strict=True))
    counts = dict(zip(kernel.COUNTS, run.counts[:n].T, strict=True))
    gated = counts["gate"] != PASSED
    event, (as_of, _) = _codes(snapshots["event_ticker"], ladders.events), microseconds(snapshots["as_of"])
    step, versions = _spec_versions(ladders, event, as_of)
    unseen = step < 0
    version, source, confidence = zip(*versions, strict=True) if versions else ((), (), ())
    last = int(run.offsets[n])
    points = _lattice_values(run.index[:last], np.repeat(run.ticks[:n], np.diff(run.offsets[: n + 1])))
    unresolved_bit = 1 << FLAGS.index("unresolved_direction")
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        **{name: _nullable(np.ascontiguousarray(values)) for name, values in numbers.items()},
        **{name: pa.array(np.ascontiguousarray(counts[name])) for name in kernel.COUNTS[:5]},
        **{name: pa.array(counts[name] != 0) for name in kernel.COUNTS[7:10]},
        **{name: _nullable(np.ascontiguousarray(d)) for name, d in zip(DISTANCES, distances.T, strict=True)},
        "ts": snapshots["as_of"],
        "known_at": snapshots["as_of"],
        "quality_flags": _flag_lists(counts["flags"]),
        "quality_low": pa.array(gated | (counts["flags"] != 0)),
        "hard_gate_failed": pa.array(gated),
        "gate_reason": _names(counts["gate"], GATE_REASONS, ~gated),
        "direction_resolved": pa.array((counts["flags"] & unresolved_bit) == 0),
        "direction_source": pc.fill_null(_names(step, list(source), unseen), "none"),
        "direction_confidence": pc.fill_null(_names(step, list(confidence), unseen), "none"),
        "spec_version": _names(step, list(version), unseen),
        "tail_policy": pa.repeat(config.tail_policy, n),
        "inputs_known_at": _times(counts["inputs_known_at"]),
        "support": _real_lists(run.offsets[: n + 1], points, gated),
        "probability": _real_lists(run.offsets[: n + 1], run.mass[:last], gated),
    }
    return _conform(columns, snapshots, "distributions")


def _lattice_values(index: Ints, tick: Floats) -> Floats:
    """Published values, divided where the tick is a whole part of one; see ``moments.lattice_value``."""
    parts = np.floor(1.0 / tick + 0.5)
    whole = (parts > 1.0) & (np.abs(parts * tick - 1.0) < 1e-12)
    return np.where(whole, index / np.maximum(parts, 1.0), index * tick)


def _conform(columns: dict[str, pa.Array | pa.ChunkedArray], inherited: pa.Table, table: str) -> pa.Table:
    """Columns in the table's order and types; what was not computed is inherited from the snapshots."""
    schema = TABLES[table].schema
    arrays = [pc.cast(columns[f.name] if f.name in columns else inherited[f.name], f.type) for f in schema]
    return pa.table(arrays, schema=schema)


def _rung_table(snapshots: pa.Table, ladders: _Ladders, run: _Evaluation) -> pa.Table:
    inherited = snapshots.take(pa.array(np.repeat(np.arange(snapshots.num_rows), np.diff(run.rungs.offsets))))
    specs = ladders.table.take(pa.array(run.rungs.spec))
    numbers = dict(zip(RUNG_NUMBERS, run.rungs.numbers.T, strict=True))
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        **{name: _nullable(np.ascontiguousarray(values)) for name, values in numbers.items()},
        "ts": inherited["as_of"],
        "known_at": inherited["as_of"],
        "ticker": specs["ticker"],
        "rung": pa.array(run.rungs.rank),
        "lo_index": specs["lo_index"],
        "hi_index": specs["hi_index"],
        "strike": pc.coalesce(specs["floor_strike"], specs["cap_strike"]),
        "quote_known_at": _times(run.rungs.known_at),
    }
    return _conform(columns, inherited, "distribution_rungs")


def _ordered_snapshots(snapshots: pa.Table) -> pa.Table:
    required = tuple(f.name for f in SNAPSHOTS if not f.nullable)
    _require(snapshots, required, "snapshots")
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
    specs: pa.Table, quotes: pa.Table, snapshots: pa.Table, config: DistributionConfig | None = None
) -> DistributionTables:
    """Implied distributions of any number of events at any number of times.

    A snapshot sees the specs and quotes with known_at <= as_of and nothing
    else: later rows, whatever they say, leave its bits unchanged.

    Args:
        specs: rows of table ``contract_specs``, any versions.
        quotes: rows of table ``quotes``; the closing bid and ask, volume and
            open interest are read. A null side is no bid (bound 0) or no ask (bound 1).
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
            the tail policy is unknown.
    """
    config = config or DistributionConfig()
    if config.tail_policy not in TAIL_POLICIES:
        raise DomainError(f"Unknown tail policy {config.tail_policy!r}; choose one of {', '.join(TAIL_POLICIES)}.")
    ordered = _ordered_snapshots(snapshots)
    ladders = _ladders(specs)
    index = index_quotes(
        quotes, ladders.tickers, source_priority=config.source_priority, policies=config.feeds,
        volume_window_s=config.volume_window_s,
    )  # fmt: skip
    lags_us = tuple(lag * 1_000_000 for lag in _LAGS_S)
    run = _evaluate(ladders, index, ordered, config, lags_us)
    as_of, _ = microseconds(ordered["as_of"])
    distances = _lag_distances(run, as_of, lags_us, config.lag_max_age)
    return DistributionTables(
        distributions=_distribution_table(ordered, ladders, run, distances, config),
        rungs=_rung_table(ordered, ladders, run),
    )
