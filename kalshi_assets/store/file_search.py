"""Searching one data file for the newest rows known at some times, and fetching the rows found.

Row groups are chosen by the statistics in the file's foot. A file of ours also says there
whether ``ts`` ever falls from one row of a name to the next; where it never does and rows are sorted
by ``known_at``, the last row known is the newest one and ``ts`` need not be read. Choosing
files is ``asof_lookup``'s work.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from kalshi_assets.core.columns import times
from kalshi_assets.core.lookup import last_rows, newest_rows
from kalshi_assets.core.ordering import sort_permutation
from kalshi_assets.core.tables import TableSpec
from kalshi_assets.store.conform import stored_schema
from kalshi_assets.store.encoding import TS_RISES
from kalshi_assets.store.files import EXACT_STATISTIC_BYTES, DataFile, constant, opened

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Requests that one file may answer, at least one, sorted by name and time.

    Attributes:
        names: some distinct names, ascending.
        name: of each request, its place among them.
        as_of: of each request, microseconds since 1970.
    """

    names: Sequence[str]
    name: _Ints
    as_of: _Ints

    def place(self, word: str) -> int:
        """A name's place among the names; -1 where it is none of them."""
        place = bisect_left(self.names, word)
        return place if place < len(self.names) and self.names[place] == word else -1

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last name that is asked for, as places among the names."""
        return int(self.name[0]), int(self.name[-1])


@dataclass(frozen=True, slots=True)
class Found:
    """Answers of one file.

    Attributes:
        rows: of each request the row in the file, -1 where it has none.
        ts, known_at: of these rows; without meaning where they are not compared with other files.
        answer: the columns asked for of the rows found, in the order of the requests; None where they are compared.
    """

    rows: _Ints
    ts: _Ints
    known_at: _Ints
    answer: pa.Table | None


class FileSearch:
    """Searches the data files of one table.

    Args:
        spec: the table.
        filesystem: rooted at the lake.
        columns: stored columns that an answer has.
    """

    def __init__(self, spec: TableSpec, filesystem: pafs.FileSystem, columns: Sequence[str]) -> None:
        self._spec = spec
        self._lead = spec.order[0]
        self._by_time = spec.order[1:2] == ("known_at",)
        self._filesystem = filesystem
        self._columns = list(columns)
        self._stored = [c for c in columns if c not in spec.partition_by]
        self._schema = stored_schema(spec)

    def find(self, file: DataFile, wanted: Wanted, *, compared: bool) -> Found:
        """For each request the newest row of a file that was known.

        Args:
            file: what to search.
            wanted: the requests.
            compared: whether another file may have the answer; then it is left to ``fetch``.

        Raises:
            StoreError: the file is missing, damaged, or not as the log describes it.
        """
        n = len(wanted.name)
        found = Found(np.full(n, -1), np.full(n, -1), np.full(n, -1), None)
        with self._opened(file) as parquet:
            groups = _groups(parquet, self._lead, wanted)
            rises = self._by_time and TS_RISES in (parquet.metadata.metadata or {})

            def read(*columns: str) -> pa.Table:
                return parquet.read_row_groups(groups, columns=list(dict.fromkeys(columns)), use_threads=False)

            table = read(self._lead, "known_at", *(() if rises and not compared else ("ts",)))
            name, start, stop = _runs(table.column(self._lead), wanted)
            order = None
            if not (rises or _in_order(name, start, stop, times(table.column("known_at")))):
                # Another engine wrote it, or the table is sorted otherwise.
                table = read(self._lead, "known_at", *self._spec.order, "ts")
                order = sort_permutation(table, (self._lead, "known_at", *self._spec.order))
                table = table if order is None else table.take(pa.array(order))
                name, start, stop = _runs(table.column(self._lead), wanted)
            known_at = times(table.column("known_at"))
            ts = times(table.column("ts")) if "ts" in table.column_names else known_at
            run = np.searchsorted(name, wanted.name)
            there = np.flatnonzero(np.append(name, -1)[run] == wanted.name)
            bounds, as_of = (start[run[there]], stop[run[there]], known_at), wanted.as_of[there]
            local = last_rows(*bounds, as_of) if rises else newest_rows(*bounds, ts, as_of)
            there, local = there[local >= 0], local[local >= 0]
            found.ts[there], found.known_at[there] = ts[local], known_at[local]
            found.rows[there] = _row_in_file(parquet, groups, local if order is None else order[local])
            return found if compared else replace(found, answer=self._take(parquet, file, found.rows))

    def fetch(self, file: DataFile, found: Found) -> pa.Table:
        """The columns of the rows found, in the order of their requests.

        Raises:
            StoreError: as ``find`` does.
        """
        if found.answer is not None:
            return found.answer
        with self._opened(file) as parquet:
            return self._take(parquet, file, found.rows)

    def _opened(self, file: DataFile) -> AbstractContextManager[pq.ParquetFile]:
        return opened(self._spec, self._filesystem, file, [self._lead])

    def _take(self, parquet: pq.ParquetFile, file: DataFile, rows: _Ints) -> pa.Table:
        rows = rows[rows >= 0]
        if not len(rows):
            return pa.schema([self._schema.field(c) for c in self._columns]).empty_table()
        firsts = _first_rows(parquet)
        group = np.searchsorted(firsts, rows, "right") - 1
        groups = np.unique(group)
        table = parquet.read_row_groups(groups.tolist(), columns=self._stored, use_threads=False)
        lengths = np.diff(firsts, append=parquet.metadata.num_rows)[groups]
        taken = table.take(
            pa.array(rows - firsts[group] + (np.cumsum(lengths) - lengths)[np.searchsorted(groups, group)])
        )
        values = dict(zip(self._spec.partition_by, file.partition, strict=True))
        columns = [
            constant(self._schema.field(c).type, values[c], len(rows)) if c in values else taken.column(c)
            for c in self._columns
        ]
        return pa.table(columns, names=self._columns)


def _groups(parquet: pq.ParquetFile, lead: str, wanted: Wanted) -> list[int]:
    """The row groups that may hold an answer, as far as statistics say."""
    footer = parquet.metadata
    places = {footer.schema.column(i).path: i for i in range(footer.num_columns)}
    first, last = (wanted.names[place].encode() for place in wanted.span)
    latest = int(wanted.as_of.max())
    groups = []
    for i in range(footer.num_row_groups):
        name = footer.row_group(i).column(places[lead]).statistics
        clock = footer.row_group(i).column(places["known_at"]).statistics
        # A text that is this long may have been cut.
        named = name is not None and name.has_min_max and len(name.max_raw) < EXACT_STATISTIC_BYTES
        timed = clock is not None and clock.has_min_max and clock.physical_type == "INT64"
        if not ((named and (name.min_raw > last or name.max_raw < first)) or (timed and clock.min_raw > latest)):
            groups.append(i)
    return groups


def _runs(column: pa.ChunkedArray, wanted: Wanted) -> tuple[_Ints, _Ints, _Ints]:
    """Runs of rows of one name, of the names that are asked for anywhere.

    Args:
        column: names as dictionaries.
        wanted: the requests.

    Returns:
        Place among the names, first row, and the row after the last one, of each run.
    """
    names, starts, offset = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    for chunk in column.chunks:
        entries = chunk.indices.to_numpy()
        begins = np.flatnonzero(np.append(True, entries[1:] != entries[:-1])[: len(entries)])
        places = np.array([wanted.place(word) for word in chunk.dictionary.to_pylist()], np.int64)
        names.append(places[entries[begins]])
        starts.append(offset + begins)
        offset += len(chunk)
    name, start = np.concatenate(names), np.concatenate(starts)
    # A contract may go on in the next row group.
    new = np.append(True, name[1:] != name[:-1])[: len(name)]
    name, start = name[new], start[new]
    stop = np.append(start[1:], offset)[: len(start)]
    return name[name >= 0], start[name >= 0], stop[name >= 0]


def _in_order(name: _Ints, start: _Ints, stop: _Ints, known_at: _Ints) -> bool:
    """Whether these runs are sorted by name, and their rows by ``known_at``."""
    falls = np.flatnonzero(known_at[1:] < known_at[:-1]) + 1
    run = np.searchsorted(start, falls, "right") - 1
    inside = (
        (run >= 0) & (start[run] < falls) & (falls < stop[run]) if len(run) and len(start) else np.zeros(0, np.bool_)
    )
    return bool((name[1:] > name[:-1]).all() and not inside.any())


def _first_rows(parquet: pq.ParquetFile) -> _Ints:
    """The first row of each row group."""
    footer = parquet.metadata
    lengths = np.array([footer.row_group(i).num_rows for i in range(footer.num_row_groups)], np.int64)
    return np.cumsum(lengths) - lengths


def _row_in_file(parquet: pq.ParquetFile, groups: Sequence[int], rows: _Ints) -> _Ints:
    """The file's rows that these rows of some row groups, one after another, are."""
    if not len(rows):
        return rows
    firsts = np.append(_first_rows(parquet), parquet.metadata.num_rows)
    lengths = np.diff(firsts)[groups]
    ends = np.cumsum(lengths)
    which = np.searchsorted(ends, rows, "right")
    in_file: _Ints = rows - (ends - lengths)[which] + firsts[np.array(groups)[which]]
    return in_file
