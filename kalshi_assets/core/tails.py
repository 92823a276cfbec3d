"""What lies beyond the outermost priced strikes: the named tail policies, and the closed law that they give.

The market prices the mass of an open tail but not its shape, so the shape is
a declared assumption:

- ``step``: the tail ends one ladder step beyond, uniform over the lattice points of that step. Where strikes stand
  one tick apart this puts the upper tail one tick beyond the highest strike and the lower tail on the lowest strike.
- ``hazard``: every further ladder step keeps the share of mass that the last priced step kept (geometric).
- ``truncate``: the tail is dropped and the interior renormalised.

A ladder step is the distance between the two outermost cutpoints of that
side. Rungs outside the outermost targets have bounds but no mid: the policy
runs through them, held inside their bounds.

The result is a list of cells: ``G(x) = P(X >= x)`` at rising ``edges``, one at
the first and zero at the last, uniform over the lattice points of each cell.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.compiled import in_place

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

STEP, HAZARD, TRUNCATE = 0, 1, 2
TAIL_POLICIES = {"step": STEP, "hazard": HAZARD, "truncate": TRUNCATE}
N_POLICIES = 3
# A geometric tail that keeps more than four fifths a step has no end within the ladder's scale; it ends after 40.
HAZARD_CAP = 0.8
HAZARD_STEPS = 40


def max_edges(n_cutpoints: int) -> int:
    """Upper bound of the number of edges that ``close_tails`` writes for a ladder."""
    return n_cutpoints + 2 * (HAZARD_STEPS + 3)


@in_place
def _upper_tail(
    cut: Ints, survival: Floats, low: Floats, high: Floats, m: int, last: int, hazard: bool, edges: Ints, out: Floats
) -> int:
    """Edges beyond rung ``last``: the ideal tail at every ladder step, held inside the bounds of the outer rungs."""
    start = survival[last]
    gap = cut[m - 1] - cut[m - 2] if m > 1 else np.int64(1)
    ratio, steps = 0.0, 1
    if hazard and last > 0 and survival[last - 1] > 0.0:
        ratio = min(start / survival[last - 1], HAZARD_CAP)
        if ratio > 0.0:
            steps = HAZARD_STEPS
    count, outer, step = 0, last + 1, 1
    ideal, at = start, cut[last]
    while outer < m or step <= steps:
        target = cut[last] + step * gap if step <= steps else np.int64(0)
        virtual = step <= steps and (outer >= m or target < cut[outer])
        x = target if virtual else cut[outer]
        if step > steps:
            value = 0.0
        else:
            end_value = start * ratio**step if step < steps else 0.0
            value = ideal + (end_value - ideal) * (x - at) / (target - at)
        # at a point between outer rungs the floor is the next rung's and the ceiling the previous rung's
        floor = low[outer] if outer < m else 0.0
        ceiling = high[outer - 1] if virtual else high[outer]
        previous = out[count - 1] if count > 0 else start
        held = min(max(value, floor), ceiling, previous)
        edges[count] = x
        out[count] = held
        count += 1
        if step <= steps and x == target:
            ideal, at = value, x
            step += 1
        if not virtual:
            outer += 1
    if out[count - 1] > 0.0:  # a bid beyond the policy's end holds mass out there: close one step further
        edges[count] = edges[count - 1] + gap
        out[count] = 0.0
        count += 1
    return count


@in_place
def close_tails(
    cut: Ints,
    survival: Floats,
    low: Floats,
    high: Floats,
    m: int,
    first: int,
    last: int,
    policy: int,
    edges: Ints,
    out: Floats,
    scratch_int: Ints,
    scratch: Floats,
) -> int:
    """Complete a survival curve into a closed law.

    Args:
        cut: rising cutpoints, shape (>= m,), m >= 1.
        survival: P(X >= cut) on rungs first..last.
        low: lower envelope of all rungs.
        high: upper envelope of all rungs.
        m: number of cutpoints.
        first: first rung with a determined survival.
        last: last such rung.
        policy: ``STEP``, ``HAZARD`` or ``TRUNCATE``.
        edges: receives the edges, capacity ``max_edges(m)``.
        out: receives the survival at the edges.
        scratch_int: shape (2, capacity).
        scratch: shape (4, capacity).

    Returns:
        Number of edges; 0 when ``TRUNCATE`` leaves no interior mass.
    """
    count = 0
    if policy == TRUNCATE:
        inside = survival[first] - survival[last]
        if inside <= 1e-9:
            return 0
        for k in range(first, last + 1):
            edges[count] = cut[k]
            out[count] = (survival[k] - survival[last]) / inside
            count += 1
        return count
    # the lower tail is the upper tail of -X, whose cutpoints are 1 - cut and whose survival is 1 - S
    mirror, mirrored, floor, ceiling = scratch[0], scratch[1], scratch[2], scratch[3]
    flipped, tail_edges = scratch_int[0], scratch_int[1]
    for k in range(m):
        j = m - 1 - k
        flipped[k] = 1 - cut[j]
        mirror[k] = 1.0 - survival[j]
        floor[k] = 1.0 - high[j]
        ceiling[k] = 1.0 - low[j]
    hazard = policy == HAZARD
    size = _upper_tail(flipped, mirror, floor, ceiling, m, m - 1 - first, hazard, tail_edges, mirrored)
    for k in range(size - 1, -1, -1):
        edges[count] = 1 - tail_edges[k]
        out[count] = 1.0 - mirrored[k]
        count += 1
    for k in range(first, last + 1):
        edges[count] = cut[k]
        out[count] = survival[k]
        count += 1
    return count + _upper_tail(cut, survival, low, high, m, last, hazard, edges[count:], out[count:])


@in_place
def survival_at(x: int, edges: Ints, survival: Floats, n: int) -> float:
    """P(X >= x) of a closed law: linear between edges, 1 before the first and 0 after the last."""
    if x <= edges[0]:
        return 1.0
    if x >= edges[n - 1]:
        return 0.0
    left, right = 0, n - 1
    while right - left > 1:
        middle = (left + right) // 2
        if edges[middle] <= x:
            left = middle
        else:
            right = middle
    share = (x - edges[left]) / (edges[right] - edges[left])
    return float(survival[left] + (survival[right] - survival[left]) * share)
