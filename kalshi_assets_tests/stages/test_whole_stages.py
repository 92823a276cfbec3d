"""Every stage is one transaction: readers see it whole, and what broke off is taken back."""

import threading
from contextlib import contextmanager

import pytest

from kalshi_assets.defs.assets import STAGE_ASSETS
from kalshi_assets.stages import commit
from kalshi_assets.stages.commit import whole
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.stages.evidence import STAGES
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.snapshots import newest_snapshot, published
from kalshi_assets_tests.store.rows import day, quote, table


def context(lake, run_id="run"):
    def nothing(*_):
        raise AssertionError("no source is needed")

    return StageContext(lake=lake, run_id=run_id, exchange=nothing, catalog=nothing, simulated=lambda: True)


@pytest.mark.parametrize("name", STAGES)
def test_no_stage_runs_outside_a_transaction(name, tmp_path, monkeypatch):
    lake, held = Lake(tmp_path), []

    class Entered(Exception):
        pass

    @contextmanager
    def transaction(given, run_id):
        held.append((given, run_id))
        raise Entered
        yield

    monkeypatch.setattr(commit, "transaction", transaction)
    with pytest.raises(Entered):
        STAGE_ASSETS[name].run(context(lake), Scope([day(0)]))
    assert held == [(lake, "run")]


def test_a_stage_that_breaks_off_leaves_nothing(tmp_path):
    lake = Lake(tmp_path)

    @whole
    def stage(given: StageContext, scope: Scope) -> StageResult:
        rows = table("quotes", [quote(d, 1) for d in scope.event_dates])
        given.lake.replace("quotes", rows, scope=scope, run_id=given.run_id)
        assert published(lake).read("quotes").num_rows == 0
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        stage(context(lake), Scope([day(0)]))
    assert lake.read("quotes").num_rows == 0


def test_what_a_stage_logs_is_in_its_own_snapshot(tmp_path, monkeypatch):
    """Whoever asks right after a run sees the whole of it, the line in the ingest log too."""
    lake = Lake(tmp_path)
    monkeypatch.setattr(commit, "GATES", {"quotes": ()})
    monkeypatch.setattr("kalshi_assets.stages.evidence.GATES", {"quotes": ()})

    @whole
    def stage(given: StageContext, scope: Scope) -> StageResult:
        return commit.finish(given, "quotes", scope.event_dates, changed={})

    result = stage(context(lake), Scope([day(0)]))
    newest = newest_snapshot(lake)
    assert newest is not None
    assert newest.snapshot_id == result.snapshot_id
    assert newest.versions == lake.versions()
    assert published(lake).read("ingest_log").num_rows == 1


def test_stages_of_two_runs_take_turns(tmp_path):
    inside, most = [], []

    @whole
    def stage(given: StageContext, scope: Scope) -> StageResult:
        inside.append(given.run_id)
        most.append(len(inside))
        given.lake.replace(
            "quotes", table("quotes", [quote(d, 1) for d in scope.event_dates]), scope=scope, run_id=given.run_id
        )
        inside.remove(given.run_id)
        return StageResult("quotes", tuple(scope.event_dates), {}, {})

    threads = [
        threading.Thread(target=stage, args=(context(Lake(tmp_path), f"run-{n}"), Scope([day(n)]))) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]
    assert Lake(tmp_path).read("quotes").num_rows == 4
