"""The lake in a bucket: what works in a folder works there, and what can go wrong on the way does no harm."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from kalshi_assets.errors import SettingsError, StoreError, StoreUnreachable
from kalshi_assets.store import object_files
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.snapshots import load_snapshot, record_snapshot
from kalshi_assets.store.sql import query
from kalshi_assets_tests.store import bucket_writers
from kalshi_assets_tests.store.buckets import SECRET, BucketServer, Wire, needs_moto
from kalshi_assets_tests.store.rows import at, day, label, macro, quote, table, trial
from kalshi_assets_tests.store.test_concurrency import race

pytestmark = needs_moto

DATES = [day(d) for d in range(4)]


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with BucketServer() as server:
        yield server


@pytest.fixture
def address(server: BucketServer) -> Iterator[str]:
    yield server.new_address()
    server.behave()


def quotes_of(n: int, dates: int = 4) -> pa.Table:
    return table("quotes", [quote(day(d), m) for d in range(dates) for m in range(n)])


def fill(lake: Lake) -> None:
    lake.replace("quotes", quotes_of(3), scope=Scope(DATES), run_id="r1")
    lake.upsert(
        "labels", table("labels", [label(day(d), k, d + k / 10) for d in range(3) for k in (1, 5)]), run_id="r2"
    )
    lake.append("trials", table("trials", [trial(n, day(n)) for n in range(3)]), run_id="r3")
    lake.upsert("macro_observations", table("macro_observations", [macro(day(1), 0, 1.5)]), run_id="r4")


FILLED = ("quotes", "labels", "trials", "macro_observations")


def test_a_bucket_holds_what_a_folder_holds(server: BucketServer, address: str, tmp_path: Path) -> None:
    there, here = server.lake(address), Lake(tmp_path)
    for lake in (there, here):
        fill(lake)
        # Less of one date, and another date emptied.
        lake.replace("quotes", quotes_of(2, 1), scope=Scope(DATES[:2]), run_id="r5")
    for name in FILLED:
        assert there.content_hash(name) == here.content_hash(name)
        assert there.read(name, history=True).equals(here.read(name, history=True))
        assert there.read(name, as_of=at(2)).equals(here.read(name, as_of=at(2)))
        assert there.versions()[name] == here.versions()[name]
    assert there.event_dates("quotes") == [DATES[0], *DATES[2:]]
    past = {"quotes": 1}
    assert there.at(past).read("quotes").equals(here.at(past).read("quotes"))
    assert there.at(past).read("quotes").num_rows == 12
    newest = "select event_date, first_print from labels order by all"
    for text, as_of in ((newest, None), (newest, at(2)), ("select count(*), max(ts) from quotes", None)):
        assert query(there, text, as_of=as_of).equals(query(here, text, as_of=as_of))


def test_equal_content_writes_nothing_and_a_ledger_only_grows(server: BucketServer, address: str) -> None:
    lake = server.lake(address)
    fill(lake)
    again = server.lake(address)
    held = again.versions()
    fill(again)
    assert again.versions() == held
    with pytest.raises(StoreError, match="only grows"):
        again.append("trials", table("trials", [trial(1, day(1), data_hash="other")]), run_id="r")
    assert again.versions() == held


def test_a_held_table_sees_what_others_commit(server: BucketServer, address: str) -> None:
    mine, other = server.lake(address), server.lake(address)
    fill(mine)
    assert other.read("quotes").num_rows == 12
    mine.replace("quotes", quotes_of(1), scope=Scope(DATES), run_id="r")
    assert other.read("quotes").num_rows == 4
    assert mine.at({"quotes": 1}).read("quotes").num_rows == 12
    other.upsert("macro_observations", table("macro_observations", [macro(day(2), 0, 2.5)]), run_id="r")
    mine.upsert("macro_observations", table("macro_observations", [macro(day(3), 0, 3.5)]), run_id="r")
    assert other.read("macro_observations").column("value").to_pylist() == [1.5, 2.5, 3.5]


def test_what_was_read_once_is_not_fetched_again(server: BucketServer, address: str) -> None:
    lake = server.lake(address)
    fill(lake)
    lake.read("quotes")
    before = server.behave()
    first = lake.content_hash("quotes")
    assert lake.content_hash("quotes") == first
    # Twice the log's newest entries, and none of the four data files.
    assert server.behave() - before <= 6


def test_a_large_file_is_read_in_pieces(server: BucketServer, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(server.lake(address))
    whole = server.lake(address).read("quotes")
    monkeypatch.setattr(object_files, "_WHOLE_BYTES", 100)
    lake = server.lake(address)
    assert lake.read("quotes").equals(whole)
    assert query(lake, "select count(*) n from quotes").to_pylist() == [{"n": 12}]
    path = lake.files("quotes")[0].path
    with lake.filesystem.open_input_file(path) as source:
        assert source.seek(-4, 2) == source.size() - 4
        assert source.read() == b"PAR1"


def test_files_and_folders_of_a_bucket_are_listed(server: BucketServer, address: str) -> None:
    lake = server.lake(address)
    fill(lake)
    seen = server.lake(address).filesystem
    path = lake.files("trials")[0].path
    there, folder, absent = seen.get_file_info([path, "trials/_delta_log", "trials/absent.parquet"])
    assert (there.type, there.size) == (pafs.FileType.File, lake.files("trials")[0].size)
    assert abs(there.mtime.timestamp() - time.time()) < 600
    assert (folder.type, absent.type) == (pafs.FileType.Directory, pafs.FileType.NotFound)
    inside = {i.path: i.type for i in seen.get_file_info(pafs.FileSelector("trials"))}
    assert inside["trials/_delta_log"] == pafs.FileType.Directory
    below = [i.path for i in seen.get_file_info(pafs.FileSelector("trials", recursive=True))]
    stored = [key for key in server.objects(address) if key.startswith("trials/")]
    assert sorted(below) == sorted(stored)
    with pytest.raises(FileNotFoundError):
        seen.get_file_info(pafs.FileSelector("nothing"))
    assert seen.get_file_info(pafs.FileSelector("nothing", allow_not_found=True)) == []
    with seen.open_output_stream("trials/note.json") as sink:
        sink.write(b"{}")
    seen.move("trials/note.json", "trials/moved.json")
    with seen.open_input_stream("trials/moved.json") as source:
        assert source.read() == b"{}"
    seen.delete_file("trials/moved.json")
    with pytest.raises(FileNotFoundError):
        seen.open_input_file("trials/moved.json")
    lake.read("trials")
    lake.filesystem.delete_file(path)
    with pytest.raises(StoreError, match="data file"):
        lake.read("trials")


def test_a_lake_snapshot_is_recorded_once_and_read_back(server: BucketServer, address: str) -> None:
    lake = server.lake(address)
    fill(lake)
    state = {"stage": "quotes", "code_version": "1", "config_hash": "c"}
    first = record_snapshot(lake, run_id="a", **state)
    assert record_snapshot(server.lake(address), run_id="b", **state) == first
    snapshot = load_snapshot(server.lake(address), first)
    assert snapshot.run_id == "a"
    assert snapshot.versions == lake.versions()


def test_two_processes_write_and_nothing_is_lost_or_doubled(server: BucketServer, address: str) -> None:
    variables = server.variables(address)
    # Dates 0 and 1 are owned by one writer each, date 9 by both; the table does not exist before.
    race(
        (bucket_writers.replace_dates, (variables, [0, 9], 4, "T1")),
        (bucket_writers.replace_dates, (variables, [1, 9], 4, "T2")),
    )
    lake = server.lake(address)
    counts = Counter((r["event_date"], r["ticker"][-2:]) for r in lake.read("quotes").to_pylist())
    assert counts[day(0), "T1"] == 4
    assert counts[day(1), "T2"] == 4
    assert [n for (d, _), n in counts.items() if d == day(9)] == [4]
    race(
        (bucket_writers.upsert_days, (variables, list(range(6)))),
        (bucket_writers.upsert_days, (variables, list(range(3, 9)))),
    )
    rows = lake.read("macro_observations", history=True)
    assert rows.column("value").to_pylist() == [float(d) for d in range(9)]


def test_a_wire_cut_anywhere_leaves_old_or_new_and_the_same_write_mends_it(server: BucketServer, address: str) -> None:
    rng = random.Random(7)
    with Wire(server.port) as wire:
        lake = server.lake(address, port=wire.port)
        lake.replace("quotes", quotes_of(1), scope=Scope(DATES), run_id="first")
        begun = wire.sent
        lake.replace("quotes", quotes_of(2), scope=Scope(DATES), run_id="whole")
        whole = wire.sent - begun
        said: list[str] = []
        for n in range(3, 9):
            cut = server.lake(address, port=wire.port)
            wire.left = rng.randrange(whole)
            try:
                cut.replace("quotes", quotes_of(n), scope=Scope(DATES), run_id=f"cut {n}")
            except StoreUnreachable as error:
                said.append(str(error))
            finally:
                wire.mend()
            counts = Counter(server.lake(address).read("quotes").column("event_date").to_pylist())
            assert len(set(counts.values())) == 1, "half a commit is visible"
            assert set(counts.values()) <= {n - 1, n}
            cut.replace("quotes", quotes_of(n), scope=Scope(DATES), run_id=f"again {n}")
            assert server.lake(address).read("quotes").num_rows == 4 * n
    assert len(said) >= 4
    assert all("\n" not in words and "run the same command again" in words for words in said)


def test_a_commit_whose_answer_is_lost_counts_once(server: BucketServer, address: str) -> None:
    """The writer cannot know that it committed; whoever writes the same again finds that it did."""
    trials = table("trials", [trial(n, day(1)) for n in (1, 7, 8)])
    with Wire(server.port) as wire:
        lake = server.lake(address, port=wire.port)
        fill(lake)
        held = lake.versions()
        wire.lose = (b"PUT", b"trials/_delta_log")
        with pytest.raises(StoreUnreachable, match="connection was reset"):
            lake.append("trials", trials, run_id="r")
        assert wire.lose is None
        assert not lake.append("trials", trials, run_id="again").changed
    plain = server.lake(address)
    assert not plain.append("trials", trials, run_id="once more").changed
    assert plain.read("trials").column("trial_id").to_pylist() == ["t0", "t1", "t2", "t7", "t8"]
    assert plain.versions()["trials"] == held["trials"] + 1


def test_a_server_that_falls_silent_is_given_up_and_taken_up_again(server: BucketServer, address: str) -> None:
    lake = server.lake(address, KALSHI_ASSETS_LAKE_TIMEOUT_S="0.3")
    fill(lake)
    begun = time.monotonic()
    server.freeze()
    try:
        with pytest.raises(StoreUnreachable, match="no answer came in time"):
            lake.replace("quotes", quotes_of(5), scope=Scope(DATES), run_id="r")
    finally:
        server.thaw()
    assert time.monotonic() - begun < 20
    plain = server.lake(address)
    plain.replace("quotes", quotes_of(5), scope=Scope(DATES), run_id="r")
    assert plain.read("quotes").num_rows == 20


def test_a_server_that_errs_or_is_gone_is_said_in_a_sentence(server: BucketServer, address: str) -> None:
    fill(server.lake(address))
    server.behave(fail=True)
    quick = server.lake(address, KALSHI_ASSETS_LAKE_TIMEOUT_S="0.5")
    with pytest.raises(StoreUnreachable, match="it answered 500"):
        quick.read("quotes")
    with Wire(server.port) as wire:
        gone = wire.port
    with pytest.raises(StoreUnreachable, match="the connection was refused"):
        server.lake(address, port=gone).read("quotes")


def test_credentials_that_are_refused_are_a_setting_and_stay_secret(server: BucketServer, address: str) -> None:
    fill(server.lake(address))
    server.behave(forbid=True)
    lake = server.lake(address)
    tries = (
        lambda: lake.read("quotes"),
        lambda: lake.replace("quotes", quotes_of(1), scope=Scope(DATES), run_id="r"),
        lambda: query(lake, "from quotes"),
        lambda: server.lake(address, to_write=True),
    )
    for attempt in tries:
        with pytest.raises(
            SettingsError, match=r"refused the credentials .*InvalidAccessKeyId.*AWS_ACCESS_KEY_ID"
        ) as e:
            attempt()
        assert SECRET not in str(e.value)
        assert "\n" not in str(e.value)


def test_a_file_that_is_refused_in_the_middle_of_a_query_is_said_so(server: BucketServer, address: str) -> None:
    lake = server.lake(address)
    fill(lake)
    lake.files("quotes")
    paths = [key for key in server.objects(address) if key.startswith("quotes/") and key.endswith(".parquet")]
    server.delete(address, paths[0])
    for attempt in (lambda: server.lake(address).read("quotes"), lambda: query(server.lake(address), "from quotes")):
        with pytest.raises(StoreError, match=r"data file quotes/.*parquet"):
            attempt()


def test_a_query_that_may_not_read_data_is_told_so(server: BucketServer, address: str) -> None:
    fill(server.lake(address))
    server.behave(forbid_data=True)
    for attempt in (lambda: query(server.lake(address), "from quotes"), lambda: server.lake(address).read("quotes")):
        with pytest.raises(SettingsError, match="refused the credentials"):
            attempt()


def test_a_scan_calls_no_python(server: BucketServer, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow's threads may still read when DuckDB drops a scan, and must not wait for the interpreter then."""
    lake = server.lake(address)
    fill(lake)
    for name in ("open_input_file", "open_input_stream", "get_file_info"):
        monkeypatch.setattr(object_files.ObjectFiles, name, lambda *_: pytest.fail("a scan went through Python"))
    assert query(server.lake(address), "from quotes_history limit 1").num_rows == 1
    assert query(server.lake(address), "select count(ts) n from quotes").to_pylist() == [{"n": 12}]


def test_a_damaged_data_file_ends_a_query_in_a_sentence(server: BucketServer, address: str) -> None:
    lake = server.lake(address)
    fill(lake)
    bad = lake.files("quotes")[2]
    with lake.filesystem.open_output_stream(bad.path) as sink:
        sink.write(b"x" * bad.size)
    for _ in range(3):
        with pytest.raises(StoreError, match=r"data file quotes/.*parquet"):
            query(server.lake(address), "select sum(yes_bid_close_usd) from quotes")


def test_a_missing_bucket_is_named(server: BucketServer) -> None:
    for to_write in (True, False):
        with pytest.raises(SettingsError, match="no bucket not-there"):
            server.lake("s3://not-there/lake", to_write=to_write).read("quotes")


def test_a_log_that_is_gone_is_not_taken_for_an_empty_table(server: BucketServer, address: str) -> None:
    fill(server.lake(address))
    for key in server.objects(address):
        if key.startswith("quotes/_delta_log/"):
            server.delete(address, key)
    with pytest.raises(StoreError, match="data files but no log"):
        server.lake(address).read("quotes")


def test_a_store_that_overwrites_commits_is_refused_once_and_for_all(server: BucketServer, address: str) -> None:
    server.behave(overwrite=True)
    for _ in range(2):
        with pytest.raises(StoreError, match="overwrites an object that it was told to keep"):
            server.lake(address, to_write=True)
    server.behave()
    server.lake(address, to_write=True)
    before = server.behave()
    server.lake(address, to_write=True)
    assert server.behave() - before == 1, "what is there already is proof enough"


def test_killed_while_writing_and_started_again(server: BucketServer) -> None:
    """moto holds all in memory, so after a kill the bucket is gone, and that is what is said."""
    with BucketServer() as mortal:
        lake = mortal.lake(mortal.new_address(), KALSHI_ASSETS_LAKE_TIMEOUT_S="1")
        fill(lake)
        mortal.kill()
        with pytest.raises(StoreUnreachable, match="the connection was refused"):
            lake.replace("quotes", quotes_of(9), scope=Scope(DATES), run_id="r")
        mortal.start()
        with pytest.raises(SettingsError, match="no bucket"):
            lake.replace("quotes", quotes_of(9), scope=Scope(DATES), run_id="r")
