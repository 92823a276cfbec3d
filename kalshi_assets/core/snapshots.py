"""The kernel that takes every snapshot of a batch from quotes to numbers, one pass and no Python per snapshot.

It only strings the ideas together: live quotes, repair, tails, moments,
quality, rungs. Each of them lives in its own module; Arrow tables, names and
defaults belong to ``distribution``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_assets.core import quality as q
from kalshi_assets.core.asof import QuoteIndex, Records
from kalshi_assets.core.compiled import compiled
from kalshi_assets.core.ladder import (
    ASK,
    BID,
    BINS,
    CUT,
    HI,
    HIGH,
    INT_ROWS,
    LO,
    LOW,
    REAL_ROWS,
    TARGET,
    THRESHOLDS,
    UNSOLVED,
    WEIGHT,
    S,
    solve_ladder,
    workspace_capacity,
)
from kalshi_assets.core.live_quotes import CONTRACT, UNKNOWN_TIME, SpecIndex, find_quotes, keep_live, median
from kalshi_assets.core.moments import N_MOMENTS, lattice_value, law_mean, law_moments, law_pmf, law_quantile
from kalshi_assets.core.rungs import RungRows, contract_band, law_probability, write_rungs
from kalshi_assets.core.staleness import cutoff_minutes
from kalshi_assets.core.tables import MOMENTS, QUANTILES
from kalshi_assets.core.tails import STEP, TRUNCATE, close_tails, max_edges, survival_at

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_LEVELS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
# What a gate withholds comes first, what it keeps as evidence follows.
WITHHELD = (
    *MOMENTS, *QUANTILES, "tail_p_1", "tail_p_2", "tail_p_3", "tail_mass_low", "tail_mass_high",
    "mean_low", "mean_high", "median_low", "median_high",
)  # fmt: skip
EVIDENCE = (
    "tail_threshold_1", "tail_threshold_2", "tail_threshold_3", "repair_cost_usd", "repair_l1", "repair_l2",
    "violation_magnitude", "renormalization_delta", "coverage_ratio", "median_spread_usd", "median_quote_age_s",
    "stale_cutoff_s", "volume_oi_proxy", "constraint_violation_score", "quality_score", "mass_missing_estimate",
)  # fmt: skip
NUMBERS = (*WITHHELD, *EVIDENCE)
_MEAN, _MEDIAN = MOMENTS.index("mean"), MOMENTS.index("median")
_QUANTILE, _TAIL_P = N_MOMENTS, N_MOMENTS + len(QUANTILES)
_TAIL_LOW, _TAIL_HIGH = _TAIL_P + 3, _TAIL_P + 4
_MEAN_LOW, _MEDIAN_LOW = _TAIL_P + 5, _TAIL_P + 7
(
    _THRESHOLD, _, _, _COST, _L1, _L2, _MAGNITUDE, _RENORM, _COVERAGE, _SPREAD, _AGE, _CUTOFF, _PROXY, _CONSTRAINT,
    _SCORE, _MISSING,
) = range(len(WITHHELD), len(NUMBERS))  # fmt: skip

COUNTS = (
    "violations_pre", "violations_post", "n_contracts", "n_live", "n_two_sided", "gate", "flags",
    "executable_arbitrage", "tail_left_missing", "tail_right_missing", "inputs_known_at", "newest_quote_known_at",
)  # fmt: skip
(_PRE, _POST, _N, _LIVE, _TWO, _GATE, _FLAGS, _ARBITRAGE, _LEFT, _RIGHT, _KNOWN, _NEWEST) = range(len(COUNTS))


class Instants(NamedTuple):
    """The snapshots: times in microseconds, ``UNKNOWN_TIME`` missing.

    Attributes:
        event: place in the spec index; -1 for an event without any contract.
        as_of: what may be seen.
        release: release time.
        listed: listing time of the event.
        multiplier: staleness multiplier of the event type.
        thresholds: tail thresholds, shape (n, 3); NaN for the ladder's percentiles.
    """

    event: Ints
    as_of: Ints
    release: Ints
    listed: Ints
    multiplier: Floats
    thresholds: Floats


class Rules(NamedTuple):
    """Scalars of ``DistributionConfig`` in the kernel's units (microseconds, micro-dollars)."""

    stale: tuple[float, ...]
    volume_window: int
    min_coverage: float
    good_coverage: float
    min_contracts: int
    max_width: float
    max_cost: float
    max_spread: int
    price_tick: int
    policy: int
    max_points: int


class Repair(NamedTuple):
    """What the repair took: probability moved (l1, l2), dollars outside the quotes, violations before and after."""

    cost: float
    l1: float
    l2: float
    magnitude: float
    before: int
    after: int


class Scratch(NamedTuple):
    """Arrays that every snapshot reuses.

    Attributes:
        at: known contracts, records of dtype ``CONTRACT``.
        feed_seen: when each feed last reported.
        sorting: for medians.
        ints: workspace of the ladder.
        reals: workspace of the ladder.
        free: workspace of the ladder.
        edges: of the law under the tail policy (``step`` where the policy truncates).
        law: its survival.
        other_edges: of a second law.
        other_law: its survival.
        tail_ints: for closing tails.
        tail_reals: for closing tails.
        points: lattice points of a mass function.
        mass: their masses.
    """

    at: Records
    feed_seen: Ints
    sorting: Floats
    ints: Ints
    reals: Floats
    free: npt.NDArray[np.bool_]
    edges: Ints
    law: Floats
    other_edges: Ints
    other_law: Floats
    tail_ints: Ints
    tail_reals: Floats
    points: Ints
    mass: Floats


def scratch_arrays(max_contracts: int, n_feeds: int, max_points: int) -> Scratch:
    """Scratch for ladders of at most ``max_contracts`` contracts."""
    capacity = workspace_capacity(max_contracts)
    n_edges = max_edges(capacity)
    points = max_points + n_edges
    return Scratch(
        np.empty(max(max_contracts, 1), CONTRACT), np.empty(max(n_feeds, 1), np.int64), np.empty(max(max_contracts, 1)),
        np.empty((INT_ROWS, capacity), np.int64), np.empty((REAL_ROWS, capacity)), np.empty(capacity, np.bool_),
        np.empty(n_edges, np.int64), np.empty(n_edges), np.empty(n_edges, np.int64), np.empty(n_edges),
        np.empty((2, n_edges), np.int64), np.empty((4, n_edges)), np.empty(points, np.int64), np.empty(points),
    )  # fmt: skip


@compiled
def _measure(
    n: int, kind: int, m: int, first: int, last: int, max_spread: int, ints: Ints, reals: Floats,
    edges: Ints, law: Floats, n_edges: int,
) -> Repair:  # pragma: no cover - compiled  # fmt: skip
    """Compare the live contracts' quotes with their repaired probabilities.

    Violations are rises between neighbouring mids of a threshold ladder, one
    for bins whose mids cannot sum to one, and moved mids in a mixed ladder.
    """
    cost, l1, l2, moved = 0.0, 0.0, 0.0, 0
    for k in range(n):
        p = law_probability(ints[LO, k], ints[HI, k], edges, law, n_edges)
        low, high = ints[BID, k] / 1e6, ints[ASK, k] / 1e6
        cost += max(low - p, p - high, 0.0)
        if ints[ASK, k] - ints[BID, k] <= max_spread:
            shift = abs(p - 0.5 * (low + high))
            l1 += shift
            l2 += shift * shift
            moved += shift > 1e-9
    before, magnitude = moved, l1
    if kind == THRESHOLDS:
        before, magnitude, previous = 0, 0.0, math.inf
        for k in range(m):
            if reals[WEIGHT, k] > 0.0:
                rise = reals[TARGET, k] - previous
                if rise > 1e-12:
                    before += 1
                    magnitude += rise
                previous = reals[TARGET, k]
    elif kind == BINS:
        before, magnitude = int(moved > 0), 0.0
    after = 0
    for k in range(first + 1, last + 1):
        after += reals[S, k] > reals[S, k - 1] + 1e-12
    return Repair(cost if cost > 1e-9 else 0.0, l1, math.sqrt(l2), magnitude, before, after)


@compiled
def _median_width(
    n: int, specs: Records, at: Records, cut: Ints, m: int, low: Floats, high: Floats, sorting: Floats
) -> float:  # pragma: no cover - compiled
    """Median, over the known contracts, of the interval that all quotes together leave open."""
    for k in range(n):
        here = at[k]
        here.width = math.nan
        spec = specs[here.spec]
        if spec.resolved:
            bottom, top = contract_band(spec.lo, spec.hi, here.bid, here.ask, cut, m, low, high)
            here.width = top - bottom
    return median(at.width, n, sorting)


@compiled
def _threshold(stated: float, which: int, cut: Ints, m: int, tick: float) -> float:  # pragma: no cover - compiled
    """A tail threshold: the event type's, or else the 60th, 75th or 90th percentile of the ladder's cutpoints."""
    if not math.isnan(stated) or m == 0:
        return stated
    place = (0.60 if which == 0 else (0.75 if which == 1 else 0.90)) * (m - 1)
    below = math.floor(place)
    above = min(below + 1, m - 1)
    return float((cut[below] + (place - below) * (cut[above] - cut[below])) * tick)


@compiled
def _describe(edges: Ints, law: Floats, n_edges: int, tick: float, row: Floats) -> None:  # pragma: no cover - compiled
    """Moments, quantiles and tail probabilities of a closed law; the thresholds are already in ``row``."""
    law_moments(edges, law, n_edges, tick, row)
    for k in range(len(_LEVELS)):
        row[_QUANTILE + k] = lattice_value(law_quantile(edges, law, n_edges, _LEVELS[k]), tick)
    for k in range(3):
        row[_TAIL_P + k] = survival_at(math.ceil(row[_THRESHOLD + k] / tick - 1e-9), edges, law, n_edges)


@compiled
def _widen_band(
    side: int, edges: Ints, law: Floats, n_edges: int, tick: float, row: Floats
) -> None:  # pragma: no cover - compiled
    """Write one end of the bands of mean and median from the law at that end of the envelope.

    The estimate lies in its own band, also where a tail policy is not monotone in the mids.
    """
    mean = law_mean(edges, law, n_edges, tick)
    middle = lattice_value(law_quantile(edges, law, n_edges, 0.5), tick)
    if side == 0:
        row[_MEAN_LOW], row[_MEDIAN_LOW] = min(mean, row[_MEAN]), min(middle, row[_MEDIAN])
    else:
        row[_MEAN_LOW + 1], row[_MEDIAN_LOW + 1] = max(mean, row[_MEAN]), max(middle, row[_MEDIAN])


@compiled
def _grown(support: Ints, mass: Floats, used: int, size: int) -> tuple[Ints, Floats]:  # pragma: no cover - compiled
    """Larger copies of the mass functions' store."""
    more_support, more_mass = np.empty(size, np.int64), np.empty(size)
    more_support[:used] = support[:used]
    more_mass[:used] = mass[:used]
    return more_support, more_mass


@compiled
def evaluate(
    instants: Instants, specs: SpecIndex, quotes: QuoteIndex, rules: Rules, x: Scratch,
    ticks: Floats, numbers: Floats, counts: Ints, rungs: RungRows,
) -> tuple[Ints, Ints, Floats]:  # pragma: no cover - compiled  # fmt: skip
    """Evaluate snapshots; see ``distribution.build_distributions`` for what the numbers mean.

    Args:
        instants: the snapshots.
        specs: known contracts.
        quotes: their quotes.
        rules: limits and choices.
        x: scratch.
        ticks: receives each snapshot's lattice step, shape (n,).
        numbers: receives ``NUMBERS``, shape (n, len(NUMBERS)); NaN missing.
        counts: receives ``COUNTS``, shape (n, len(COUNTS)).
        rungs: receives the contracts of the first ``rungs.offsets.size - 1`` snapshots. Those
            after them serve as laws to compare with, and get no moments.

    Returns:
        Offsets, lattice indices and masses of the snapshots' mass functions; empty for a gated snapshot.
    """
    n_snapshots = instants.event.size
    n_described = rungs.offsets.size - 1
    offsets = np.zeros(n_snapshots + 1, np.int64)
    support, mass = np.empty(1024, np.int64), np.empty(1024)
    # kernels take plain arrays: handing a whole tuple to each would cost more than what most of them do
    event_of, as_of_all, release_all, listed_all = instants.event, instants.as_of, instants.release, instants.listed
    spec_rows, quote_rows = specs.rows, quotes.rows
    at, ints, reals, sorting = x.at, x.ints, x.reals, x.sorting
    edges, law, other_edges, other_law = x.edges, x.law, x.other_edges, x.other_law
    cut, curve, low, high = ints[CUT], reals[S], reals[LOW], reals[HIGH]
    closing = STEP if rules.policy == TRUNCATE else rules.policy
    for s in range(n_snapshots):
        offsets[s + 1] = offsets[s]
        row, count = numbers[s], counts[s]
        row[:] = math.nan
        event, as_of = event_of[s], as_of_all[s]
        start = specs.offsets[event] if event >= 0 else 0
        stop = specs.offsets[event + 1] if event >= 0 else 0

        known = find_quotes(
            start,
            stop,
            as_of,
            spec_rows,
            quotes.offsets,
            quotes.known_at,
            quote_rows,
            rules.volume_window,
            at,
            x.feed_seen,
        )
        n = known.n
        minutes = math.nan if release_all[s] == UNKNOWN_TIME else (release_all[s] - as_of) / 6e7
        proxy = q.liquidity(median(at.volume, n, sorting), median(at.open_interest, n, sorting))
        cutoff_us = cutoff_minutes(minutes, instants.multiplier[s], proxy, rules.stale) * 6e7
        live = keep_live(
            n, as_of, cutoff_us, spec_rows, quote_rows, quotes.feed_carry_us, quotes.feed_reports_changes, x.feed_seen,
            at, ints,
        )  # fmt: skip
        gate = q.quote_gate(
            n, known.resolved, known.quoted, live.fresh, live.n, rules.min_coverage, rules.min_contracts
        )
        if listed_all[s] != UNKNOWN_TIME and as_of < listed_all[s]:
            gate = q.NOT_LISTED
        elif known.mixed_lattice:
            gate = q.MIXED_LATTICE
        spread = median(at.spread, n, sorting)
        permitted = median(at.permitted_s, n, sorting)
        for k in range(n):
            at[k].width = at[k].age_s / at[k].permitted_s
        age_share = median(at.width, n, sorting)
        coverage = live.n / n if n > 0 else 0.0

        kind, m, first, last, feasible, off_one, overlaps = UNSOLVED, 0, -1, -1, True, 0.0, 0
        if live.n > 0 and not known.mixed_lattice:
            kind, m, first, last, feasible, off_one, overlaps = solve_ladder(
                live.n, rules.max_spread, rules.price_tick, ints, reals, x.free
            )
        solved = kind != UNSOLVED and first >= 0
        width, violation, n_edges = spread, 0.0, 0
        count[_PRE], count[_POST] = 0, 0
        if solved:
            n_edges = close_tails(cut, curve, low, high, m, first, last, closing, edges, law, x.tail_ints, x.tail_reals)
            repair = _measure(live.n, kind, m, first, last, rules.max_spread, ints, reals, edges, law, n_edges)
            violation = repair.magnitude + off_one
            row[_COST], row[_L1], row[_L2] = repair.cost, repair.l1, repair.l2
            row[_MAGNITUDE], row[_RENORM] = repair.magnitude, off_one
            count[_PRE], count[_POST] = repair.before, repair.after
            if feasible:  # contradictory quotes leave only their own spreads
                width = _median_width(n, spec_rows, at, cut, m, low, high, sorting)
        if gate == q.PASSED:
            if not solved:
                gate = q.TOO_LARGE if kind == UNSOLVED and m > 0 else q.WIDE
            elif row[_COST] > rules.max_cost:
                gate = q.INFEASIBLE
            elif width > rules.max_width + 1e-9:
                gate = q.WIDE
        for k in range(3):
            row[_THRESHOLD + k] = _threshold(instants.thresholds[s, k], k, cut, m, known.tick)
        if s < n_described:
            write_rungs(
                rungs.offsets[s], start, stop, as_of, n, specs.by_ticker, spec_rows, quote_rows, at, rules.max_spread,
                rules.price_tick, solved, feasible, cut, m, low, high, edges, law, n_edges,
                rungs.spec, rungs.rank, rungs.numbers, rungs.known_at,
            )  # fmt: skip

        flags = live.flags
        final_edges, final_law, n_final = edges, law, n_edges
        if gate == q.PASSED and rules.policy == TRUNCATE:
            final_edges, final_law = other_edges, other_law
            n_final = close_tails(
                cut, curve, low, high, m, first, last, TRUNCATE, other_edges, other_law, x.tail_ints, x.tail_reals
            )
            if n_final == 0:
                gate = q.NO_INTERIOR
        if gate == q.PASSED:
            size = law_pmf(final_edges, final_law, n_final, rules.max_points, x.points, x.mass)
            need = offsets[s] + size
            if need > support.size:
                support, mass = _grown(support, mass, offsets[s], 2 * need)
            for k in range(size):
                support[offsets[s] + k] = x.points[k]
                mass[offsets[s] + k] = x.mass[k]
            offsets[s + 1] = need
            if final_edges[n_final - 1] - final_edges[0] > rules.max_points:
                flags |= q.FLAG_COARSE
            if s < n_described:
                _describe(final_edges, final_law, n_final, known.tick, row)
                row[_TAIL_LOW], row[_TAIL_HIGH] = 1.0 - curve[first], curve[last]
                if max(row[_TAIL_LOW], row[_TAIL_HIGH]) > rules.max_width:
                    flags |= q.FLAG_TAIL
                if feasible:
                    for side in range(2):
                        n_other = close_tails(
                            cut, high if side else low, low, high, m, 0, m - 1, closing, other_edges, other_law,
                            x.tail_ints, x.tail_reals,
                        )  # fmt: skip
                        _widen_band(side, other_edges, other_law, n_other, known.tick, row)

        total, proxy_term, constraint_term = q.score(
            coverage, spread, 2.0 * rules.max_width, age_share, proxy, violation
        )
        row[_COVERAGE], row[_SPREAD], row[_MISSING] = coverage, spread, 1.0 - coverage
        row[_AGE] = median(at.age_s, n, sorting)
        row[_CUTOFF] = cutoff_us / 1e6 if math.isnan(permitted) else permitted
        row[_PROXY] = proxy_term
        row[_CONSTRAINT] = constraint_term if live.n > 0 else 0.0
        row[_SCORE] = total if live.n > 0 else 0.0
        ticks[s] = known.tick
        flags |= q.FLAG_COVERAGE if coverage < rules.good_coverage else 0
        flags |= q.FLAG_STALE if age_share > 1.0 else 0
        flags |= q.FLAG_FEW if live.n < rules.min_contracts else 0
        flags |= q.FLAG_UNRESOLVED if known.resolved < n or n == 0 else 0
        flags |= q.FLAG_BINS if overlaps > 0 else 0
        flags |= 0 if feasible else q.FLAG_ARBITRAGE
        flags |= q.FLAG_WIDE if width > rules.max_width + 1e-9 else 0
        count[_N], count[_LIVE], count[_TWO] = n, live.n, live.two_sided
        count[_GATE], count[_FLAGS], count[_ARBITRAGE] = gate, flags, not feasible
        count[_LEFT] = known.first < 0 or not at[known.first].alive
        count[_RIGHT] = known.last < 0 or not at[known.last].alive
        count[_KNOWN] = max(known.specs_known_at, known.quotes_known_at)
        count[_NEWEST] = known.quotes_known_at
    last = offsets[n_snapshots]
    return offsets, support[:last].copy(), mass[:last].copy()
