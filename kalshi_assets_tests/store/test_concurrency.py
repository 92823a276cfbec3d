"""Writers in other processes: races lose nothing, and a killed writer leaves an old or a new state."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kalshi_assets.store import lake as lake_module
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets_tests.store import writers
from kalshi_assets_tests.store.rows import day, macro, quote, table

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


def values(root: Path) -> list[float]:
    return Lake(root).read("macro_observations", history=True).column("value").to_pylist()


def test_a_write_that_rests_on_a_stale_version_is_done_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first write to an empty table without partitions is where delta-rs alone would keep both."""
    one = table("macro_observations", [macro(day(0), 0, 1.0)])
    other = Lake(tmp_path)
    other.upsert("macro_observations", one, run_id="a")
    lake = Lake(tmp_path)
    fresh = lake._tables.state
    stale = iter([Lake(tmp_path).at({"macro_observations": 0})._tables.state])
    monkeypatch.setattr(lake._tables, "state", lambda name: next(stale, fresh)(name))
    rows = [macro(day(0), 0, 2.0), macro(day(1), 0, 3.0)]
    lake.upsert("macro_observations", table("macro_observations", rows), run_id="b")
    assert values(tmp_path) == [2.0, 3.0]


def test_a_table_that_another_creates_meanwhile_is_merged_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Lake(tmp_path)
    plain = lake_module.create_table

    def too_late(*args: Any) -> None:
        monkeypatch.setattr(lake_module, "create_table", plain)
        other.upsert("macro_observations", table("macro_observations", [macro(day(0), 0, 1.0)]), run_id="a")
        plain(*args)

    monkeypatch.setattr(lake_module, "create_table", too_late)
    Lake(tmp_path).upsert("macro_observations", table("macro_observations", [macro(day(1), 0, 2.0)]), run_id="b")
    assert values(tmp_path) == [1.0, 2.0]


def test_kill_at_random_moments_leaves_old_or_new(tmp_path: Path) -> None:
    rng = random.Random(20)
    for attempt in range(3):
        root = tmp_path / str(attempt)
        ready = SPAWN.Event()
        child = SPAWN.Process(target=writers.rewrite_for_ever, args=(str(root), ready))
        child.start()
        try:
            assert ready.wait(60)
            time.sleep(rng.uniform(0.0, 0.4))
        finally:
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
