"""Reading one event date out of many, and hashing all: the lake beside bare Parquet reads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.measuring import Result, Timing, in_turns
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.workers import WORKERS

NAME = "quotes"


def reads(home: Path, quotes: pa.Table) -> Result:
    """Times of the lake and of pyarrow on the same files."""
    lake = Lake(home)
    days = lake.event_dates(NAME)
    day = days[len(days) // 2]
    files = {f.partition[0]: home / f.path for f in lake.files(NAME)}
    one_rows = pq.read_metadata(files[day]).num_rows
    bare_one, held, opened = in_turns(
        25,
        lambda: pq.ParquetFile(files[day]).read(),
        lambda: lake.read(NAME, event_dates=[day]),
        lambda: Lake(home).read(NAME, event_dates=[day]),
    )
    bare_all, hashed = in_turns(1, lambda: _read_all(list(files.values())), lambda: Lake(home).content_hash(NAME))
    lake.content_hash(NAME)
    (again,) = in_turns(3, lambda: lake.content_hash(NAME))
    n = quotes.num_rows
    return Result(
        f"Store, reading: {n:,} quotes in {len(days)} dates",
        ("what", "ms", "CPU ms", "rows/s", "times bare"),
        [
            _row("one event date, bare pyarrow", one_rows, bare_one, bare_one),
            _row("one event date, Lake.read, lake held open", one_rows, held, bare_one),
            _row("one event date, Lake.read, lake just opened", one_rows, opened, bare_one),
            _row("all files, bare pyarrow, one by one in threads", n, bare_all, bare_all),
            _row("Lake.content_hash, reading included", n, hashed, bare_all),
            _row("Lake.content_hash, files hashed before", n, again, bare_all),
        ],
        ("The bare read knows its file; the lake opens the log, finds the file there, checks order and versions.",),
    )


def _read_all(files: list[Path]) -> None:
    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(lambda file: pq.ParquetFile(file).read(use_threads=False).num_rows, files):
            pass


def _row(what: str, n: int, timing: Timing, bare: Timing) -> tuple[str, ...]:
    wall = timing.wall_s
    return what, f"{wall * 1e3:,.1f}", f"{timing.cpu_s * 1e3:,.1f}", f"{n / wall:,.0f}", f"{wall / bare.wall_s:.2f}"
