"""As-of lookup: for many pairs of a name and a time, the newest row that was known then.

Only what an answer needs is read: files by the partition and the statistics that the log
states, row groups by the statistics in a file's foot, names and times first, and the
columns asked for only where a row was found. Searching sorted rows is ``core.lookup``'s
work; a whole table as of one time is ``Lake.read``'s.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import codes, day_number, days, micros_of, times, vocabulary
from kalshi_assets.core.tables import DATE, TableSpec
from kalshi_assets.errors import StoreError
from kalshi_assets.store.conform import spec_of, stored_schema
from kalshi_assets.store.event_dates import EventDates, filed_by_event
from kalshi_assets.store.file_search import FileSearch, Found, Wanted
from kalshi_assets.store.files import DataFile
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.workers import WORKERS

_Ints = npt.NDArray[np.int64]


def lookup(lake: Lake, name: str, requests: pa.Table, *, columns: Sequence[str] | None = None) -> pa.Table:
    """The newest row known at each of many times.

    Of the rows that bear a request's name and have ``known_at <= as_of``, the answer is the one with
    the greatest ``ts``; of several versions of it the one with the greatest ``known_at``. A late row about an
    earlier time therefore never displaces a newer one. Of rows that tie in both (two feeds that
    report one instant at once) it is the last one in the order of partitions and of rows in them.

    Args:
        lake: the lake.
        name: a table whose order begins with a text, such as ``quotes``, which begins with ``ticker``.
        requests: one row a request, with that column, with ``as_of`` (time with zone), and, if wanted, with
            ``event_date``, which leaves the rows of other dates out (where the table is partitioned by it). An
            event that moved stands under the date that it had at ``as_of``, in requests and in answers.
        columns: stored columns wanted, in this order; all content columns by default.

    Returns:
        One row a request, in the order of the requests; null in every column where nothing was known.

    Raises:
        StoreError: an unknown table or column, a request without name or time, a damaged log or file.
    """
    spec = spec_of(name)
    schema = stored_schema(spec)
    chosen = list(spec.schema.names if columns is None else columns)
    for column in chosen:
        if column not in schema.names:
            raise StoreError(f"Table {name} has no column {column!r}; it has {', '.join(schema.names)}.")
    moved = lake.moved_events() if filed_by_event(spec) else None
    if moved is None:
        return _find(lake, spec, requests, chosen)
    return _find_as_dated(lake, spec, requests, chosen, moved)


def _find_as_dated(
    lake: Lake, spec: TableSpec, requests: pa.Table, columns: Sequence[str], moved: EventDates
) -> pa.Table:
    """The answers where events moved: each under the date that its event had at the request's own time."""
    needed = list(dict.fromkeys([*columns, "event_ticker", "event_date"]))
    answers = _find(lake, spec, requests, needed)
    moments, place = times(requests["as_of"]), np.arange(requests.num_rows)
    if "event_date" not in requests.column_names:
        return moved.place(answers, moments).select(list(columns))
    # Rows of an event that moved may be filed under another date than the one asked for.
    again = np.flatnonzero(np.asarray(pc.is_in(requests["event_date"], pa.array(sorted(moved.ever), DATE)), bool))
    undated = _find(lake, spec, requests.take(pa.array(again)).drop_columns(["event_date"]), needed)
    theirs = np.flatnonzero(moved.moved(undated["event_ticker"]))
    place[again[theirs]] = requests.num_rows + theirs
    answers = moved.place(pa.concat_tables([answers, undated]).take(pa.array(place)), moments)
    elsewhere = ~np.asarray(pc.fill_null(pc.equal(answers["event_date"], requests["event_date"].cast(DATE)), False))
    return answers.take(pa.array(np.arange(requests.num_rows), mask=elsewhere)).select(list(columns))


def _find(lake: Lake, spec: TableSpec, requests: pa.Table, chosen: Sequence[str]) -> pa.Table:
    """The answers as rows are filed."""
    schema = stored_schema(spec)
    asked = _asked(spec, requests)
    files = sorted(lake.files(spec.name), key=lambda f: (f.partition, f.path))
    tasks = [(f, about) for f in files if len(about := asked.about(spec, f))]
    several = np.bincount(np.concatenate([a for _, a in tasks] or [np.zeros(0, np.int64)]), minlength=1) > 1
    # Within a file the folder's columns order nothing, and they are not in it.
    inside = replace(spec, sort_by=tuple(c for c in spec.order if c not in spec.partition_by))
    search = FileSearch(inside, lake.filesystem, chosen)

    def find(task: tuple[DataFile, _Ints]) -> Found:
        file, about = task
        wanted = Wanted(asked.names, asked.name[about], asked.as_of[about])
        return search.find(file, wanted, compared=bool(several[about].any()))

    target = pa.schema([schema.field(c).with_nullable(True) for c in chosen])
    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(pool.map(find, tasks))
        _leave_the_newest([about for _, about in tasks], several, found)
        parts = list(pool.map(search.fetch, [f for f, _ in tasks], found))
    rows = pa.concat_tables([target.empty_table(), *(part.cast(target) for part in parts)])
    answered = [about[hits.rows >= 0] for (_, about), hits in zip(tasks, found, strict=True)]
    place = np.full(requests.num_rows, -1)
    place[asked.place[np.concatenate([np.zeros(0, np.int64), *answered])]] = np.arange(rows.num_rows)
    return rows.combine_chunks().take(pa.array(place, mask=place < 0))


@dataclass(frozen=True, slots=True)
class _Asked:
    """Requests, sorted by name and time.

    Attributes:
        names: the distinct names, ascending.
        name: of each request, its place among them.
        as_of: microseconds since 1970.
        day: event date in days since 1970; None where rows of every date may answer.
        place: each request's row in the caller's table.
    """

    names: list[str]
    name: _Ints
    as_of: _Ints
    day: _Ints | None
    place: _Ints

    def about(self, spec: TableSpec, file: DataFile) -> _Ints:
        """The requests that a file may hold the answer to, as far as its log entry says."""
        first, last = 0, len(self.name)
        if spec.key[0] == spec.order[0] and file.key_low is not None and file.key_high is not None:
            low, high = bisect_left(self.names, file.key_low), bisect_right(self.names, file.key_high)
            first, last = np.searchsorted(self.name, (low, high)).tolist()
        possible = np.ones(last - first, np.bool_)
        if file.first_known_at is not None:
            possible &= self.as_of[first:last] >= micros_of(file.first_known_at)
        if self.day is not None:
            possible &= self.day[first:last] == day_number(file.partition[spec.partition_by.index("event_date")])
        return first + np.flatnonzero(possible)


def _asked(spec: TableSpec, requests: pa.Table) -> _Asked:
    lead, dated = spec.order[0], "event_date" in requests.column_names and "event_date" in spec.partition_by
    if not pa.types.is_string(spec.schema.field(lead).type):
        raise StoreError(f"Table {spec.name} is not sorted by a name, so it cannot be looked up by one; read it.")
    for column in (lead, "as_of", *(("event_date",) if dated else ())):
        if column not in requests.column_names or requests.column(column).null_count:
            raise StoreError(f"Every request to look up in table {spec.name} needs a value of {column}.")
    kind = requests.column("as_of").type
    if not pa.types.is_timestamp(kind) or kind.tz is None:
        raise StoreError(f"The as-of times of the requests are {kind}; give them in UTC, with their time zone.")
    words = vocabulary(requests.column(lead))
    name, as_of = codes(requests.column(lead), words), times(requests.column("as_of"))
    place = np.lexsort((as_of, name))
    day = days(requests.column("event_date"))[place] if dated else None
    return _Asked(words.to_pylist(), name[place], as_of[place], day, place)


def _leave_the_newest(abouts: Sequence[_Ints], several: npt.NDArray[np.bool_], found: Sequence[Found]) -> None:
    """Where several files have an answer to one request, strike out all but the newest."""
    best = np.full(len(several), -1)
    ts, known_at = np.zeros(len(several), np.int64), np.zeros(len(several), np.int64)
    for i, (about, hits) in enumerate(zip(abouts, found, strict=True)):
        rival = (hits.rows >= 0) & several[about]
        a = about[rival]
        mine_ts, mine_known = hits.ts[rival], hits.known_at[rival]
        newer = (best[a] < 0) | (mine_ts > ts[a]) | ((mine_ts == ts[a]) & (mine_known >= known_at[a]))
        best[a[newer]], ts[a[newer]], known_at[a[newer]] = i, mine_ts[newer], mine_known[newer]
    for i, (about, hits) in enumerate(zip(abouts, found, strict=True)):
        hits.rows[several[about] & (best[about] != i)] = -1
