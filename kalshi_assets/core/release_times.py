"""When an event's number is published, and how that was learned.

The release calendar decides where it knows the period; otherwise the
exchange's own closing time stands in, flagged. Fetching either is not done here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from kalshi_assets.core.series import release_clock_of

NEW_YORK = ZoneInfo("America/New_York")


@dataclass(frozen=True, slots=True)
class ScheduledRelease:
    """One version of one calendar entry.

    Attributes:
        release_time: UTC instant of publication.
        known_at: when this version of the entry was public.
        source: who said so.
    """

    release_time: datetime
    known_at: datetime
    source: str


@dataclass(frozen=True, slots=True)
class Mapping:
    """One version of an event's release.

    Attributes:
        version: ``v1``, ``v2``, ... in the order in which they became known.
        release_time: UTC instant of publication.
        event_date: its New York date, the partition key.
        effective_from: from when this version was the one to believe.
        effective_to: until when (exclusive); None for the newest.
        source: ``calendar:...``, ``exchange_close_clock`` or ``exchange_close_time``.
    """

    version: str
    release_time: datetime
    event_date: date
    effective_from: datetime
    effective_to: datetime | None
    source: str


def new_york_date(moment: datetime) -> date:
    """The day in New York that an instant falls on."""
    return moment.astimezone(NEW_YORK).date()


def release_mappings(
    series_ticker: str, listed_at: datetime, close_time: datetime, entries: Sequence[ScheduledRelease]
) -> list[Mapping]:
    """The versions of one event's release time, oldest first; never empty.

    Args:
        series_ticker: decides the release clock where the calendar is silent.
        listed_at: when the event could first be traded; no version is effective before.
        close_time: when trading of its last contract stops.
        entries: what the calendar ever said of the event's period.

    Returns:
        One mapping for each time that the calendar changed its mind, or the single stand-in from the exchange.
    """
    if not entries:
        moment, source = _from_close(series_ticker, close_time)
        return [Mapping("v1", moment, new_york_date(moment), listed_at, None, source)]
    ordered = sorted(entries, key=lambda e: e.known_at)
    # The entry in force at listing, then every later change.
    first = max((i for i, e in enumerate(ordered) if e.known_at <= listed_at), default=0)
    kept: list[ScheduledRelease] = []
    for entry in ordered[first:]:
        if not kept or entry.release_time != kept[-1].release_time:
            kept.append(entry)
    starts = [max(listed_at, e.known_at) if i else listed_at for i, e in enumerate(kept)]
    ends = [*starts[1:], None]
    return [
        Mapping(f"v{i}", e.release_time, new_york_date(e.release_time), start, end, f"calendar:{e.source}")
        for i, (e, start, end) in enumerate(zip(kept, starts, ends, strict=True), start=1)
    ]


def _from_close(series_ticker: str, close_time: datetime) -> tuple[datetime, str]:
    """Trading stops minutes before a print: the next release clock that day, else the close itself."""
    clock = release_clock_of(series_ticker)
    if clock is not None:
        local = close_time.astimezone(NEW_YORK)
        release = local.replace(hour=clock[0], minute=clock[1], second=0, microsecond=0)
        if release >= local:
            return release.astimezone(close_time.tzinfo), "exchange_close_clock"
    return close_time, "exchange_close_time"
