"""A filled lake, a lake that lost a file, and locks that processes really hold."""

import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_assets.doctor.check import guarded
from kalshi_assets.doctor.lake_checks import (
    LockState,
    TableSurvey,
    check_lock,
    check_snapshot,
    check_tables,
    judge_lock,
    judge_snapshot,
    judge_tables,
    lock_state,
)
from kalshi_assets.errors import StoreError
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.locks import hold_home

HOLD = """
import sys
from pathlib import Path
from kalshi_assets.store.locks import hold_home
with hold_home(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def data_file(home: Path, table: str) -> Path:
    return min((home / "lake" / table).rglob("*.parquet"))


def test_a_filled_lake_is_whole(filled):
    report, ka = filled
    lake = Lake(ka.home / "lake")
    (tables,) = check_tables(lake)
    assert tables.state == "ok"
    files = sum(len(lake.files(name)) for name in lake.versions())
    assert f"{len(lake.versions())} tables are whole: {files:,} files" in tables.found
    (snapshot,) = check_snapshot(lake)
    assert snapshot.state == "ok"
    assert report


def test_a_lost_file_is_named(ka_filled):
    lost = data_file(ka_filled.home, "quotes")
    lost.unlink()
    whole, quotes = check_tables(Lake(ka_filled.home / "lake"))
    assert whole.state == "ok"
    assert (quotes.name, quotes.state) == ("lake.quotes", "failure")
    assert lost.name in quotes.found
    assert "doctor --repair" in quotes.advice
    (snapshot,) = check_snapshot(Lake(ka_filled.home / "lake"))
    assert snapshot.state == "failure"
    assert "quotes" in snapshot.found


def test_a_shortened_file_a_broken_log_and_a_damaged_record(ka_filled):
    lake = Lake(ka_filled.home / "lake")
    short = data_file(ka_filled.home, "labels")
    short.write_bytes(short.read_bytes()[:-1])
    for entry in (ka_filled.home / "lake" / "events" / "_delta_log").glob("*.json"):
        entry.write_text("{")
    found = {c.name: c for c in check_tables(lake)}
    assert "has another size" in found["lake.labels"].found
    assert found["lake.events"].state == "failure"
    assert found["lake.events"].advice
    for record in (ka_filled.home / "lake" / "_snapshots").glob("*.parquet"):
        record.write_bytes(record.read_bytes()[:100])
    (snapshot,) = guarded("lake.snapshot", lambda: check_snapshot(lake))
    assert snapshot.state == "failure"
    assert "_snapshots" in snapshot.found


def test_an_empty_lake_is_skipped(tmp_path):
    lake = Lake(tmp_path / "lake")
    assert [c.state for c in (*check_tables(lake), *check_snapshot(lake))] == ["skipped", "skipped"]
    assert not (tmp_path / "lake").exists()


def test_tables_are_judged_one_by_one():
    checks = judge_tables(
        [
            TableSurvey("a", version=3, files=2, rows=1_000, size=5_000_000),
            TableSurvey("b", version=1, files=3, missing=("b/x", "b/y"), altered=("b/z",)),
            TableSurvey("c"),
            TableSurvey("d", error=StoreError("The log is gone; restore it.")),
        ]
    )
    assert [(c.name, c.state) for c in checks] == [("lake.tables", "ok"), ("lake.b", "failure"), ("lake.d", "failure")]
    assert checks[0].found == "1 tables are whole: 2 files, 1,000 rows, 5.0 MB."
    assert checks[1].found == "The data file b/x is not there (and 2 more of 3 files)."
    assert "remove that folder and run all dates again" in checks[1].advice
    assert (checks[2].found, checks[2].advice) == ("The log is gone.", "Restore it.")


def test_a_ledger_cannot_be_made_again():
    _, trials = judge_tables([TableSurvey("trials", version=1, files=1, altered=("trials/x",))])
    assert trials.found == "The data file trials/x has another size."
    assert "starts its record anew" in trials.advice


@pytest.mark.parametrize(
    ("survey", "state"),
    [
        (TableSurvey("a", version=1), "ok"),
        (TableSurvey("a", version=1, missing=("a/x",)), "failure"),
        (TableSurvey("a", version=1, altered=("a/x",)), "failure"),
        (TableSurvey("a", error=StoreError("gone; restore.")), "failure"),
    ],
)
def test_a_snapshot_needs_all_that_it_names(survey, state):
    assert judge_snapshot("0" * 32, {"a": 1}, [survey]).state == state


def test_a_run_at_work_is_named_and_keeps_its_lock(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        (check,) = check_lock(tmp_path)
        assert check.state == "warning"
        assert f"Process {holder.pid} works" in check.found
        assert lock_state(tmp_path / ".lock") == LockState(held=True, pid=holder.pid, alive=True)
        holder.kill()
    (check,) = check_lock(tmp_path)
    assert check.state == "ok"
    assert f"process {holder.pid}, which has ended" in check.found


def test_looking_does_not_take_the_lock(tmp_path):
    with hold_home(tmp_path):
        pass
    (check,) = check_lock(tmp_path)
    assert check.state == "ok"
    with hold_home(tmp_path):
        assert lock_state(tmp_path / ".lock").held
    assert not lock_state(tmp_path / "absent" / ".lock").held


@pytest.mark.parametrize(
    ("state", "outcome", "words"),
    [
        (LockState(held=False, pid=None, alive=False), "ok", "No process"),
        (LockState(held=False, pid=7, alive=True), "ok", "No process holds the home."),
        (LockState(held=True, pid=7, alive=False), "warning", "not to be seen here"),
        (LockState(held=True, pid=None, alive=False), "warning", "left no number"),
    ],
)
def test_locks(state, outcome, words):
    check = judge_lock(state)
    assert check.state == outcome
    assert words in check.found
