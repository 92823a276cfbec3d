"""From the live contracts of one ladder to a coherent survival curve at its cutpoints.

Every contract pays on a run of lattice points, so its price is the difference
of the survival curve at the run's two ends. What kind of problem that makes
is read off the contracts themselves: all with one open end is a threshold
ladder (greater and less alike), all covering exactly one cell is a set of
bins, anything else is mixed. Staleness, tails and moments are not known here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.bins import count_overlaps
from kalshi_assets.core.compiled import in_place
from kalshi_assets.core.mixed import MAX_CUTPOINTS, difference_envelope, project_in_place
from kalshi_assets.core.repair import (
    add_wide_targets,
    bounded_isotonic,
    fill_between_targets,
    set_targets,
    survival_envelope,
)
from kalshi_assets.core.simplex import water_fill

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Open ends of a run of lattice points, far outside any index but safe to subtract.
MINUS, PLUS = -(1 << 60), 1 << 60

THRESHOLDS, BINS, MIXED, UNSOLVED = 0, 1, 2, 3

# Rows of the integer and real workspaces, shape (rows, capacity). The first four hold the live contracts.
(LO, HI, BID, ASK, CUT, U, V, B, A, ENDS, LOW_INT, HIGH_INT, BETWEEN_LO, BETWEEN_HI) = range(14)
(S, LOW, HIGH, TARGET, WEIGHT, BLOCKS, SIZE, P, SCRATCH, PULL) = (0, 1, 2, 3, 4, 5, 10, 11, 12, 14)
INT_ROWS, REAL_ROWS = 14, 15


def workspace_capacity(max_contracts: int) -> int:
    """Columns of the workspaces for ladders of at most this many contracts."""
    return 2 * max_contracts + 4


@in_place
def collect_cutpoints(lo: Ints, hi: Ints, n: int, cut: Ints) -> int:
    """Write the distinct finite ends in rising order; insertion sort, since contracts come nearly sorted."""
    m = 0
    for i in range(n):
        for end in (lo[i], hi[i]):
            if end in (MINUS, PLUS):
                continue
            k = m
            while k > 0 and cut[k - 1] > end:
                k -= 1
            if k > 0 and cut[k - 1] == end:
                continue
            for j in range(m, k, -1):
                cut[j] = cut[j - 1]
            cut[k] = end
            m += 1
    return m


@in_place
def _node(cut: Ints, m: int, end: int, near: int) -> int:
    """Node of an end: 0 for minus infinity, m + 1 for plus infinity, 1 + position of a cutpoint.

    The search begins at a node nearby, for contracts come nearly sorted.
    """
    if end == MINUS:
        return 0
    if end == PLUS:
        return m + 1
    k = min(max(near - 1, 0), m - 1)
    while cut[k] < end:
        k += 1
    while cut[k] > end:
        k -= 1
    return k + 1


@in_place
def _cell_sizes(cut: Ints, m: int, size: Floats) -> None:
    """Lattice points of the m + 1 cells; an open cell counts as one ladder step."""
    for k in range(1, m):
        size[k] = cut[k] - cut[k - 1]
    size[0] = size[1] if m > 1 else 1.0
    size[m] = size[m - 1] if m > 1 else 1.0


@in_place
def _average_prices(n: int, thresholds: bool, places: int, ints: Ints, reals: Floats) -> None:
    """Targets from one price a contract: the average where contracts meet, weighted by their pull.

    Args:
        n: number of live contracts, their prices in row ``BID``.
        thresholds: places are cutpoints and targets the survival there; otherwise cells and their mass.
        places: how many there are.
        ints: workspace.
        reals: workspace; receives ``TARGET`` and ``WEIGHT``.
    """
    reals[TARGET, :places] = 0.0
    reals[WEIGHT, :places] = 0.0
    for i in range(n):
        price, k = ints[BID, i] / 1e6, ints[U, i]
        if thresholds:
            above = ints[HI, i] == PLUS
            k = (ints[U, i] if above else ints[V, i]) - 1
            price = price if above else 1.0 - price
        reals[TARGET, k] += reals[PULL, i] * price
        reals[WEIGHT, k] += reals[PULL, i]
    for k in range(places):
        if reals[WEIGHT, k] > 0.0:
            reals[TARGET, k] /= reals[WEIGHT, k]


@in_place
def _solve_thresholds(
    bid: Ints,
    ask: Ints,
    n: int,
    m: int,
    max_spread: int,
    tick: int,
    traded: bool,
    wide: bool,
    ints: Ints,
    reals: Floats,
) -> tuple[bool, int, int]:
    """Bounds of every contract move to its one cutpoint; contracts that meet there merge to best bid and best ask."""
    ints[B, :m] = 0
    ints[A, :m] = 1_000_000
    for i in range(0 if traded else n):
        if ints[V, i] == m + 1:
            k, bottom, top = ints[U, i] - 1, bid[i], ask[i]
        else:
            k, bottom, top = ints[V, i] - 1, 1_000_000 - ask[i], 1_000_000 - bid[i]
        ints[B, k] = max(ints[B, k], bottom)
        ints[A, k] = min(ints[A, k], top)
    feasible = survival_envelope(ints[B], ints[A], m, reals[LOW], reals[HIGH])
    if traded:
        _average_prices(n, True, m, ints, reals)
    else:
        set_targets(ints[B], ints[A], m, max_spread, tick, reals[TARGET], reals[WEIGHT])
        if wide:
            add_wide_targets(ints[B], ints[A], m, reals[TARGET], reals[WEIGHT])
    if not feasible:
        reals[LOW, :m] = 0.0
        reals[HIGH, :m] = 1.0
    bounded_isotonic(
        reals[TARGET], reals[WEIGHT], reals[LOW], reals[HIGH], m, reals[S], reals[BLOCKS : BLOCKS + 5], ints[ENDS]
    )
    first, last = fill_between_targets(ints[CUT], reals[WEIGHT], reals[LOW], reals[HIGH], m, reals[S])
    for k in range(m):  # outside the targets the tail policy decides; the envelope's middle only keeps S defined
        if k < first or k > last:
            reals[S, k] = 0.5 * (reals[LOW, k] + reals[HIGH, k])
    return feasible, first, last


@in_place
def _solve_bins(
    bid: Ints,
    ask: Ints,
    n: int,
    m: int,
    max_spread: int,
    tick: int,
    traded: bool,
    ints: Ints,
    reals: Floats,
    free: npt.NDArray[np.bool_],
) -> tuple[bool, float]:
    """Cells without a contract are bounded by 0 and 1 and have no target."""
    ints[B, : m + 1] = 0
    ints[A, : m + 1] = 1_000_000
    for i in range(0 if traded else n):
        k = ints[U, i]
        ints[B, k] = max(ints[B, k], bid[i])
        ints[A, k] = min(ints[A, k], ask[i])
    total_low, total_high = np.int64(0), np.int64(0)
    feasible = True
    for k in range(m + 1):
        total_low += ints[B, k]
        total_high += ints[A, k]
        if ints[B, k] > ints[A, k]:
            feasible = False
    if total_low > 1_000_000 or total_high < 1_000_000:
        feasible = False
    if traded:
        _average_prices(n, False, m + 1, ints, reals)
    else:
        set_targets(ints[B], ints[A], m + 1, max_spread, tick, reals[TARGET], reals[WEIGHT])
    least, most = 0.0, 0.0
    for k in range(m + 1):
        reals[LOW, k] = ints[B, k] / 1e6 if feasible else 0.0
        reals[HIGH, k] = ints[A, k] / 1e6 if feasible else 1.0
        targeted = reals[WEIGHT, k] > 0.0
        least += reals[TARGET, k] if targeted else ints[B, k] / 1e6
        most += reals[TARGET, k] if targeted else ints[A, k] / 1e6
    _cell_sizes(ints[CUT], m, reals[SIZE])
    water_fill(
        reals[TARGET], reals[WEIGHT], reals[LOW], reals[HIGH], reals[SIZE], m + 1, reals[P], free,
        reals[SCRATCH : SCRATCH + 2],
    )  # fmt: skip
    above = 0.0
    above_low, above_high = np.int64(0), np.int64(0)
    for k in range(m, 0, -1):
        above = min(above + reals[P, k], 1.0)
        reals[S, k - 1] = above
        above_low += ints[B, k]
        above_high += ints[A, k]
        low = max(above_low, 1_000_000 - (total_high - above_high))
        high = min(above_high, 1_000_000 - (total_low - above_low))
        reals[LOW, k - 1] = min(max(low, 0), 1_000_000) / 1e6 if feasible else 0.0
        reals[HIGH, k - 1] = min(max(high, 0), 1_000_000) / 1e6 if feasible else 1.0
    return feasible, max(least - 1.0, 1.0 - most, 0.0)


@in_place
def _solve_mixed(
    bid: Ints, ask: Ints, n: int, m: int, max_spread: int, tick: int, traded: bool, ints: Ints, reals: Floats,
    dense: Floats, lines: Floats, places: Ints,
) -> tuple[bool, bool]:  # fmt: skip
    bounded = not traded and difference_envelope(ints[U], ints[V], bid, ask, n, m, ints[LOW_INT], ints[HIGH_INT])
    set_targets(bid, ask, n, max_spread, tick, reals[TARGET], reals[WEIGHT])
    for i in range(n):
        if traded:
            reals[WEIGHT, i] = reals[PULL, i]
        reals[SCRATCH, i] = bid[i] / 1e6 if bounded else 0.0
        reals[SCRATCH + 1, i] = ask[i] / 1e6 if bounded else 1.0
    _cell_sizes(ints[CUT], m, reals[SIZE])
    solved = project_in_place(
        ints[U], ints[V], reals[SCRATCH], reals[SCRATCH + 1], reals[TARGET], reals[WEIGHT], n, reals[SIZE], m,
        reals[S], dense, lines, places,
    )  # fmt: skip
    for k in range(m):
        reals[LOW, k] = ints[LOW_INT, k + 1] / 1e6 if bounded else 0.0
        reals[HIGH, k] = ints[HIGH_INT, k + 1] / 1e6 if bounded else 1.0
    return bounded or traded, solved


@in_place
def solve_ladder(
    n: int, max_spread: int, tick: int, traded: bool, wide: bool, ints: Ints, reals: Floats,
    free: npt.NDArray[np.bool_], dense: Floats, lines: Floats, places: Ints,
) -> tuple[int, int, int, int, bool, float, int, int]:  # fmt: skip
    """Repair one ladder.

    Args:
        n: number of live contracts, each with at least one finite end.
        max_spread: widest spread in micro-dollars whose mid is a target.
        tick: price tick in micro-dollars.
        traded: bids and asks are the prices of trades: targets with the weights of row ``PULL``, and no bounds.
        wide: in a threshold ladder a quote wider than ``max_spread`` is a weak target.
        ints: workspace, shape (INT_ROWS, capacity). Rows ``LO`` and ``HI`` give
            each contract's first paying lattice index (or ``MINUS``) and one
            past its last (or ``PLUS``), sorted by both; ``BID`` and ``ASK``
            its quote in micro-dollars, 0 and 1_000_000 where a side is
            missing. Receives ``CUT``.
        reals: workspace, shape (REAL_ROWS, capacity); receives ``S``, ``LOW``, ``HIGH``.
        free: workspace, shape (capacity,).
        dense: workspace of mixed ladders, with ``lines`` and ``places`` from ``mixed.dense_workspace``.
        lines: see ``dense``.
        places: see ``dense``.

    Returns:
        (kind, cutpoints, first and last rung with a determined survival, quotes are coherent,
        distance of the bins' mids from a sum of one, overlapping ranges, gaps between bins). First is -1
        without any target.
        Bounds of incoherent quotes are dropped: envelopes are then 0 and 1.
    """
    lo, hi, bid, ask = ints[LO], ints[HI], ints[BID], ints[ASK]
    m = collect_cutpoints(lo, hi, n, ints[CUT])
    thresholds, single_cells, ranges, priced_cells = True, True, 0, 0
    for i in range(n):
        ints[U, i] = _node(ints[CUT], m, lo[i], ints[U, i - 1] if i > 0 else 0)
        ints[V, i] = _node(ints[CUT], m, hi[i], ints[V, i - 1] if i > 0 else 0)
        thresholds = thresholds and (lo[i] == MINUS or hi[i] == PLUS)
        single_cells = single_cells and ints[V, i] == ints[U, i] + 1
        if lo[i] != MINUS and hi[i] != PLUS:
            duplicate = ranges > 0 and ints[BETWEEN_LO, ranges - 1] == lo[i] and ints[BETWEEN_HI, ranges - 1] == hi[i]
            if not duplicate:
                ints[BETWEEN_LO, ranges] = lo[i]
                ints[BETWEEN_HI, ranges] = hi[i]
                ranges += 1
                priced_cells += ints[V, i] == ints[U, i] + 1
    overlaps = count_overlaps(ints[BETWEEN_LO], ints[BETWEEN_HI], ranges)
    if m == 0:
        return UNSOLVED, 0, -1, -1, True, 0.0, overlaps, 0
    if thresholds:
        feasible, first, last = _solve_thresholds(bid, ask, n, m, max_spread, tick, traded, wide, ints, reals)
        return THRESHOLDS, m, first, last, feasible, 0.0, overlaps, 0
    if single_cells:
        feasible, off_one = _solve_bins(bid, ask, n, m, max_spread, tick, traded, ints, reals, free)
        return BINS, m, 0, m - 1, feasible, off_one, overlaps, m - 1 - priced_cells
    if m > MAX_CUTPOINTS:
        return UNSOLVED, m, -1, -1, True, 0.0, overlaps, 0
    feasible, solved = _solve_mixed(bid, ask, n, m, max_spread, tick, traded, ints, reals, dense, lines, places)
    if not solved:
        return UNSOLVED, m, -1, -1, feasible, 0.0, overlaps, 0
    return MIXED, m, 0, m - 1, feasible, 0.0, overlaps, 0
