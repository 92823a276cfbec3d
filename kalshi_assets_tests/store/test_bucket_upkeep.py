"""Lake snapshots, transactions and upkeep where the lake is in a bucket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.maintenance import maintain
from kalshi_assets.store.snapshots import all_snapshots, load_snapshot, newest_snapshot, published, record_snapshot
from kalshi_assets.store.transactions import LOCK_NAME, transaction
from kalshi_assets_tests.store.buckets import BucketServer, needs_moto
from kalshi_assets_tests.store.rows import day, quote, table

pytestmark = needs_moto


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
    assert LOCK_NAME not in server.objects(address)


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
    later = datetime.now(UTC) + timedelta(days=400)
    before = lake.content_hash("quotes")
    would = maintain(lake, keep_days=0, keep_newest=2, now=later, dry_run=True)
    did = maintain(lake, keep_days=0, keep_newest=2, now=later)
    assert did.snapshots_after == 2
    quotes = [{t.table: t for t in report.tables}["quotes"] for report in (would, did)]
    assert [(t.files_before, t.files_after) for t in quotes] == [(8, 4), (8, 4)]
    left = [key for key in server.objects(address) if key.startswith("quotes/") and key.endswith(".parquet")]
    assert len(left) == 4
    fresh = server.lake(address)
    assert [rows(fresh.at(load_snapshot(fresh, i).versions)) for i in ids[2:]] == [6, 8]
    assert fresh.content_hash("quotes") == before
