"""Which SQL statements only read the lake.

A first door, which says in a sentence what is wrong. The second one holds without it:
the connection of ``sql`` reaches no file, network, extension or variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import duckdb

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import UsageError

_READING = ("SELECT", "EXPLAIN")
# A PIVOT whose columns follow from the data is more than one statement to DuckDB: it collects their names first.
_PIVOTING = frozenset({"select", "with", "from", "pivot", "pivot_wider", "("})
_EXPLAIN = re.compile(r"\s*explain(\s+analyze\b)?(\s*\([^)]*\))?", re.IGNORECASE)
_WORD = re.compile(rb'"?([A-Za-z_]\w*)"?')
# A common table expression may have one of these as its body.
_CHANGING = frozenset({"copy", "insert", "update", "delete", "merge"})
# These look at the machine, take text for SQL, touch files or memory by address, or switch something.
_CATALOGS = frozenset({"duckdb_tables", "duckdb_views", "duckdb_columns", "duckdb_functions", "duckdb_types"})
_MACHINE = ("duckdb_", "pragma_", "pg_settings")
_CALLS = frozenset(
    {
        "query", "query_table", "current_setting", "getenv", "getvariable", "which_secret", "write_log",
        "checkpoint", "force_checkpoint", "truncate_duckdb_logs", "arrow_scan", "arrow_scan_dumb", "pandas_scan",
        "seq_scan", "sniff_csv", "glob", "json_serialize_plan",
    }
)  # fmt: skip
_CALL_FAMILIES = (
    "read_", "parquet_", "enable_", "disable_", "python_", "json_execute_", "register_", "deregister_",
    "create_external_", "destroy_external_",
)  # fmt: skip
# SHOW of any other name tells a setting.
_SHOWN = frozenset({"tables", "all", "databases", "lake_snapshots", *TABLES, *(f"{name}_history" for name in TABLES)})


def require_reading(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Demand exactly one statement, and one that reads tables alone (for EXPLAIN: the explained one too).

    Args:
        connection: parses; nothing is run.
        sql: the text.

    Raises:
        UsageError: saying what else the text does.
    """
    try:
        statements = connection.extract_statements(sql)
        if len(statements) == 1 and _kind(statements[0]) == "EXPLAIN":
            explained = _EXPLAIN.sub("", statements[0].query, count=1)
            statements = [*statements, *connection.extract_statements(explained)][-1:]
    except duckdb.Error as error:
        raise UsageError(f"The query cannot be read: {str(error).strip().splitlines()[0]}") from error
    if len(statements) != 1:
        raise UsageError(f"The query holds {len(statements)} statements; give exactly one.")
    kind, words = _kind(statements[0]), list(_tokens(sql))
    pivot = kind == "MULTI" and words[0][0].lower() in _PIVOTING
    if kind not in _READING and not pivot:
        raise _refusal(f"is a {kind} statement")
    before = ""
    for word, following in words:
        name = word.lower()
        # What begins as a reading PIVOT must change nothing after its common table expressions either.
        if name in _CHANGING and (pivot or before == "("):
            raise _refusal(f"has {name.upper()} inside")
        if name == "show" and following.lower() not in _SHOWN:
            raise _refusal("shows what is no table")
        machine = name.startswith(_MACHINE) and name not in _CATALOGS
        if machine or (following == "(" and (name in _CALLS or name.startswith(_CALL_FAMILIES))):
            raise _refusal(f"calls {name}, which looks beyond the tables")
        before = word


def _kind(statement: duckdb.Statement) -> str:
    try:
        return str(statement.type.name)
    except ValueError:  # A kind that the Python package has no name for.
        return "nameless"


def _tokens(sql: str) -> Iterator[tuple[str, str]]:
    """Each word or sign outside of texts and comments, without its quotes, and the one after it."""
    text = sql.encode()  # DuckDB counts bytes.
    found = [
        (match.group(1) if (match := _WORD.match(text, start)) else text[start : start + 1]).decode(errors="replace")
        for start, kind in duckdb.tokenize(sql)
        if kind not in (duckdb.token_type.string_const, duckdb.token_type.comment)
    ]
    return zip(found, [*found[1:], ""], strict=True)


def _refusal(what: str) -> UsageError:
    return UsageError(
        f"The query {what}; only reading tables is possible: SELECT, WITH, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN."
    )
