"""What ten times the data costs: the same work on tables of three sizes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.measuring import Result, Timing, in_turns
from bench.store_lookup import COLUMNS, requests_of
from kalshi_assets.store.asof_lookup import lookup
from kalshi_assets.store.lake import Lake, Scope

NAME = "quotes"
REQUESTS_PER_ROWS = 2_000
_ROUNDS = 5


def growth(folder: Path, quotes: pa.Table) -> Result:
    """Seconds at a hundredth, a tenth and the whole of the rows, and their ratios."""
    sizes = [quotes.num_rows // part for part in (100, 10, 1)]
    timings = [_work(folder, quotes.slice(0, n)) for n in sizes]
    rows = []
    for what in timings[0]:
        wall, cpu = [t[what].wall_s for t in timings], [t[what].cpu_s for t in timings]
        ratios = [f"{later / earlier:.1f}" for times in (wall, cpu) for earlier, later in pairwise(times)]
        rows.append((what, *(f"{s:.4f}" for s in wall), *ratios))
    return Result(
        "Store, growth: seconds by rows",
        ("what", *(f"{n:,}" for n in sizes), "first x10", "second x10", "CPU first x10", "CPU second x10"),
        rows,
        (f"Lookups grow with the table: one request for {REQUESTS_PER_ROWS:,} rows.",),
    )


def _work(folder: Path, rows: pa.Table) -> dict[str, Timing]:
    """The best of as many rounds at every size, for the best of fewer is slower."""
    days = pc.unique(rows["event_date"]).to_pylist()
    home, scope = folder / str(rows.num_rows), Scope(days)
    requests = requests_of(rows, np.random.default_rng(3), rows.num_rows // REQUESTS_PER_ROWS, None)

    def write() -> None:
        shutil.rmtree(home, ignore_errors=True)
        Lake(home).replace(NAME, rows, scope=scope, run_id="bench")

    calls: dict[str, Callable[[], object]] = {
        "write": write,
        "write the same again": lambda: Lake(home).replace(NAME, rows, scope=scope, run_id="bench"),
        "read all": lambda: Lake(home).read(NAME),
        "read one date": lambda: Lake(home).read(NAME, event_dates=days[-1:]),
        "as-of lookup": lambda: lookup(Lake(home), NAME, requests, columns=COLUMNS),
        "content hash": lambda: Lake(home).content_hash(NAME),
    }
    return {what: in_turns(_ROUNDS, call)[0] for what, call in calls.items()}
