"""Ladders of disjoint bins: the nearest probability vector inside the bid/ask boxes, by water-filling.

Cells partition the line, so their probabilities sum to one. Threshold ladders
are ``repair``'s, overlapping contracts ``mixed``'s.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.compiled import in_place

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Each step halves what is left or solves it; this many halve any interval of floats away.
_STEPS = 2200


@in_place
def _level(
    base: Floats,
    slope: Floats,
    lower: Floats,
    upper: Floats,
    take: npt.NDArray[np.bool_],
    n: int,
    goal: float,
    out: Floats,
) -> None:
    """Solve ``sum clip(base + t slope, lower, upper) = goal`` over the taken cells for t, and write the terms.

    Slopes are positive, so the sum rises with t, straight from one point where a cell meets its box to the
    next. Newton's step from anywhere on the right straight piece is the solution; a step that leaves
    the bracket gives way to halving it.
    """
    low, high = 0.0, 0.0
    for i in range(n):
        if take[i]:
            low = min(low, (lower[i] - base[i]) / slope[i])
            high = max(high, (upper[i] - base[i]) / slope[i])
    t = 0.5 * (low + high)
    for _ in range(_STEPS):
        fixed, moving, speed = 0.0, 0.0, 0.0
        begins, ends = low, high
        for i in range(n):
            if not take[i]:
                continue
            value = base[i] + t * slope[i]
            if value <= lower[i]:
                fixed += lower[i]
                ends = min(ends, (lower[i] - base[i]) / slope[i])
            elif value >= upper[i]:
                fixed += upper[i]
                begins = max(begins, (upper[i] - base[i]) / slope[i])
            else:
                moving += base[i]
                speed += slope[i]
                begins = max(begins, (lower[i] - base[i]) / slope[i])
                ends = min(ends, (upper[i] - base[i]) / slope[i])
        step = (goal - fixed - moving) / speed if speed > 0.0 else t
        if speed > 0.0 and begins <= step <= ends:
            t = step
            break
        if fixed + moving + t * speed < goal:
            low = t
        else:
            high = t
        t = step if low < step < high else 0.5 * (low + high)
        if not low < t < high:
            break
    for i in range(n):
        if take[i]:
            out[i] = min(max(base[i] + t * slope[i], lower[i]), upper[i])


@in_place
def water_fill(
    target: Floats,
    weight: Floats,
    lower: Floats,
    upper: Floats,
    size: Floats,
    n: int,
    out: Floats,
    free: npt.NDArray[np.bool_],
    scratch: Floats,
) -> None:
    """Probabilities of disjoint cells: ``min sum w (p - m)^2`` with ``sum p = 1`` and ``lower <= p <= upper``.

    The optimum is ``p = clip(m - lambda / w, lower, upper)``. Cells of weight 0
    have no target; they first absorb what the others leave, in proportion to
    their size (a uniform density, clipped to the boxes), and only when they
    cannot does a target give way.

    Args:
        target: mids; ignored where ``weight`` is 0.
        weight: non-negative.
        lower: lower bounds; the problem must be feasible.
        upper: upper bounds.
        size: lattice points of each cell, positive.
        n: number of cells.
        out: receives the probabilities.
        free: scratch, shape (>= n,).
        scratch: scratch, shape (2, >= n).
    """
    left, least, most = 1.0, 0.0, 0.0
    n_free = 0
    for i in range(n):
        free[i] = weight[i] <= 0.0
        if free[i]:
            n_free += 1
            least += lower[i]
            most += upper[i]
        else:
            out[i] = min(max(target[i], lower[i]), upper[i])
            left -= out[i]
    if n_free > 0:
        goal = min(max(left, least), most)
        scratch[0, :n] = 0.0
        _level(scratch[0], size, lower, upper, free, n, goal, out)
        if goal == left:
            return
        left = 1.0 - goal
    else:
        left = 1.0
    for i in range(n):
        free[i] = not free[i]
        scratch[0, i] = target[i]
        scratch[1, i] = 1.0 / weight[i] if weight[i] > 0.0 else 1.0
    if n_free < n:
        _level(scratch[0], scratch[1], lower, upper, free, n, left, out)


def project_bins(
    target: Floats, weight: Floats, lower: Floats, upper: Floats, size: Floats | None = None
) -> Floats | None:
    """Probabilities of one ladder of disjoint, exhaustive bins.

    Args:
        target: mids, shape (n,); ignored where ``weight`` is 0.
        weight: 1 / spread; 0 for a bin that only has bounds.
        lower: bids as probabilities.
        upper: asks as probabilities.
        size: lattice points of each bin; equal when None.

    Returns:
        Probabilities that sum to one, or None when no probability vector lies
        in the boxes (``sum lower > 1`` or ``sum upper < 1``).
    """
    n = target.size
    if n == 0 or lower.sum() > 1.0 or upper.sum() < 1.0 or bool(np.any(lower > upper)):
        return None
    sizes = np.ones(n) if size is None else size.astype(np.float64)
    out = np.empty(n)
    water_fill(target, weight, lower, upper, sizes, n, out, np.empty(n, np.bool_), np.empty((2, n)))
    return out
