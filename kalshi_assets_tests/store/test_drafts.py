"""Commits that come second: what stands in their way, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake.exceptions import CommitFailedError

from kalshi_assets.store import drafts
from kalshi_assets.store import lake as lake_module
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets_tests.store.rows import day, quote, table

SERIES = "KX A/B"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path, sleep=lambda _: None)
    put(lake, 0, 1)
    put(lake, 1, 1)
    return lake


def put(lake: Lake, d: int, n: int, dates: list[int] | None = None, run_id: str = "r") -> Any:
    rows = table("quotes", [quote(day(d), m, series=SERIES) for m in range(n)])
    return lake.replace("quotes", rows, scope=Scope([day(i) for i in dates or [d]]), run_id=run_id)


def between(monkeypatch: pytest.MonkeyPatch, others: Callable[[], object]) -> list[int]:
    """Let others act once, after our files are written and before they are committed; counts the written files."""
    plain_commit, plain_write, written = lake_module.commit_files, drafts.Encoder.write, []

    def second(*args: Any) -> int:
        monkeypatch.setattr(lake_module, "commit_files", plain_commit)
        others()
        return plain_commit(*args)

    def counted(*args: Any) -> Any:
        written.append(1)
        return plain_write(*args)

    monkeypatch.setattr(lake_module, "commit_files", second)
    monkeypatch.setattr(drafts.Encoder, "write", counted)
    return written


def counts(lake: Lake) -> dict[Any, int]:
    days = lake.read("quotes").column("event_date").to_pylist()
    return {d: days.count(d) for d in set(days)}


def test_another_partition_s_commit_costs_no_second_writing(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Lake(lake.root)
    written = between(monkeypatch, lambda: put(other, 1, 4))
    commit = put(lake, 0, 3)
    assert (commit.version, commit.rows) == (4, 3)
    assert counts(Lake(lake.root)) == {day(0): 3, day(1): 4}
    assert len(written) == 2, "one file of each writer"


def test_the_same_partition_s_commit_is_decided_over(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Lake(lake.root)
    written = between(monkeypatch, lambda: put(other, 0, 4))
    put(lake, 0, 3)
    assert counts(Lake(lake.root)) == {day(0): 3, day(1): 1}
    assert len([f for f in lake.files("quotes") if f.partition[0] == day(0)]) == 1
    assert len(written) == 3


def test_two_first_writes_of_one_partition_do_not_stand_side_by_side(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither removes a file, so delta-rs by itself would see no conflict."""
    other = Lake(lake.root)
    between(monkeypatch, lambda: put(other, 7, 4))
    put(lake, 7, 3)
    assert counts(Lake(lake.root))[day(7)] == 3


def test_an_emptied_partition_that_another_fills_is_emptied(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Lake(lake.root)
    between(monkeypatch, lambda: put(other, 0, 4))
    lake.replace("quotes", table("quotes", []), scope=Scope([day(0)]), run_id="r")
    assert counts(Lake(lake.root)) == {day(1): 1}


def test_a_partition_found_equal_and_changed_meanwhile_is_written_after_all(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Lake(lake.root)
    between(monkeypatch, lambda: put(other, 1, 4))
    rows = table("quotes", [quote(day(d), m, series=SERIES) for d, n in ((0, 2), (1, 1)) for m in range(n)])
    lake.replace("quotes", rows, scope=Scope([day(0), day(1)]), run_id="r")
    assert counts(Lake(lake.root)) == {day(0): 2, day(1): 1}


def test_a_commit_whose_answer_is_lost_counts_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = lake_module.commit_files

    def mute(*args: Any) -> int:
        monkeypatch.setattr(lake_module, "commit_files", plain)
        plain(*args)
        raise CommitFailedError("no answer")

    monkeypatch.setattr(lake_module, "commit_files", mute)
    commit = put(lake, 0, 3)
    assert (commit.version, commit.rows, commit.changed) == (3, 3, True)
    assert lake.version("quotes") == 3


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


@pytest.mark.parametrize("step", range(5))
def test_broken_off_at_any_file_leaves_the_old_state_and_the_next_write_mends_it(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    plain, calls = drafts.Encoder.write, iter(range(100))

    def write(*args: Any) -> Any:
        if next(calls) == step:
            raise Killed
        return plain(*args)

    def commit(*_: Any) -> int:
        raise Killed

    before = lake.read("quotes", bookkeeping=True)
    rows = table("quotes", [quote(day(d), m, series=SERIES) for d in range(4) for m in range(2)])
    scope = Scope([day(d) for d in range(4)])
    with monkeypatch.context() as broken:
        broken.setattr(drafts.Encoder, "write", write)
        broken.setattr(lake_module, "commit_files", commit)
        with pytest.raises(Killed):
            lake.replace("quotes", rows, scope=scope, run_id="killed")
    assert Lake(lake.root).read("quotes", bookkeeping=True).equals(before)
    lake.replace("quotes", rows, scope=scope, run_id="again")
    assert Lake(lake.root).read("quotes").equals(rows)


def test_the_log_says_who_wrote_and_that_it_was_no_mere_addition(lake: Lake) -> None:
    put(lake, 0, 3, run_id="run-7")
    delta = lake.tables.open("quotes")
    assert delta is not None
    (entry,) = delta.history(1)
    assert entry["run_id"] == "run-7"
    assert (entry["isBlindAppend"], entry["readVersion"]) == (False, 2)
    actions = pa.table(delta.get_add_actions(flatten=True))
    assert sorted(actions["num_records"].to_pylist()) == [1, 3]
