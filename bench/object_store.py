"""The lake in a bucket beside the lake in a folder: seconds, and requests, each of which is made to wait.

The bucket is moto's, in a process of its own on this machine; the whole graph runs over a small simulated archive.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bench.ladders import make_ladders
from bench.measuring import Result, as_text
from kalshi_assets.console import RunProgress
from kalshi_assets.defs.backfill import run_backfill
from kalshi_assets.emulator.simulate import simulate
from kalshi_assets.settings import Settings, facts_folder
from kalshi_assets.stages.evidence import STAGES
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.opening import open_lake
from kalshi_assets.store.sql import query
from kalshi_assets_tests.store.buckets import BucketServer

WAIT_MS = 10
PARTITIONS, CONTRACTS, QUOTES = 50, 10, 400
EVENTS = 4


def measure() -> Result:
    """One row an operation; each opens the lake anew, as a command does."""
    quotes = make_ladders(PARTITIONS, contracts=CONTRACTS, quotes=QUOTES, snapshots=1).quotes
    with tempfile.TemporaryDirectory(prefix="bench-bucket-") as scratch, BucketServer() as server:
        folder = Settings.from_environment({}, home=Path(scratch) / "lake")
        bucket = server.settings(server.new_address())
        here, there = _operations(lambda: open_lake(folder), quotes), _operations(lambda: open_lake(bucket), quotes)
        rows = [_row(what, server, here[what], there[what]) for what in here]
        source = f"archive:{simulate(Path(scratch) / 'archive', facts=facts_folder(), events=EVENTS)}"
        at_home = Settings.from_environment({}, home=Path(scratch) / "a", source=source)
        away = Settings.from_environment(
            server.variables(server.new_address()), home=Path(scratch) / "b", source=source
        )
        whole = (f"all stages, {3 * EVENTS} events", "the same once more")
        rows += [_row(what, server, lambda: _run(at_home), lambda: _run(away)) for what in whole]
    return Result(
        f"Object store: {quotes.num_rows:,} quotes in {PARTITIONS} partitions, {WAIT_MS} ms added to each request",
        ("what", "folder s", "bucket s", "requests"),
        rows,
        ("moto takes some milliseconds of this machine's time for a request as well.",),
    )


def _operations(lake: Callable[[], Lake], quotes: pa.Table) -> dict[str, Callable[[], object]]:
    dates = sorted(pc.unique(quotes["event_date"]).to_pylist())
    one = quotes.filter(pc.equal(quotes["event_date"], pa.scalar(dates[0]))).slice(1)
    return {
        "write 50 partitions": lambda: lake().replace("quotes", quotes, scope=Scope(dates), run_id="a"),
        "write the same again": lambda: lake().replace("quotes", quotes, scope=Scope(dates), run_id="b"),
        "write one of them": lambda: lake().replace("quotes", one, scope=Scope(dates[:1]), run_id="c"),
        "read all": lambda: lake().read("quotes"),
        "read one": lambda: lake().read("quotes", event_dates=dates[7:8]),
        "hash all": lambda: lake().content_hash("quotes"),
        "SQL over one": lambda: query(lake(), f"select max(ts) from quotes where event_date = DATE '{dates[3]}'"),
        "SQL over all": lambda: query(lake(), "select count(*), max(yes_bid_close_usd) from quotes"),
        "versions of all tables": lambda: lake().versions(),
    }


def _row(what: str, server: BucketServer, here: Callable[[], object], there: Callable[[], object]) -> tuple[str, ...]:
    folder_s = _seconds(here)
    before = server.behave(wait_ms=WAIT_MS)
    bucket_s = _seconds(there)
    return what, f"{folder_s:.2f}", f"{bucket_s:.2f}", str(server.behave() - before)


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _run(settings: Settings) -> None:
    report = run_backfill(settings, progress=RunProgress(STAGES))
    assert report.exit_code == 0, report.failure


if __name__ == "__main__":
    print(as_text(measure()))
