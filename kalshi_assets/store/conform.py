"""Rows on their way into the lake: made to fit their table's declared schema and checks, or refused.

Types, nulls and time zones, a column at a time, then the laws of single rows. Keys and order are
``arrangement``'s; reading, comparing and committing rows belong to ``lake``, and what the values mean to the stages.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.row_checks import RowCheck
from kalshi_assets.core.tables import BOOKKEEPING, TABLES, TIME, TableSpec
from kalshi_assets.errors import RowsRefused, StoreError
from kalshi_assets.store.workers import WORKERS

# Columns that the store adds: who wrote a row, and when.
STAMPS = {"run_id": pa.string(), "recorded_at": TIME}
_NULL_ROWS = 65_536
# With fewer rows, threads cost more than they save.
_MANY_ROWS = 100_000


def spec_of(name: str) -> TableSpec:
    """The declared table, or a StoreError that lists those there are."""
    spec = TABLES.get(name)
    if spec is None:
        raise StoreError(f"The lake has no table {name!r}; its tables are: {', '.join(TABLES)}.")
    return spec


def stored_schema(spec: TableSpec) -> pa.Schema:
    """Content columns, then ``run_id`` and ``recorded_at``."""
    return pa.schema([*spec.schema, *(pa.field(name, kind) for name, kind in STAMPS.items())])


def row_key(spec: TableSpec) -> tuple[str, ...]:
    """Columns that name one stored row: the key, and ``known_at`` where a key has versions."""
    return (*spec.key, *(("known_at",) if spec.versioned and "known_at" not in spec.key else ()))


def canonical_columns(spec: TableSpec) -> tuple[str, ...]:
    """The order of a read's rows: ``spec.order``, then the partition where one key is in several."""
    return (*spec.order, *(c for c in spec.partition_by if c not in spec.order))


def conform(spec: TableSpec, rows: pa.Table) -> pa.Table:
    """Rows with exactly the declared columns and types, in the order given.

    Args:
        spec: the table.
        rows: content columns in any order; optional columns may be absent and become null.

    Raises:
        RowsRefused: an unknown or missing column, a type that does not fit without loss, a time
            without time zone, a null where a value is required, or a row that breaks a check of the table.
    """
    names, declared = rows.column_names, set(spec.schema.names)
    unknown = [c for c in names if c not in declared]
    if unknown:
        hint = " (the store writes that column itself)" if unknown[0] in BOOKKEEPING else ""
        raise RowsRefused(f"Table {spec.name} has no column {unknown[0]!r}{hint}; drop it or correct its name.")
    given = dict(zip(names, rows.columns, strict=True))
    if len(given) != len(names):
        raise RowsRefused(f"Rows for table {spec.name} name a column twice: {names}.")
    table = pa.table([_column(spec, field, rows, given.get(field.name)) for field in spec.schema], schema=spec.schema)
    breach = first_breach(spec, table)
    if breach is not None:
        check, row = breach
        raise RowsRefused(
            f"Row {row} for table {spec.name}, key {key_text(spec, table, row)}, breaks the check {check.name}: "
            f"{check.breach(table, row)}; correct the row or leave it out."
        )
    return table


def first_breach(spec: TableSpec, rows: pa.Table) -> tuple[RowCheck, int] | None:
    """The first check of a table that some rows break, and the first row that does; None where they keep all.

    Args:
        spec: the table.
        rows: its content columns, of the declared types.
    """
    if rows.num_rows < _MANY_ROWS:
        places = [check.first_breach(rows) for check in spec.checks]
    else:
        with ThreadPoolExecutor(WORKERS) as pool:
            places = list(pool.map(lambda check: check.first_breach(rows), spec.checks))
    return next(((c, row) for c, row in zip(spec.checks, places, strict=True) if row is not None), None)


def key_text(spec: TableSpec, rows: pa.Table, row: int) -> str:
    """The key of one row, for a sentence about it."""
    known = [c for c in row_key(spec) if c in rows.column_names]
    return "(" + ", ".join(f"{c}={rows.column(c)[row].as_py()}" for c in known) + ")"


def _column(spec: TableSpec, field: pa.Field, rows: pa.Table, column: pa.ChunkedArray | None) -> pa.ChunkedArray:
    where = f"{spec.name}.{field.name}"
    if column is None:
        if not field.nullable:
            raise RowsRefused(f"Rows for table {spec.name} lack the column {field.name}, which is required.")
        return _nulls(rows.num_rows, field.type)
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        raise RowsRefused(f"Column {where} has times without a time zone; give them in UTC.")
    if column.type != field.type:
        if not _fits(column.type, field.type):
            raise RowsRefused(f"Column {where} is {column.type} and must be {field.type}.")
        try:
            column = column.cast(field.type)
        except pa.ArrowException as error:
            raise RowsRefused(f"Column {where} does not fit {field.type} without loss: {_first(error)}.") from error
    if not field.nullable and column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise RowsRefused(
            f"Column {where} is required and is null in row {row}, key {key_text(spec, rows, row)}; leave the row out."
        )
    return column


def _nulls(n: int, kind: pa.DataType) -> pa.ChunkedArray:
    """A column of nulls whose chunks share one piece of memory."""
    block = pa.nulls(min(n, _NULL_ROWS), kind)
    return pa.chunked_array([block] * (n // _NULL_ROWS) + [block.slice(0, n % _NULL_ROWS)], kind)


def _fits(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a cast changes the representation and never the kind of value."""
    if pa.types.is_dictionary(given):
        return _fits(given.value_type, wanted)
    if pa.types.is_list(wanted):
        return (pa.types.is_list(given) or pa.types.is_large_list(given)) and _fits(given.value_type, wanted.value_type)
    integer = pa.types.is_integer(given)
    return bool(
        given == wanted
        or pa.types.is_null(given)
        or (pa.types.is_string(wanted) and pa.types.is_large_string(given))
        or (pa.types.is_integer(wanted) and integer)
        or (pa.types.is_floating(wanted) and (integer or pa.types.is_floating(given)))
        or (pa.types.is_decimal(wanted) and pa.types.is_decimal(given))
        or (pa.types.is_timestamp(wanted) and pa.types.is_timestamp(given))
        or (pa.types.is_date32(wanted) and pa.types.is_date(given))
    )


def _first(error: Exception) -> str:
    return str(error).split("\n", 1)[0].rstrip(".")
