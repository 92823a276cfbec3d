"""Upkeep: what is removed, what never is, and that nobody can tell from the data that it happened."""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote as escaped

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import StoreError
from kalshi_assets.store import clean_up, compaction, maintenance
from kalshi_assets.store.commits import missing_properties
from kalshi_assets.store.conform import stored_schema
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.maintenance import kept_snapshots, maintain, snapshots_of_verdicts
from kalshi_assets.store.snapshot_records import LakeSnapshot
from kalshi_assets.store.snapshots import all_snapshots, load_snapshot, published, record_snapshot
from kalshi_assets.store.transactions import transaction
from kalshi_assets_tests.store import writers
from kalshi_assets_tests.store.rows import at, day, quote, table

SPAWN = multiprocessing.get_context("spawn")
LATER = datetime.now(UTC) + timedelta(days=400)
KEEP_TWO = {"keep_days": 0, "keep_newest": 2, "now": LATER}


def put(lake: Lake, minutes: int, *days: int, series: str = "KXCPIYOY") -> None:
    rows = table("quotes", [quote(day(d), m, series=series) for d in days for m in range(minutes)])
    lake.replace("quotes", rows, scope=Scope([day(d) for d in days], [series]), run_id=f"r{minutes}")


def verdict(lake: Lake, n: int) -> None:
    row = {"verdict_id": f"v{n}", "strategy_id": "s", "event_date": day(0), "verdict": "hold", "ts": at(n)}
    lake.append("verdicts", table("verdicts", [{**row, "known_at": at(n)}]), run_id="r")


def snap(lake: Lake, stage: str = "quotes") -> str:
    return record_snapshot(lake, stage=stage, run_id="r", code_version="1", config_hash="c")


def files(root: Path, name: str = "quotes") -> set[Path]:
    return set((root / name).rglob("*.parquet")) - set((root / name / "_delta_log").iterdir())


def hashes(lake: Lake) -> dict[str, object]:
    return {name: lake.content_hash(name) for name in lake.versions()}


@pytest.fixture
def old(tmp_path: Path) -> tuple[Lake, list[str]]:
    """Ten stages, each of which replaced the same two dates; the third one gave a verdict."""
    lake, ids = Lake(tmp_path), []
    for n in range(1, 11):
        put(lake, n, 0, 1)
        if n == 3:
            verdict(lake, n)
        ids.append(snap(lake))
    return lake, ids


def test_old_files_go_and_what_a_verdict_rests_on_stays(old: tuple[Lake, list[str]], tmp_path: Path) -> None:
    lake, ids = old
    before = hashes(lake)
    assert len(files(tmp_path)) == 20
    report = maintain(lake, **KEEP_TWO)
    assert [s.snapshot_id for s in all_snapshots(lake)] == [ids[2], ids[8], ids[9]]
    assert (report.snapshots_before, report.snapshots_after, report.kept_for_verdicts) == (10, 3, 1)
    for at_, minutes in ((2, 3), (8, 9), (9, 10)):
        past = lake.at(load_snapshot(lake, ids[at_]).versions)
        assert past.read("quotes").num_rows == 2 * minutes
        assert past.read("verdicts").num_rows == 1
    assert len(files(tmp_path)) == 6
    assert hashes(lake) == hashes(Lake(tmp_path)) == before
    quotes = next(t for t in report.tables if t.table == "quotes")
    assert (quotes.files_before, quotes.files_after) == (20, 6)
    assert quotes.bytes_freed > 0
    with pytest.raises(StoreError, match="The data file"):
        lake.at({"quotes": load_snapshot(lake, ids[2]).versions["quotes"] - 1}).read("quotes")
    again = maintain(lake, **KEEP_TWO)
    assert again.snapshots_before == again.snapshots_after == 3
    assert len(files(tmp_path)) == 6


def test_by_default_the_last_ninety_days_stay(old: tuple[Lake, list[str]], tmp_path: Path) -> None:
    lake, ids = old
    soon = datetime.now(UTC) + timedelta(days=89)
    assert maintain(lake, now=soon).bytes_freed == 0
    assert {s.snapshot_id for s in all_snapshots(lake)} >= set(ids)
    assert len(files(tmp_path)) == 20


def test_a_dry_run_says_the_same_and_does_nothing(old: tuple[Lake, list[str]], tmp_path: Path) -> None:
    lake, _ = old
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    would = maintain(lake, dry_run=True, **KEEP_TWO)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    did = maintain(lake, **KEEP_TWO)
    of = [{t.table: t for t in report.tables}["quotes"] for report in (would, did)]
    assert (of[0].files_before, of[0].files_after, of[0].bytes_freed) == (
        of[1].files_before,
        of[1].files_after,
        of[1].bytes_freed,
    )
    assert would.dry_run
    assert "would be" in would.text()
    assert not did.dry_run
    assert did.as_json()["files_after"] == did.files_after


def test_files_that_wait_for_their_commit_stay_until_they_are_old(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    put(lake, 1, 0)
    snap(lake)
    (named,) = files(tmp_path)
    waiting, given_up, foreign = (named.with_name(n) for n in ("waiting.parquet", "given_up.parquet", "notes.txt"))
    for path in (waiting, given_up, foreign):
        path.write_bytes(b"0123456789")
    yesterday = time.time() - 25 * 3600
    for path in (given_up, foreign, named):
        os.utime(path, (yesterday, yesterday))
    report = maintain(lake)
    assert files(tmp_path) == {named, waiting}
    assert foreign.exists()
    assert report.bytes_freed == 10
    assert lake.read("quotes").num_rows == 1


def scatter(lake: Lake, root: Path) -> None:
    """Two more files in one partition, written by another engine, out of order."""
    for minutes in ((50, 40), (30, 20)):
        rows = table("quotes", [quote(day(0), m) for m in minutes])
        bookkeeping = lake.read("quotes", bookkeeping=True).slice(0, 1)
        stamped = rows
        for name in ("run_id", "recorded_at"):
            stamped = stamped.append_column(name, [bookkeeping[name].combine_chunks().take([0, 0])])
        write_deltalake(str(root / "quotes"), stamped.cast(stored_schema(TABLES["quotes"])), mode="append")


def test_small_files_become_one_and_rows_stay_as_they_were(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    put(lake, 3, 0, 1)
    put(lake, 2, 0, series="odd/name, 100%")
    scatter(lake, tmp_path)
    snap(lake)
    before, rows, row_hashes = hashes(lake), lake.read("quotes", bookkeeping=True), lake.content_hash("quotes")
    others = {f.path for f in lake.files("quotes") if f.partition != (day(0), "KXCPIYOY")}
    assert len(lake.files("quotes")) == 5
    report = maintain(lake)
    assert sum(t.compacted for t in report.tables) == 1
    assert len(lake.files("quotes")) == 3
    (compacted,) = [f.path for f in lake.files("quotes") if f.path not in others]
    assert len(lake.files("quotes")) == len(others) + 1
    # Inside the file, too: readers rely on it.
    times = pq.ParquetFile(tmp_path / compacted).read(columns=["known_at"])["known_at"].to_pylist()
    assert times == sorted(times)
    assert lake.read("quotes", bookkeeping=True).equals(rows)
    assert (hashes(lake), lake.content_hash("quotes")) == (before, row_hashes)
    # Readers get the new file at once, and the replaced ones stay for the snapshots that name them.
    assert published(lake).files("quotes") == lake.files("quotes")
    assert len(files(tmp_path)) == 6
    assert maintain(lake).as_json()["bytes_freed"] == 0
    assert len(lake.files("quotes")) == 3
    maintain(lake, keep_days=0, keep_newest=1, now=LATER)
    assert files(tmp_path) == {tmp_path / f.path for f in lake.files("quotes")}
    assert lake.read("quotes", bookkeeping=True).equals(rows)


def test_a_partition_that_changes_meanwhile_is_left_for_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(tmp_path)
    put(lake, 3, 0)
    scatter(lake, tmp_path)
    honest = compaction.write_draft

    def late(*args: object) -> object:
        draft = honest(*args)  # type: ignore[arg-type]
        put(Lake(tmp_path), 8, 0)
        return draft

    with monkeypatch.context() as patch:
        patch.setattr(compaction, "write_draft", late)
        assert compaction.compact(lake, "quotes", "m") == 0
    assert lake.read("quotes").num_rows == 8


def test_a_writer_beside_upkeep_loses_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    put(lake, 1, *range(6))
    scatter(lake, tmp_path)
    failures: list[BaseException] = []

    def write(d: int) -> None:
        try:
            mine = Lake(tmp_path)
            for n in range(2, 7):
                if d % 2:
                    with transaction(mine, f"r{d}-{n}"):
                        put(mine, n, d)
                        snap(mine)
                else:
                    put(mine, n, d)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(d,)) for d in range(1, 5)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        maintain(Lake(tmp_path), **KEEP_TWO, safety=timedelta(days=401))
    for thread in threads:
        thread.join()
    assert failures == []
    counts = {d: lake.read("quotes", event_dates=[day(d)]).num_rows for d in range(6)}
    assert counts == {0: 5, 1: 6, 2: 6, 3: 6, 4: 6, 5: 1}
    maintain(lake, **KEEP_TWO)
    assert lake.read("quotes").num_rows == sum(counts.values())


def test_killed_at_any_moment_the_lake_is_as_before(tmp_path: Path) -> None:
    rng = random.Random(5)
    lake = Lake(tmp_path)
    put(lake, 1, *range(8))
    ids = []
    for n in range(2, 8):
        put(lake, n, *range(8))
        verdict(lake, n)
        ids.append(snap(lake))
    for _ in range(3):
        scatter(lake, tmp_path)
        snap(lake)
        before, rows = lake.content_hash("quotes"), lake.read("quotes")
        ready = SPAWN.Event()
        child = SPAWN.Process(target=writers.maintain_for_ever, args=(str(tmp_path), ready))
        child.start()
        try:
            assert ready.wait(60)
            time.sleep(rng.uniform(0.0, 0.15))
        finally:
            child.kill()
            child.join()
        assert Lake(tmp_path).content_hash("quotes") == before
        for n, snapshot_id in enumerate(ids, start=2):
            past = lake.at(load_snapshot(lake, snapshot_id).versions)
            assert past.read("quotes").num_rows == 8 * n
            assert past.read("verdicts").num_rows == n - 1
        maintain(lake, **KEEP_TWO)
        assert lake.read("quotes").equals(rows)
        lake.replace("quotes", table("quotes", []), scope=Scope([day(0)]), run_id="r")
        put(lake, 7, 0)


def test_no_checkpoint_ever_cuts_the_log_that_old_versions_need(old: tuple[Lake, list[str]], tmp_path: Path) -> None:
    lake, ids = old
    log = tmp_path / "quotes" / "_delta_log"
    long_ago = time.time() - 400 * 86_400
    for n in range(92):
        put(lake, 1 + n % 2, 5)
        for entry in log.iterdir():
            os.utime(entry, (long_ago, long_ago))
    assert any("checkpoint" in p.name for p in log.iterdir())
    maintain(lake, **KEEP_TWO)
    # What another engine does obeys the table's property.
    theirs = DeltaTable(str(tmp_path / "quotes"))
    write_deltalake(theirs, theirs.to_pyarrow_table()[:0], mode="append")
    assert len([p for p in log.iterdir() if p.suffix == ".json" and p.name[:20].isdigit()]) > 100
    assert lake.at(load_snapshot(lake, ids[2]).versions).read("quotes").num_rows == 6


@pytest.mark.parametrize("sound", [True, False])
def test_a_table_from_before_keeps_its_log_and_if_it_can_its_checks(sound: bool, tmp_path: Path) -> None:
    lake, spec, address = Lake(tmp_path), TABLES["quotes"], str(tmp_path / "quotes")
    DeltaTable.create(address, stored_schema(spec), partition_by=list(spec.partition_by))
    put(lake, 2, 0, 1)
    if not sound:
        bookkeeping = lake.read("quotes", bookkeeping=True).select(["run_id", "recorded_at"]).slice(0, 1)
        (bad,) = table("quotes", [quote(day(5), 9, bid="7.5")]).to_pylist()
        bad |= bookkeeping.to_pylist()[0]
        write_deltalake(address, pa.Table.from_pylist([bad], schema=stored_schema(spec)), mode="append")
    before, rows = hashes(lake), lake.read("quotes")
    maintain(lake)
    held = DeltaTable(address).metadata().configuration
    assert held["delta.enableExpiredLogCleanup"] == "false"
    # A constraint that stored rows break would be a lie.
    assert ("delta.constraints.yes_bid_close_usd_in_range" in held) == sound
    assert DeltaTable(address).protocol().min_reader_version == 1
    version = lake.version("quotes")
    maintain(lake)
    assert lake.version("quotes") == version
    assert (hashes(lake), lake.read("quotes")) == (before, rows)
    if sound:
        with pytest.raises(DeltaError, match="Invalid data found"):
            DeltaTable(address).update({"yes_bid_close_usd": "cast(7.5 as decimal(7, 6))"})
        put(lake, 3, 0)


def test_upkeep_that_broke_off_binds_others_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, spec, address = Lake(tmp_path), TABLES["quotes"], str(tmp_path / "quotes")
    DeltaTable.create(address, stored_schema(spec), partition_by=list(spec.partition_by))
    put(lake, 2, 0)
    snap(lake)

    def interrupted(*_: object) -> None:
        assert missing_properties(spec, DeltaTable(address)) == {}
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(maintenance, "compact", interrupted)
        with pytest.raises(KeyboardInterrupt):
            maintain(lake)
    assert not any("constraints" in name for name in DeltaTable(address).metadata().configuration)
    maintain(lake)
    assert missing_properties(spec, DeltaTable(address)) == {}
    assert lake.read("quotes").num_rows == 2


def test_logs_are_summed_up(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for n in range(25):
        put(lake, 1 + n % 2, 0)
    snap(lake)
    assert [t.table for t in maintain(lake).tables if t.checkpointed] == ["quotes"]
    assert list((tmp_path / "quotes" / "_delta_log").glob("*.checkpoint.parquet"))
    assert not any(t.checkpointed for t in maintain(lake).tables)


def test_a_log_whose_beginning_is_gone_still_tells_lives(old: tuple[Lake, list[str]], tmp_path: Path) -> None:
    lake, ids = old
    log = tmp_path / "quotes" / "_delta_log"
    DeltaTable(str(tmp_path / "quotes"), version=6).create_checkpoint()
    for n in range(6):
        (log / f"{n:020d}.json").unlink()
    maintain(lake, **KEEP_TWO)
    for i in (8, 9):
        assert lake.at(load_snapshot(lake, ids[i]).versions).read("quotes").num_rows == 2 * (i + 1)
    assert lake.read("quotes").num_rows == 20


def test_a_log_that_does_not_add_up_saves_every_file(
    old: tuple[Lake, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, _ = old
    before = files(tmp_path)
    honest = clean_up._actions
    monkeypatch.setattr(clean_up, "_actions", lambda lake, path: honest(lake, path)[1:])
    with pytest.raises(StoreError, match="nothing of it is removed"):
        maintain(lake, **KEEP_TWO)
    assert files(tmp_path) == before
    monkeypatch.setattr(clean_up, "_actions", honest)
    DeltaTable(str(tmp_path / "quotes")).create_checkpoint()  # from here on the table opens without its old entries
    (tmp_path / "quotes" / "_delta_log" / f"{4:020d}.json").write_text("{")
    with pytest.raises(StoreError, match="nothing of its table is removed"):
        maintain(lake, **KEEP_TWO)
    assert files(tmp_path) == before


def test_names_with_escapes_are_found_in_the_log(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    name = "odd/name, 100% é"
    for n in (1, 2, 3):
        put(lake, n, 0, series=name)
    snap(lake)
    assert len(files(tmp_path)) == 3
    maintain(lake, keep_days=0, keep_newest=1, now=LATER)
    (left,) = files(tmp_path)
    assert escaped(name, safe="") in str(left)
    assert lake.read("quotes").num_rows == 3


def test_nothing_is_done_to_an_empty_lake(tmp_path: Path) -> None:
    assert maintain(Lake(tmp_path / "none")).tables == ()
    assert not (tmp_path / "none").exists()


def record(sequence: int, age_days: float, verdicts: int | None) -> LakeSnapshot:
    versions = {"quotes": sequence} | ({} if verdicts is None else {"verdicts": verdicts})
    recorded = datetime(2024, 6, 1, tzinfo=UTC) - timedelta(days=age_days)
    return LakeSnapshot(f"{sequence:032d}", sequence, "quotes", "r", "1", "c", recorded, versions)


def test_the_rule_of_what_is_kept() -> None:
    ages_and_verdicts = [(900, None), (800, 1), (700, 1), (600, 2), (500, 2), (89.9, 2), (90.1, 2), (1, 2), (0, 2)]
    held = [record(i, age, v) for i, (age, v) in enumerate(ages_and_verdicts)]
    since = datetime(2024, 6, 1, tzinfo=UTC) - timedelta(days=90)
    assert [s.sequence for s in snapshots_of_verdicts(held)] == [1, 3]
    assert [s.sequence for s in kept_snapshots(held, since, 1)] == [1, 3, 5, 7, 8]
    assert [s.sequence for s in kept_snapshots(held, since, 4)] == [1, 3, 5, 6, 7, 8]
    assert [s.sequence for s in kept_snapshots(held, datetime(2025, 1, 1, tzinfo=UTC), 1)] == [1, 3, 8]
    assert kept_snapshots(held, since, 100) == held
    assert [s.sequence for s in kept_snapshots(held, datetime(2025, 1, 1, tzinfo=UTC), 0)] == [1, 3]


def test_a_race_for_the_logs_property_is_no_failure(
    old: tuple[Lake, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise CommitFailedError("lost")

    monkeypatch.setattr(maintenance, "_bind_others", lost)
    assert maintain(old[0], **KEEP_TWO).bytes_freed > 0
