"""When a date wants a refresh."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kalshi_assets.core.cadence import AFTERWARDS, plan, slots

RELEASE = datetime(2024, 10, 10, 12, 30, tzinfo=UTC)
DAY = date(2024, 10, 10)


def test_slots_tighten_towards_the_release_and_go_on_after_it():
    times = slots(RELEASE)
    ahead = [RELEASE - t for t in times if t < RELEASE]
    assert ahead[0] == timedelta(days=30)
    assert ahead[-1] == timedelta(minutes=1)
    gaps = [a - b for a, b in pairwise(ahead)]
    assert gaps[0] == timedelta(days=1)
    assert gaps[-1] == timedelta(minutes=1)
    assert all(later <= earlier for earlier, later in pairwise(gaps))
    assert [t - RELEASE for t in times if t > RELEASE] == list(AFTERWARDS)


def test_a_new_date_is_registered_and_refreshed_once_a_slot():
    now = RELEASE - timedelta(minutes=10, seconds=30)
    first = plan({DAY: [RELEASE]}, [], {}, now)
    assert first.new_dates == (DAY,)
    (refresh,) = first.refreshes
    assert refresh.slot == RELEASE - timedelta(minutes=11)
    assert refresh.run_key == "2024-10-10@2024-10-10T12:19:00Z"
    again = plan({DAY: [RELEASE]}, [DAY], {DAY: refresh.slot}, now)
    assert again.refreshes == ()
    assert again.reason == "Nothing is due; the next refresh is at 2024-10-10 12:20 UTC."


def test_missed_ticks_are_caught_up_by_one_refresh():
    served = {DAY: RELEASE - timedelta(hours=2)}
    todo = plan({DAY: [RELEASE]}, [DAY], served, RELEASE - timedelta(minutes=3))
    assert [r.slot for r in todo.refreshes] == [RELEASE - timedelta(minutes=3)]


def test_the_print_is_fetched_after_the_release():
    todo = plan({DAY: [RELEASE]}, [DAY], {DAY: RELEASE - timedelta(minutes=1)}, RELEASE + timedelta(minutes=2))
    assert [(r.slot, r.after_release) for r in todo.refreshes] == [(RELEASE + timedelta(minutes=2), True)]


def test_history_is_registered_but_not_refreshed():
    todo = plan({DAY: [RELEASE]}, [], {}, RELEASE + timedelta(days=400))
    assert todo.new_dates == (DAY,)
    assert todo.refreshes == ()


def test_nothing_listed_says_so():
    assert plan({}, [], {}, RELEASE).reason == "Nothing is listed whose release lies ahead."


@given(
    st.lists(st.integers(-50_000, 50_000), min_size=1, max_size=6, unique=True),
    st.integers(-60_000, 60_000),
    st.integers(0, 5_000),
)
def test_serving_the_plan_leaves_nothing_due(minutes, now_minute, later):
    """Whatever the calendar: what was just served is not asked for again, and slots never lie ahead."""
    moments = {(RELEASE + timedelta(minutes=m)).date(): [] for m in minutes}
    for m in minutes:
        moments[(RELEASE + timedelta(minutes=m)).date()].append(RELEASE + timedelta(minutes=m))
    now = RELEASE + timedelta(minutes=now_minute)
    todo = plan(moments, [], {}, now)
    assert list(todo.new_dates) == sorted(moments)
    assert all(r.slot <= now for r in todo.refreshes)
    served = {r.event_date: r.slot for r in todo.refreshes}
    assert plan(moments, todo.new_dates, served, now).refreshes == ()
    then = plan(moments, todo.new_dates, served, now + timedelta(minutes=later))
    assert all(r.slot > served.get(r.event_date, now - timedelta(days=10_000)) for r in then.refreshes)
