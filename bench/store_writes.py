"""Writing quotes: the lake beside delta-rs and beside bare Parquet files of the same rows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import WriterProperties, write_deltalake

from bench.measuring import Result, Timing, in_turns
from kalshi_assets.core.tables import TABLES
from kalshi_assets.store.arrangement import grouped
from kalshi_assets.store.encoding import Encoder
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.workers import WORKERS

NAME = "quotes"
SPEC = TABLES[NAME]
BULK_ROWS, SMALL_DATES, SMALL_ROWS = 2_000_000, 192, 300


def writes(folder: Path, quotes: pa.Table) -> Result:
    """A bulk write, the same again, a write of many small dates, and how much memory a large one takes."""
    bulk = quotes.slice(0, BULK_ROWS)
    small = _small(quotes)
    held = Lake(folder / "held")
    held.replace(NAME, bulk, scope=_scope(bulk), run_id="bench")
    numbers = iter(range(10_000))

    def new() -> Path:
        return folder / str(next(numbers))

    best = in_turns(
        3,
        lambda: _delta(new(), bulk),
        lambda: _parquet(new(), bulk, compression="zstd", compression_level=1),
        lambda: _files(new(), bulk),
        lambda: Lake(new()).replace(NAME, bulk, scope=_scope(bulk), run_id="bench"),
        lambda: held.replace(NAME, bulk, scope=_scope(bulk), run_id="bench"),
        lambda: _delta(new(), small),
        lambda: Lake(new()).replace(NAME, small, scope=_scope(small), run_id="bench"),
    )
    shutil.rmtree(folder)
    delta, plain, files, ours, again, small_delta, small_ours = best
    large, extra = _memory(quotes.num_rows)
    return Result(
        f"Store, writing: {bulk.num_rows:,} quotes, {bulk.num_columns} columns, {len(_scope(bulk).event_dates)} dates",
        ("what", "seconds", "CPU s", "rows/s", "times write_deltalake", "times Parquet bound"),
        [
            _row("write_deltalake, bare", bulk, delta, delta, files),
            _row("pyarrow.parquet's defaults, two threads", bulk, plain, delta, files),
            _row("Parquet in the lake's encodings, no log", bulk, files, delta, files),
            _row("Lake.replace, new", bulk, ours, delta, files),
            _row("Lake.replace, same rows again", bulk, again, delta, files),
            _row(f"{SMALL_DATES} dates x {SMALL_ROWS} rows, write_deltalake", small, small_delta, small_delta, None),
            _row(f"{SMALL_DATES} dates x {SMALL_ROWS} rows, Lake.replace", small, small_ours, small_delta, None),
        ],
        (
            "All get rows in the lake's order and compress with zstd at level 1; the lake also checks types and keys,",
            "compares with what is stored, and commits. The Parquet bound is the same files without any of that.",
            f"Peak memory of Lake.replace of {large:,} rows, above the rows themselves: {extra:,.0f} MiB.",
        ),
    )


def _delta(folder: Path, rows: pa.Table) -> None:
    properties = WriterProperties(compression="ZSTD", compression_level=1)
    write_deltalake(folder, rows, partition_by=list(SPEC.partition_by), writer_properties=properties)


def _parquet(folder: Path, rows: pa.Table, **properties: Any) -> None:
    folder.mkdir(parents=True)
    content = grouped(SPEC, rows)

    def write(item: tuple[int, tuple[Any, ...]]) -> None:
        body = content.of(item[1]).drop_columns(list(SPEC.partition_by))
        pq.write_table(body, folder / f"{item[0]}.parquet", **properties)

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(write, enumerate(content.ranges)))


def _files(folder: Path, rows: pa.Table) -> None:
    folder.mkdir(parents=True)
    stored = rows.append_column("run_id", pa.repeat("bench", rows.num_rows)).append_column("recorded_at", rows["ts"])
    content = grouped(SPEC, stored)
    encoder = Encoder(SPEC, pafs.SubTreeFileSystem(str(folder), pafs.LocalFileSystem()))
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda p: encoder.write(p, content.of(p)), content.ranges))


def _scope(rows: pa.Table) -> Scope:
    return Scope(pc.unique(rows["event_date"]).to_pylist())


def _small(quotes: pa.Table) -> pa.Table:
    """Few rows on each of many dates."""
    rows = quotes.slice(0, SMALL_DATES * SMALL_ROWS).combine_chunks()
    first = quotes["event_date"][0].value
    dates = pa.array(np.repeat(np.arange(first, first + SMALL_DATES), SMALL_ROWS), pa.int32()).cast(pa.date32())
    place = rows.schema.get_field_index("event_date")
    return rows.set_column(place, rows.schema.field(place), dates)


def _memory(rows: int) -> tuple[int, float]:
    """Rows written by a process of its own, and the peak of its memory above them in MiB."""
    command = [sys.executable, "-m", "bench.store_memory", "write", str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    written, extra = done.stdout.split()
    return int(written), float(extra)


def _row(what: str, rows: pa.Table, timing: Timing, delta: Timing, bound: Timing | None) -> tuple[str, ...]:
    wall = timing.wall_s
    return (
        what,
        f"{wall:.3f}",
        f"{timing.cpu_s:.3f}",
        f"{rows.num_rows / wall:,.0f}",
        f"{wall / delta.wall_s:.2f}",
        "" if bound is None else f"{wall / bound.wall_s:.2f}",
    )
