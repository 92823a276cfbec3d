"""Any number of threshold ladders at once, from flat arrays of quotes to repaired curves and moments.

For studies over whole histories, where specs, staleness and quality are
settled elsewhere; snapshots of the lake are ``distribution``'s.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.compiled import in_place
from kalshi_assets.core.moments import N_MOMENTS, law_moments
from kalshi_assets.core.repair import REPAIR_INTS, REPAIR_REALS, repair_one
from kalshi_assets.core.tails import TAIL_POLICIES, close_tails, max_edges
from kalshi_assets.errors import DomainError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class LadderMoments(NamedTuple):
    """Results of ``repaired_moments``.

    Attributes:
        survival: repaired P(X >= cut) per rung, as in ``repair.repair_survival``.
        feasible: per ladder, whether its quotes are coherent.
        moments: shape (n_ladders, 8), columns as ``tables.MOMENTS``, in units of the value; NaN for a ladder
            without any rung narrow enough for a mid, or without interior mass where the policy truncates.
        tails: shape (n_ladders, 2): mass below the first and at or beyond the last determined rung; NaN as above.
    """

    survival: Floats
    feasible: npt.NDArray[np.bool_]
    moments: Floats
    tails: Floats


@in_place
def _all_moments(
    offsets: Ints, cut: Ints, bid: Ints, ask: Ints, max_spread: int, price_tick: int, policy: int, tick: float,
    ints: Ints, reals: Floats, edges: Ints, law: Floats, tail_ints: Ints, tail_reals: Floats,
    survival: Floats, feasible: npt.NDArray[np.bool_], moments: Floats, tails: Floats,
) -> None:  # fmt: skip
    for i in range(offsets.size - 1):
        start, n = offsets[i], offsets[i + 1] - offsets[i]
        curve = survival[start:]
        feasible[i], first, last = repair_one(start, n, cut, bid, ask, max_spread, price_tick, ints, reals, curve)
        moments[i, :] = math.nan
        tails[i, :] = math.nan
        if first < 0:
            continue
        n_edges = close_tails(
            ints[0], curve, reals[0], reals[1], n, first, last, policy, edges, law, tail_ints, tail_reals
        )
        if n_edges > 0:
            law_moments(edges, law, n_edges, tick, moments[i])
            tails[i, 0], tails[i, 1] = 1.0 - curve[first], curve[last]


def repaired_moments(
    offsets: Ints,
    cut: Ints,
    bid: Ints,
    ask: Ints,
    *,
    tick: float,
    tail_policy: str = "step",
    max_mid_spread: int = 100_000,
    price_tick: int = 10_000,
) -> LadderMoments:
    """Repair many threshold ladders and describe the laws that they give.

    Args:
        offsets: shape (n_ladders + 1,); rungs of ladder i are ``offsets[i]:offsets[i + 1]``.
        cut: lattice cutpoints, rising inside a ladder; a rung pays where the index is at least its cutpoint.
        bid: lower bounds of the survival in micro-dollars (0 where there is no bid).
        ask: upper bounds (1_000_000 where there is no ask).
        tick: value of one lattice step.
        tail_policy: see ``tails``.
        max_mid_spread: widest spread, in micro-dollars, whose mid is a target.
        price_tick: floor of the spread in the weights, in micro-dollars.

    Raises:
        DomainError: the tail policy is unknown.
    """
    if tail_policy not in TAIL_POLICIES:
        raise DomainError(f"Unknown tail policy {tail_policy!r}; choose one of {', '.join(TAIL_POLICIES)}.")
    n = max(offsets.size - 1, 0)
    widest = int(np.diff(offsets).max(initial=1))
    ends = max_edges(widest)
    found = LadderMoments(np.full(cut.size, np.nan), np.empty(n, np.bool_), np.empty((n, N_MOMENTS)), np.empty((n, 2)))
    starts, x, lower, upper = (np.ascontiguousarray(a, np.int64) for a in (offsets, cut, bid, ask))
    _all_moments(
        starts, x, lower, upper, max_mid_spread, price_tick, TAIL_POLICIES[tail_policy], tick,
        np.empty((REPAIR_INTS, widest), np.int64), np.empty((REPAIR_REALS, widest)),
        np.empty(ends, np.int64), np.empty(ends), np.empty((2, ends), np.int64), np.empty((4, ends)),
        *found,
    )  # fmt: skip
    return found
