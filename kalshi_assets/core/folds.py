"""Who trains and who is tested: roles of events in one fold of an expanding walk-forward.

Intervals and days only: no features, no models. An event's label interval is
``[label_start, label_end)``: from the decision on its distribution to the
moment its print was learned. Purging happens here and nowhere else; feature
times are never moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kalshi_assets.errors import DomainError

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

US_PER_DAY = 86_400_000_000
ROLES = ("future", "train", "test", "purged", "embargoed", "unlabelled")
FUTURE, TRAIN, TEST, PURGED, EMBARGOED, UNLABELLED = range(len(ROLES))


@dataclass(frozen=True, slots=True)
class Fold:
    """Roles of all events in the fold of one test date.

    Attributes:
        test_start_us: start of the test interval: the earliest decision time among the tested events.
        role: int8 array (n_events,), indices into ``ROLES``; ``future`` marks events not known at the test start.
    """

    test_start_us: int
    role: npt.NDArray[np.int8]

    def members(self, role: int) -> IntArray:
        """Positions of the events in a role, ascending."""
        return np.flatnonzero(self.role == role).astype(np.int64)


def test_start(event_day: IntArray, label_start: IntArray, test_day: int) -> int | None:
    """Earliest decision time among the events of a day, in microseconds; None without such an event."""
    tested = event_day == test_day
    return int(label_start[tested].min()) if tested.any() else None


def decisions_at(event: IntArray, event_day: IntArray, label_start: IntArray, test_day: int) -> BoolArray:
    """Which decision speaks for each event in the fold of a test date, where a release moved and it was decided twice.

    A tested event speaks as it was first decided for that date, whatever became of the date later. Any other event
    speaks under the last mapping known when the test began.

    Args:
        event: code of each decision's event, shape (n,).
        event_day: release dates as known at each decision, days since the epoch, shape (n,).
        label_start: decision times in microseconds, ascending, shape (n,).
        test_day: release date under test, with a decision at least.

    Returns:
        Shape (n,), True for one decision an event at most; False for all that were not taken yet.
    """
    tested = np.flatnonzero(event_day == test_day)
    counts = np.zeros(len(event), dtype=np.bool_)
    counts[tested[np.unique(event[tested], return_index=True)[1]]] = True
    before = np.flatnonzero((label_start < label_start[tested[0]]) & ~np.isin(event, event[tested]))[::-1]
    counts[before[np.unique(event[before], return_index=True)[1]]] = True
    return counts


def assign_roles(
    event_day: IntArray,
    label_start: IntArray,
    label_end: IntArray,
    labelled: BoolArray,
    purge_us: IntArray,
    *,
    test_day: int,
    embargo_dates: int = 0,
    counts: BoolArray | None = None,
) -> Fold:
    """Split the events known at the start of a test date.

    All events of the test date are tested together, because releases of one day share a print or a market
    reaction; none of them can train. An earlier event trains when its label interval ended by the test
    start minus the purge. The purge of a pair is the longer of the event's own and the tested events'.

    Args:
        event_day: release dates as days since the epoch, shape (n,).
        label_start: decision times in microseconds, shape (n,).
        label_end: times at which the prints were learned, shape (n,); ignored where not labelled.
        labelled: True where a usable label was known before the test start, shape (n,).
        purge_us: purge of each event's type in microseconds, shape (n,).
        test_day: release date under test.
        embargo_dates: further release dates, the newest that would train, to leave out. In a walk-forward
            training precedes testing, so the embargo only lengthens the gap.
        counts: which rows speak for their events (``decisions_at``), shape (n,); the others have no part in the
            fold. None where each event has one row.

    Returns:
        The fold.

    Raises:
        DomainError: no event on the test date, or a label that was learned at or after the test start.
    """
    start = test_start(event_day, label_start, test_day)
    if start is None:
        raise DomainError(f"No event is decided for test day {test_day}: build its features first.")
    speaks = np.ones(len(event_day), dtype=np.bool_) if counts is None else counts
    tested = (event_day == test_day) & speaks
    candidate = (label_start < start) & (event_day != test_day) & speaks
    late = candidate & labelled & (label_end >= start)
    if late.any():
        raise DomainError(
            f"{int(late.sum())} labels offered for training were learned at or after the test start "
            f"(first at position {int(np.flatnonzero(late)[0])}): read labels as of the test start."
        )
    purge = np.maximum(purge_us, purge_us[tested].max())
    role = np.full(len(event_day), FUTURE, dtype=np.int8)
    role[candidate] = TRAIN
    role[candidate & (label_end > start - purge)] = PURGED
    role[candidate & ~labelled] = UNLABELLED
    role[tested] = TEST
    if embargo_dates > 0:
        newest = np.unique(event_day[role == TRAIN])[-embargo_dates:]
        role[(role == TRAIN) & np.isin(event_day, newest)] = EMBARGOED
    return Fold(start, role)


def overlapping(event_day: IntArray, label_start: IntArray, label_end: IntArray, purge_us: IntArray) -> BoolArray:
    """Which events must leave together when one of them is held out inside the training set.

    Args:
        event_day: release dates as days since the epoch, shape (n,).
        label_start: decision times, shape (n,), microseconds.
        label_end: learning times, shape (n,), microseconds.
        purge_us: purge of each event's type, shape (n,), microseconds.

    Returns:
        Symmetric (n, n) matrix, True on the diagonal: same release date, or half-open label
        intervals that meet once one of them is widened by the longer purge of the two.
    """
    purge = np.maximum(purge_us[:, None], purge_us[None, :])
    meets = (label_start[None, :] < label_end[:, None] + purge) & (label_end[None, :] > label_start[:, None] - purge)
    return np.asarray(meets | (event_day[:, None] == event_day[None, :]), dtype=np.bool_)
