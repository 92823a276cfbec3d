"""Threshold ladders: the executable-arbitrage test and the projection onto coherent survival curves.

Survival ``S_k = P(X >= cutpoint k)`` must not increase. Bounds come from bids
and asks in integer micro-dollars, so that the arbitrage test is exact; targets
are mids, weighted by the inverse spread. Ladders of disjoint bins are
``simplex``'s, ladders that mix both are ``mixed``'s.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.compiled import in_place

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@in_place
def survival_envelope(lower: Ints, upper: Ints, n: int, low_out: Floats, high_out: Floats) -> bool:
    """Tightest bounds that monotonicity allows, and whether any coherent curve exists.

    ``high_k = min over i <= k of upper_i`` and ``low_k = max over j >= k of
    lower_j``; feasible iff every bid is at most every ask at or before it.

    Args:
        lower: bids as integer micro-dollars, shape (>= n,).
        upper: asks, same.
        n: number of rungs, in order of rising strike.
        low_out: receives the lower envelope as probabilities.
        high_out: receives the upper envelope.

    Returns:
        True when no set of these quotes can be traded for a sure profit.
    """
    feasible = True
    least = np.int64(1_000_000)
    for k in range(n):
        least = min(least, upper[k])
        high_out[k] = least / 1e6
        if lower[k] > least:
            feasible = False
    most = np.int64(0)
    for k in range(n - 1, -1, -1):
        most = max(most, lower[k])
        low_out[k] = most / 1e6
    return feasible


@in_place
def bounded_isotonic(
    target: Floats, weight: Floats, lower: Floats, upper: Floats, n: int, out: Floats, blocks: Floats, ends: Ints
) -> None:
    """Weighted least-squares projection onto non-increasing curves inside bounds, by generalised PAV.

    Minimises ``sum w (S - m)^2`` subject to ``S_k >= S_{k+1}`` and ``lower <=
    S <= upper``. A block's minimiser is the weighted mean clipped to [max
    lower, min upper] of its rungs; neighbours are pooled while they ascend.
    (Clipping the unbounded projection is not the same thing.)

    Args:
        target: mids; ignored where ``weight`` is 0.
        weight: non-negative; rungs of weight 0 are skipped and left untouched in ``out``.
        lower: lower bounds; the problem must be feasible.
        upper: upper bounds.
        n: number of rungs.
        out: receives S at the rungs of positive weight.
        blocks: scratch, shape (5, >= n): weighted sum, weight, max lower, min upper, value.
        ends: scratch, shape (>= n,): last rung of each block.
    """
    top = -1
    for k in range(n):
        if weight[k] <= 0.0:
            continue
        top += 1
        blocks[0, top] = weight[k] * target[k]
        blocks[1, top] = weight[k]
        blocks[2, top] = lower[k]
        blocks[3, top] = upper[k]
        blocks[4, top] = min(max(target[k], lower[k]), upper[k])
        ends[top] = k
        while top > 0 and blocks[4, top - 1] < blocks[4, top]:
            blocks[0, top - 1] += blocks[0, top]
            blocks[1, top - 1] += blocks[1, top]
            blocks[2, top - 1] = max(blocks[2, top - 1], blocks[2, top])
            blocks[3, top - 1] = min(blocks[3, top - 1], blocks[3, top])
            ends[top - 1] = ends[top]
            top -= 1
            mean = blocks[0, top] / blocks[1, top]
            blocks[4, top] = min(max(mean, blocks[2, top]), blocks[3, top])
    k = 0
    for block in range(top + 1):
        while k <= ends[block]:
            if weight[k] > 0.0:
                out[k] = blocks[4, block]
            k += 1


@in_place
def _taut_string(cut: Ints, lower: Floats, upper: Floats, start: int, stop: int, out: Floats) -> None:
    """Shortest path from rung ``start`` to rung ``stop`` through the bounds in between; both ends are set in ``out``.

    From each corner look ahead while one straight line still passes all
    bounds; where none does, the path bends at the bound that stood in the way.
    """
    corner = start
    while corner < stop:
        least, most, least_at, most_at, bend = -np.inf, np.inf, corner, corner, stop
        for j in range(corner + 1, stop + 1):
            run = float(cut[j] - cut[corner])
            low = ((out[j] if j == stop else lower[j]) - out[corner]) / run
            high = ((out[j] if j == stop else upper[j]) - out[corner]) / run
            if low > most:
                bend = most_at
                out[bend] = upper[bend]
                break
            if high < least:
                bend = least_at
                out[bend] = lower[bend]
                break
            if low > least:
                least, least_at = low, j
            if high < most:
                most, most_at = high, j
        slope = (out[bend] - out[corner]) / (cut[bend] - cut[corner])
        for j in range(corner + 1, bend):
            out[j] = min(max(out[corner] + slope * (cut[j] - cut[corner]), lower[j]), upper[j])
        corner = bend


@in_place
def fill_between_targets(
    cut: Ints, weight: Floats, lower: Floats, upper: Floats, n: int, out: Floats
) -> tuple[int, int]:
    """Give rungs without a target the straightest curve between their neighbours that stays within their bounds.

    A straight survival curve is a uniform law over the lattice in between;
    where bounds bar it, the shortest path through them is the law of greatest
    entropy that they allow (any convex cost of the slopes has this optimum).

    Args:
        cut: lattice cutpoints, rising.
        weight: 0 marks a rung without a target.
        lower: lower envelope (non-increasing).
        upper: upper envelope (non-increasing).
        n: number of rungs.
        out: survival; read at targeted rungs, written between them. Rungs
            outside the outermost targets take the middle of their bounds as far
            as a bid supports mass above them or an ask supports mass below
            them, and are then left for the tail policy.

    Returns:
        First and last rung with a determined survival; (-1, -1) when none has a target.
    """
    first, last = -1, -1
    for k in range(n):
        if weight[k] <= 0.0:
            continue
        if first < 0:
            first = k
        elif k > last + 1:
            _taut_string(cut, lower, upper, last, k, out)
        last = k
    # the quotes refute a tail that ends at the last target: there is a bid further out (or an ask, on the other side)
    while 0 <= last < n - 1 and lower[last + 1] > 0.0:
        last += 1
        out[last] = 0.5 * (lower[last] + upper[last])
        out[last] = min(out[last], out[last - 1])
    while first > 0 and upper[first - 1] < 1.0:
        first -= 1
        out[first] = 0.5 * (lower[first] + upper[first])
        out[first] = max(out[first], out[first + 1])
    return first, last


@in_place
def set_targets(lower: Ints, upper: Ints, n: int, max_spread: int, tick: int, target: Floats, weight: Floats) -> None:
    """Mid and weight of each rung: mid where the spread is at most ``max_spread``, otherwise weight 0.

    The weight is 1 / max(spread, tick) in dollars. A crossed pair (spread
    below zero) keeps its mid with the greatest weight.
    """
    for k in range(n):
        spread = upper[k] - lower[k]
        target[k] = (lower[k] + upper[k]) / 2e6
        weight[k] = 1e6 / max(spread, tick) if spread <= max_spread else 0.0


@in_place
def add_wide_targets(lower: Ints, upper: Ints, n: int, target: Floats, weight: Floats) -> None:
    """Let a wide quote pull weakly towards its mid where both of its sides say more than the other rungs do.

    Such a quote has a bid above every bid further out and an ask below every ask further in. One that its
    neighbours already imply stays a mere constraint, so that adding it changes nothing. See docs/adr/0018.

    Args:
        lower: bids as integer micro-dollars, 0 where there is none.
        upper: asks, 1_000_000 where there is none.
        n: number of rungs, in order of rising strike.
        target: mids.
        weight: 0 marks a wide quote; receives 1 / spread in dollars where it says more.
    """
    least = np.int64(1_000_000)
    for k in range(n):
        if weight[k] == 0.0 and upper[k] < least:
            weight[k] = -1.0
        least = min(least, upper[k])
    most = np.int64(0)
    for k in range(n - 1, -1, -1):
        if weight[k] < 0.0:
            weight[k] = 1e6 / (upper[k] - lower[k]) if lower[k] > most else 0.0
        most = max(most, lower[k])


# Rows of the workspaces of ``repair_one``.
(_CUT, _LOWER, _UPPER, _ENDS, REPAIR_INTS) = range(5)
(_LOW, _HIGH, _TARGET, _WEIGHT, _BLOCKS) = range(5)
REPAIR_REALS = _BLOCKS + 5


@in_place
def repair_one(
    start: int, n: int, cut: Ints, bid: Ints, ask: Ints, max_spread: int, tick: int, ints: Ints, reals: Floats,
    curve: Floats,
) -> tuple[bool, int, int]:  # fmt: skip
    """Repair the threshold ladder in rungs ``start`` to ``start + n`` of a batch.

    Args:
        start: first rung of the ladder.
        n: number of its rungs.
        cut: see ``repair_survival``, as ``bid``, ``ask``, ``max_spread`` and ``tick``.
        bid: lower bounds.
        ask: upper bounds.
        max_spread: widest spread whose mid is a target.
        tick: floor of the spread in the weights.
        ints: workspace, shape (REPAIR_INTS, >= n); its first row receives the ladder's cutpoints.
        reals: workspace, shape (REPAIR_REALS, >= n); its first two rows receive the envelope.
        curve: receives the survival, NaN outside the outermost targets.

    Returns:
        Whether the quotes are coherent, and the first and last rung with a determined survival (-1 without a target).
    """
    x, lower, upper, low, high = ints[_CUT], ints[_LOWER], ints[_UPPER], reals[_LOW], reals[_HIGH]
    for k in range(n):
        x[k], lower[k], upper[k], curve[k] = cut[start + k], bid[start + k], ask[start + k], np.nan
    feasible = survival_envelope(lower, upper, n, low, high)
    if not feasible:
        low[:n] = 0.0
        high[:n] = 1.0
    target, weight = reals[_TARGET], reals[_WEIGHT]
    set_targets(lower, upper, n, max_spread, tick, target, weight)
    add_wide_targets(lower, upper, n, target, weight)
    bounded_isotonic(target, weight, low, high, n, curve, reals[_BLOCKS:], ints[_ENDS])
    first, last = fill_between_targets(x, weight, low, high, n, curve)
    return feasible, first, last


@in_place
def _repair_all(
    offsets: Ints, cut: Ints, bid: Ints, ask: Ints, max_spread: int, tick: int, ints: Ints, reals: Floats,
    out: Floats, feasible: npt.NDArray[np.bool_],
) -> None:  # fmt: skip
    for ladder in range(offsets.size - 1):
        start, n = offsets[ladder], offsets[ladder + 1] - offsets[ladder]
        feasible[ladder], _, _ = repair_one(start, n, cut, bid, ask, max_spread, tick, ints, reals, out[start:])


def repair_survival(
    offsets: Ints,
    cut: Ints,
    bid: Ints,
    ask: Ints,
    *,
    max_mid_spread: int = 100_000,
    tick: int = 10_000,
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Repair many threshold ladders at once.

    Args:
        offsets: shape (n_ladders + 1,); rungs of ladder i are ``offsets[i]:offsets[i + 1]``.
        cut: lattice cutpoints, rising inside a ladder.
        bid: lower bounds of the survival in micro-dollars (0 where there is no bid).
        ask: upper bounds (1_000_000 where there is no ask).
        max_mid_spread: widest spread, in micro-dollars, whose mid is always a target.
        tick: floor of the spread in the weights.

    Returns:
        Survival per rung, NaN outside the outermost targets, and per ladder
        whether its quotes are coherent. An incoherent ladder is projected
        without its bounds.
    """
    out = np.full(bid.size, np.nan)
    feasible = np.empty(max(offsets.size - 1, 0), np.bool_)
    widest = int(np.diff(offsets).max(initial=1))
    ints, reals = np.empty((REPAIR_INTS, widest), np.int64), np.empty((REPAIR_REALS, widest))
    starts, x, lower, upper = (np.ascontiguousarray(a, np.int64) for a in (offsets, cut, bid, ask))
    _repair_all(starts, x, lower, upper, max_mid_spread, tick, ints, reals, out, feasible)
    return out, feasible
