"""Roles in a fold: literal cases, purge by event type, no overlap for any events."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.folds import ROLES, TEST, TRAIN, US_PER_DAY, Fold, assign_roles, decisions_at, overlapping
from kalshi_assets.errors import DomainError

D = US_PER_DAY


def fold_of(days: list[float], *, test_day: int, purge: list[float], labelled: list[bool] | None = None, **k) -> Fold:  # type: ignore[no-untyped-def]
    """Events decided a day before their release and learned at it; times in days."""
    day = np.array(days)
    known = np.array(labelled) if labelled else day < test_day - 1
    return assign_roles(
        day.astype(np.int64),
        ((day - 1) * D).astype(np.int64),
        (day * D).astype(np.int64),
        known,
        (np.array(purge) * D).astype(np.int64),
        test_day=test_day,
        **k,
    )


def names(fold: Fold) -> list[str]:
    return [ROLES[r] for r in fold.role]


def test_literal_roles() -> None:
    fold = fold_of([10, 16, 17, 18, 20, 20, 25], test_day=20, purge=[2] * 7)
    # The test starts on day 19; a label may end on day 17 at the latest.
    assert names(fold) == ["train", "train", "train", "purged", "test", "test", "future"]
    assert fold.test_start_us == 19 * D
    assert fold.members(TRAIN).tolist() == [0, 1, 2]
    assert fold.members(TEST).tolist() == [4, 5]


def test_purge_follows_the_longer_event_type_of_the_pair() -> None:
    base = [14, 15, 16, 17, 20]
    assert names(fold_of(base, test_day=20, purge=[1] * 5))[:4] == ["train"] * 4
    assert names(fold_of(base, test_day=20, purge=[1, 1, 1, 1, 3]))[:4] == ["train", "train", "train", "purged"]
    assert names(fold_of(base, test_day=20, purge=[1, 5, 1, 1, 1]))[:4] == ["train", "purged", "train", "train"]


def test_a_label_that_ends_exactly_at_the_purge_window_trains() -> None:
    assert names(fold_of([17, 20], test_day=20, purge=[2, 2])) == ["train", "test"]
    assert names(fold_of([17.001, 20], test_day=20, purge=[2, 2])) == ["purged", "test"]


def test_embargo_takes_whole_release_dates_and_never_adds() -> None:
    days = [3, 5, 5, 7, 9, 20]
    counts = []
    for embargo in range(6):
        fold = fold_of(days, test_day=20, purge=[2] * 6, embargo_dates=embargo)
        counts.append(len(fold.members(TRAIN)))
    assert counts == [5, 4, 3, 1, 0, 0]


def test_unlabelled_events_are_named() -> None:
    fold = fold_of([5, 8, 20], test_day=20, purge=[2] * 3, labelled=[True, False, False])
    assert names(fold) == ["train", "unlabelled", "test"]


def test_a_label_learned_after_the_test_began_is_an_error() -> None:
    with pytest.raises(DomainError, match="at or after the test start"):
        fold_of([10, 19, 20], test_day=20, purge=[0] * 3, labelled=[True, True, False])


def test_a_day_without_events_is_an_error() -> None:
    with pytest.raises(DomainError, match="No event"):
        fold_of([10, 11], test_day=20, purge=[0] * 2)


def test_an_event_that_moved_speaks_as_it_was_decided_then() -> None:
    """Event 0 is decided for day 10, moves to day 30 and is decided again; event 2 moves within its horizon."""
    event = np.array([0, 1, 2, 0, 3])
    day = np.array([10, 12, 20, 30, 30])
    start = (day - 1) * D
    spoken = {d: np.flatnonzero(decisions_at(event, day, start, d)).tolist() for d in (10, 12, 20, 30)}
    assert spoken == {10: [0], 12: [0, 1], 20: [0, 1, 2], 30: [1, 2, 3, 4]}
    counts = decisions_at(event, day, start, 30)
    fold = assign_roles(day, start, start, day < 20, np.zeros(5, np.int64), test_day=30, counts=counts)
    assert names(fold) == ["future", "train", "unlabelled", "test", "test"]


def test_an_event_that_moved_within_its_day_is_tested_as_it_was_decided_first() -> None:
    event, day = np.array([1, 0, 0]), np.array([5, 10, 10])
    assert decisions_at(event, day, np.array([4 * D, 9 * D, 9 * D + 5]), 10).tolist() == [True, True, False]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_training_label_meets_the_purged_test_interval(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 25))
    integers = st.integers(0, 40)
    day = np.array(data.draw(st.lists(integers, min_size=n, max_size=n)), dtype=np.int64)
    lead = np.array(data.draw(st.lists(st.integers(1, 30), min_size=n, max_size=n)), dtype=np.int64)
    lag = np.array(data.draw(st.lists(st.integers(0, 20), min_size=n, max_size=n)), dtype=np.int64)
    purge = np.array(data.draw(st.lists(st.integers(0, 10), min_size=n, max_size=n)), dtype=np.int64)
    test_day = int(data.draw(st.sampled_from(day.tolist())))
    start, end = day - lead, day + lag
    test_start = start[day == test_day].min()
    embargo = data.draw(st.integers(0, 3))
    fold = assign_roles(day, start, end, end < test_start, purge, test_day=test_day, embargo_dates=embargo)
    longest = purge[day == test_day].max()
    for i in fold.members(TRAIN):
        assert start[i] < test_start
        assert end[i] <= test_start - max(purge[i], longest)
        assert day[i] != test_day
    assert (fold.role[day == test_day] == TEST).all()
    later = np.append(day, test_day + 100), np.append(start, test_day + 90), np.append(end, test_day + 100)
    again = assign_roles(
        *later, np.append(end < test_start, False), np.append(purge, 10), test_day=test_day, embargo_dates=embargo
    )
    assert again.role[:-1].tolist() == fold.role.tolist()


def test_overlap_inside_training_is_symmetric_and_counts_shared_dates() -> None:
    day = np.array([10, 10, 13, 30])
    together = overlapping(day, (day - 1) * D, day * D, np.array([3, 0, 0, 0]) * D)
    assert together.astype(int).tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]]
