"""Under which date an event stood at a time: what an as-of read shows of an event that moved.

All rows about an event are filed under the date that it has now. Whoever asks what
was known before the move must find them under the date of that time, or the folder's
name would tell what comes. Belongs here: finding the events that moved, and putting
rows under the date of a time. Recording versions is ``mappings``' work.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs

from kalshi_assets.core.columns import MISSING_TIME, codes, day_number, micros_of
from kalshi_assets.core.ordering import last_of_each
from kalshi_assets.core.tables import DATE, TEXT, TableSpec
from kalshi_assets.errors import StoreError
from kalshi_assets.store.files import DataFile
from kalshi_assets.store.known_rows import Question, read_known

# What is read of the table ``event_market_map``, with its history.
MAPPING_COLUMNS = ("event_ticker", "event_date", "version", "effective_from", "effective_to", "known_at")
_VERSION = re.compile(r"v([1-9][0-9]*)")
_ABOUT_AN_EVENT = frozenset({"event_ticker", "series_ticker", "event_date"})

_Ints = npt.NDArray[np.int64]


def version_number(version: str) -> int:
    """The number of a version such as ``v12``; versions count numerically, v2 before v10.

    Raises:
        StoreError: anything that is not ``v`` and a positive integer.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        raise StoreError(f"{version!r} is no mapping version; versions are v1, v2, v3 and so on.")
    return int(match.group(1))


def filed_by_event(spec: TableSpec) -> bool:
    """Whether a table's rows are about one event each and lie under its date (a fold's date is its own)."""
    return "event_date" in spec.partition_by and set(spec.schema.names) >= _ABOUT_AN_EVENT


def in_force(versions: Sequence[Mapping[str, Any]], moment: datetime) -> Mapping[str, Any] | None:
    """The mapping of one event that was known and effective at a time; None where there was none.

    Args:
        versions: rows of ``event_market_map`` of one event, with their history.
        moment: the time, with time zone.

    Returns:
        Of the newest known row of each version, and of those that were effective then, the one with
        the greatest number.

    Raises:
        StoreError: a version that is not ``v`` and an integer.
    """
    newest: dict[str, Mapping[str, Any]] = {}
    for row in sorted(versions, key=lambda r: r["known_at"]):
        if row["known_at"] <= moment:
            newest[row["version"]] = row
    effective = [
        r
        for r in newest.values()
        if r["effective_from"] <= moment and (r["effective_to"] is None or r["effective_to"] > moment)
    ]
    return max(effective, key=lambda r: version_number(r["version"]), default=None)


@dataclass(frozen=True, slots=True)
class EventDates:
    """The dates of the events that were ever mapped to more than one.

    Attributes:
        events: their tickers, ascending.
        dates: every date that each of them ever had, in the same order.
        since: for each, the times from which on a date held, ascending, microseconds since 1970; the first is
            the beginning of time.
        day: the date that held from each of those times, days since 1970.
    """

    events: pa.Array
    dates: Sequence[frozenset[date]]
    since: Sequence[_Ints]
    day: Sequence[_Ints]

    @property
    def ever(self) -> frozenset[date]:
        """Every date under which rows of these events may be filed."""
        return frozenset().union(*self.dates)

    def beside(self, dates: Collection[date]) -> frozenset[date]:
        """The other dates under which rows may be filed of events that had one of these."""
        shared = [mine for mine in self.dates if not mine.isdisjoint(dates)]
        return frozenset().union(*shared) - frozenset(dates)

    def moved(self, tickers: Any) -> npt.NDArray[np.bool_]:
        """Whether each event is one of these."""
        return np.asarray(codes(tickers, self.events) >= 0)

    def place(self, rows: pa.Table, moments: _Ints) -> pa.Table:
        """Rows under the dates that their events had at some times; rows of other events stay where they are.

        An event that no mapping was in force for yet stands under its first date, which tells least.

        Args:
            rows: ``event_ticker`` and ``event_date`` among others.
            moments: microseconds since 1970, one a row.
        """
        event = codes(rows["event_ticker"], self.events)
        day = np.zeros(event.size, np.int32)
        for i in np.unique(event[event >= 0]).tolist():
            mine = np.flatnonzero(event == i)
            day[mine] = self.day[i][np.searchsorted(self.since[i], moments[mine], side="right") - 1]
        then = pc.coalesce(pa.array(day, pa.int32(), mask=event < 0).cast(DATE), rows["event_date"])
        at = rows.schema.get_field_index("event_date")
        return rows.set_column(at, rows.schema.field(at), then)


def event_dates_of(mappings: pa.Table) -> EventDates | None:
    """The events that moved; None where none ever did.

    Args:
        mappings: ``MAPPING_COLUMNS`` of ``event_market_map``, with its history.
    """
    pairs = mappings.select(["event_ticker", "event_date"])
    distinct = pairs.filter(pa.array(last_of_each(pairs, ["event_ticker", "event_date"], [])))
    several = ~last_of_each(distinct, ["event_ticker"], [])
    if not several.any():
        return None
    tickers = pc.unique(distinct["event_ticker"].filter(pa.array(several)))
    versions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in mappings.filter(pc.is_in(mappings["event_ticker"], value_set=tickers)).to_pylist():
        versions[row["event_ticker"]].append(row)
    events = sorted(versions)
    lives = [_life(versions[e]) for e in events]
    return EventDates(
        events=pa.array(events, TEXT),
        dates=[frozenset(r["event_date"] for r in versions[e]) for e in events],
        since=[since for since, _ in lives],
        day=[day for _, day in lives],
    )


def read_as_dated(
    spec: TableSpec, filesystem: pafs.FileSystem, files: Sequence[DataFile], question: Question, moved: EventDates
) -> pa.Table:
    """What ``known_rows.read_known`` answers, with every event under the date that it had at the time asked for.

    Args:
        spec: a table that is filed by event.
        filesystem: rooted at the lake.
        files: the table's files.
        question: with an as-of time; its event dates are those of that time.
        moved: the events that moved.

    Raises:
        StoreError: a file is missing, damaged, or not as the log describes it.
    """
    assert question.as_of is not None
    wanted = question.event_dates
    if wanted is not None and moved.ever.isdisjoint(wanted):
        return read_known(spec, filesystem, files, question)
    columns = list(dict.fromkeys([*question.columns, "event_ticker", "event_date"]))
    searched = None if wanted is None else [*wanted, *moved.beside(wanted)]
    rows = read_known(spec, filesystem, files, replace(question, columns=columns, event_dates=searched))
    rows = moved.place(rows, np.full(rows.num_rows, micros_of(question.as_of), np.int64))
    if wanted is not None:
        rows = rows.filter(pc.is_in(rows["event_date"], value_set=pa.array(list(wanted), DATE)))
    return rows.select(list(question.columns))


def _life(versions: Sequence[Mapping[str, Any]]) -> tuple[_Ints, _Ints]:
    """When the date of one event became what: between these times nothing was learned and nothing took effect."""
    bounds = {r[c] for r in versions for c in ("known_at", "effective_from", "effective_to")} - {None}
    first = min(versions, key=lambda r: (version_number(r["version"]), r["known_at"]))
    since, day = [MISSING_TIME], [day_number(first["event_date"])]
    for moment in sorted(bounds):
        then = in_force(versions, moment) or first
        since.append(micros_of(moment))
        day.append(day_number(then["event_date"]))
    return np.array(since, np.int64), np.array(day, np.int64)
