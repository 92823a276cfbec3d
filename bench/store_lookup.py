"""As-of lookups in stored quotes: the lake beside polars on the same Parquet files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.measuring import Result, Timing, in_turns
from kalshi_assets.core.tables import TIME
from kalshi_assets.store.asof_lookup import lookup
from kalshi_assets.store.lake import Lake

REQUESTS, SELECTIVE = 5_000, 100
COLUMNS = ["yes_bid_close_usd", "yes_ask_close_usd"]


def lookups(home: Path, quotes: pa.Table) -> Result:
    """Many requests over all contracts, and as many over a few; both engines must agree."""
    rng = np.random.default_rng(11)
    rows = []
    for title, contracts in (("all contracts", None), (f"{SELECTIVE} contracts", SELECTIVE)):
        requests = home.parent / f"requests-{contracts}.parquet"
        pq.write_table(requests_of(quotes, rng, REQUESTS, contracts), requests)
        rows += _rows(title, home, requests)
    return Result(
        f"Store, as-of lookup: {REQUESTS:,} pairs of a contract and a time in {quotes.num_rows:,} quotes",
        ("what", "seconds", "CPU s", "times polars", "peak MiB of a process"),
        rows,
        (
            "Both read the same files. polars gets their list and takes the last row known; the lake asks the log",
            "and takes the row of the greatest ts, which differs where a row came late.",
            *(() if _has_polars() else ("polars is not installed, so there is no rival: pip install '.[dev]'.",)),
        ),
    )


def _rows(title: str, home: Path, requests: Path) -> list[tuple[str, ...]]:
    lake = partial(ours, home, requests)
    if not _has_polars():
        (mine,) = in_turns(5, lake)
        return [_row(f"{title}: lookup(lake, ...)", mine, mine, _peak("lake", home, requests))]
    rival = partial(polars, home, requests)
    _compare(lake(), rival())
    mine, theirs = in_turns(5, lake, rival)
    return [
        _row(f"{title}: polars scan_parquet().join_asof()", theirs, theirs, _peak("polars", home, requests)),
        _row(f"{title}: lookup(lake, ...)", mine, theirs, _peak("lake", home, requests)),
    ]


def ours(home: Path, requests: Path) -> pa.Table:
    """The lake's answers, in the order of the requests."""
    return lookup(Lake(home), "quotes", pq.read_table(requests), columns=COLUMNS)


def polars(home: Path, requests: Path) -> pa.Table:
    """The answers of polars, in the order of the requests. It pushes the list of contracts down to the scan."""
    import polars as pl

    files = [str(home / f.path) for f in Lake(home).files("quotes")]
    asked = pl.read_parquet(requests).with_row_index("place").sort("as_of")
    names = asked["ticker"].unique()
    quotes = pl.scan_parquet(files, hive_partitioning=False).select("ticker", "known_at", *COLUMNS)
    quotes = quotes if len(names) > SELECTIVE else quotes.filter(pl.col("ticker").is_in(names.implode()))
    joined = asked.lazy().join_asof(
        quotes, left_on="as_of", right_on="known_at", by="ticker", strategy="backward", check_sortedness=False
    )
    return joined.collect().sort("place").select(COLUMNS).to_arrow()


ENGINES: dict[str, Callable[[Path, Path], pa.Table]] = {"lake": ours, "polars": polars}


def requests_of(quotes: pa.Table, rng: np.random.Generator, n: int, contracts: int | None) -> pa.Table:
    """Contracts at times of their lives, all equally likely."""
    known_at = quotes["known_at"].combine_chunks().cast(pa.int64()).to_numpy()
    ends = pc.run_end_encode(quotes["ticker"].combine_chunks()).run_ends.to_numpy()
    chosen = rng.permutation(len(ends))[:contracts]
    picked = chosen[rng.integers(0, len(chosen), n)]
    first, last = known_at[np.append(0, ends[:-1])[picked]], known_at[ends[picked] - 1]
    as_of = first + ((last - first) * rng.random(n)).astype(np.int64)
    names = quotes["ticker"].take(pa.array(ends[picked] - 1))
    return pa.table({"ticker": names, "as_of": pa.array(as_of).cast(TIME)})


def _compare(mine: pa.Table, theirs: pa.Table) -> None:
    for column in COLUMNS:
        if not mine[column].equals(theirs[column].cast(mine[column].type)):
            raise RuntimeError(f"The lake and polars answer differently in {column}.")


def _has_polars() -> bool:
    try:
        import polars  # noqa: F401
    except ImportError:
        return False
    return True


def _peak(engine: str, home: Path, requests: Path) -> float:
    command = [sys.executable, "-m", "bench.store_memory", "lookup", engine, str(home), str(requests)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _row(what: str, timing: Timing, rival: Timing, peak: float) -> tuple[str, ...]:
    return what, f"{timing.wall_s:.3f}", f"{timing.cpu_s:.3f}", f"{timing.wall_s / rival.wall_s:.2f}", f"{peak:,.0f}"
