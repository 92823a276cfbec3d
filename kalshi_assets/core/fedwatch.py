"""What fed funds futures say of the committee's next decisions: the arithmetic of CME's FedWatch.

A month's contract settles at 100 minus the average of the effective rate over
the month's days. A meeting splits its month: M days at the rate before, the
others at the rate after it. Formulas as in CME's published methodology. Which
prices were known at a time belongs to ``core.rate_reference``.

Rates are in per cent a year; a move is a multiple of ``STEP``.
"""

from __future__ import annotations

import calendar
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from kalshi_assets.core.columns import Reals
from kalshi_assets.errors import DomainError

STEP = 0.25


@dataclass(frozen=True, slots=True)
class Moves:
    """A distribution over a number of steps.

    Attributes:
        first: the least number of steps that has probability.
        probability: of ``first``, ``first + 1``, ...; sums to one.
    """

    first: int
    probability: Reals

    @property
    def steps(self) -> Reals:
        """The numbers of steps, shape of ``probability``."""
        return self.first + np.arange(self.probability.size, dtype=np.float64)

    def of(self, steps: int) -> float:
        """Probability of exactly this many steps."""
        at = steps - self.first
        return float(self.probability[at]) if 0 <= at < self.probability.size else 0.0


def average_rate(price: float) -> float:
    """The month's average rate behind a contract's price: 100 - P."""
    return 100.0 - price


def end_rate(average: float, start: float, days_before: int, days: int) -> float:
    """The rate after a meeting: N / (N - M) * (average - M / N * start).

    Args:
        average: the month's average rate.
        start: the rate before the meeting.
        days_before: M, days of the month at the rate before.
        days: N, days of the month.

    Raises:
        DomainError: the meeting leaves no day of the month after it.
    """
    if not 0 <= days_before < days:
        raise DomainError(f"a meeting after {days_before} of {days} days leaves none after it; use the next month")
    return days / (days - days_before) * (average - days_before / days * start)


def start_rate(average: float, end: float, days_before: int, days: int) -> float:
    """The rate before a meeting, from the rate after it: the same identity solved for the start.

    Raises:
        DomainError: the meeting leaves no day of the month before it.
    """
    if not 0 < days_before <= days:
        raise DomainError(f"a meeting after {days_before} of {days} days leaves no day before it; use the month before")
    return days / days_before * (average - (days - days_before) / days * end)


def move_probabilities(change: float, step: float = STEP) -> Moves:
    """The two-point distribution over whole steps whose mean is the change.

    A change of 0.134 is a step of 0.25 with probability 0.536, and none with 0.464.
    """
    # What is a whole number but for its binary representation must not grow a second point.
    steps = round(change / step, 9)
    whole = math.floor(steps)
    part = steps - whole
    return Moves(whole, np.array([1.0 - part, part]) if part > 0 else np.array([1.0]))


def chained(moves: Sequence[Moves]) -> Moves:
    """The distribution of the sum of several meetings' moves, taken as independent: their convolution."""
    total = Moves(0, np.array([1.0]))
    for m in moves:
        total = Moves(total.first + m.first, np.convolve(total.probability, m.probability))
    return total


def month_number(day: date) -> int:
    """Months since year 0."""
    return day.year * 12 + day.month - 1


def changes_at_meetings(average: Mapping[int, float], meetings: Sequence[date]) -> dict[date, float]:
    """The change of the rate that a curve implies for each meeting.

    A meeting's starting rate is the average of the month before where no meeting falls into that one, else the
    rate after the meeting there. Where neither is known, as when the contract of that month has expired, the curve
    is walked back: the rate after the meeting is the average of the month after where no meeting falls into that
    one, else the rate before the meeting there. M counts the days before the decision's.

    Args:
        average: the average rate of each month that has a price, by ``month_number``.
        meetings: the days of the decisions, every meeting in the months around those wanted.

    Returns:
        By meeting; a meeting whose change the curve does not determine is absent, and so are two of one month.
    """
    by_month: dict[int, list[date]] = {}
    for meeting in sorted(set(meetings)):
        by_month.setdefault(month_number(meeting), []).append(meeting)
    single = {month: here[0] for month, here in by_month.items() if len(here) == 1 and month in average}
    # A month without a meeting begins and ends at its average.
    begins = {month: rate for month, rate in average.items() if month not in by_month}
    ends = dict(begins)
    changes: dict[date, float] = {}
    for month, day in single.items():
        if month - 1 in ends:
            start = ends[month - 1]
            ends[month] = end_rate(average[month], start, day.day - 1, _length(day))
            changes[day] = ends[month] - start
    for month, day in reversed(single.items()):
        if day not in changes and month + 1 in begins and day.day > 1:
            end = begins[month + 1]
            begins[month] = start_rate(average[month], end, day.day - 1, _length(day))
            changes[day] = end - begins[month]
    return {day: changes[day] for day in single.values() if day in changes}


def _length(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def moves_through(average: Mapping[int, float], meetings: Sequence[date], since: date, until: date) -> Moves | None:
    """All moves at the meetings after ``since`` and up to ``until``; None where the curve leaves one of them open."""
    changes = changes_at_meetings(average, meetings)
    between = [m for m in sorted(set(meetings)) if since < m <= until]
    if not between or between[-1] != until or any(m not in changes for m in between):
        return None
    return chained([move_probabilities(changes[m]) for m in between])
