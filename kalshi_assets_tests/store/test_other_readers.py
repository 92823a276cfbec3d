"""Other engines read the lake's tables row for row: Polars, DataFusion (delta-rs) and delta-kernel."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder

from kalshi_assets.core.ordering import sort_rows
from kalshi_assets.core.row_checks import InOrder, InRange
from kalshi_assets.core.tables import TABLES, TableSpec
from kalshi_assets.store.conform import canonical_columns, stored_schema
from kalshi_assets.store.lake import Lake
from kalshi_assets_tests.store.buckets import BucketServer, needs_moto

ROWS = 7
# Folder names escape these, and the log escapes the escapes.
ODD = ("KX A/B", "KX%2F=é", 'O\'Neil "q"', "plain", "a:b+c&d#e?f", "naïve 你好", "back\\slash")


def value_of(kind: pa.DataType, row: int, column: int) -> Any:
    """A value of a type; each row has its own, many at the edges of what the type holds."""
    n = row * 31 + column
    if pa.types.is_list(kind):
        return [value_of(kind.value_type, row, column + i) for i in range(row)]
    if pa.types.is_decimal(kind):
        whole, places = kind.precision - kind.scale, kind.scale
        largest = Decimal(10**kind.precision - 1).scaleb(-places)
        return (largest, -largest, Decimal(n % 10**whole).scaleb(-places))[row % 3]
    if pa.types.is_timestamp(kind):
        return datetime(2024, 3, 10, 6, 59, 59, 999_999, tzinfo=UTC) + timedelta(minutes=n, microseconds=row)
    if pa.types.is_date(kind):
        return date(2024, 2, 29) + timedelta(days=row % 3)
    if pa.types.is_floating(kind):
        return (0.1 + n, sys.float_info.max, -sys.float_info.max, -1e-300, 1 / 3, -0.0, 1e300)[row]
    if pa.types.is_integer(kind):
        return (n, -n, 2**62 + n, -(2**62) - n)[row % 4]
    if pa.types.is_boolean(kind):
        return bool(n % 2)
    return ODD[(row + column) % len(ODD)]


def lawful(spec: TableSpec, row: dict[str, Any]) -> dict[str, Any]:
    """The same row with each value moved to where the checks of its table allow it."""

    def inside(check: InRange, value: Any) -> Any:
        if isinstance(value, list):
            return [inside(check, v) for v in value]
        return value if value is None else max(min(value, check.high or value), check.low)

    for check in spec.checks:
        if isinstance(check, InRange):
            row[check.column] = inside(check, row[check.column])
    orders = [check for check in spec.checks if isinstance(check, InOrder)]
    for _ in orders:
        for check in orders:
            pair = row[check.first], row[check.then]
            if None not in pair:
                row[check.first], row[check.then] = min(pair), max(pair)
    return row


def rows_of(spec: TableSpec) -> pa.Table:
    """Rows with every optional column null in the fourth row, and every key of its own."""
    rows = []
    for r in range(ROWS):
        row = {f.name: value_of(f.type, r, c) for c, f in enumerate(spec.schema)}
        for f in spec.schema:
            if f.nullable and r == 3 and f.name not in (*spec.key, *spec.partition_by):
                row[f.name] = None
        rows.append(lawful(spec, row))
    return pa.Table.from_pylist(rows, schema=spec.schema)


def fill(lake: Lake, names: Iterable[str] = TABLES) -> None:
    for name in names:
        rows = rows_of(TABLES[name])
        # Two commits, so that a reader that ignored the log would see rows twice.
        lake.upsert(name, rows.slice(0, 4), run_id="first")
        lake.upsert(name, rows, run_id="second")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("readers") / "lake")
    fill(lake)
    return lake


def with_polars(address: str, options: dict[str, str]) -> pa.Table:
    polars = pytest.importorskip("polars", reason="needs Polars: pip install '.[dev]'")
    return polars.scan_delta(address, storage_options=options).collect().to_arrow()


def with_datafusion(address: str, options: dict[str, str]) -> pa.Table:
    reader = QueryBuilder().register("t", DeltaTable(address, storage_options=options)).execute("select * from t")
    return pa.table(reader)


def with_delta_kernel(address: str, options: dict[str, str]) -> pa.Table:
    kernel = pytest.importorskip("delta_kernel_rust_sharing_wrapper", reason="needs delta-kernel: pip install '.[dev]'")
    url = Path(address).absolute().as_uri()
    interface = kernel.PythonInterface(url)
    snapshot = kernel.Table(url).snapshot(interface)
    return kernel.ScanBuilder(snapshot).build().execute(interface).read_all()


READERS = {"polars": with_polars, "datafusion": with_datafusion, "delta-kernel": with_delta_kernel}


def assert_same(
    lake: Lake, name: str, read: Callable[[str, dict[str, str]], pa.Table], options: dict[str, str]
) -> None:
    spec = TABLES[name]
    ours = lake.read(name, history=True, bookkeeping=True)
    theirs = read(f"{lake.root}/{name}", options)
    schema = stored_schema(spec)
    assert sorted(theirs.column_names) == sorted(schema.names)
    for field in schema:
        # Text may be large or a view; anything else is as declared.
        got = theirs.schema.field(field.name).type
        if not (pa.types.is_string(field.type) or pa.types.is_list(field.type)):
            assert got == field.type, (name, field.name)
    theirs = sort_rows(theirs.select(schema.names).cast(ours.schema), canonical_columns(spec))
    assert ours.num_rows == ROWS
    for field in schema:
        mine, other = ours.column(field.name).to_pylist(), theirs.column(field.name).to_pylist()
        # repr tells the two zeros apart.
        assert repr(other) == repr(mine), (name, field.name)


@pytest.mark.parametrize("engine", READERS)
def test_every_row_of_every_table_in_a_folder(folder: Lake, engine: str) -> None:
    for name in TABLES:
        assert_same(folder, name, READERS[engine], {})


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with BucketServer() as server:
        yield server


@needs_moto
def test_every_row_in_a_bucket(server: BucketServer) -> None:
    address = server.new_address()
    lake = server.lake(address)
    # One of each partitioning, versioned and not, with lists and decimals.
    names = ("events", "quotes", "distributions", "trials", "macro_observations")
    fill(lake, names)
    given = server.variables(address)
    options = {name: given[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL")}
    options |= {"AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
    for engine in ("polars", "datafusion"):
        for name in names:
            assert_same(lake, name, READERS[engine], options)
