"""Lake snapshots, transactions and upkeep where the lake is in a bucket."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kalshi_assets.doctor.past_checks import check_stage
from kalshi_assets.doctor.repair import repair_lake
from kalshi_assets.errors import HomeInUse, StoreUnreachable
from kalshi_assets.stages.references import import_and_record
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.maintenance import maintain
from kalshi_assets.store.snapshots import all_snapshots, load_snapshot, newest_snapshot, published, record_snapshot
from kalshi_assets.store.sql import query
from kalshi_assets.store.stage_notes import LOCK_NAME, RUN_LIMIT, Beginning, ObjectNote
from kalshi_assets.store.transactions import transaction
from kalshi_assets_tests.store import bucket_writers
from kalshi_assets_tests.store.buckets import BucketServer, Wire, needs_moto
from kalshi_assets_tests.store.rows import day, macro, quote, table, trial

pytestmark = needs_moto

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with BucketServer() as server:
        yield server


def put(lake: Lake, minutes: int, *days: int) -> None:
    rows = table("quotes", [quote(day(d), m, series="odd/name") for d in days for m in range(minutes)])
    lake.replace("quotes", rows, scope=Scope([day(d) for d in days]), run_id=f"r{minutes}")


def snap(lake: Lake, **more: str) -> str:
    given = {"stage": "quotes", "run_id": "r", "code_version": "1", "config_hash": "c"}
    return record_snapshot(lake, **{**given, **more})


def rows(lake: Lake) -> int:
    return lake.read("quotes").num_rows


def write(lake: Lake, run_id: str, minutes: int, n: int = 0) -> None:
    """Both tables of a stage."""
    quotes = table("quotes", [quote(day(n), m) for m in range(minutes)])
    lake.replace("quotes", quotes, scope=Scope([day(n)]), run_id=run_id)
    lake.upsert("macro_observations", table("macro_observations", [macro(day(minutes), 0, 1.0)]), run_id=run_id)


def run_stage(lake: Lake, run_id: str, minutes: int, n: int = 0) -> None:
    with transaction(lake, run_id):
        write(lake, run_id, minutes, n)
        snap(lake, run_id=run_id)


def break_off(lake: Lake, run_id: str, error: type[BaseException]) -> None:
    with transaction(lake, run_id):
        write(lake, run_id, 7)
        lake.append("trials", table("trials", [trial(1, day(0))]), run_id=run_id)
        raise error


def seen(lake: Lake) -> tuple[int, int]:
    """Rows of the two tables as SQL shows them."""
    counts = query(lake, "select (select count(*) from quotes) q, (select count(*) from macro_observations) m")
    return tuple(counts.to_pylist()[0].values())


def held(lake: Lake) -> tuple[int, int]:
    """Rows of the two tables as the next stage would read them."""
    return rows(lake), lake.read("macro_observations").num_rows


def later(by: timedelta = RUN_LIMIT + timedelta(minutes=1)) -> datetime:
    return datetime.now(UTC) + by


def kill_a_stage(server: BucketServer, address: str, home: str) -> None:
    """A stage in a process of its own, killed when it has written one table."""
    variables = {**server.variables(address), "KALSHI_ASSETS_HOME": str(server.home(home))}
    ready = SPAWN.Event()
    child = SPAWN.Process(target=bucket_writers.half_a_stage, args=(variables, ready))
    child.start()
    try:
        assert ready.wait(60)
    finally:
        child.kill()
        child.join()


def test_readers_see_all_of_a_stage_or_nothing(server: BucketServer) -> None:
    address = server.new_address()
    lake = server.lake(address)
    assert newest_snapshot(lake) is None
    with transaction(lake, "a"):
        put(lake, 2, 0)
        assert (rows(published(lake)), rows(lake)) == (0, 2)
        put(lake, 2, 1)
        snapshot_id = snap(lake)
    assert rows(published(server.lake(address))) == 4
    assert load_snapshot(lake, snapshot_id[:7]).versions == {"quotes": 2}
    assert [s.stage for s in all_snapshots(lake)] == ["start", "quotes"]
    assert server.content(address, LOCK_NAME) == b""


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_stage_that_fails_takes_its_commits_back(server: BucketServer, error: type[BaseException]) -> None:
    address = server.new_address()
    lake = server.lake(address)
    run_stage(lake, "a", 2)
    with pytest.raises(error):
        break_off(lake, "b", error)
    assert seen(lake) == held(lake) == (2, 1)
    maintain(server.lake(address))
    assert seen(lake) == held(lake) == (2, 1)
    # A fit that was counted stays counted.
    assert lake.read("trials").num_rows == 1
    run_stage(lake, "c", 3, n=1)
    assert seen(server.lake(address)) == (5, 2)


def test_what_a_killed_stage_left_is_taken_back_by_its_home(server: BucketServer) -> None:
    address = server.new_address()
    lake = server.lake(address)
    run_stage(lake, "a", 2)
    kill_a_stage(server, address, "home")
    assert (rows(lake), seen(lake)) == (9, (2, 1))
    (said,) = check_stage(lake)
    assert "(run killed) broke off" in said.found
    maintain(server.lake(address))
    assert seen(lake) == held(lake) == (2, 1)
    (said,) = check_stage(lake)
    assert said.state == "ok"


def import_prices(lake: Lake, folder: Path) -> None:
    file = folder / "prices.csv"
    file.write_text("not,read\n")
    import_and_record(lake, "asset_prices", file, now=datetime.now(UTC))


def test_another_home_leaves_alone_what_may_be_at_work(server: BucketServer, tmp_path: Path) -> None:
    address = server.new_address()
    run_stage(server.lake(address), "a", 2)
    kill_a_stage(server, address, "dead")
    lake = server.lake(address, home="living")
    writers: list[Callable[[], object]] = [
        lambda: maintain(lake),
        lambda: import_prices(lake, tmp_path),
        lambda: repair_lake(lake, lambda *_: None),
        lambda: run_stage(lake, "c", 3, n=1),
        lambda: maintain(lake, now=later(RUN_LIMIT - timedelta(minutes=1))),
    ]
    for writer in writers:
        with pytest.raises(HomeInUse, match="written by run killed of another home, or that run broke off: run it"):
            writer()
        assert (rows(lake), seen(lake)) == (9, (2, 1))
    maintain(lake, now=later())
    assert seen(lake) == held(lake) == (2, 1)
    run_stage(lake, "c", 3, n=1)
    assert seen(lake) == (5, 2)


def test_upkeep_beside_a_stage_at_work(server: BucketServer) -> None:
    address = server.new_address()
    lake = server.lake(address)
    run_stage(lake, "a", 2)
    with transaction(lake, "b"):
        write(lake, "b", 7)
        with pytest.raises(HomeInUse, match="run b of another home"):
            maintain(server.lake(address, home="other"))
        waiting = transaction(server.lake(address), "c", patience_s=0.0)
        with pytest.raises(HomeInUse, match="written by another process"), waiting:
            pytest.fail("two stages at once")
        assert seen(lake) == (2, 1)
        snap(lake, run_id="b")
    assert seen(lake) == (7, 2)


def test_a_stage_that_was_taken_for_dead_publishes_nothing(server: BucketServer) -> None:
    address = server.new_address()
    lake, other = server.lake(address), server.lake(address, home="other")
    run_stage(lake, "a", 2)

    def slow_stage() -> None:
        with transaction(lake, "slow"):
            write(lake, "slow", 7)
            maintain(other, now=later())
            assert held(other) == (2, 1)
            run_stage(other, "c", 3)
            write(lake, "slow", 9)
            snap(lake, run_id="slow")

    with pytest.raises(HomeInUse, match="taken over by another run of another home"):
        slow_stage()
    assert seen(other) == held(other) == (3, 2)


@pytest.mark.parametrize("ends", ["at its record", "by a failure"])
def test_a_stage_that_was_taken_for_dead_leaves_the_note_of_who_took_over(server: BucketServer, ends: str) -> None:
    address = server.new_address()
    lake, other, third = (server.lake(address, home=home) for home in ("slow", "other", "third"))
    run_stage(lake, "a", 2)
    notes: list[bytes] = []

    def slow_stage(takes_over: ExitStack) -> None:
        with transaction(lake, "slow"):
            write(lake, "slow", 7)
            takes_over.enter_context(transaction(other, "c", now=later))
            write(other, "c", 3)
            notes.append(server.content(address, LOCK_NAME))
            if ends == "by a failure":
                raise ValueError(ends)
            snap(lake, run_id="slow")

    with ExitStack() as takes_over:
        with pytest.raises(HomeInUse, match="taken over by run c of another home"):
            slow_stage(takes_over)
        assert [server.content(address, LOCK_NAME)] == notes
        with pytest.raises(HomeInUse, match="written by run c of another home"):
            run_stage(third, "d", 4)
        assert seen(third) == (2, 1)
        assert held(other) == (3, 2)
        snap(other, run_id="c")
    assert seen(third) == held(third) == (3, 2)
    assert server.content(address, LOCK_NAME) == b""


def test_of_two_homes_that_find_a_dead_note_one_takes_it(server: BucketServer) -> None:
    address = server.new_address()
    lake = server.lake(address)
    ObjectNote(lake, "dead", later).write(Beginning(1, "killed", 1, {}, "dead"))
    first = ObjectNote(lake, "first", later)

    def meanwhile() -> datetime:
        assert first.left() is not None
        return later()

    with pytest.raises(HomeInUse, match="taken over by run killed"):
        ObjectNote(lake, "second", meanwhile).left()


def test_a_note_whose_answer_is_lost(server: BucketServer) -> None:
    """Nobody can know whether it arrived; it did, and the same home goes on from it."""
    address = server.new_address()
    with Wire(server.port) as wire:
        lake = server.lake(address, port=wire.port)
        run_stage(lake, "a", 2)
        wire.lose = (b"PUT", LOCK_NAME.encode())
        with pytest.raises(StoreUnreachable, match="connection was reset"):
            run_stage(lake, "b", 3)
        assert wire.lose is None
    assert b'"b"' in server.content(address, LOCK_NAME)
    lake = server.lake(address)
    run_stage(lake, "b", 3)
    assert seen(lake) == held(lake) == (3, 2)


def test_recorders_in_a_race_get_places_of_their_own(server: BucketServer) -> None:
    address = server.new_address()
    ids: list[str] = []

    def work(i: int) -> None:
        lake = server.lake(address)
        ids.extend(snap(lake, config_hash=f"{i}-{n}") for n in range(3))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = all_snapshots(server.lake(address))
    assert [s.sequence for s in held] == list(range(1, 10))
    assert sorted(s.snapshot_id for s in held) == sorted(ids)


def test_upkeep_removes_what_nothing_names(server: BucketServer) -> None:
    address = server.new_address()
    lake = server.lake(address)
    ids = []
    for n in range(1, 5):
        put(lake, n, 0, 1)
        ids.append(snap(lake))
    moment = later(timedelta(days=400))
    before = lake.content_hash("quotes")
    would = maintain(lake, keep_days=0, keep_newest=2, now=moment, dry_run=True)
    did = maintain(lake, keep_days=0, keep_newest=2, now=moment)
    assert did.snapshots_after == 2
    quotes = [{t.table: t for t in report.tables}["quotes"] for report in (would, did)]
    assert [(t.files_before, t.files_after) for t in quotes] == [(8, 4), (8, 4)]
    left = [key for key in server.objects(address) if key.startswith("quotes/") and key.endswith(".parquet")]
    assert len(left) == 4
    fresh = server.lake(address)
    assert [rows(fresh.at(load_snapshot(fresh, i).versions)) for i in ids[2:]] == [6, 8]
    assert fresh.content_hash("quotes") == before
