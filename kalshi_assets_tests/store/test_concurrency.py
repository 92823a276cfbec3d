"""Writers in other processes: races lose nothing, and a killed writer leaves an old or a new state."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets_tests.store import writers
from kalshi_assets_tests.store.rows import day, quote, table

SPAWN = multiprocessing.get_context("spawn")


def race(*jobs: tuple[Any, tuple[Any, ...]]) -> None:
    gate = SPAWN.Barrier(len(jobs))
    children = [SPAWN.Process(target=target, args=(*args, gate)) for target, args in jobs]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * len(jobs)


def test_distinct_and_shared_partitions_and_whole_tables_raced_by_two_processes(tmp_path: Path) -> None:
    root = str(tmp_path)
    # Dates 0 and 1 are owned by one writer each, date 9 by both; the table does not exist before.
    race(
        (writers.replace_dates, (root, [0, 9], 6, "T1")),
        (writers.replace_dates, (root, [1, 9], 6, "T2")),
    )
    lake = Lake(root)
    counts = Counter((r["event_date"], r["ticker"][-2:]) for r in lake.read("quotes").to_pylist())
    assert counts[day(0), "T1"] == 6
    assert counts[day(1), "T2"] == 6
    # Last one wins whole: rows of one writer only.
    assert sorted((n, d) for (d, _), n in counts.items() if d == day(9)) == [(6, day(9))]
    assert all(n == 1 for n in Counter(f.partition for f in lake.files("quotes")).values())

    race(
        (writers.upsert_days, (root, list(range(14)))),
        (writers.upsert_days, (root, list(range(7, 21)))),
    )
    rows = lake.read("macro_observations", history=True)
    assert rows.column("value").to_pylist() == [float(d) for d in range(21)]


def test_a_writer_that_never_saw_the_other_still_merges(tmp_path: Path) -> None:
    """The first commit of an empty unpartitioned table is where delta-rs alone would keep both."""
    first, second = Lake(tmp_path), Lake(tmp_path)
    from kalshi_assets_tests.store.rows import macro

    stale = second._tables.state
    first.upsert("macro_observations", table("macro_observations", [macro(day(0), 0, 1.0)]), run_id="a")
    first.upsert("macro_observations", table("macro_observations", [macro(day(0), 0, 1.0)]), run_id="a")
    calls = iter([Lake(tmp_path).at({"macro_observations": 0})._tables.state])
    second._tables.state = lambda name: next(calls, stale)(name)  # type: ignore[method-assign]
    rows = [macro(day(0), 0, 2.0), macro(day(1), 0, 3.0)]
    second.upsert("macro_observations", table("macro_observations", rows), run_id="b")
    assert Lake(tmp_path).read("macro_observations", history=True).column("value").to_pylist() == [2.0, 3.0]


def test_kill_at_random_moments_leaves_old_or_new(tmp_path: Path) -> None:
    rng = random.Random(20)
    for attempt in range(3):
        root = tmp_path / str(attempt)
        ready = SPAWN.Event()
        child = SPAWN.Process(target=writers.rewrite_for_ever, args=(str(root), ready))
        child.start()
        assert ready.wait(60)
        time.sleep(rng.uniform(0.0, 0.4))
        child.kill()
        child.join()
        lake = Lake(root)
        rows = lake.read("quotes")
        counts = Counter(rows.column("event_date").to_pylist())
        assert len(counts) == 10
        assert len(set(counts.values())) == 1, "half a commit is visible"
        assert len(set(lake.read("quotes", bookkeeping=True).column("run_id").to_pylist())) == 1
        again = table("quotes", [quote(day(0), 1)])
        lake.replace("quotes", again, scope=Scope([day(d) for d in range(10)]), run_id="after")
        assert lake.read("quotes").equals(again)
