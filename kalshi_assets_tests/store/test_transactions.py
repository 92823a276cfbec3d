"""Stages as transactions: alone, whole, and taken back when they break off."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from kalshi_assets.errors import HomeInUse, StoreError
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.snapshots import all_snapshots, published, record_snapshot
from kalshi_assets.store.stage_notes import LOCK_NAME
from kalshi_assets.store.transactions import transaction
from kalshi_assets_tests.store import writers
from kalshi_assets_tests.store.rows import day, macro, quote, table, trial

SPAWN = multiprocessing.get_context("spawn")


def put(lake: Lake, minutes: int, run_id: str, n: int = 0) -> None:
    rows = table("quotes", [quote(day(n), m) for m in range(minutes)])
    lake.replace("quotes", rows, scope=Scope([day(n)]), run_id=run_id)


def grow(lake: Lake, n: int, run_id: str) -> None:
    lake.upsert("macro_observations", table("macro_observations", [macro(day(n), 0, float(n))]), run_id=run_id)


def finish(lake: Lake, run_id: str) -> str:
    return record_snapshot(lake, stage="quotes", run_id=run_id, code_version="1", config_hash="c")


def state(lake: Lake) -> tuple[int, int]:
    """Rows of the two tables that these stages write."""
    return lake.read("quotes").num_rows, lake.read("macro_observations").num_rows


def run_stage(lake: Lake, run_id: str, minutes: int, n: int = 0) -> None:
    with transaction(lake, run_id):
        put(lake, minutes, run_id, n)
        grow(lake, n, run_id)
        finish(lake, run_id)


def test_readers_see_all_of_a_stage_or_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with transaction(lake, "a"):
        put(lake, 2, "a")
        assert state(published(lake)) == (0, 0)  # not even the first stage of a lake shows half of itself
        assert state(lake) == (2, 0)
        grow(lake, 0, "a")
        finish(lake, "a")
        assert state(published(lake)) == (2, 1)
    with transaction(lake, "b"):
        put(lake, 3, "b")
        assert state(published(lake)) == (2, 1)
        finish(lake, "b")
    assert state(published(lake)) == (3, 1)


def test_what_lay_there_before_the_first_stage_stays_in_sight(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    put(lake, 4, "by hand")
    with transaction(lake, "a"):
        put(lake, 5, "a")
        assert state(published(lake)) == (4, 0)
        finish(lake, "a")
    assert [s.stage for s in all_snapshots(lake)] == ["start", "quotes"]


def test_a_stage_that_fails_takes_its_commits_back(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    run_stage(lake, "a", 2)

    def broken_stage(error: type[BaseException]) -> None:
        with transaction(lake, "b"):
            put(lake, 7, "b")
            put(lake, 7, "b", n=1)
            grow(lake, 5, "b")
            lake.append("trials", table("trials", [trial(1, day(0))]), run_id="b")
            raise error

    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            broken_stage(error)
        assert state(lake) == state(published(lake)) == (2, 1)
    # A fit that was counted stays counted.
    assert lake.read("trials").num_rows == 1
    run_stage(lake, "c", 3, n=1)
    assert state(published(lake)) == (5, 2)


def test_what_was_published_stays_whatever_fails_afterwards(tmp_path: Path) -> None:
    lake = Lake(tmp_path)

    def stage() -> None:
        with transaction(lake, "a"):
            put(lake, 2, "a")
            finish(lake, "a")
            put(lake, 5, "a")
            raise ValueError("after the end")

    with pytest.raises(ValueError, match="after the end"):
        stage()
    assert state(published(lake)) == state(lake) == (2, 0)


def killed_in_the_middle(root: Path) -> None:
    """A stage in a process of its own, killed when it has written one of its two tables."""
    ready = SPAWN.Event()
    child = SPAWN.Process(target=writers.half_a_stage, args=(str(root), ready))
    child.start()
    try:
        assert ready.wait(60)
    finally:
        child.kill()
        child.join()


def test_what_a_killed_stage_left_is_hidden_and_then_taken_back(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    run_stage(lake, "a", 2)
    killed_in_the_middle(tmp_path)
    assert lake.read("quotes").num_rows == 9
    assert state(published(lake)) == (2, 1)
    # A stage on another date completes: the dead one's rows must not come to light with it.
    run_stage(lake, "c", 3, n=1)
    assert state(published(lake)) == state(lake) == (5, 2)


def test_the_very_first_stage_killed_leaves_an_empty_lake(tmp_path: Path) -> None:
    killed_in_the_middle(tmp_path)
    lake = Lake(tmp_path)
    assert lake.read("quotes").num_rows == 9
    assert state(published(lake)) == (0, 0)
    run_stage(lake, "c", 3, n=1)
    assert state(published(lake)) == state(lake) == (3, 1)


def test_work_by_hand_after_a_kill_is_not_taken_back(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    run_stage(lake, "a", 2)
    killed_in_the_middle(tmp_path)
    put(lake, 4, "by hand", n=2)
    grow(lake, 8, "by hand")
    run_stage(lake, "c", 3, n=1)
    counts = {d: lake.read("quotes", event_dates=[day(d)]).num_rows for d in range(3)}
    assert counts == {0: 9, 1: 3, 2: 4}  # its gates' evidence does not vouch for the nine
    assert 8.0 in lake.read("macro_observations")["value"].to_pylist()


def test_a_torn_note_is_no_note(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    run_stage(lake, "a", 2)
    for torn in ("{", '{"pid": 1}', "[]", "\x00\x00"):
        (tmp_path / LOCK_NAME).write_text(torn)
        run_stage(lake, torn, 3)
    assert state(published(lake)) == (3, 1)


def test_stages_take_turns(tmp_path: Path) -> None:
    """Two writers on two dates: whatever is published was written by whole stages."""
    seen: list[tuple[int, int]] = []
    done = threading.Event()

    def work(n: int) -> None:
        lake = Lake(tmp_path)
        for i in range(1, 5):
            with transaction(lake, f"run-{n}-{i}"):
                put(lake, i, f"run-{n}-{i}", n)
                grow(lake, 10 * n + i, f"run-{n}-{i}")
                finish(lake, f"run-{n}-{i}")

    def watch() -> None:
        while not done.is_set():
            seen.append(state(published(Lake(tmp_path))))

    threads = [threading.Thread(target=work, args=(n,)) for n in (1, 2)]
    watcher = threading.Thread(target=watch)
    for thread in (watcher, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    watcher.join()
    # Stage i of a date leaves i quotes on it and i observations in all, so the two counts are always equal.
    assert state(published(Lake(tmp_path))) == (8, 8)
    assert all(quotes == observations for quotes, observations in seen)
    assert len(all_snapshots(Lake(tmp_path))) == 1 + 8


def test_waiting_has_an_end_and_names_the_holder(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    clock = iter(range(0, 1000, 30))
    waits: list[float] = []
    with transaction(lake, "the-holder"):
        other = transaction(
            Lake(tmp_path), "b", patience_s=120, sleep=waits.append, monotonic=lambda: float(next(clock))
        )
        with pytest.raises(HomeInUse, match=rf"process {os.getpid()} \(run the-hold\) for 2 minutes"), other:
            pytest.fail("two holders at once")
    assert len(waits) == 3
    assert json.loads((tmp_path / LOCK_NAME).read_text() or "null") is None


def test_a_killed_holder_holds_no_lock(tmp_path: Path) -> None:
    ready = SPAWN.Event()
    child = SPAWN.Process(target=writers.half_a_stage, args=(str(tmp_path), ready))
    child.start()
    try:
        assert ready.wait(60)
        assert child.pid is not None
        with pytest.raises(HomeInUse), transaction(Lake(tmp_path), "b", patience_s=0.0):
            pytest.fail("two holders at once")
        os.kill(child.pid, signal.SIGKILL)
        began = time.monotonic()
        run_stage(Lake(tmp_path), "c", 1)
        assert time.monotonic() - began < 60
    finally:
        child.kill()
        child.join()


def test_a_lock_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file")
    with pytest.raises(StoreError, match="_transaction cannot be used"), transaction(Lake(tmp_path / "lake"), "a"):
        pytest.fail("no lock was held")
