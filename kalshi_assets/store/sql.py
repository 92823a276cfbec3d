"""Read-only SQL over the lake, cut at a time: DuckDB in memory over lazy scans of the tables.

DuckDB never gets a path: it sees Arrow scans that are cut already, and its own
file, network and extension access is shut before the query is looked at.
Formatting results belongs to the CLI.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from kalshi_assets.core.tables import TABLES, TableSpec
from kalshi_assets.errors import StoreError, UsageError
from kalshi_assets.store.conform import spec_of, stored_schema
from kalshi_assets.store.files import DataFile, dataset_of, split_by_rivalry
from kalshi_assets.store.lake import Lake

_READING = frozenset({duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN})
_WORD = re.compile(r"[A-Za-z_]\w*")
_CATALOG = re.compile(r"\b(show|information_schema|duckdb_(tables|views|columns))\b", re.IGNORECASE)
_EXPLAIN = re.compile(r"\s*explain(\s+analyze\b)?(\s*\([^)]*\))?", re.IGNORECASE)
_LOCK = (
    "SET TimeZone = 'UTC'",
    # Both ``lambda c: ...`` and the older ``c -> ...`` are in people's queries.
    "SET lambda_syntax = 'ENABLE_SINGLE_ARROW'",
    "SET python_enable_replacements = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


def query(
    lake: Lake, sql: str, *, as_of: datetime | None = None, snapshot: Mapping[str, int] | None = None
) -> pa.Table:
    """Answer one reading statement.

    Every table of ``core.tables`` is a view; of a versioned table it has one row a key, the newest
    known one, and ``<table>_history`` has all. ``run_id`` and ``recorded_at`` are columns too.

    Args:
        lake: the lake.
        sql: one SELECT, WITH, FROM, VALUES, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN statement.
        as_of: hides every row with a later ``known_at``.
        snapshot: table versions to read instead of the newest ones.

    Returns:
        The result; times in UTC.

    Raises:
        UsageError: the statement does more than read, is several, or DuckDB refuses it.
        StoreError: a naive ``as_of``, or a damaged table.
    """
    if as_of is not None and as_of.tzinfo is None:
        raise StoreError(f"The as-of time {as_of} has no time zone; give it in UTC.")
    source = lake if snapshot is None else lake.at(snapshot)
    with _connection() as connection:
        _require_reading(connection, sql)
        for name, history in _mentioned(sql):
            _make_view(connection, source, spec_of(name), as_of, history=history)
        if _CATALOG.search(sql):
            _list_others(connection, {name for name, history in _mentioned(sql) if not history})
        try:
            for setting in _LOCK:
                connection.execute(setting)
            return connection.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            if "registered as" in str(error):
                # A scan failed, not the query: reading the tables the other way names the file.
                for name in {name for name, _ in _mentioned(sql)}:
                    source.read(name, history=True)
            raise UsageError(f"The query cannot be answered: {_first_line(error)}") from error
        except (pa.ArrowException, OSError) as error:
            raise StoreError(f"The lake could not be read for the query: {_first_line(error)}") from error


@contextmanager
def _connection() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(":memory:")
    try:
        yield connection
    finally:
        connection.close()


def _require_reading(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Exactly one statement, and one that reads (for EXPLAIN: the explained one too)."""
    try:
        statements = connection.extract_statements(sql)
        if len(statements) == 1 and statements[0].type == duckdb.StatementType.EXPLAIN:
            explained = _EXPLAIN.sub("", statements[0].query, count=1)
            statements = [*statements, *connection.extract_statements(explained)][-1:]
    except duckdb.Error as error:
        raise UsageError(f"The query cannot be read: {_first_line(error)}") from error
    if len(statements) != 1:
        raise UsageError(f"The query holds {len(statements)} statements; give exactly one.")
    kind = statements[0].type
    if kind not in _READING:
        raise UsageError(
            f"The query is a {kind.name} statement; only reading is possible: "
            "SELECT, WITH, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN."
        )


def _mentioned(sql: str) -> list[tuple[str, bool]]:
    """Tables whose name occurs as a word, with whether it is the history view that is meant."""
    words = {w.lower() for w in _WORD.findall(sql)}
    return [
        (name, history)
        for name in TABLES
        for history in (False, True)
        if name + ("_history" if history else "") in words
    ]


def _make_view(
    connection: duckdb.DuckDBPyConnection, lake: Lake, spec: TableSpec, as_of: datetime | None, *, history: bool
) -> None:
    view = spec.name + ("_history" if history else "")
    files = lake.files(spec.name)
    if not spec.versioned or history:
        connection.register(view, _scan(spec, lake, files, as_of))
        return
    # A key's versions lie in one file unless an event moved date. Where they do, the partition
    # columns join the window's key, which lets a filter on them prune files.
    alone, shared = split_by_rivalry(files)
    parts = []
    key, partition = ", ".join(spec.key), "".join(f"{c}, " for c in spec.partition_by)
    newest_first = ", ".join(f"{c} DESC" for c in ("known_at", *spec.partition_by))
    for suffix, group, window in (("alone", alone, partition + key), ("shared", shared, key)):
        if group or suffix == "alone":
            connection.register(f"{view}__{suffix}", _scan(spec, lake, group, as_of))
            parts.append(
                f"SELECT * FROM {view}__{suffix} "  # noqa: S608 (names of our own tables)
                f"QUALIFY row_number() OVER (PARTITION BY {window} ORDER BY {newest_first}) = 1"
            )
    connection.execute(f"CREATE VIEW {view} AS {' UNION ALL '.join(parts)}")


def _scan(spec: TableSpec, lake: Lake, files: list[DataFile], as_of: datetime | None) -> ds.Dataset | pa.Table:
    if not files:
        return stored_schema(spec).empty_table()
    dataset = dataset_of(spec, lake.filesystem, files)
    return dataset if as_of is None else dataset.filter(ds.field("known_at") <= pa.scalar(as_of))


def _list_others(connection: duckdb.DuckDBPyConnection, present: set[str]) -> None:
    """Every other table by its columns, for statements that list the catalog."""
    for name, spec in TABLES.items():
        if name not in present:
            connection.register(name, stored_schema(spec).empty_table())


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
