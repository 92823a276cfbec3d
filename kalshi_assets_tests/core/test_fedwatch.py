"""FedWatch arithmetic against the published example, by hand, and by its own laws."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_assets.core.fedwatch import (
    STEP,
    Moves,
    average_rate,
    chained,
    changes_at_meetings,
    end_rate,
    month_number,
    move_probabilities,
    moves_through,
    start_rate,
)
from kalshi_assets.errors import DomainError

AUG, SEP, OCT, NOV = (month_number(date(2015, m, 1)) for m in (8, 9, 10, 11))
MEETINGS = [date(2015, 7, 29), date(2015, 9, 17), date(2015, 10, 28), date(2015, 12, 16)]


def test_the_published_example() -> None:
    """CME's methodology: FFQ5 at 99.8675, FFU5 at 99.805, the meeting of 16-17 September 2015."""
    average = {AUG: average_rate(99.8675), SEP: average_rate(99.805)}
    end = end_rate(average[SEP], average[AUG], 16, 30)
    assert end == pytest.approx(0.26643, abs=5e-6)
    assert move_probabilities(end - average[AUG]).of(1) == pytest.approx(0.536, abs=5e-4)
    moves = moves_through(average, MEETINGS, date(2015, 8, 25), date(2015, 9, 17))
    assert moves is not None
    assert [moves.of(k) for k in (-1, 0, 1, 2)] == pytest.approx([0.0, 1 - 0.5357142857, 0.5357142857, 0.0])


def test_whole_moves_and_cuts() -> None:
    assert move_probabilities(0.0).probability.tolist() == [1.0]
    assert (move_probabilities(0.5).first, move_probabilities(0.5).probability.tolist()) == (2, [1.0])
    cut = move_probabilities(-0.30)
    assert (cut.first, cut.of(-2), cut.of(-1)) == (-2, pytest.approx(0.2), pytest.approx(0.8))
    assert move_probabilities(0.1 + 0.2 - 0.05).probability.tolist() == [1.0], "0.25 but for binary representation"


def test_two_meetings_are_convolved() -> None:
    both = chained([Moves(0, np.array([0.4, 0.6])), Moves(-1, np.array([0.5, 0.5]))])
    assert both.first == -1
    assert both.probability.tolist() == pytest.approx([0.2, 0.5, 0.3])
    assert chained([]).of(0) == 1.0


def test_a_meeting_after_a_meeting_starts_where_that_one_ended() -> None:
    average = {AUG: 0.13, SEP: end_and_average(0.13, 0.38, 16, 30), OCT: end_and_average(0.38, 0.63, 27, 31)}
    changes = changes_at_meetings(average, MEETINGS)
    assert changes == {date(2015, 9, 17): pytest.approx(0.25), date(2015, 10, 28): pytest.approx(0.25)}
    through = moves_through(average, MEETINGS, date(2015, 8, 25), date(2015, 10, 28))
    assert through is not None
    assert through.of(2) == pytest.approx(1.0)


def end_and_average(start: float, end: float, before: int, days: int) -> float:
    """A month's average, from its two rates."""
    return (start * before + end * (days - before)) / days


def test_without_a_price_before_the_month_after_serves() -> None:
    average = {OCT: end_and_average(0.13, 0.38, 27, 31), NOV: 0.38}
    assert changes_at_meetings(average, MEETINGS) == {date(2015, 10, 28): pytest.approx(0.25)}


def test_between_two_meeting_months_a_curve_is_walked_back_from_the_month_after_them() -> None:
    """The rate is 0.13 for 16 days of September, 0.38 for 14 and for 27 of October, 0.63 for 4 and in November."""
    average = {SEP: 7.40 / 30, OCT: 12.78 / 31, NOV: 0.63}
    # October: (12.78 - 4 * 0.63) / 27 = 0.38 before its meeting; September: (7.40 - 14 * 0.38) / 16 = 0.13.
    assert changes_at_meetings(average, MEETINGS) == {
        date(2015, 9, 17): pytest.approx(0.25), date(2015, 10, 28): pytest.approx(0.25),
    }  # fmt: skip
    moves = moves_through(average, MEETINGS, date(2015, 9, 10), date(2015, 9, 17))
    assert moves is not None
    assert moves.of(1) == pytest.approx(1.0)
    assert changes_at_meetings({SEP: 7.40 / 30, NOV: 0.63}, MEETINGS) == {}, "no price of the month between"
    both = changes_at_meetings(average | {AUG: 0.13, NOV: 0.99}, MEETINGS)
    assert both[date(2015, 10, 28)] == pytest.approx(0.25), "the month before comes first"


def test_a_committee_that_meets_three_months_running() -> None:
    """On 6 May 2025 the contract of April has expired; August is the first month without a meeting."""
    meetings = [date(2025, 5, 7), date(2025, 6, 18), date(2025, 7, 30)]
    may, june, july, august = (month_number(date(2025, m, 1)) for m in (5, 6, 7, 8))
    average = {
        may: end_and_average(4.33, 4.23, 6, 31), june: end_and_average(4.23, 4.08, 17, 30),
        july: end_and_average(4.08, 4.13, 29, 31), august: 4.13,
    }  # fmt: skip
    assert list(changes_at_meetings(average, meetings).values()) == pytest.approx([-0.10, -0.15, 0.05])
    with_first = [date(2025, 7, 1) if m.month == 7 else m for m in meetings]
    assert changes_at_meetings(average, with_first) == {}, "no day of July tells of the rate before its first"


def test_what_the_curve_leaves_open_is_absent() -> None:
    assert changes_at_meetings({SEP: 0.2}, MEETINGS) == {}
    assert changes_at_meetings({AUG: 0.1, SEP: 0.2}, [*MEETINGS, date(2015, 9, 3)]) == {}, "two meetings of one month"
    assert moves_through({AUG: 0.1, SEP: 0.2}, MEETINGS, date(2015, 8, 25), date(2015, 10, 28)) is None
    assert moves_through({AUG: 0.1, SEP: 0.2}, MEETINGS, date(2015, 9, 17), date(2015, 9, 17)) is None, "it is over"


def test_a_meeting_on_the_first_has_its_whole_month_after_it() -> None:
    assert end_rate(4.58, 4.33, 0, 28) == pytest.approx(4.58)
    with pytest.raises(DomainError, match="none after it"):
        end_rate(4.0, 4.0, 31, 31)
    with pytest.raises(DomainError, match="no day before it"):
        start_rate(4.0, 4.0, 0, 30)


@given(st.floats(0, 6), st.floats(-1, 1), st.integers(1, 29), st.integers(30, 31))
def test_start_and_end_undo_each_other(start: float, change: float, before: int, days: int) -> None:
    average = end_and_average(start, start + change, before, days)
    end = end_rate(average, start, before, days)
    assert end == pytest.approx(start + change, abs=1e-9)
    assert start_rate(average, end, before, days) == pytest.approx(start, abs=1e-9)


@given(st.lists(st.floats(-2, 2), max_size=8))
def test_the_mean_of_the_chain_is_the_sum_of_the_changes(changes: list[float]) -> None:
    total = chained([move_probabilities(c) for c in changes])
    assert total.probability.sum() == pytest.approx(1.0)
    assert total.probability.min() >= 0
    assert STEP * float(total.steps @ total.probability) == pytest.approx(sum(changes), abs=1e-6)
