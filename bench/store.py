"""The lake against the libraries under it: a bulk write, the read of one event date, the hash of the content."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import WriterProperties, write_deltalake

from bench.ladders import make_ladders
from bench.measuring import Result, Timing, best_of
from kalshi_assets.core.tables import TABLES
from kalshi_assets.store.lake import Lake, Scope

PARTITIONS, CONTRACTS, QUOTES = 50, 10, 4000
NAME = "quotes"


def measure() -> Result:
    """Times of the lake and of the bare library, one above the other."""
    rows = make_ladders(PARTITIONS, contracts=CONTRACTS, quotes=QUOTES, snapshots=1).quotes
    scope = Scope(pc.unique(rows["event_date"]).to_pylist())
    with tempfile.TemporaryDirectory(prefix="bench-store-") as folder:
        root, bare = Path(folder, "lake"), Path(folder, "bare")
        bare_write = best_of(2, lambda: _bare_write(bare, rows), before=lambda: shutil.rmtree(bare, ignore_errors=True))
        write = best_of(
            2,
            lambda: Lake(root).replace(NAME, rows, scope=scope, run_id="bench"),
            before=lambda: shutil.rmtree(root, ignore_errors=True),
        )
        again = best_of(2, lambda: Lake(root).replace(NAME, rows, scope=scope, run_id="bench"))
        lake, day = Lake(root), scope.event_dates[PARTITIONS // 2]
        files = [root / f.path for f in lake.files(NAME)]
        (one,) = (root / f.path for f in lake.files(NAME) if day in f.partition)
        one_rows = pq.read_metadata(one).num_rows
        bare_one = best_of(7, lambda: _bare_read(one))
        read = best_of(7, lambda: lake.read(NAME, event_dates=[day]))
        opened = best_of(7, lambda: Lake(root).read(NAME, event_dates=[day]))
        bare_all = best_of(2, lambda: [_bare_read(file) for file in files])
        hashed = best_of(2, lambda: Lake(root).content_hash(NAME))
        rehashed = best_of(3, lambda: lake.content_hash(NAME))
    n = rows.num_rows
    return Result(
        f"Store: {n:,} quotes in {PARTITIONS} partitions, {rows.num_columns} columns",
        ("what", "seconds", "rows/s", "times the bare one"),
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
            "Both writers sort nothing out of order and compress with zstd at level 1; the lake also checks types and",
            "keys, sorts, and compares with what is stored. The bare read leaves out order and newest version.",
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


def _row(what: str, n: int, timing: Timing, bare: Timing) -> tuple[str, str, str, str]:
    return what, f"{timing.wall_s:.4f}", f"{n / timing.wall_s:,.0f}", f"{timing.wall_s / bare.wall_s:.2f}"
