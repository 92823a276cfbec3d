"""New York days and clocks as UTC instants; which day anything happens does not belong here."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")


def at_clock(day: date, clock: tuple[int, int]) -> datetime:
    """The UTC instant of a New York wall-clock time (hour, minute)."""
    return datetime.combine(day, time(*clock), tzinfo=NEW_YORK).astimezone(UTC)


def start_of_day(day: date) -> datetime:
    """The UTC instant of New York midnight that begins a day."""
    return at_clock(day, (0, 0))


def end_of_day(day: date) -> datetime:
    """The UTC instant of New York midnight that ends a day: by then, what the day brought is known."""
    return start_of_day(day + timedelta(days=1))
