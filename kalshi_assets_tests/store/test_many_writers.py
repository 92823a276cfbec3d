"""Eight writing processes under load: nothing acknowledged is lost or doubled, and every retry is accounted for.

The time of the load is what ``KALSHI_ASSETS_LOAD_S`` says in the soak, 30 minutes where it says nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from kalshi_assets.store import lake as lake_module
from kalshi_assets.store.lake import Commit, Lake, Scope
from kalshi_assets.store.snapshots import all_snapshots, published, record_snapshot
from kalshi_assets_tests.store import load_writers as load
from kalshi_assets_tests.store.rows import day, macro, table, trial

WRITERS, READERS = 8, 2
FIRST = {"run_id": "w99-0"}

Notes = list[dict[str, Any]]


def begin(root: Path) -> Lake:
    """Every table with one commit, so that readers find whole states from the start."""
    lake = Lake(root)
    rng = random.Random(0)
    for number in range(WRITERS):
        dates = load.own_dates(number)
        lake.replace("quotes", load.quotes_of(99, 0, dates, rng), scope=Scope(dates), **FIRST)
    lake.replace("quotes", load.quotes_of(99, 0, load.SHARED, rng), scope=Scope(load.SHARED), **FIRST)
    lake.replace("labels", load.labels_of(99), scope=Scope(load.PAIRED), **FIRST)
    lake.replace("coverage", load.coverage_of(99), scope=Scope(load.PAIRED), **FIRST)
    lake.upsert("trials", table("trials", [trial(0, day(0), trial_id="first")]), **FIRST)
    lake.upsert("macro_observations", table("macro_observations", [macro(day(99), 0, 0.0)]), **FIRST)
    record_snapshot(lake, stage="start", code_version="", config_hash="", **FIRST)
    return lake


def put_under_load(root: Path, notes: Path, seconds: float) -> tuple[Notes, Notes]:
    """Writers and readers side by side; what they noted."""
    start = multiprocessing.get_context("forkserver")
    start.set_forkserver_preload([load.__name__])
    gate = start.Barrier(WRITERS + READERS)
    ledgers = [notes / f"writer{n}" for n in range(WRITERS)]
    seen = [notes / f"reader{n}" for n in range(READERS)]
    children = [
        *(start.Process(target=load.write, args=(str(root), n, str(f), gate, seconds)) for n, f in enumerate(ledgers)),
        *(start.Process(target=load.read, args=(str(root), WRITERS, str(f), gate, seconds)) for f in seen),
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(seconds + 300)
    assert [child.exitcode for child in children] == [0] * len(children)
    written = [json.loads(line) for f in ledgers for line in f.read_text().splitlines()]
    return written, [json.loads(f.read_text()) for f in seen]


def check_load(tmp_path: Path, seconds: float) -> None:
    lake = begin(tmp_path / "lake")
    before = lake.versions()
    notes, seen = put_under_load(tmp_path / "lake", tmp_path, seconds)
    print(json.dumps({**totals(notes), "seconds": seconds, "reads": sum(s["reads"] for s in seen)}))

    assert [s["odd"] for s in seen] == [None] * READERS
    assert min(s["reads"] for s in seen) > 1
    assert max(s["states"] for s in seen) > 1
    check_commits(lake, before, notes)
    check_rows(lake, notes)
    check_transactions(lake, notes)
    check_retries(notes)


def totals(notes: Notes) -> dict[str, int]:
    kinds = Counter(n["kind"] for n in notes)
    commits = [n for n in notes if n.get("changed")]
    return {**kinds, "commits": len(commits), "retries": sum(n["attempts"] - 1 for n in commits)}


def check_commits(lake: Lake, before: dict[str, int], notes: Notes) -> None:
    """The log of each table holds the acknowledged commits, one each, and what was taken back; nothing else."""
    broken = {(n["writer"], n["n"]) for n in notes if n["kind"] == "broken off"}
    for name, first in before.items():
        told = [n for n in notes if n.get("table") == name and n["changed"]]
        restores = sum((n["writer"], n["n"]) in broken for n in told)
        delta = lake.tables.open(name)
        assert delta is not None
        history = {c["version"]: c for c in delta.history() if c["version"] > first}
        assert len(history) == len(told) + restores, name
        assert {n["version"]: f"w{n['writer']}-{n['n']}" for n in told} == {
            v: c["run_id"] for v, c in history.items() if c["operation"] != "RESTORE"
        }, name
        assert len({n["version"] for n in told}) == len(told), name
        assert delta.version() == first + len(told) + restores, name


def check_rows(lake: Lake, notes: Notes) -> None:
    """What was added is there once, and of what was replaced the last one stands."""
    added = [n["key"] for n in notes if n["kind"] == "add"]
    assert Counter(lake.read("trials")["trial_id"].to_pylist()) == Counter([*added, "first"])
    assert not any(n["changed"] for n in notes if n["kind"] == "again")

    last: dict[str, dict[Any, dict[str, Any]]] = defaultdict(dict)
    for n in sorted((n for n in notes if "version" in n), key=lambda n: n["version"]):
        last[n["kind"]]["all" if n["kind"] == "shared" else n["writer"]] = n
    held = lake.read("macro_observations", history=True)
    values = dict(zip(held["observation_date"].to_pylist(), held["value"].to_pylist(), strict=True))
    assert values == {day(99): 0.0, **{day(w): n["value"] for w, n in last["count"].items()}}

    strikes: dict[Any, set[str]] = defaultdict(set)
    groups = {d: w for w in range(WRITERS) for d in load.own_dates(w)} | dict.fromkeys(load.SHARED, "all")
    for row in lake.read("quotes", columns=["event_date", "ticker"]).to_pylist():
        strikes[groups[row["event_date"]]].add(row["ticker"].rsplit("-", 1)[1])
    replaced = {**last["own"], **last["shared"]}
    assert strikes == {g: {replaced[g]["value"]} if g in replaced else {"99.0"} for g in groups.values()}
    assert load.torn(lake.read("quotes", bookkeeping=True), groups) is None


def check_transactions(lake: Lake, notes: Notes) -> None:
    """One record each of those that ended, none of those that broke off, and the last one is what is there."""
    ended = sorted((n for n in notes if n["kind"] == "snapshot"), key=lambda n: n["sequence"])
    records = all_snapshots(lake)
    assert [r.sequence for r in records] == list(range(1, len(records) + 1))
    assert [(r.sequence, r.run_id) for r in records[1:]] == [(n["sequence"], n["run_id"]) for n in ended]
    stamp = ended[-1]["value"]
    for held in (lake, published(lake)):
        assert held.read("labels")["first_print"].to_pylist() == [float(stamp)] * 3
        assert held.read("coverage")["expected"].to_pylist() == [stamp] * 3


def check_retries(notes: Notes) -> None:
    """What writes report is what delta-rs refused, in each process."""
    for writer in range(WRITERS):
        mine = [n for n in notes if n["writer"] == writer]
        (end,) = (n for n in mine if n["kind"] == "end")
        retried = sum(n["attempts"] - 1 for n in mine if "version" in n)
        given_up = sum(n["attempts"] for n in mine if n["kind"] == "given up")
        assert end["refusals"] == end["waits"] == retried + given_up
    assert any(n["attempts"] > 1 for n in notes if "version" in n), "no two writers ever met"


def test_a_short_load(tmp_path: Path) -> None:
    check_load(tmp_path, 6.0)


@pytest.mark.soak
def test_a_long_load(tmp_path: Path) -> None:
    check_load(tmp_path, float(os.environ.get("KALSHI_ASSETS_LOAD_S", "1800")))


def test_a_commit_says_how_often_it_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, other = Lake(tmp_path), Lake(tmp_path)
    plain = lake_module.commit_files

    def add(name: str, writer: Lake) -> Commit:
        return writer.upsert("trials", table("trials", [trial(0, day(0), trial_id=name)]), **FIRST)

    assert add("first", lake).attempts == 1
    overtaking = iter(["second", "third"])

    def overtaken(*args: Any) -> int:
        monkeypatch.setattr(lake_module, "commit_files", plain)
        for name in overtaking:
            add(name, other)
            monkeypatch.setattr(lake_module, "commit_files", overtaken)
            break
        return plain(*args)

    monkeypatch.setattr(lake_module, "commit_files", overtaken)
    commit = add("fourth", lake)
    assert (commit.version, commit.attempts) == (4, 3)
    unchanged = add("fourth", lake)
    assert (unchanged.changed, unchanged.attempts) == (False, 1)
