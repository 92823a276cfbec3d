"""When an event's number is due, and how that was learned."""

from datetime import UTC, date, datetime

import pytest

from kalshi_assets.core.release_times import ScheduledRelease, new_york_date, release_mappings

LISTED = datetime(2025, 8, 20, 14, tzinfo=UTC)
CLOSE = datetime(2025, 10, 15, 12, 25, tzinfo=UTC)


def entry(day, known, source="bls"):
    return ScheduledRelease(datetime(*day, 12, 30, tzinfo=UTC), datetime(*known, tzinfo=UTC), source)


def test_the_calendar_decides():
    (only,) = release_mappings("KXCPIYOY", LISTED, CLOSE, [entry((2025, 10, 15), (2025, 1, 1))])
    assert (only.version, only.event_date, only.source) == ("v1", date(2025, 10, 15), "calendar:bls")
    assert (only.effective_from, only.effective_to) == (LISTED, None)


def test_a_release_that_moved_keeps_its_history():
    """The September 2025 CPI: scheduled for the 15th of October, announced on the 10th to come on the 24th."""
    moved = [entry((2025, 10, 24), (2025, 10, 10)), entry((2025, 10, 15), (2025, 1, 1))]
    first, second = release_mappings("KXCPIYOY", LISTED, CLOSE, moved)
    assert (first.version, first.event_date, first.effective_from) == ("v1", date(2025, 10, 15), LISTED)
    assert first.effective_to == second.effective_from == datetime(2025, 10, 10, tzinfo=UTC)
    assert (second.version, second.event_date, second.effective_to) == ("v2", date(2025, 10, 24), None)


def test_what_was_superseded_before_listing_is_no_version():
    moved = [entry((2025, 10, 14), (2025, 1, 1)), entry((2025, 10, 15), (2025, 6, 1))]
    assert [m.event_date for m in release_mappings("KXCPIYOY", LISTED, CLOSE, moved)] == [date(2025, 10, 15)]


def test_saying_the_same_again_makes_no_version():
    same = [entry((2025, 10, 15), (2025, 1, 1)), entry((2025, 10, 15), (2025, 9, 1))]
    assert len(release_mappings("KXCPIYOY", LISTED, CLOSE, same)) == 1


def test_without_a_calendar_the_release_clock_after_the_close():
    (only,) = release_mappings("KXU3", LISTED, CLOSE, [])
    assert only.release_time == datetime(2025, 10, 15, 12, 30, tzinfo=UTC)
    assert only.source == "exchange_close_clock"


@pytest.mark.parametrize(
    ("series", "close", "release"),
    [
        ("KXFED", datetime(2025, 9, 17, 17, 55, tzinfo=UTC), datetime(2025, 9, 17, 18, tzinfo=UTC)),
        ("KXFED", datetime(2025, 12, 10, 18, 55, tzinfo=UTC), datetime(2025, 12, 10, 19, tzinfo=UTC)),
        ("KXU3", datetime(2025, 9, 5, 12, 25, tzinfo=UTC), datetime(2025, 9, 5, 12, 30, tzinfo=UTC)),
        ("KXU3", datetime(2025, 12, 16, 13, 25, tzinfo=UTC), datetime(2025, 12, 16, 13, 30, tzinfo=UTC)),
    ],
)
def test_a_clock_is_new_yorks_in_summer_and_in_winter(series, close, release):
    (only,) = release_mappings(series, LISTED, close, [])
    assert (only.release_time, only.source) == (release, "exchange_close_clock")


def test_after_the_clock_the_close_itself():
    late = datetime(2025, 9, 17, 18, 1, tzinfo=UTC)
    (only,) = release_mappings("KXFED", LISTED, late, [])
    assert (only.release_time, only.source) == (late, "exchange_close_time")


def test_without_a_clock_the_close_itself():
    close = datetime(2026, 3, 31, 4, 59, tzinfo=UTC)
    (only,) = release_mappings("KXHIGHNY", LISTED, close, [])
    assert (only.release_time, only.source) == (close, "exchange_close_time")
    assert only.event_date == date(2026, 3, 31)


def test_a_day_is_new_yorks():
    assert new_york_date(datetime(2024, 1, 5, 4, 59, tzinfo=UTC)) == date(2024, 1, 4)
    assert new_york_date(datetime(2024, 7, 5, 4, 0, tzinfo=UTC)) == date(2024, 7, 5)
