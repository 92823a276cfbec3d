"""The lake against the libraries under it: a bulk write, the read of one event date, the hash of the content."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import WriterProperties, write_deltalake

from bench.ladders import make_ladders
from bench.measuring import Result, Timing, in_turns
from kalshi_assets.core.tables import TABLES
from kalshi_assets.store.lake import Lake, Scope

PARTITIONS, CONTRACTS, QUOTES = 50, 10, 4000
NAME = "quotes"


def measure() -> Result:
    """Times of the lake and of the bare library, one above the other."""
    rows = make_ladders(PARTITIONS, contracts=CONTRACTS, quotes=QUOTES, snapshots=1).quotes
    scope = Scope(pc.unique(rows["event_date"]).to_pylist())
    with tempfile.TemporaryDirectory(prefix="bench-store-") as folder:
        lake = Lake(folder)
        lake.replace(NAME, rows, scope=scope, run_id="bench")
        bare_write, write, again = in_turns(
            3,
            lambda: _bare_write(_new(folder), rows),
            lambda: Lake(_new(folder)).replace(NAME, rows, scope=scope, run_id="bench"),
            lambda: Lake(folder).replace(NAME, rows, scope=scope, run_id="bench"),
        )
        day = scope.event_dates[PARTITIONS // 2]
        files = [Path(folder, f.path) for f in lake.files(NAME)]
        (one,) = (Path(folder, f.path) for f in lake.files(NAME) if day in f.partition)
        one_rows = pq.read_metadata(one).num_rows
        bare_one, read, opened = in_turns(
            15,
            lambda: _bare_read(one),
            lambda: lake.read(NAME, event_dates=[day]),
            lambda: Lake(folder).read(NAME, event_dates=[day]),
        )
        lake.content_hash(NAME)
        bare_all, hashed, rehashed = in_turns(
            3,
            lambda: [_bare_read(file) for file in files],
            lambda: Lake(folder).content_hash(NAME),
            lambda: lake.content_hash(NAME),
        )
    n = rows.num_rows
    return Result(
        f"Store: {n:,} quotes in {PARTITIONS} partitions, {rows.num_columns} columns",
        ("what", "seconds", "CPU s", "rows/s", "times bare", "CPU times bare"),
        [
            _row("write_deltalake, bare", n, bare_write, bare_write),
            _row("Lake.replace, new", n, write, bare_write),
            _row("Lake.replace, same rows again", n, again, bare_write),
            _row("one event date, bare pyarrow", one_rows, bare_one, bare_one),
            _row("Lake.read, lake held open", one_rows, read, bare_one),
            _row("Lake.read, lake just opened", one_rows, opened, bare_one),
            _row("all files, bare pyarrow", n, bare_all, bare_all),
            _row("Lake.content_hash, reading included", n, hashed, bare_all),
            _row("Lake.content_hash, files hashed before", n, rehashed, bare_all),
        ],
        (
            "Both writers get rows in the lake's order and compress with zstd at level 1; the lake also checks types",
            "and keys and compares with what is stored. The bare read knows no partition, order or version.",
        ),
    )


def _bare_write(folder: Path, rows: pa.Table) -> None:
    write_deltalake(
        folder,
        rows,
        partition_by=list(TABLES[NAME].partition_by),
        writer_properties=WriterProperties(compression="ZSTD", compression_level=1),
    )


def _bare_read(file: Path) -> pa.Table:
    return pq.ParquetFile(file).read()


def _new(folder: str) -> Path:
    return Path(tempfile.mkdtemp(dir=folder), "table")


def _row(what: str, n: int, timing: Timing, bare: Timing) -> tuple[str, ...]:
    wall, cpu = timing.wall_s, timing.cpu_s
    return (
        what,
        f"{wall:.4f}",
        f"{cpu:.4f}",
        f"{n / wall:,.0f}",
        f"{wall / bare.wall_s:.2f}",
        f"{cpu / bare.cpu_s:.2f}",
    )
