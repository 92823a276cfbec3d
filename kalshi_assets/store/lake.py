"""The event-time store: Delta tables under one root, written in bulk and read as of a time.

One commit a write, whatever the number of partitions; a write that changes
nothing makes no version. What a table contains is in ``core.tables``; SQL,
mappings, ledgers and snapshots are modules of their own.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake.exceptions import CommitFailedError, DeltaError

from kalshi_assets.core.hashing import content_hash_of
from kalshi_assets.core.ordering import last_of_each, sort_rows
from kalshi_assets.core.tables import TABLES, TableSpec
from kalshi_assets.errors import StoreError
from kalshi_assets.store.commits import commit_partitions, create_table
from kalshi_assets.store.conform import canonical_columns, conform, row_key, spec_of, stored_schema
from kalshi_assets.store.files import DataFile, Partition, in_scope, read_files, rivals
from kalshi_assets.store.merging import changed_partitions, merge_rows, partitions_of
from kalshi_assets.store.versions import TableState, TableVersions

_ATTEMPTS = 20
_FIRST_WAIT_S = 0.01
_LONGEST_WAIT_S = 0.5
_HASH_BATCH_ROWS = 2_000_000

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Scope:
    """Partitions that a write owns: these event dates, of these series (None = every series).

    ``series`` restricts only tables that are partitioned by it; elsewhere a date is owned whole.
    """

    event_dates: Sequence[date]
    series: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Commit:
    """What a write did.

    Attributes:
        table: the table's name.
        version: its version after the write; None when it was never written.
        partitions: values of the partitions that were written anew (emptied ones among them).
        rows: rows in them now.
    """

    table: str
    version: int | None
    partitions: tuple[Partition, ...] = ()
    rows: int = 0

    @property
    def changed(self) -> bool:
        """Whether the write made a version."""
        return bool(self.partitions)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Lake:
    """All tables under one root, a folder or an object-store address.

    Args:
        root: folder, or an address such as ``s3://bucket/lake``.
        storage_options: passed to the object store.
        now: the clock that stamps ``recorded_at``.
        sleep: waits between attempts to commit, in seconds.
        rng: jitter of those waits.
        versions: when given, a read-only lake pinned to these table versions (see ``at``).
    """

    def __init__(
        self,
        root: str | Path,
        *,
        storage_options: Mapping[str, str] | None = None,
        now: Callable[[], datetime] = _utc_now,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
        versions: Mapping[str, int] | None = None,
    ) -> None:
        self.root = str(root)
        self._options = dict(storage_options or {})
        self._tables = TableVersions(self.root, self._options, versions)
        self._now = now
        self._sleep = sleep
        self._hashes: dict[tuple[str, tuple[tuple[str, int | None, int | None], ...]], str] = {}
        self._rng = rng or random.Random()  # noqa: S311 (jitter is no secret)

    def at(self, versions: Mapping[str, int]) -> Lake:
        """The lake as it was at these table versions, read-only; tables not named read as empty."""
        return Lake(self.root, storage_options=self._options, versions=versions)

    @property
    def filesystem(self) -> pafs.FileSystem:
        """Arrow's view of the lake; paths are relative to its root."""
        return self._tables.filesystem

    # Writing

    def replace(self, name: str, rows: pa.Table, *, scope: Scope, run_id: str) -> Commit:
        """Make ``rows`` the whole content of the partitions in scope, in one commit.

        Partitions whose content is what is stored already stay untouched, with their bookkeeping;
        partitions in scope without rows are emptied. A stored file that cannot be read counts as different.

        Raises:
            StoreError: rows that break the schema or lie outside the scope, or a lost commit race.
        """
        spec = self._writable(name)
        if not spec.partition_by:
            raise StoreError(f"Table {name} has no partitions to replace; add to it with upsert.")
        content = conform(spec, rows)
        incoming = partitions_of(spec, content)
        dates, series = frozenset(scope.event_dates), None if scope.series is None else frozenset(scope.series)
        for partition in incoming:
            values = dict(zip(spec.partition_by, partition, strict=True))
            if values["event_date"] not in dates or (
                series is not None and values.get("series_ticker") not in (None, *series)
            ):
                raise StoreError(f"A row for table {name} lies in partition {values}, outside the scope of the write.")

        def attempt() -> Commit:
            state = self._tables.state(name)
            stored = in_scope(spec, state.files, scope.event_dates, scope.series)
            changed = changed_partitions(spec, self.filesystem, content, incoming, stored)
            if not changed:
                return Commit(name, state.version)
            return self._commit(spec, state, self._stamped(content, run_id), incoming, changed, run_id)

        return self._retrying(name, attempt)

    def upsert(self, name: str, rows: pa.Table, *, run_id: str) -> Commit:
        """Add rows with a new key, replace those whose content differs, leave equal ones as they are.

        The key is ``spec.key``, with ``known_at`` where the table is versioned; it is looked up in
        the row's own partition.
        """
        return self._merge(name, rows, run_id, may_rewrite=True)

    def append(self, name: str, rows: pa.Table, *, run_id: str) -> Commit:
        """Add rows with a new key; equal rows change nothing, a stored key with other content is refused."""
        return self._merge(name, rows, run_id, may_rewrite=False)

    # Reading

    def read(
        self,
        name: str,
        *,
        as_of: datetime | None = None,
        event_dates: Sequence[date] | None = None,
        series: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        history: bool = False,
        bookkeeping: bool = False,
    ) -> pa.Table:
        """The as-of door: what was known at a time, in canonical order.

        Args:
            name: the table.
            as_of: rows with ``known_at <= as_of``; None reads all that is known by now.
            event_dates: restrict to these event dates (ignored where the table is not partitioned by them).
            series: restrict to these series, likewise.
            columns: the columns wanted, in this order; all by default.
            history: every version of a key, instead of the newest known one.
            bookkeeping: add ``run_id`` and ``recorded_at``.

        Returns:
            Rows of the declared schema, ordered by ``spec.order``. In a versioned table one row a key:
            that of the newest ``known_at`` over all partitions, so an event that moved date is absent
            from its old date. A table never written is empty.

        Raises:
            StoreError: a naive ``as_of``, an unknown table or column, a damaged log or file.
        """
        spec = spec_of(name)
        if as_of is not None and as_of.tzinfo is None:
            raise StoreError(f"The as-of time {as_of} has no time zone; give it in UTC.")
        schema = stored_schema(spec)
        wanted = list(columns) if columns is not None else list(spec.schema.names)
        wanted += [c for c in ("run_id", "recorded_at") if bookkeeping and c not in wanted]
        for column in wanted:
            if column not in schema.names:
                raise StoreError(f"Table {name} has no column {column!r}; it has {', '.join(schema.names)}.")
        files = self._tables.state(name).files
        # Files whose keys do not overlap, read in key order, need no sort afterwards.
        chosen = sorted(in_scope(spec, files, event_dates, series), key=lambda f: (f.key_low or "", f.path))
        collapse = spec.versioned and not history
        identity = dict.fromkeys([*canonical_columns(spec), *(row_key(spec) if collapse else ())])
        needed = list(dict.fromkeys([*wanted, *identity]))
        rows = read_files(spec, self.filesystem, chosen, columns=needed, as_of=as_of)
        if collapse:
            rows = self._newest(spec, rows, chosen, files, list(identity), as_of)
        return sort_rows(rows, canonical_columns(spec)).select(wanted)

    def event_dates(self, name: str, series: Sequence[str] | None = None) -> list[date]:
        """Event dates that have rows, ascending."""
        spec = spec_of(name)
        if "event_date" not in spec.partition_by:
            raise StoreError(f"Table {name} is not partitioned by event date.")
        position = spec.partition_by.index("event_date")
        return sorted({f.partition[position] for f in in_scope(spec, self._tables.state(name).files, None, series)})

    def version(self, name: str) -> int | None:
        """The table's current version; None when it was never written."""
        spec_of(name)
        delta = self._tables.open(name)
        return None if delta is None else delta.version()

    def versions(self) -> dict[str, int]:
        """The version of each table that was ever written: what a lake snapshot records."""
        return {name: version for name in TABLES if (version := self.version(name)) is not None}

    def files(self, name: str) -> list[DataFile]:
        """The data files of the table's current version."""
        spec_of(name)
        return self._tables.state(name).files

    def content_hash(
        self, name: str, *, event_dates: Sequence[date] | None = None, series: Sequence[str] | None = None
    ) -> dict[date | None, str]:
        """Hash of the stored content by event date (see ``core.hashing.content_hash_of``), all versions of a key.

        A data file is never written twice, so what this object hashed once it hashes again only when
        the files of a date, or their sizes or times of change, are others.
        """
        spec = spec_of(name)
        files = in_scope(spec, self._tables.state(name).files, event_dates, series)
        if "event_date" not in spec.partition_by:
            return content_hash_of(name, read_files(spec, self.filesystem, files, columns=spec.schema.names))
        position = spec.partition_by.index("event_date")
        by_date: dict[date, list[DataFile]] = defaultdict(list)
        for file in sorted(files, key=lambda f: f.path):
            by_date[file.partition[position]].append(file)
        stamps = dict(zip((f.path for f in files), self._stamps(files), strict=True))
        held = {day: (name, tuple(stamps[f.path] for f in mine)) for day, mine in by_date.items()}
        batch: list[DataFile] = []
        for day in [*sorted(d for d in by_date if held[d] not in self._hashes), None]:
            if batch and (day is None or sum(f.records or 0 for f in batch) >= _HASH_BATCH_ROWS):
                hashed = content_hash_of(name, read_files(spec, self.filesystem, batch, columns=spec.schema.names))
                self._hashes |= {held[d]: text for d, text in hashed.items() if d is not None}
                batch = []
            batch += by_date[day] if day is not None else []
        return {day: self._hashes[held[day]] for day in sorted(by_date) if held[day] in self._hashes}

    def _stamps(self, files: Sequence[DataFile]) -> list[tuple[str, int | None, int | None]]:
        """Path, size and time of change of each file."""
        infos = self.filesystem.get_file_info([f.path for f in files]) if files else []
        return [(f.path, i.size, i.mtime_ns) for f, i in zip(files, infos, strict=True)]

    # Inside

    def _newest(
        self,
        spec: TableSpec,
        rows: pa.Table,
        chosen: Sequence[DataFile],
        files: Sequence[DataFile],
        identity: list[str],
        as_of: datetime | None,
    ) -> pa.Table:
        """The newest row of each key, also against rows in partitions that were not asked for."""
        inside = {f.path for f in chosen}
        outside = rivals(chosen, [f for f in files if f.path not in inside]) if rows.num_rows else []
        own = rows.select(identity)
        others = read_files(spec, self.filesystem, outside, columns=identity, as_of=as_of) if outside else own[:0]
        then = ["known_at", *(c for c in spec.partition_by if c not in spec.key)]
        mask = last_of_each(pa.concat_tables([others, own]), spec.key, then)[others.num_rows :]
        return rows if mask.all() else rows.filter(pa.array(mask))

    def _merge(self, name: str, rows: pa.Table, run_id: str, *, may_rewrite: bool) -> Commit:
        spec = self._writable(name)
        content = conform(spec, rows)
        if not content.num_rows:
            return Commit(name, self.version(name))
        touched = frozenset(partitions_of(spec, content))

        def attempt() -> Commit:
            state = self._tables.state(name)
            files = [f for f in state.files if f.partition in touched]
            stored = read_files(spec, self.filesystem, files, columns=stored_schema(spec).names)
            merged, changed = merge_rows(spec, stored, self._stamped(content, run_id), may_rewrite=may_rewrite)
            if not changed:
                return Commit(name, state.version)
            return self._commit(spec, state, merged, partitions_of(spec, merged), changed, run_id)

        return self._retrying(name, attempt)

    def _commit(
        self,
        spec: TableSpec,
        state: TableState,
        rows: pa.Table,
        ranges: Mapping[Partition, tuple[int, int]],
        changed: Sequence[Partition],
        run_id: str,
    ) -> Commit:
        """Write the changed partitions of ``rows`` (file order) as one version on top of ``state``."""
        delta = state.delta
        if delta is None:
            create_table(spec, self._tables.address(spec.name), self._options)
            delta = self._tables.open(spec.name)
            if delta is None or delta.version() != 0:
                raise CommitFailedError("another writer created the table")
        slices = [rows.slice(a, b - a) for a, b in (ranges[p] for p in changed if p in ranges)]
        data = pa.concat_tables(slices) if slices else rows[:0]
        commit_partitions(spec, delta, data, changed, run_id)
        delta.update_incremental()
        return Commit(spec.name, delta.version(), tuple(changed), data.num_rows)

    def _stamped(self, content: pa.Table, run_id: str) -> pa.Table:
        n = content.num_rows
        stamp = pa.scalar(self._now(), pa.timestamp("us", tz="UTC"))
        return content.append_column("run_id", pa.repeat(pa.scalar(run_id), n)).append_column(
            "recorded_at", pa.repeat(stamp, n)
        )

    def _retrying(self, name: str, attempt: Callable[[], _Result]) -> _Result:
        for i in range(_ATTEMPTS):
            try:
                return attempt()
            except CommitFailedError:
                wait = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0**i)
                self._sleep(wait * (0.5 + self._rng.random()))
            except (DeltaError, OSError, pa.ArrowException) as error:
                raise self._tables.broken(name, error) from error
        raise StoreError(f"Table {name} was changed by others in each of {_ATTEMPTS} attempts to write it; try again.")

    def _writable(self, name: str) -> TableSpec:
        if self._tables.pinned:
            raise StoreError(f"Table {name} is open at a past version, which cannot be written.")
        return spec_of(name)
