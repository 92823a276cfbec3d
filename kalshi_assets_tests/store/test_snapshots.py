from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake.exceptions import CommitFailedError

from kalshi_assets.errors import StoreError, UsageError
from kalshi_assets.store import snapshot_records, snapshots
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.snapshots import (
    all_snapshots,
    forget_snapshots,
    load_snapshot,
    newest_snapshot,
    published,
    record_snapshot,
)
from kalshi_assets_tests.store.rows import day, macro, quote, table


def snap(lake: Lake, run_id: str = "run", **more: str) -> str:
    return record_snapshot(
        lake, **{"stage": "quotes", "run_id": run_id, "code_version": "1", "config_hash": "c", **more}
    )


def grow(lake: Lake, n: int) -> None:
    lake.upsert("macro_observations", table("macro_observations", [macro(day(n), 0, float(n))]), run_id="r")


def values(lake: Lake) -> list[float]:
    return lake.read("macro_observations", history=True)["value"].to_pylist()


def test_a_snapshot_names_versions_that_read_as_they_were(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.replace("quotes", table("quotes", [quote(day(0), 1)]), scope=Scope([day(0)]), run_id="r")
    first = snap(lake, "run-1")
    assert snap(lake, "run-2") == first
    lake.replace("quotes", table("quotes", []), scope=Scope([day(0)]), run_id="r")
    grow(lake, 0)
    second = snap(lake, "run-3")
    others = {
        snap(lake, "run-3", stage="labels"),
        snap(lake, "run-3", code_version="2"),
        snap(lake, "r", config_hash="d"),
    }
    assert len({first, second, *others}) == 5
    assert snap(lake, "run-4") == second
    loaded = load_snapshot(lake, first)
    assert (loaded.run_id, loaded.stage, loaded.versions) == ("run-1", "quotes", {"quotes": 1})
    assert load_snapshot(lake, second).versions == {"quotes": 2, "macro_observations": 1}
    assert lake.at(loaded.versions).read("quotes").num_rows == 1
    assert [s.sequence for s in all_snapshots(lake)] == [1, 2, 3, 4, 5]


def test_the_id_depends_on_content_only(tmp_path: Path) -> None:
    assert snap(Lake(tmp_path / "a"), "x") == snap(Lake(tmp_path / "b"), "y")


def test_the_newest_is_the_last_recorded_however_many_there_are(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert newest_snapshot(lake) is None
    assert all_snapshots(lake) == []
    ids = []
    for n in range(snapshot_records._MOST_FILES + 3):
        before = datetime.now(UTC)
        ids.append(snap(lake, config_hash=str(n)))
        newest = newest_snapshot(lake)
        assert newest is not None
        assert (newest.snapshot_id, newest.sequence) == (ids[-1], n + 1)
        assert before <= newest.recorded_at <= datetime.now(UTC)
    assert [s.snapshot_id for s in all_snapshots(lake)] == ids
    named = snapshot_records.Records.open(lake)
    assert named is not None
    assert len(named._files) == 3  # the first 33 are in one file


def test_an_id_may_be_shortened_while_it_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path)
    with pytest.raises(UsageError, match="There is no lake snapshot"):
        load_snapshot(lake, "0" * 32)
    ids = [snap(lake, config_hash=str(n)) for n in range(17)]
    for whole in ids:
        assert load_snapshot(lake, whole[:6]).snapshot_id == load_snapshot(lake, whole).snapshot_id == whole
    for wrong in (ids[0][:5], "", "../../etc/passwd", "%%%%%%"):
        with pytest.raises(UsageError, match="lake snapshot"):
            load_snapshot(lake, wrong)
    # Of 17 ids two begin with the same of 16 digits.
    (digit, *_) = [d for d in "0123456789abcdef" if sum(i.startswith(d) for i in ids) > 1]
    monkeypatch.setattr(snapshots, "_SHORTEST_PREFIX", 1)
    with pytest.raises(UsageError, match=rf"\d lake snapshots begin with '{digit}'"):
        load_snapshot(lake, digit)


def test_absent_altered_and_torn_records_are_said(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    snapshot_id = snap(lake, "run-1")
    (path,) = (tmp_path / "_snapshots").glob("*.parquet")
    whole = path.read_bytes()
    rows = pq.read_table(path)
    for column, value in (("code_version", "2"), ("versions_json", '{"quotes":7}'), ("versions_json", "{")):
        altered = rows.set_column(rows.column_names.index(column), column, pa.array([value]))
        pq.write_table(altered, path)
        for read in (lambda: load_snapshot(lake, snapshot_id), lambda: newest_snapshot(lake)):
            with pytest.raises(StoreError, match="altered"):
                read()
    path.write_bytes(whole[:-30])
    with pytest.raises(StoreError, match="_snapshots") as torn:
        published(lake)
    assert "\n" not in str(torn.value)
    path.write_bytes(whole)
    assert load_snapshot(lake, snapshot_id).run_id == "run-1"


def test_readers_stay_at_the_newest_snapshot(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    grow(lake, 0)
    assert values(published(lake)) == [0.0]  # nothing recorded: no stage ever began
    first = snap(lake)
    grow(lake, 1)
    assert values(published(lake)) == [0.0]
    assert values(lake) == [0.0, 1.0]
    past = published(lake)
    snap(lake)
    assert values(published(lake)) == [0.0, 1.0]
    assert values(past) == [0.0]
    assert values(published(lake, first[:8])) == [0.0]
    assert published(past) is past  # pinned lakes stay where they are


def test_recorders_in_a_race_get_places_of_their_own(tmp_path: Path) -> None:
    lakes = [Lake(tmp_path) for _ in range(4)]
    ids: list[str] = []

    def work(i: int) -> None:
        ids.extend(snap(lakes[i], f"run-{i}", config_hash=f"{i}-{n}") for n in range(6))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = all_snapshots(lakes[0])
    assert [s.sequence for s in held] == list(range(1, 25))
    assert sorted(s.snapshot_id for s in held) == sorted(ids)


def test_a_lost_race_is_run_again_and_a_lost_cause_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path)
    snap(lake, config_hash="0")
    honest = snapshot_records.append_rows

    def late(*args: object) -> None:
        monkeypatch.setattr(snapshot_records, "append_rows", honest)
        grow(lake, 0)
        snap(lake, config_hash="rival")
        honest(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshot_records, "append_rows", late)
    mine = snap(lake, config_hash="mine")
    assert [s.config_hash for s in all_snapshots(lake)] == ["0", "rival", "mine"]
    newest = newest_snapshot(lake)
    assert newest is not None
    assert newest.snapshot_id == mine
    assert newest.versions == lake.versions() == {"macro_observations": 1}

    def lost(*_: object) -> None:
        raise CommitFailedError("lost")

    monkeypatch.setattr(snapshot_records, "append_rows", lost)
    with pytest.raises(StoreError, match="Others recorded"):
        snap(lake, config_hash="never")


def test_forgetting_leaves_the_others_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path)
    forget_snapshots(lake, ["0" * 32], "run")
    ids = [snap(lake, config_hash=str(n)) for n in range(4)]
    honest = snapshot_records.commit_partitions

    def late(*args: object) -> None:
        monkeypatch.setattr(snapshot_records, "commit_partitions", honest)
        ids.append(snap(lake, config_hash="meanwhile"))
        honest(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshot_records, "commit_partitions", late)
    forget_snapshots(lake, [ids[0], ids[2]], "run")
    assert [(s.snapshot_id, s.sequence) for s in all_snapshots(lake)] == [(ids[1], 2), (ids[3], 4), (ids[4], 5)]
    assert load_snapshot(lake, snap(lake, config_hash="next")).sequence == 6
