"""When an event date wants a refresh: a pure function of calendar, state and clock.

The sensor asks this and does what it says. Reading the calendar, remembering
what was requested and launching runs are not done here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Step:
    """Between ``until`` before the release and the next step, one refresh every ``every``."""

    until: timedelta
    every: timedelta


# From far to near; the last refresh before the print is one minute ahead of it.
CADENCE = (
    Step(timedelta(days=30), timedelta(days=1)),
    Step(timedelta(days=2), timedelta(hours=6)),
    Step(timedelta(hours=12), timedelta(hours=1)),
    Step(timedelta(hours=2), timedelta(minutes=10)),
    Step(timedelta(minutes=15), timedelta(minutes=1)),
)
# After the print: outcomes settle within hours, and a corrected settlement within days.
AFTERWARDS = (timedelta(minutes=2), timedelta(minutes=30), timedelta(hours=3), timedelta(days=1), timedelta(days=7))


@dataclass(frozen=True, slots=True)
class Refresh:
    """One refresh that is due.

    Attributes:
        event_date: the partition to materialise.
        slot: the scheduled instant that it serves.
        after_release: whether the print is out.
    """

    event_date: date
    slot: datetime
    after_release: bool

    @property
    def run_key(self) -> str:
        """The same slot always gives the same key, so asking twice launches once."""
        return f"{self.event_date.isoformat()}@{self.slot.strftime('%Y-%m-%dT%H:%M:%SZ')}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a tick should do.

    Attributes:
        new_dates: event dates to register, in order.
        refreshes: the newest due slot of each date that was not served yet, in order of date.
        reason: why there is nothing to do; empty when there is something.
    """

    new_dates: tuple[date, ...]
    refreshes: tuple[Refresh, ...]
    reason: str


def slots(release_time: datetime) -> list[datetime]:
    """Every scheduled refresh of one release, in order.

    Args:
        release_time: UTC instant of publication.

    Returns:
        Instants before the release by the cadence (each step half-open, nearest end excluded), then those after it.
    """
    times: list[datetime] = []
    for i, step in enumerate(CADENCE):
        end = CADENCE[i + 1].until if i + 1 < len(CADENCE) else timedelta(0)
        ahead = step.until
        while ahead > end:
            times.append(release_time - ahead)
            ahead -= step.every
    return times + [release_time + after for after in AFTERWARDS]


def plan(
    releases: Mapping[date, Sequence[datetime]],
    registered: Collection[date],
    served: Mapping[date, datetime],
    now: datetime,
) -> Plan:
    """What to register and refresh now.

    A missed tick is caught up by the newest due slot: one refresh brings a
    partition to the present, so the older slots need none of their own.

    Args:
        releases: listed event dates with the release times of their events.
        registered: event dates that are partitions already.
        served: for each date the newest slot that was requested.
        now: the clock, UTC.
    """
    new_dates = tuple(sorted(set(releases) - set(registered)))
    due: list[Refresh] = []
    for day in sorted(releases):
        scheduled = sorted({slot for moment in releases[day] for slot in slots(moment)})
        position = bisect_right(scheduled, now)
        if position == 0:
            continue
        newest = scheduled[position - 1]
        if day in served and served[day] >= newest:
            continue
        if now - newest > AFTERWARDS[-1]:
            continue  # Long past: history is a backfill's work, not the sensor's.
        due.append(Refresh(day, newest, newest >= min(releases[day])))
    reason = "" if new_dates or due else _idle(releases, now)
    return Plan(new_dates, tuple(due), reason)


def _idle(releases: Mapping[date, Sequence[datetime]], now: datetime) -> str:
    ahead = sorted(s for moments in releases.values() for m in moments for s in slots(m) if s > now)
    if not ahead:
        return "Nothing is listed whose release lies ahead."
    return f"Nothing is due; the next refresh is at {ahead[0].strftime('%Y-%m-%d %H:%M UTC')}."
