"""Read-only SQL over the lake, cut at a time: DuckDB in memory over lazy scans of the tables.

DuckDB never gets a path: it sees Arrow scans that are cut already, and its own file,
network and extension access is shut before the query is looked at. Which statements
are let in at all is decided by ``statements``; formatting results belongs to the CLI.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from kalshi_assets.core.tables import TABLES, TIME, TableSpec
from kalshi_assets.errors import StoreError, UsageError
from kalshi_assets.store.conform import spec_of, stored_schema
from kalshi_assets.store.event_dates import EventDates, filed_by_event, read_as_dated
from kalshi_assets.store.files import DataFile, dataset_of, split_by_rivalry
from kalshi_assets.store.instants import utc_instant
from kalshi_assets.store.known_rows import Question
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.mappings import MAP_TABLE, mapping_as_of
from kalshi_assets.store.snapshots import all_snapshots, published
from kalshi_assets.store.statements import require_reading

SNAPSHOTS = "lake_snapshots"
LARGEST_ANSWER_BYTES = 1 << 30
_BATCH_ROWS = 65_536
_WORD = re.compile(r"[A-Za-z_]\w*")
_CATALOG = re.compile(r"\b(show|information_schema|duckdb_(tables|views|columns))\b", re.IGNORECASE)
_SNAPSHOT_COLUMNS = pa.schema(
    [
        ("id", pa.string()),
        ("sequence", pa.int64()),
        ("stage", pa.string()),
        ("run_id", pa.string()),
        ("code_version", pa.string()),
        ("config_hash", pa.string()),
        ("recorded_at", TIME),
        ("tables", pa.string()),
    ]
)
_LOCK = (
    "SET TimeZone = 'UTC'",
    # Both ``lambda c: ...`` and the older ``c -> ...`` are in people's queries.
    "SET lambda_syntax = 'ENABLE_SINGLE_ARROW'",
    "SET python_enable_replacements = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    # A query that needs more ends with a sentence: spilling could fill the disk that runs write to.
    "SET memory_limit = '25%'",
    "SET temp_directory = ''",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


def query(
    lake: Lake,
    sql: str,
    *,
    as_of: datetime | str | None = None,
    snapshot: Mapping[str, int] | str | None = None,
    largest_bytes: int = LARGEST_ANSWER_BYTES,
) -> pa.Table:
    """Answer one reading statement.

    Every table of ``core.tables`` is a view; of a versioned table it has one row a key, the newest
    known one, and ``<table>_history`` has all; ``event_market_map`` has one row an event, the mapping in
    force (``mappings.mapping_as_of``). ``run_id`` and ``recorded_at`` are columns too. The
    view ``lake_snapshots`` lists the lake snapshots, cut by ``recorded_at``.

    Args:
        lake: the lake; what it holds beyond the newest lake snapshot is not seen.
        sql: one SELECT, WITH, FROM, VALUES, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN statement.
        as_of: hides every row with a later ``known_at``; aware, or ISO text with a zone. None hides none.
        snapshot: id of a lake snapshot, or table versions, to read instead of the newest snapshot.
        largest_bytes: how large the answer may be.

    Returns:
        The result; times in UTC.

    Raises:
        UsageError: the statement does more than read, is several, asks for too much, names no
            snapshot, or DuckDB refuses it; or ``as_of`` is no instant.
        StoreError: a damaged table.
    """
    cut = None if as_of is None else utc_instant(as_of)
    with _opened() as connection:
        require_reading(connection, sql)
        source = lake.at(snapshot) if isinstance(snapshot, Mapping) else published(lake, snapshot)
        mentioned = _mentioned(sql)
        for name, history in mentioned:
            _make_view(connection, source, spec_of(name), cut, history=history)
        present = {name for name, history in mentioned if not history}
        if SNAPSHOTS in _words(sql):
            connection.register(SNAPSHOTS, _snapshot_rows(lake, cut))
            present.add(SNAPSHOTS)
        if _CATALOG.search(sql):
            _list_others(connection, present)
        try:
            _shut(connection)
            return _answer(connection, sql, largest_bytes)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            if "registered as" in str(error):
                # A scan failed, not the query: reading the tables the other way names the file.
                for name in {name for name, _ in mentioned}:
                    source.read(name, history=True)
                raise StoreError(f"The lake could not be read for the query: {_first_line(error)}") from error
            raise UsageError(f"The query cannot be answered: {_first_line(error)}") from error


def open_connection(lake: Lake, *, as_of: datetime | str | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection of one's own on which the views of ``query`` stand, cut and shut in the same way.

    What is created on it lives in its memory and ends with it; files, networks and the
    caller's variables are out of its reach. The caller closes it.

    Raises:
        UsageError: an ``as_of`` that is no instant.
        StoreError: a damaged table.
    """
    cut = None if as_of is None else utc_instant(as_of)
    source = published(lake)
    connection = duckdb.connect(":memory:")
    try:
        for spec in TABLES.values():
            _make_view(connection, source, spec, cut, history=False)
            if spec.versioned:
                _make_view(connection, source, spec, cut, history=True)
        connection.register(SNAPSHOTS, _snapshot_rows(lake, cut))
        _shut(connection)
    except BaseException:  # An interrupt too: nobody but us could close a connection that was never handed over.
        connection.close()
        raise
    return connection


@contextmanager
def _opened() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(":memory:")
    try:
        yield connection
    finally:
        connection.close()


def _shut(connection: duckdb.DuckDBPyConnection) -> None:
    """Close every way out of memory, and lock the doors."""
    for setting in _LOCK:
        connection.execute(setting)


def _answer(connection: duckdb.DuckDBPyConnection, sql: str, largest_bytes: int) -> pa.Table:
    """The result, fetched batch by batch: DuckDB's own limit of memory does not count what it has handed over."""
    reader = connection.sql(sql).to_arrow_reader(_BATCH_ROWS)
    batches, size = [], 0
    for batch in reader:
        batches.append(batch)
        size += batch.nbytes
        if size > largest_bytes:
            reader.close()
            raise UsageError(
                f"The answer is larger than {largest_bytes / (1 << 20):,.0f} MiB: aggregate, name the columns that "
                "are needed, or add a LIMIT."
            )
    return pa.Table.from_batches(batches, schema=reader.schema)


def _words(sql: str) -> set[str]:
    return {w.lower() for w in _WORD.findall(sql)}


def _mentioned(sql: str) -> list[tuple[str, bool]]:
    """Tables whose name occurs as a word, with whether it is the history view that is meant."""
    words = _words(sql)
    return [
        (name, history)
        for name in TABLES
        for history in (False, True)
        if name + ("_history" if history else "") in words
    ]


def _make_view(
    connection: duckdb.DuckDBPyConnection, lake: Lake, spec: TableSpec, as_of: datetime | None, *, history: bool
) -> None:
    if spec.name == MAP_TABLE and not history:
        # Whoever joins it means the release that an event stands for, not every one that it ever stood for.
        connection.register(MAP_TABLE, mapping_as_of(lake, as_of, bookkeeping=True))
        return
    view, files = spec.name + ("_history" if history else ""), lake.files(spec.name)
    moved = lake.moved_events() if as_of is not None and filed_by_event(spec) else None
    collapse = spec.versioned and not history
    if moved is None and not collapse:
        connection.register(view, _scan(spec, lake, files, as_of))
        return
    # A key's versions lie in one file unless an event moved date. Where they do, the partition
    # columns join the window's key, which lets a filter on them prune files.
    alone, shared = split_by_rivalry(files) if collapse else (files, [])
    parts = []
    if moved is not None and as_of is not None:
        alone, shared, apart = _without_moved(spec, moved, alone, shared)
        question = Question(stored_schema(spec).names, as_of, history=history)
        connection.register(f"{view}__moved", read_as_dated(spec, lake.filesystem, apart, question, moved))
        parts.append(f"SELECT * FROM {view}__moved")  # noqa: S608 (names of our own tables)
    key, partition = ", ".join(map(_quoted, spec.key)), "".join(f"{_quoted(c)}, " for c in spec.partition_by)
    newest_first = ", ".join(f"{_quoted(c)} DESC" for c in ("known_at", *spec.partition_by))
    for suffix, group, window in (("alone", alone, partition + key), ("shared", shared, key)):
        if group or suffix == "alone":
            connection.register(f"{view}__{suffix}", _scan(spec, lake, group, as_of))
            newest = f"QUALIFY row_number() OVER (PARTITION BY {window} ORDER BY {newest_first}) = 1"
            parts.append(f"SELECT * FROM {view}__{suffix} {newest if collapse else ''}")  # noqa: S608 (ours too)
    connection.execute(f"CREATE VIEW {view} AS {' UNION ALL '.join(parts)}")


def _quoted(column: str) -> str:
    """A column whose name may be a word of SQL too."""
    return f'"{column}"'


def _without_moved(
    spec: TableSpec, moved: EventDates, alone: list[DataFile], shared: list[DataFile]
) -> tuple[list[DataFile], list[DataFile], list[DataFile]]:
    """Both groups without the files that may hold rows of events that moved, and those files.

    A lazy scan says of a file's rows what its folder says; rows that stood elsewhere are read instead.
    """
    position, ever = spec.partition_by.index("event_date"), moved.ever
    apart = [f for f in alone if f.partition[position] in ever]
    alone = [f for f in alone if f.partition[position] not in ever]
    # The newest row of a key is sought in all shared files together.
    if any(f.partition[position] in ever for f in shared):
        shared, apart = [], [*apart, *shared]
    return alone, shared, apart


def _scan(spec: TableSpec, lake: Lake, files: list[DataFile], as_of: datetime | None) -> ds.Dataset | pa.Table:
    if not files:
        return stored_schema(spec).empty_table()
    try:
        dataset = dataset_of(spec, lake.tables.scannable, files)
    except OSError as error:
        raise lake.tables.broken(spec.name, error) from error
    return dataset if as_of is None else dataset.filter(ds.field("known_at") <= pa.scalar(as_of))


def _snapshot_rows(lake: Lake, as_of: datetime | None) -> pa.Table:
    """Rows of ``lake_snapshots``; ``tables`` is a JSON object of versions."""
    rows = [
        {
            "id": s.snapshot_id,
            **{c: getattr(s, c) for c in _SNAPSHOT_COLUMNS.names if c not in ("id", "tables")},
            "tables": json.dumps(s.versions),
        }
        for s in all_snapshots(lake)
        if as_of is None or s.recorded_at <= as_of
    ]
    return pa.Table.from_pylist(rows, schema=_SNAPSHOT_COLUMNS)


def _list_others(connection: duckdb.DuckDBPyConnection, present: Iterable[str]) -> None:
    """Every other table by its columns, for statements that list the catalog."""
    others = {name: stored_schema(spec) for name, spec in TABLES.items()} | {SNAPSHOTS: _SNAPSHOT_COLUMNS}
    for name in others.keys() - set(present):
        connection.register(name, others[name].empty_table())


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
