"""The kernel that takes every snapshot of a batch from quotes to numbers, one pass and no Python per snapshot.

It only strings the ideas together: as-of lookup, staleness, repair, tails,
moments, quality. Each of them lives in its own module; Arrow tables, names and
defaults belong to ``distribution``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from kalshi_assets.core import quality as q
from kalshi_assets.core.asof import BAD_PRICE, last_known
from kalshi_assets.core.compiled import compiled
from kalshi_assets.core.ladder import (
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
from kalshi_assets.core.moments import N_MOMENTS, law_mean, law_moments, law_pmf, law_quantile
from kalshi_assets.core.staleness import cutoff_minutes
from kalshi_assets.core.tables import MOMENTS, QUANTILES
from kalshi_assets.core.tails import STEP, TRUNCATE, close_tails, survival_at

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Int32s = npt.NDArray[np.int32]

LEVELS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
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
_QUANTILE, _TAIL_P = N_MOMENTS, N_MOMENTS + len(QUANTILES)
_TAIL_LOW = _TAIL_P + 3
_MEAN_LOW = _TAIL_LOW + 2
_N_WITHHELD = len(WITHHELD)
(
    _THRESHOLD, _, _, _COST, _L1, _L2, _MAGNITUDE, _RENORM, _COVERAGE, _SPREAD, _AGE, _CUTOFF, _PROXY, _CONSTRAINT,
    _SCORE, _MISSING,
) = range(_N_WITHHELD, len(NUMBERS))  # fmt: skip

COUNTS = (
    "violations_pre", "violations_post", "n_contracts", "n_live", "n_two_sided", "gate", "flags",
    "executable_arbitrage", "tail_left_missing", "tail_right_missing", "inputs_known_at", "newest_quote_known_at",
)  # fmt: skip
(_PRE, _POST, _N, _LIVE, _TWO, _GATE, _FLAGS, _ARBITRAGE, _LEFT, _RIGHT, _KNOWN, _NEWEST) = range(len(COUNTS))
UNKNOWN_TIME = -(1 << 62)

RUNG_NUMBERS = (
    "yes_bid_prob", "yes_ask_prob", "mid_prob", "repaired_prob", "band_low_prob", "band_high_prob", "age_s", "weight",
)  # fmt: skip
(_BID, _ASK, _MID, _REPAIRED, _BAND_LOW, _BAND_HIGH, _RUNG_AGE, _WEIGHT) = range(len(RUNG_NUMBERS))

# Rows of the per-contract workspaces.
(_SPEC, _ROW, _FRESH, _ALIVE, _LO, _HI, _B, _A) = range(8)
(_R_AGE, _R_LIMIT, _R_VOLUME, _R_INTEREST, _R_SPREAD) = range(5)


@compiled
def active_specs(event: Ints, as_of: Ints, spec_offsets: Ints, known_at: Ints, until: Ints) -> Ints:  # pragma: no cover
    """Number of contracts known at each snapshot: specs with known_at <= as_of < until."""
    count = np.zeros(event.size, np.int64)
    for s in range(event.size):
        if event[s] < 0:
            continue
        for j in range(spec_offsets[event[s]], spec_offsets[event[s] + 1]):
            count[s] += known_at[j] <= as_of[s] < until[j]
    return count


@compiled
def _median(values: Floats, n: int) -> float:  # pragma: no cover - compiled
    """Median of the finite values among the first n; NaN without any."""
    kept = values[:n][np.isfinite(values[:n])]
    return math.nan if kept.size == 0 else float(np.median(kept))


@compiled
def _bound(x: int, cut: Ints, m: int, values: Floats, upper: bool) -> float:  # pragma: no cover - compiled
    """Envelope of P(X >= x): the ceiling of the last cutpoint at or before x, the floor of the first at or after."""
    if x == MINUS:
        return 1.0
    if x == PLUS:
        return 0.0
    k = np.searchsorted(cut[:m], x, side="right")
    if k > 0 and cut[k - 1] == x:
        return float(values[k - 1])
    if upper:
        return float(values[k - 1]) if k > 0 else 1.0
    return float(values[k]) if k < m else 0.0


@compiled
def evaluate(
    event: Ints, as_of: Ints, release: Ints, listed: Ints, multiplier: Floats, thresholds: Floats,
    spec_offsets: Ints, spec_known: Ints, spec_until: Ints, spec_lo: Ints, spec_hi: Ints, spec_contract: Ints,
    spec_resolved: npt.NDArray[np.bool_], by_ticker: Ints, spec_tick: Floats,
    quote_offsets: Ints, quote_known: Ints, quote_ts: Ints, quote_newest: Ints, quote_bid: Int32s, quote_ask: Int32s,
    quote_carry: Ints, quote_volume: Floats, quote_interest: Floats, volume_window: int,
    stale: tuple[float, ...], limits: tuple[float, float, float], max_cost: float, good_coverage: float,
    max_spread: int, price_tick: int, policy: int, max_points: int, capacity: int, edge_capacity: int,
    ticks: Floats, numbers: Floats, counts: Ints, rung_offsets: Ints, rung_spec: Ints, rung_rank: Ints,
    rung_numbers: Floats, rung_known: Ints,
) -> tuple[Ints, Ints, Floats]:  # pragma: no cover - compiled  # fmt: skip
    """Evaluate snapshots; see ``distribution.build_distributions`` for what the numbers mean.

    Args are flat arrays: snapshots (``event`` is -1 for an event without
    contracts), specs sorted by (event, lo, hi, ticker) behind
    ``spec_offsets``, a ``QuoteIndex``, limits, and the outputs to fill:
    ``ticks`` (n,), ``numbers`` (n, NUMBERS), ``counts`` (n, COUNTS) and rungs for the first
    ``rung_offsets.size - 1`` snapshots in ticker order. Times are int64
    microseconds, ``UNKNOWN_TIME`` missing.

    Returns:
        Offsets, lattice indices and masses of the snapshots' mass functions; empty for a gated snapshot.
    """
    n_snapshots = event.size
    ints = np.empty((INT_ROWS, capacity), np.int64)
    reals = np.empty((REAL_ROWS, capacity))
    free = np.empty(capacity, np.bool_)
    at = np.empty((8, capacity), np.int64)
    real_at = np.empty((5, capacity))
    moved = np.empty(capacity)
    edges, band_edges = np.empty(edge_capacity, np.int64), np.empty(edge_capacity, np.int64)
    law, band_law = np.empty(edge_capacity), np.empty(edge_capacity)
    scratch_int, scratch = np.empty((2, edge_capacity), np.int64), np.empty((4, edge_capacity))
    point_index, point_mass = np.empty(max_points + edge_capacity, np.int64), np.empty(max_points + edge_capacity)
    offsets = np.zeros(n_snapshots + 1, np.int64)
    support, mass = np.empty(1024, np.int64), np.empty(1024)

    for s in range(n_snapshots):
        offsets[s + 1] = offsets[s]
        row = numbers[s]
        count = counts[s]
        row[:] = math.nan
        count[:] = 0
        count[_KNOWN] = UNKNOWN_TIME
        count[_NEWEST] = UNKNOWN_TIME
        minutes = math.nan if release[s] == UNKNOWN_TIME else (release[s] - as_of[s]) / 6e7
        e = event[s]
        first_spec = spec_offsets[e] if e >= 0 else 0
        stop_spec = spec_offsets[e + 1] if e >= 0 else 0

        # 1. the newest known quote of every known contract
        n, resolved, quoted = 0, 0, 0
        least_end, most_end = PLUS, MINUS
        tick, mixed_lattice = math.nan, False
        for j in range(first_spec, stop_spec):
            if not spec_known[j] <= as_of[s] < spec_until[j]:
                continue
            at[_SPEC, n] = j
            at[_ROW, n] = -1
            at[_FRESH, n] = 0
            at[_ALIVE, n] = 0
            real_at[:, n] = math.nan
            count[_KNOWN] = max(count[_KNOWN], spec_known[j])
            if spec_resolved[j]:
                resolved += 1
                mixed_lattice = mixed_lattice or (tick != spec_tick[j] and not math.isnan(tick))
                tick = spec_tick[j]
                for end in (spec_lo[j], spec_hi[j]):
                    if end not in (MINUS, PLUS):
                        least_end, most_end = min(least_end, end), max(most_end, end)
                c = spec_contract[j]
                found = last_known(quote_known, quote_offsets[c], quote_offsets[c + 1], as_of[s])
                if found >= 0:
                    i = quote_newest[found]
                    at[_ROW, n] = i
                    quoted += 1
                    age = as_of[s] - quote_ts[i]
                    real_at[_R_AGE, n] = age / 1e6
                    # nothing traded on this feed within the window that ends now
                    idle = as_of[s] - quote_known[i] >= volume_window and not math.isnan(quote_volume[i])
                    real_at[_R_VOLUME, n] = 0.0 if idle else quote_volume[i]
                    real_at[_R_INTEREST, n] = quote_interest[i]
                    count[_KNOWN] = max(count[_KNOWN], quote_known[i])
                    count[_NEWEST] = max(count[_NEWEST], quote_known[i])
            n += 1

        ticks[s] = tick

        # 2. which of them still count
        proxy = q.liquidity(_median(real_at[_R_VOLUME], n), _median(real_at[_R_INTEREST], n))
        cutoff_us = cutoff_minutes(minutes, multiplier[s], proxy, stale) * 6e7
        fresh, live, two_sided, flags = 0, 0, 0, 0
        live_low, live_high = PLUS, MINUS
        for k in range(n):
            i = at[_ROW, k]
            if i < 0:
                continue
            limit = max(cutoff_us, float(quote_carry[i]))
            real_at[_R_LIMIT, k] = limit / 1e6
            if real_at[_R_AGE, k] * 1e6 > limit:
                continue
            at[_FRESH, k] = 1
            fresh += 1
            bid, ask = quote_bid[i], quote_ask[i]
            if BAD_PRICE in (bid, ask):
                flags |= q.FLAG_PRICE
            if bid < 0 and ask < 0:
                continue
            if bid > 0 and ask > 0:
                two_sided += 1
                if bid > ask:
                    flags |= q.FLAG_CROSSED
            j = at[_SPEC, k]
            at[_ALIVE, k] = 1
            at[_LO, live] = spec_lo[j]
            at[_HI, live] = spec_hi[j]
            at[_B, live] = bid if bid > 0 else 0
            at[_A, live] = ask if ask > 0 else 1_000_000
            real_at[_R_SPREAD, live] = max(at[_A, live] - at[_B, live], 0) / 1e6
            for end in (spec_lo[j], spec_hi[j]):
                if end not in (MINUS, PLUS):
                    live_low, live_high = min(live_low, end), max(live_high, end)
            live += 1
        spread = _median(real_at[_R_SPREAD], live)
        for k in range(n):
            moved[k] = real_at[_R_AGE, k] / real_at[_R_LIMIT, k]
        age_share = _median(moved, n)
        coverage = live / n if n > 0 else 0.0
        gate = q.quote_gate(n, resolved, quoted, fresh, live, spread, limits)
        if listed[s] != UNKNOWN_TIME and as_of[s] < listed[s]:
            gate = q.NOT_LISTED
        elif mixed_lattice:
            gate = q.MIXED_LATTICE

        # 3. a coherent survival curve, and what it took
        kind, m, first, last, feasible, off_one, overlaps = UNSOLVED, 0, -1, -1, True, 0.0, 0
        if live > 0 and not mixed_lattice:
            kind, m, first, last, feasible, off_one, overlaps = solve_ladder(
                at[_LO], at[_HI], at[_B], at[_A], live, max_spread, price_tick, ints, reals, free
            )
        solved = kind != UNSOLVED and first >= 0
        cut, curve = ints[CUT], reals[S]
        magnitude, pre, post = 0.0, 0, 0
        n_edges, step_edges = 0, 0
        cost, l1, l2 = 0.0, 0.0, 0.0
        if solved:
            step_edges = close_tails(
                cut, curve, reals[LOW], reals[HIGH], m, first, last,
                STEP if policy == TRUNCATE else policy, edges, law, scratch_int, scratch,
            )  # fmt: skip
            for k in range(live):
                p = _law_probability(at[_LO, k], at[_HI, k], edges, law, step_edges)
                low, high = at[_B, k] / 1e6, at[_A, k] / 1e6
                cost += max(low - p, p - high, 0.0)
                moved[k] = p
                if at[_A, k] - at[_B, k] <= max_spread:
                    shift = abs(p - 0.5 * (low + high))
                    l1 += shift
                    l2 += shift * shift
                    if kind != THRESHOLDS and kind != UNSOLVED and shift > 1e-9 and off_one == 0.0:
                        pre += 1
            if kind == THRESHOLDS:
                pre, magnitude = _ascents(reals[TARGET], reals[WEIGHT], m)
            elif off_one > 0.0:
                pre, magnitude = 1, 0.0
            elif pre > 0:
                magnitude = l1
            for k in range(1, m):
                post += first < k <= last and curve[k] > curve[k - 1] + 1e-12
            if cost < 1e-9:
                cost = 0.0
        total, liquidity_term, constraint_term = q.score(
            coverage, spread, 2.0 * limits[2], age_share, proxy, magnitude + off_one
        )
        if gate == q.PASSED and not solved:
            gate = q.TOO_LARGE if kind == UNSOLVED and m > 0 else q.TOO_FEW
        if gate == q.PASSED and cost > max_cost:
            gate = q.INFEASIBLE

        # 4. the law and its numbers
        if gate == q.PASSED:
            if policy == TRUNCATE:
                n_edges = close_tails(
                    cut,
                    curve,
                    reals[LOW],
                    reals[HIGH],
                    m,
                    first,
                    last,
                    policy,
                    band_edges,
                    band_law,
                    scratch_int,
                    scratch,
                )
                if n_edges == 0:
                    gate = q.NO_INTERIOR
                final_edges, final_law = band_edges, band_law
            else:
                n_edges = step_edges
                final_edges, final_law = edges, law
        if gate == q.PASSED:
            law_moments(final_edges, final_law, n_edges, tick, row)
            for k in range(len(LEVELS)):
                row[_QUANTILE + k] = law_quantile(final_edges, final_law, n_edges, LEVELS[k]) * tick
            row[_TAIL_LOW] = 1.0 - curve[first]
            row[_TAIL_LOW + 1] = curve[last]
            if final_edges[n_edges - 1] - final_edges[0] > max_points:
                flags |= q.FLAG_COARSE
            for k in range(3):
                at_least = _threshold(thresholds[s, k], k, cut, m, tick)
                row[_TAIL_P + k] = survival_at(math.ceil(at_least / tick - 1e-9), final_edges, final_law, n_edges)
            size = law_pmf(final_edges, final_law, n_edges, max_points, point_index, point_mass)
            need = offsets[s] + size
            if need > support.size:
                grown = np.empty(2 * need, np.int64)
                grown[: offsets[s]] = support[: offsets[s]]
                support = grown
                grown_mass = np.empty(2 * need)
                grown_mass[: offsets[s]] = mass[: offsets[s]]
                mass = grown_mass
            support[offsets[s] : need] = point_index[:size]
            mass[offsets[s] : need] = point_mass[:size]
            offsets[s + 1] = need
            if feasible:
                for side in range(2):
                    envelope = reals[HIGH] if side else reals[LOW]
                    size = close_tails(
                        cut, envelope, reals[LOW], reals[HIGH], m, 0, m - 1,
                        STEP if policy == TRUNCATE else policy, band_edges, band_law, scratch_int, scratch,
                    )  # fmt: skip
                    bound = law_mean(band_edges, band_law, size, tick)
                    middle = law_quantile(band_edges, band_law, size, 0.5) * tick
                    # the point estimate lies in its own band, also where the tail's shape is not monotone in the mids
                    row[_MEAN_LOW + side] = max(bound, row[0]) if side else min(bound, row[0])
                    row[_MEAN_LOW + 2 + side] = max(middle, row[6]) if side else min(middle, row[6])

        # 5. evidence, kept whether or not a gate failed
        for k in range(3):
            row[_THRESHOLD + k] = _threshold(thresholds[s, k], k, cut, m, tick)
        row[_COST], row[_L1], row[_L2] = cost, l1, math.sqrt(l2)
        if not solved:
            row[_COST], row[_L1], row[_L2] = math.nan, math.nan, math.nan
        row[_MAGNITUDE] = magnitude if solved else math.nan
        row[_RENORM] = off_one if solved else math.nan
        row[_COVERAGE], row[_SPREAD] = coverage, spread
        row[_AGE] = _median(real_at[_R_AGE], n)
        effective = _median(real_at[_R_LIMIT], n)
        row[_CUTOFF] = cutoff_us / 1e6 if math.isnan(effective) else effective
        row[_PROXY], row[_CONSTRAINT], row[_SCORE] = liquidity_term, constraint_term, total
        row[_MISSING] = 1.0 - coverage
        if live == 0:
            row[_CONSTRAINT], row[_SCORE] = 0.0, 0.0
        if coverage < good_coverage:
            flags |= q.FLAG_COVERAGE
        if age_share > 1.0:
            flags |= q.FLAG_STALE
        if live < limits[1]:
            flags |= q.FLAG_FEW
        if resolved < n or n == 0:
            flags |= q.FLAG_UNRESOLVED
        if overlaps > 0:
            flags |= q.FLAG_BINS
        if not feasible:
            flags |= q.FLAG_ARBITRAGE
        if spread > limits[2]:
            flags |= q.FLAG_WIDE
        count[_PRE], count[_POST] = pre, post
        count[_N], count[_LIVE], count[_TWO] = n, live, two_sided
        count[_GATE], count[_FLAGS], count[_ARBITRAGE] = gate, flags, not feasible
        count[_LEFT] = live_low == PLUS or live_low > least_end
        count[_RIGHT] = live_high == MINUS or live_high < most_end

        # 6. one row a contract, by ticker
        if s >= rung_offsets.size - 1:
            continue
        out = rung_offsets[s]
        for t in range(first_spec, stop_spec):
            j = by_ticker[t]
            if not spec_known[j] <= as_of[s] < spec_until[j]:
                continue
            k = _position(at[_SPEC], n, j)
            rung_spec[out] = j
            rung_rank[out] = k
            rung = rung_numbers[out]
            rung[:] = math.nan
            rung_known[out] = UNKNOWN_TIME
            i = at[_ROW, k]
            if i >= 0:
                rung_known[out] = quote_known[i]
                rung[_RUNG_AGE] = real_at[_R_AGE, k]
                bid, ask = quote_bid[i], quote_ask[i]
                if bid > 0:
                    rung[_BID] = bid / 1e6
                if ask > 0:
                    rung[_ASK] = ask / 1e6
                if at[_ALIVE, k] == 1:
                    width = (ask if ask > 0 else 1_000_000) - (bid if bid > 0 else 0)
                    rung[_WEIGHT] = 0.0
                    if width <= max_spread:
                        rung[_MID] = ((ask if ask > 0 else 1_000_000) + (bid if bid > 0 else 0)) / 2e6
                        rung[_WEIGHT] = 1e6 / max(width, price_tick)
            if solved and spec_resolved[j]:
                rung[_REPAIRED] = _law_probability(spec_lo[j], spec_hi[j], edges, law, step_edges)
                if feasible:
                    top = _bound(spec_lo[j], cut, m, reals[HIGH], True) - _bound(spec_hi[j], cut, m, reals[LOW], False)
                    bottom = _bound(spec_lo[j], cut, m, reals[LOW], False) - _bound(
                        spec_hi[j], cut, m, reals[HIGH], True
                    )
                    if at[_ALIVE, k] == 1:
                        top = min(top, quote_ask[i] / 1e6 if quote_ask[i] > 0 else 1.0)
                        bottom = max(bottom, quote_bid[i] / 1e6 if quote_bid[i] > 0 else 0.0)
                    rung[_BAND_LOW] = min(max(bottom, 0.0), rung[_REPAIRED])
                    rung[_BAND_HIGH] = max(min(top, 1.0), rung[_REPAIRED])
            out += 1
    return offsets, support[: offsets[n_snapshots]].copy(), mass[: offsets[n_snapshots]].copy()


@compiled
def _law_probability(lo: int, hi: int, edges: Ints, law: Floats, n: int) -> float:  # pragma: no cover - compiled
    """P(lo <= X < hi) of a closed law, open ends allowed."""
    above = 1.0 if lo == MINUS else survival_at(lo, edges, law, n)
    beyond = 0.0 if hi == PLUS else survival_at(hi, edges, law, n)
    return float(max(above - beyond, 0.0))


@compiled
def _ascents(target: Floats, weight: Floats, m: int) -> tuple[int, float]:  # pragma: no cover - compiled
    """Number and total size of the rises between neighbouring mids of a survival curve."""
    rises, total, previous = 0, 0.0, math.nan
    for k in range(m):
        if weight[k] > 0.0:
            if target[k] > previous + 1e-12:
                rises += 1
                total += target[k] - previous
            previous = target[k]
    return rises, total


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
def _position(specs: Ints, n: int, wanted: int) -> int:  # pragma: no cover - compiled
    """Place of a spec among the known ones, which are in rising order."""
    low, high = 0, n - 1
    while low < high:
        middle = (low + high) // 2
        if specs[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low
