"""Which SQL statements only read the lake.

A first door, which says in a sentence what is wrong. The second one holds without it:
the connection of ``sql`` reaches no file, network, extension or variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import duckdb

from kalshi_assets.errors import UsageError

_READING = ("SELECT", "EXPLAIN")
_EXPLAIN = re.compile(r"\s*explain(\s+analyze\b)?(\s*\([^)]*\))?", re.IGNORECASE)
_WORD = re.compile(rb'"?([A-Za-z_]\w*)"?')
# A common table expression may have one of these as its body.
_CHANGING = frozenset({"copy", "insert", "update", "delete", "merge"})
# These look at the machine, take text for SQL, touch files or memory by address, or switch something.
_CATALOGS = frozenset({"duckdb_tables", "duckdb_views", "duckdb_columns", "duckdb_functions", "duckdb_types"})
_MACHINE = ("duckdb_", "pragma_")
_CALLS = frozenset(
    {
        "query", "query_table", "current_setting", "getenv", "getvariable", "which_secret", "write_log",
        "checkpoint", "force_checkpoint", "truncate_duckdb_logs", "arrow_scan", "arrow_scan_dumb", "pandas_scan",
        "python_map_function", "seq_scan", "sniff_csv", "glob",
    }
)  # fmt: skip
_CALL_FAMILIES = ("read_", "parquet_", "enable_", "disable_")


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
    kind = _kind(statements[0])
    if kind not in _READING:
        raise _refusal(f"is a {kind} statement")
    before = ""
    for word, following in _tokens(sql):
        name = word.lower()
        if before == "(" and name in _CHANGING:
            raise _refusal(f"has {name.upper()} inside")
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
