"""The event-time store: Delta tables under one root, written in bulk and read as of a time.

One commit a write, whatever the number of partitions; a write that changes
nothing makes no version. What a table contains is in ``core.tables``; SQL,
mappings, ledgers and snapshots are modules of their own.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake.exceptions import CommitFailedError, DeltaError

from kalshi_assets.core.tables import TABLES, TableSpec
from kalshi_assets.errors import StoreError
from kalshi_assets.store.arrangement import Arranged, arrange
from kalshi_assets.store.commits import commit_files, create_table
from kalshi_assets.store.conform import spec_of, stored_schema
from kalshi_assets.store.content_hashes import ContentHashes
from kalshi_assets.store.drafts import Draft, stamp, write_draft
from kalshi_assets.store.event_dates import MAPPING_COLUMNS, EventDates, event_dates_of, filed_by_event, read_as_dated
from kalshi_assets.store.files import DataFile, Partition, in_scope, read_files
from kalshi_assets.store.instants import utc_instant
from kalshi_assets.store.known_rows import Question, read_known
from kalshi_assets.store.merging import changed_partitions, merge_rows
from kalshi_assets.store.versions import TableVersions

_ATTEMPTS = 20
_FIRST_WAIT_S = 0.01
_LONGEST_WAIT_S = 0.5


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
        attempts: how often it was tried, this time included; each but the last was refused because
            another writer's commit came first.
    """

    table: str
    version: int | None
    partitions: tuple[Partition, ...] = ()
    rows: int = 0
    attempts: int = 1

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
        lock_folder: where the lock of a lake in a bucket lies; that of a folder lies in it.
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
        lock_folder: Path | None = None,
    ) -> None:
        self.root = str(root)
        self._options = dict(storage_options or {})
        self._tables = TableVersions(self.root, self._options, versions)
        self.lock_folder = self._tables.folder or lock_folder
        # Set while a transaction is under way; raises where it lost its turn, and then nothing may be recorded.
        self.check_turn: Callable[[], None] | None = None
        self._now = now
        self._sleep = sleep
        self._hashes = ContentHashes()
        self._moved: tuple[tuple[str, ...], EventDates | None] | None = None
        self._rng = rng or random.Random()  # noqa: S311 (jitter is no secret)

    def at(self, versions: Mapping[str, int]) -> Lake:
        """The lake as it was at these table versions, read-only; tables not named read as empty."""
        return Lake(self.root, storage_options=self._options, versions=versions)

    @property
    def tables(self) -> TableVersions:
        """The Delta tables below, for work on logs and files; rows come through ``read`` alone."""
        return self._tables

    @property
    def pinned(self) -> bool:
        """Whether this is the lake at past versions (see ``at``)."""
        return self._tables.pinned

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
        content = arrange(spec, rows)
        dates, series = frozenset(scope.event_dates), None if scope.series is None else frozenset(scope.series)
        for partition in content.ranges:
            values = dict(zip(spec.partition_by, partition, strict=True))
            if values["event_date"] not in dates or (
                series is not None and values.get("series_ticker") not in (None, *series)
            ):
                raise StoreError(f"A row for table {name} lies in partition {values}, outside the scope of the write.")

        def basis(files: Sequence[DataFile]) -> list[DataFile]:
            return in_scope(spec, files, scope.event_dates, scope.series)

        def decide(stored: Sequence[DataFile]) -> tuple[Arranged, list[Partition]]:
            return content, changed_partitions(spec, self.filesystem, content, stored)

        return self._write(spec, basis, decide, run_id)

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
        as_of: datetime | str | None = None,
        event_dates: Sequence[date] | None = None,
        series: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        history: bool = False,
        bookkeeping: bool = False,
    ) -> pa.Table:
        """The as-of door: what was known at a time, in canonical order.

        Args:
            name: the table.
            as_of: rows with ``known_at <= as_of``; aware, or ISO text with a zone. None reads all rows, also
                those that say that they become known in the future: a clock is no business of the lake.
            event_dates: restrict to these event dates (ignored where the table is not partitioned by them); with
                ``as_of``, to the events that stood under them then.
            series: restrict to these series, likewise.
            columns: the columns wanted, in this order; all by default.
            history: every version of a key, instead of the newest known one.
            bookkeeping: add ``run_id`` and ``recorded_at``.

        Returns:
            Rows of the declared schema, ordered by ``spec.order``. In a versioned table one row a key:
            that of the newest ``known_at`` over all partitions, so an event that moved date is absent
            from its old date. As of a time before the move it is under the old date, and ``event_date`` says so.
            A table never written is empty.

        Raises:
            UsageError: an ``as_of`` that is no instant.
            StoreError: an unknown table or column, a damaged log or file.
        """
        spec = spec_of(name)
        cut = None if as_of is None else utc_instant(as_of)
        schema = stored_schema(spec)
        wanted = list(columns) if columns is not None else list(spec.schema.names)
        wanted += [c for c in ("run_id", "recorded_at") if bookkeeping and c not in wanted]
        for column in wanted:
            if column not in schema.names:
                raise StoreError(f"Table {name} has no column {column!r}; it has {', '.join(schema.names)}.")
        question = Question(wanted, cut, event_dates, series, history)
        files = self._tables.state(name).files
        moved = self.moved_events() if cut is not None and filed_by_event(spec) else None
        if moved is not None:
            return read_as_dated(spec, self.filesystem, files, question, moved)
        return read_known(spec, self.filesystem, files, question)

    def moved_events(self) -> EventDates | None:
        """The events that the mapping ever put under another date, and when; None where none moved.

        Raises:
            StoreError: a damaged log or file of the mapping, or a version that is not ``v`` and an integer.
        """
        files = self._tables.state("event_market_map").files
        names = tuple(f.path for f in files)
        if self._moved is None or self._moved[0] != names:
            mappings = self.read("event_market_map", columns=MAPPING_COLUMNS, history=True)
            self._moved = names, event_dates_of(mappings)
        return self._moved[1]

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
        there = self._tables.may_be_written()
        return {name: version for name in TABLES if name in there and (version := self.version(name)) is not None}

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
        return self._hashes.of(spec, self.filesystem, files)

    # Inside

    def _merge(self, name: str, rows: pa.Table, run_id: str, *, may_rewrite: bool) -> Commit:
        spec = self._writable(name)
        content = arrange(spec, rows)
        if not content.ranges:
            return Commit(name, self.version(name))
        stamped = stamp(content.rows, run_id, self._now()).cast(stored_schema(spec))

        def decide(files: Sequence[DataFile]) -> tuple[Arranged, list[Partition]]:
            stored = read_files(spec, self.filesystem, files, columns=stored_schema(spec).names)
            return merge_rows(spec, stored, stamped, may_rewrite=may_rewrite)

        return self._write(spec, lambda files: [f for f in files if f.partition in content.ranges], decide, run_id)

    def _write(
        self,
        spec: TableSpec,
        basis: Callable[[Sequence[DataFile]], list[DataFile]],
        decide: Callable[[Sequence[DataFile]], tuple[Arranged, list[Partition]]],
        run_id: str,
    ) -> Commit:
        """Commit what a decision on some files leads to; done over when others changed those files meanwhile.

        Args:
            spec: the table.
            basis: of a version's files, those that the decision rests on.
            decide: the content of the partitions to write, and which they are.
            run_id: noted in rows and commit.
        """
        ready: Draft | None = None

        def attempt() -> Commit:
            nonlocal ready
            state = self._tables.state(spec.name)
            files = basis(state.files)
            if ready is not None and ready.stands_in(state.files):
                # The commit was accepted and only its answer was lost.
                return _done(spec, state.version, ready)
            if ready is None or not ready.rests_on(files):
                content, changed = decide(files)
                if not changed:
                    return Commit(spec.name, state.version)
                if state.delta is None:
                    create_table(spec, self._tables.address(spec.name), self._options)
                    state = self._tables.state(spec.name)
                    if state.delta is None or {f.path for f in basis(state.files)} != {f.path for f in files}:
                        raise CommitFailedError("another writer created the table")
                ready = write_draft(spec, self.filesystem, files, content, changed, run_id, self._now())
            assert state.delta is not None
            version = commit_files(spec, state.delta, ready.added, ready.removed, run_id)
            return _done(spec, version, ready)

        return self._retrying(spec.name, attempt)

    def _retrying(self, name: str, attempt: Callable[[], Commit]) -> Commit:
        for i in range(_ATTEMPTS):
            try:
                return dataclasses.replace(attempt(), attempts=i + 1)
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


def _done(spec: TableSpec, version: int | None, draft: Draft) -> Commit:
    return Commit(spec.name, version, draft.changed, sum(f.rows for f in draft.added))
