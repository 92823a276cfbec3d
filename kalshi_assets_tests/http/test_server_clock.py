from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.http import ServerClock


def test_the_offset_is_measured_at_once_and_applied_on_demand() -> None:
    local = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC).timestamp()
    clock = ServerClock(lambda: local)
    clock.observe("Sun, 22 Nov 2026 12:01:00 GMT")
    assert clock.measured_skew_s == 60.5
    assert clock.now_ms() == int(local * 1000)
    clock.resync()
    assert clock.now_ms() == int((local + 60.5) * 1000)
    assert clock.now() == datetime(2026, 11, 22, 12, 1, 0, 500000, tzinfo=UTC)


def test_resync_without_a_measurement_changes_nothing() -> None:
    clock = ServerClock(lambda: 5.0)
    clock.observe(None)
    clock.resync()
    assert clock.now_ms() == 5000


@settings(deadline=None)
@given(st.text(max_size=40))
def test_an_unreadable_header_is_no_measurement(header: str) -> None:
    clock = ServerClock(lambda: 5.0)
    clock.observe(header)
    clock.resync()
    assert clock.now_ms() == 5000 or clock.measured_skew_s is not None
