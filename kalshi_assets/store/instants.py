"""The one reading of an as-of time, for every door: an instant, never a guess at a time zone."""

from __future__ import annotations

from datetime import UTC, datetime

from kalshi_assets.errors import UsageError

_EXAMPLE = "write one like 2024-10-10T04:00:00Z, or give a datetime with its tzinfo"


def utc_instant(given: object) -> datetime:
    """An instant in UTC.

    Args:
        given: a timezone-aware datetime, or ISO 8601 text with a zone, such as ``2024-10-10T00:00:00-04:00``.

    Raises:
        UsageError: anything else. A day is no instant: it begins at another one in every zone.
    """
    moment = given
    if isinstance(given, str):
        try:
            moment = datetime.fromisoformat(given)
        except ValueError:
            moment = None
    if not isinstance(moment, datetime):
        raise UsageError(f"The as-of time {given!r} is no time: {_EXAMPLE}.")
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise UsageError(f"The as-of time {str(given)!r} has no time zone: {_EXAMPLE}.")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise UsageError(f"The as-of time {str(given)!r} lies outside the years 1 to 9999: {_EXAMPLE}.") from error
