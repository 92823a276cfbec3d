"""Whether a column is an outcome in disguise: equal to it, ranked as it is, or parting it into two.

An honest forecast resembles the outcome too. The yardstick is the lake's own
forecast at the same times: a column is like the outcome only where it is
clearly nearer to it. Which outcomes there are belongs to ``core.panel_suspicions``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kalshi_assets.core.columns import Bools, Ints, Reals

LEAST_ROWS = 5
MOST_EQUAL = 0.9
# Wide enough for columns kept as 32-bit floats.
RELATIVE = 1e-6
# Ranks are proved by a dozen events, not by their rows: all horizons of an event share its outcome.
_LEAST_EVENTS = 12
_LEAST_OF_A_VALUE = 3
_MOST_ALIKE = 0.98
_CLEARLY = 3.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an outcome was to be, shape (n_rows,) over the rows of a panel.

    Attributes:
        name: of the outcome, for sentences.
        truth: the outcome; NaN where it was learned by the row's as-of time, or never.
        own: the lake's own newest forecast of it at the row's as-of time; NaN where there is none.
    """

    name: str
    truth: Reals
    own: Reals


@dataclass(frozen=True, slots=True)
class Likeness:
    """The first rule by which a column is like an outcome.

    Attributes:
        rule: ``equals_outcome``, ``tracks_outcome`` or ``separates_outcome``.
        rows: rows compared.
        alike: rows that are like it.
        detail: what was found, in words.
    """

    rule: str
    rows: int
    alike: int
    detail: str


@dataclass(frozen=True, slots=True)
class _Compared:
    """The rows of one comparison: values, outcomes, the lake's forecasts (None where it has none), events."""

    value: Reals
    truth: Reals
    own: Reals | None
    event: Ints
    name: str

    def n_events(self, some: Bools) -> int:
        return int(np.unique(self.event[some]).size)


def likeness(value: Reals, outcome: Outcome, event: Ints, series: Ints) -> Likeness | None:
    """Compare a column with an outcome wherever that was learned only later, over all rows and within each series.

    Args:
        value: the column, shape (n_rows,); NaN where missing.
        outcome: of the same rows.
        event: each row's event as a code.
        series: each row's series as a code.

    Returns:
        The first rule that finds them alike, or None.
    """
    asked = np.flatnonzero(np.isfinite(value) & np.isfinite(outcome.truth))
    if found := _equals(value[asked], outcome.truth[asked], outcome.own[asked], outcome.name):
        return found
    for group in (asked, *(asked[series[asked] == s] for s in np.unique(series[asked]))):
        told = group[np.isfinite(outcome.own[group])]
        enough = np.unique(event[told]).size >= _LEAST_EVENTS
        rows = told if enough else group
        if np.unique(event[rows]).size < _LEAST_EVENTS:
            continue
        own = outcome.own[rows] if enough else None
        compared = _Compared(value[rows], outcome.truth[rows], own, event[rows], outcome.name)
        if found := _tracks(compared) or _separates(compared):
            return found
    return None


def _equals(value: Reals, truth: Reals, own: Reals, name: str) -> Likeness | None:
    """Equal to it more often than the lake's forecast is when rounded; two values are for the other rules."""
    if value.size < LEAST_ROWS or np.unique(truth).size < 3:
        return None
    same = np.isclose(value, truth, rtol=RELATIVE, atol=0.0)
    right = np.isfinite(own) & (_rounded(own, truth) == truth)
    if same.mean() < MOST_EQUAL or right.mean() >= MOST_EQUAL:
        return None
    said = f"equals {name} in {int(same.sum())} of {value.size} rows, where it was learned only later"
    return Likeness("equals_outcome", value.size, int(same.sum()), said)


def _rounded(own: Reals, truth: Reals) -> Reals:
    """Forecasts put on the nearest outcome there was, as whoever publishes a forecast rounds it."""
    levels = np.unique(truth)
    return np.take(levels, np.searchsorted((levels[1:] + levels[:-1]) / 2, own))


def _tracks(rows: _Compared) -> Likeness | None:
    """Ranked as it is, and by standard errors of Fisher's transform better than the lake's forecast."""
    n = int(np.unique(rows.event).size)
    alike, own = abs(_rank_correlation(rows.value, rows.truth)), 0.0
    if rows.own is not None:
        own = max(abs(_rank_correlation(f, rows.truth)) for f in (rows.own, _rounded(rows.own, rows.truth)))
    # A perfect order of n is no better proved than one that half a swap of neighbours would spoil.
    most = 1 - 6 / (n**3 - n)
    better = (math.atanh(min(alike, most)) - math.atanh(min(own, most))) * math.sqrt(n - 3)
    if alike < _MOST_ALIKE or better < _CLEARLY:
        return None
    said = f"|Spearman| {alike:.4f} with {rows.name} over {n} events, where it was learned only later; "
    said += "the lake has no forecast of it" if rows.own is None else f"the lake's own forecast has {own:.4f}"
    return Likeness("tracks_outcome", rows.value.size, rows.value.size, said)


def _rank_correlation(a: Reals, b: Reals) -> float:
    """Spearman's, ties at their mean rank; 0 where one does not vary."""
    x, y = _ranks(a), _ranks(b)
    spread = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / spread if spread > 0 else 0.0


def _ranks(values: Reals) -> Reals:
    """Ranks about their mean."""
    _, position, counts = np.unique(values, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[position]
    return np.asarray(rank - rank.mean(), np.float64)


def _separates(rows: _Compared) -> Likeness | None:
    """Column or outcome has two values, which part the other without an error, and the lake's forecast makes one."""
    for two, other in ((rows.value, rows.truth), (rows.truth, rows.value)):
        low = two == two.min()
        if np.unique(two).size != 2 or min(rows.n_events(low), rows.n_events(~low)) < _LEAST_OF_A_VALUE:
            continue
        if _parted(other, low) and (rows.own is None or not _parted(rows.own, low)):
            n = np.unique(rows.event).size
            said = f"separates {rows.name} into two without an error over {n} events, where it was learned only later; "
            said += "the lake has no forecast of it" if rows.own is None else "the lake's own forecast does not"
            return Likeness("separates_outcome", two.size, two.size, said)
    return None


def _parted(values: Reals, low: Bools) -> bool:
    below, above = values[low], values[~low]
    return bool(below.max() < above.min() or above.max() < below.min())
