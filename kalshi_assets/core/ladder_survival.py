"""The repaired ladder as a survival function on lattice indices, and its shift by a predicted surprise.

Flat arrays of many ladders at once. Repairing quotes and moments of the
distribution belong to the distribution stage.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kalshi_assets.core.columns import reals
from kalshi_assets.core.series import facts_for

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def model_probabilities(
    event: IntArray, ladder: pa.Table, *, shift: FloatArray, series_ticker: npt.NDArray[np.object_]
) -> FloatArray:
    """Probability of YES on each rung after the market's distribution is moved by a shift.

    With G(i) = P(index ≥ i), a rung that pays on [lo, hi] has G(lo) − G(hi + 1); an open end counts
    as G = 1 or 0. Knots of G come from the repaired probabilities: thresholds state it
    directly, a partition of bins by cumulation from the top.

    Args:
        event: position of each rung's event, ascending, shape (n_rungs,).
        ladder: rows of ``distribution_rungs`` in that order.
        shift: predicted mean minus implied mean in the statistic's unit, shape (n_events,).
        series_ticker: shape (n_events,); gives the lattice tick, else the strikes do.

    Returns:
        Shape (n_rungs,). NaN for a whole event when a shift, a repaired bin or the tick is missing, or when its
        rungs are neither thresholds nor a partition.
    """
    lo, hi = reals(ladder["lo_index"]), reals(ladder["hi_index"])
    repaired = reals(ladder["repaired_prob"])
    if not len(event):
        return repaired
    n_events = len(shift)
    above = _knot_values(event, lo, hi, repaired, n_events)
    knot = np.where(np.isfinite(lo), lo, hi + 1)
    moved = shift / _ticks(event, knot, reals(ladder["strike"]), series_ticker)
    survival = _Survival(event, knot, above, n_events)
    at_low = np.where(np.isfinite(lo), survival.at(event, lo - moved[event]), 1.0)
    at_high = np.where(np.isfinite(hi), survival.at(event, hi + 1 - moved[event]), 0.0)
    return np.where(np.isfinite(moved[event]), at_low - at_high, np.nan)


def _knot_values(event: IntArray, lo: FloatArray, hi: FloatArray, repaired: FloatArray, n_events: int) -> FloatArray:
    """G at each rung's knot: its low end, or one past its high end where the low end is open."""
    closed = np.isfinite(lo) & np.isfinite(hi)
    bins = np.zeros(n_events, dtype=np.bool_)
    np.logical_or.at(bins, event, closed)
    threshold = np.where(np.isfinite(lo), repaired, 1 - repaired)
    if not bins.any():
        return threshold
    order = np.lexsort((np.where(np.isfinite(lo), lo, -np.inf), event))
    owner, mass = event[order], repaired[order]
    total = np.cumsum(np.where(np.isfinite(mass), mass, 0.0))
    last = np.append(np.flatnonzero(np.diff(owner)), len(owner) - 1)
    top = np.zeros(n_events)
    top[owner[last]] = total[last]
    above = np.empty(len(event))
    above[order] = top[owner] - total + np.where(np.isfinite(mass), mass, 0.0)
    # The knot of an open-bottom rung is its upper end, above which its own mass does not lie.
    above = np.where(np.isfinite(lo), above, above - repaired)
    broken = np.zeros(n_events, dtype=np.bool_)
    np.logical_or.at(broken, event, ~np.isfinite(repaired))
    overlap = (owner[1:] == owner[:-1]) & ~(lo[order][1:] > np.where(np.isfinite(hi), hi, np.inf)[order][:-1])
    np.logical_or.at(broken, owner[1:], overlap)
    return np.where(bins[event], np.where(broken[event], np.nan, above), threshold)


def _ticks(event: IntArray, knot: FloatArray, strike: FloatArray, series_ticker: npt.NDArray[np.object_]) -> FloatArray:
    """Lattice step of each event: the series' published one, else rise of strikes over rise of indices."""
    n_events = len(series_ticker)
    span = np.full((4, n_events), np.nan)
    usable = np.isfinite(knot) & np.isfinite(strike)
    for row, (reduce, values) in enumerate(((np.fmax, strike), (np.fmin, strike), (np.fmax, knot), (np.fmin, knot))):
        reduce.at(span[row], event[usable], values[usable])
    rise = span[2] - span[3]
    inferred = np.where(rise > 0, (span[0] - span[1]) / np.where(rise > 0, rise, 1.0), np.nan)
    stated = {name: facts.tick for name in set(series_ticker.tolist()) if (facts := facts_for(name)) is not None}
    ticks = np.array([stated.get(name, np.nan) for name in series_ticker.tolist()])
    return np.where(np.isfinite(ticks), ticks, inferred)


class _Survival:
    """Piecewise linear G of many events on one axis: event e occupies [2e, 2e + 1]."""

    def __init__(self, event: IntArray, knot: FloatArray, above: FloatArray, n_events: int) -> None:
        usable = np.isfinite(knot) & np.isfinite(above)
        order = np.lexsort((knot[usable], event[usable]))
        owner, x, y = event[usable][order], knot[usable][order], above[usable][order]
        first = np.ones(len(owner), dtype=np.bool_)
        first[1:] = (owner[1:] != owner[:-1]) | (x[1:] > x[:-1])
        owner, x, y = owner[first], x[first], y[first]
        starts = np.searchsorted(owner, np.arange(n_events))
        counts = np.searchsorted(owner, np.arange(n_events), side="right") - starts
        self._few = counts < 2
        live = np.flatnonzero(~self._few)
        head, tail = starts[live], starts[live] + counts[live] - 1
        self._low, self._width = np.zeros(n_events), np.ones(n_events)
        bottom, top = x[head] - (x[head + 1] - x[head]), x[tail] + (x[tail] - x[tail - 1])
        self._low[live], self._width[live] = bottom, top - bottom
        owner = np.concatenate([owner, live, live])
        x, y = np.concatenate([x, bottom, top]), np.concatenate([y, np.ones(len(live)), np.zeros(len(live))])
        keep = ~self._few[owner]
        owner, x, y = owner[keep], x[keep], y[keep]
        axis = 2.0 * owner + (x - self._low[owner]) / self._width[owner]
        order = np.argsort(axis, kind="stable")
        self._axis, self._value = axis[order], y[order]

    def at(self, event: IntArray, index: FloatArray) -> FloatArray:
        """G of each event at an index; 1 below and 0 above the ladder, NaN for fewer than two knots."""
        if not len(self._axis):
            return np.full(len(event), np.nan)
        place = np.clip((index - self._low[event]) / self._width[event], 0.0, 1.0)
        return np.where(self._few[event], np.nan, np.interp(2.0 * event + place, self._axis, self._value))
