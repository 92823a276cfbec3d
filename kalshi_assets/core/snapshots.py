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
from kalshi_assets.core.asof import QuoteIndex
from kalshi_assets.core.compiled import compiled
from kalshi_assets.core.ladder import (
    BINS,
    CUT,
    HIGH,
    INT_ROWS,
    LOW,
    MINUS,
    PLUS,
    REAL_ROWS,
    TARGET,
    THRESHOLDS,
    UNSOLVED,
    WEIGHT,
    S,
    solve_ladder,
)
from kalshi_assets.core.live_quotes import UNKNOWN_TIME, Contracts, SpecIndex, find_quotes, keep_live, median
from kalshi_assets.core.moments import N_MOMENTS, lattice_value, law_mean, law_moments, law_pmf, law_quantile
from kalshi_assets.core.rungs import RungRows, contract_band, law_probability, write_rungs
from kalshi_assets.core.staleness import cutoff_minutes
from kalshi_assets.core.tables import MOMENTS, QUANTILES
from kalshi_assets.core.tails import STEP, TRUNCATE, close_tails, survival_at

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


class Fit(NamedTuple):
    """A solved ladder; see ``ladder.solve_ladder``. ``solved`` is False when there is no curve."""

    solved: bool
    kind: int
    m: int
    first: int
    last: int
    feasible: bool
    off_one: float
    overlaps: int
    n_edges: int


class Repair(NamedTuple):
    """What the repair took: probability moved (l1, l2), dollars outside the quotes, violations before and after."""

    cost: float
    l1: float
    l2: float
    magnitude: float
    before: int
    after: int


class Scratch(NamedTuple):
    """Arrays that every snapshot reuses."""

    ints: Ints
    reals: Floats
    free: npt.NDArray[np.bool_]
    edges: Ints
    law: Floats
    band_edges: Ints
    band_law: Floats
    tail_ints: Ints
    tail_reals: Floats
    points: Ints
    mass: Floats


def scratch_arrays(capacity: int, edge_capacity: int, max_points: int) -> Scratch:
    """Scratch for ladders whose workspaces need ``capacity`` columns and whose laws need ``edge_capacity`` edges."""
    points = max_points + edge_capacity
    return Scratch(
        np.empty((INT_ROWS, capacity), np.int64), np.empty((REAL_ROWS, capacity)), np.empty(capacity, np.bool_),
        np.empty(edge_capacity, np.int64), np.empty(edge_capacity),
        np.empty(edge_capacity, np.int64), np.empty(edge_capacity),
        np.empty((2, edge_capacity), np.int64), np.empty((4, edge_capacity)),
        np.empty(points, np.int64), np.empty(points),
    )  # fmt: skip


@compiled
def _close(fit: Fit, curve: Floats, first: int, last: int, policy: int, x: Scratch, edges: Ints, law: Floats) -> int:
    """Close a curve on the fitted cutpoints under a tail policy."""  # pragma: no cover - compiled
    return close_tails(
        x.ints[CUT],
        curve,
        x.reals[LOW],
        x.reals[HIGH],
        fit.m,
        first,
        last,
        policy,
        edges,
        law,
        x.tail_ints,
        x.tail_reals,
    )


@compiled
def _fit(at: Contracts, n: int, rules: Rules, x: Scratch) -> Fit:  # pragma: no cover - compiled
    """Solve the ladder of the live contracts and close its tails (under ``step`` where the policy truncates)."""
    kind, m, first, last, feasible, off_one, overlaps = solve_ladder(
        at.lo, at.hi, at.bid, at.ask, n, rules.max_spread, rules.price_tick, x.ints, x.reals, x.free
    )
    solved = kind != UNSOLVED and first >= 0
    fit = Fit(solved, kind, m, first, last, feasible, off_one, overlaps, 0)
    if not solved:
        return fit
    policy = STEP if rules.policy == TRUNCATE else rules.policy
    n_edges = _close(fit, x.reals[S], first, last, policy, x, x.edges, x.law)
    return Fit(solved, kind, m, first, last, feasible, off_one, overlaps, n_edges)


@compiled
def _measure(at: Contracts, n: int, fit: Fit, max_spread: int, x: Scratch) -> Repair:  # pragma: no cover - compiled
    """Compare the live contracts' quotes with their repaired probabilities.

    Violations are rises between neighbouring mids of a threshold ladder, one
    for bins whose mids cannot sum to one, and moved mids in a mixed ladder.
    """
    cost, l1, l2, moved = 0.0, 0.0, 0.0, 0
    for k in range(n):
        p = law_probability(at.lo[k], at.hi[k], x.edges, x.law, fit.n_edges)
        low, high = at.bid[k] / 1e6, at.ask[k] / 1e6
        cost += max(low - p, p - high, 0.0)
        if at.ask[k] - at.bid[k] <= max_spread:
            shift = abs(p - 0.5 * (low + high))
            l1 += shift
            l2 += shift * shift
            moved += shift > 1e-9
    before, magnitude = moved, l1
    if fit.kind == THRESHOLDS:
        before, magnitude, previous = 0, 0.0, math.inf
        for k in range(fit.m):
            if x.reals[WEIGHT, k] > 0.0:
                rise = x.reals[TARGET, k] - previous
                if rise > 1e-12:
                    before += 1
                    magnitude += rise
                previous = x.reals[TARGET, k]
    elif fit.kind == BINS:
        before, magnitude = int(fit.off_one > 1e-9), 0.0
    after = 0
    for k in range(fit.first + 1, fit.last + 1):
        after += x.reals[S, k] > x.reals[S, k - 1] + 1e-12
    return Repair(cost if cost > 1e-9 else 0.0, l1, math.sqrt(l2), magnitude, before, after)


@compiled
def _median_width(
    n: int, specs: SpecIndex, quotes: QuoteIndex, at: Contracts, fit: Fit, x: Scratch
) -> float:  # pragma: no cover - compiled
    """Median, over the known contracts, of the interval that all quotes together leave open."""
    found = 0
    for k in range(n):
        if specs.resolved[at.spec[k]]:
            low, high = contract_band(k, specs, quotes, at, x.ints[CUT], fit.m, x.reals[LOW], x.reals[HIGH])
            at.width[found] = high - low
            found += 1
    return median(at.width, found)


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
def _describe(
    fit: Fit, edges: Ints, law: Floats, n_edges: int, tick: float, rules: Rules, x: Scratch, row: Floats
) -> None:  # pragma: no cover - compiled
    """Moments, quantiles, tail probabilities and bands of a closed law."""
    law_moments(edges, law, n_edges, tick, row)
    for k in range(len(_LEVELS)):
        row[_QUANTILE + k] = lattice_value(law_quantile(edges, law, n_edges, _LEVELS[k]), tick)
    for k in range(3):
        row[_TAIL_P + k] = survival_at(math.ceil(row[_THRESHOLD + k] / tick - 1e-9), edges, law, n_edges)
    row[_TAIL_LOW] = 1.0 - x.reals[S, fit.first]
    row[_TAIL_HIGH] = x.reals[S, fit.last]
    if not fit.feasible:
        return
    policy = STEP if rules.policy == TRUNCATE else rules.policy
    for side in range(2):
        envelope = x.reals[HIGH] if side else x.reals[LOW]
        if rules.policy == TRUNCATE:  # `edges` is the other pair of arrays, which must survive until the law is stored
            size = _close(fit, envelope, 0, fit.m - 1, policy, x, x.edges, x.law)
            mean, middle = law_mean(x.edges, x.law, size, tick), law_quantile(x.edges, x.law, size, 0.5)
        else:
            size = _close(fit, envelope, 0, fit.m - 1, policy, x, x.band_edges, x.band_law)
            mean = law_mean(x.band_edges, x.band_law, size, tick)
            middle = law_quantile(x.band_edges, x.band_law, size, 0.5)
        centre = lattice_value(middle, tick)
        # the estimate lies in its own band, also where a tail policy is not monotone in the mids
        if side:
            row[_MEAN_LOW + 1], row[_MEDIAN_LOW + 1] = max(mean, row[_MEAN]), max(centre, row[_MEDIAN])
        else:
            row[_MEAN_LOW], row[_MEDIAN_LOW] = min(mean, row[_MEAN]), min(centre, row[_MEDIAN])


@compiled
def _grown(support: Ints, mass: Floats, used: int, size: int) -> tuple[Ints, Floats]:  # pragma: no cover - compiled
    """Larger copies of the mass functions' store."""
    more_support, more_mass = np.empty(size, np.int64), np.empty(size)
    more_support[:used] = support[:used]
    more_mass[:used] = mass[:used]
    return more_support, more_mass


@compiled
def evaluate(
    instants: Instants, specs: SpecIndex, quotes: QuoteIndex, rules: Rules, at: Contracts, x: Scratch,
    ticks: Floats, numbers: Floats, counts: Ints, rungs: RungRows,
) -> tuple[Ints, Ints, Floats]:  # pragma: no cover - compiled  # fmt: skip
    """Evaluate snapshots; see ``distribution.build_distributions`` for what the numbers mean.

    Args:
        instants: the snapshots.
        specs: known contracts.
        quotes: their quotes.
        rules: limits and choices.
        at: workspace of one ladder.
        x: scratch.
        ticks: receives each snapshot's lattice step, shape (n,).
        numbers: receives ``NUMBERS``, shape (n, len(NUMBERS)); NaN missing.
        counts: receives ``COUNTS``, shape (n, len(COUNTS)).
        rungs: receives the contracts of the first ``rungs.offsets.size - 1`` snapshots.

    Returns:
        Offsets, lattice indices and masses of the snapshots' mass functions; empty for a gated snapshot.
    """
    n_snapshots = instants.event.size
    offsets = np.zeros(n_snapshots + 1, np.int64)
    support, mass = np.empty(1024, np.int64), np.empty(1024)
    cut = x.ints[CUT]
    for s in range(n_snapshots):
        offsets[s + 1] = offsets[s]
        row, count = numbers[s], counts[s]
        row[:] = math.nan
        event, as_of, release = instants.event[s], instants.as_of[s], instants.release[s]

        known = find_quotes(event, as_of, specs, quotes, rules.volume_window, at)
        minutes = math.nan if release == UNKNOWN_TIME else (release - as_of) / 6e7
        proxy = q.liquidity(median(at.volume, known.n), median(at.open_interest, known.n))
        cutoff_us = cutoff_minutes(minutes, instants.multiplier[s], proxy, rules.stale) * 6e7
        live = keep_live(known.n, as_of, cutoff_us, specs, quotes, at)
        gate = q.quote_gate(
            known.n, known.resolved, known.quoted, live.fresh, live.n, rules.min_coverage, rules.min_contracts
        )
        if instants.listed[s] != UNKNOWN_TIME and as_of < instants.listed[s]:
            gate = q.NOT_LISTED
        elif known.mixed_lattice:
            gate = q.MIXED_LATTICE
        spread = median(at.spread, live.n)
        permitted = median(at.permitted_s, known.n)
        for k in range(known.n):
            at.width[k] = at.age_s[k] / at.permitted_s[k]
        age_share = median(at.width, known.n)
        coverage = live.n / known.n if known.n > 0 else 0.0

        fit = Fit(False, UNSOLVED, 0, -1, -1, True, 0.0, 0, 0)
        if live.n > 0 and not known.mixed_lattice:
            fit = _fit(at, live.n, rules, x)
        width, violation = spread, 0.0
        if fit.solved:
            repair = _measure(at, live.n, fit, rules.max_spread, x)
            violation = repair.magnitude + fit.off_one
            row[_COST], row[_L1], row[_L2] = repair.cost, repair.l1, repair.l2
            row[_MAGNITUDE], row[_RENORM] = repair.magnitude, fit.off_one
            count[_PRE], count[_POST] = repair.before, repair.after
            if fit.feasible:  # contradictory quotes leave only their own spreads
                width = _median_width(known.n, specs, quotes, at, fit, x)
        else:
            count[_PRE], count[_POST] = 0, 0
        if gate == q.PASSED:
            if not fit.solved:
                gate = q.TOO_LARGE if fit.kind == UNSOLVED and fit.m > 0 else q.WIDE
            elif row[_COST] > rules.max_cost:
                gate = q.INFEASIBLE
            elif width > rules.max_width + 1e-9:
                gate = q.WIDE
        for k in range(3):
            row[_THRESHOLD + k] = _threshold(instants.thresholds[s, k], k, cut, fit.m, known.tick)
        if s < rungs.offsets.size - 1:
            write_rungs(
                s, event, as_of, known.n, specs, quotes, at, rules.max_spread, rules.price_tick, fit.solved,
                fit.feasible, cut, fit.m, x.reals[LOW], x.reals[HIGH], x.edges, x.law, fit.n_edges, rungs,
            )  # fmt: skip

        flags = live.flags
        if gate == q.PASSED:
            edges, law, n_edges = x.edges, x.law, fit.n_edges
            if rules.policy == TRUNCATE:
                edges, law = x.band_edges, x.band_law
                n_edges = _close(fit, x.reals[S], fit.first, fit.last, TRUNCATE, x, edges, law)
            if n_edges == 0:
                gate = q.NO_INTERIOR
            else:
                size = law_pmf(edges, law, n_edges, rules.max_points, x.points, x.mass)
                need = offsets[s] + size
                if need > support.size:
                    support, mass = _grown(support, mass, offsets[s], 2 * need)
                support[offsets[s] : need] = x.points[:size]
                mass[offsets[s] : need] = x.mass[:size]
                offsets[s + 1] = need
                if edges[n_edges - 1] - edges[0] > rules.max_points:
                    flags |= q.FLAG_COARSE
                _describe(fit, edges, law, n_edges, known.tick, rules, x, row)
                if max(row[_TAIL_LOW], row[_TAIL_HIGH]) > rules.max_width:
                    flags |= q.FLAG_TAIL

        total, proxy_term, constraint_term = q.score(
            coverage, spread, 2.0 * rules.max_width, age_share, proxy, violation
        )
        row[_COVERAGE], row[_SPREAD], row[_MISSING] = coverage, spread, 1.0 - coverage
        row[_AGE] = median(at.age_s, known.n)
        row[_CUTOFF] = cutoff_us / 1e6 if math.isnan(permitted) else permitted
        row[_PROXY] = proxy_term
        row[_CONSTRAINT] = constraint_term if live.n > 0 else 0.0
        row[_SCORE] = total if live.n > 0 else 0.0
        ticks[s] = known.tick
        flags |= q.FLAG_COVERAGE if coverage < rules.good_coverage else 0
        flags |= q.FLAG_STALE if age_share > 1.0 else 0
        flags |= q.FLAG_FEW if live.n < rules.min_contracts else 0
        flags |= q.FLAG_UNRESOLVED if known.resolved < known.n or known.n == 0 else 0
        flags |= q.FLAG_BINS if fit.overlaps > 0 else 0
        flags |= 0 if fit.feasible else q.FLAG_ARBITRAGE
        flags |= q.FLAG_WIDE if width > rules.max_width + 1e-9 else 0
        count[_N], count[_LIVE], count[_TWO] = known.n, live.n, live.two_sided
        count[_GATE], count[_FLAGS], count[_ARBITRAGE] = gate, flags, not fit.feasible
        count[_LEFT] = live.least_end == PLUS or live.least_end > known.least_end
        count[_RIGHT] = live.most_end == MINUS or live.most_end < known.most_end
        count[_KNOWN] = max(known.specs_known_at, known.quotes_known_at)
        count[_NEWEST] = known.quotes_known_at
    last = offsets[n_snapshots]
    return offsets, support[:last].copy(), mass[:last].copy()
