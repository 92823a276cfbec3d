from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import StoreError
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets_tests.store.rows import at, day, label, lawful_row, macro, quote, table, trial


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def put(lake: Lake, rows: list[dict], dates: list, run_id: str = "r1", series: list[str] | None = None):
    return lake.replace("quotes", table("quotes", rows), scope=Scope(dates, series), run_id=run_id)


def test_what_is_written_is_read_back_with_its_types(lake: Lake) -> None:
    rows = [quote(day(0), 1, bid="0.123456"), quote(day(0), 2, bid=None), quote(day(3), 1, bid="1.000000")]
    commit = put(lake, rows, [day(0), day(3)])
    assert (commit.version, commit.rows, commit.changed) == (1, 3, True)
    got = lake.read("quotes")
    assert got.schema.equals(TABLES["quotes"].schema)
    assert got.equals(table("quotes", rows))
    assert got.column("yes_bid_close_usd").to_pylist() == [Decimal("0.123456"), None, Decimal("1.000000")]
    assert lake.event_dates("quotes") == [day(0), day(3)]


def test_lists_survive_and_a_null_list_is_not_an_empty_one(lake: Lake) -> None:
    base = {
        "event_ticker": "E", "series_ticker": "S", "event_date": day(0), "as_of": at(0),
        "release_time": at(9), "ts": at(0), "known_at": at(0),
    }  # fmt: skip
    rows = [
        {**base, "horizon": "a", "support": [2.4, 2.5], "probability": [0.25, 0.75], "quality_flags": ["wide", ""]},
        {**base, "horizon": "b", "support": [], "quality_flags": None},
    ]
    content = table("distributions", rows)
    first = lake.replace("distributions", content, scope=Scope([day(0)]), run_id="r")
    assert lake.read("distributions").equals(content)
    assert lake.replace("distributions", content, scope=Scope([day(0)]), run_id="r2").version == first.version


def test_a_table_never_written_reads_as_empty(lake: Lake) -> None:
    for name, spec in TABLES.items():
        assert lake.read(name).equals(spec.schema.empty_table())
        assert lake.version(name) is None
    assert lake.versions() == {}
    assert lake.event_dates("quotes") == []
    assert lake.content_hash("quotes") == {}


def test_the_same_rows_again_make_no_version_and_keep_their_bookkeeping(lake: Lake) -> None:
    rows = [quote(day(d), m) for d in range(3) for m in range(4)]
    put(lake, rows, [day(d) for d in range(3)], "r1")
    before = lake.read("quotes", bookkeeping=True)
    again = put(lake, rows[::-1], [day(d) for d in range(3)], "r2")
    assert not again.changed
    assert again.version == 1
    assert lake.read("quotes", bookkeeping=True).equals(before)


def test_only_the_partition_that_differs_is_written(lake: Lake) -> None:
    rows = [quote(day(d), m) for d in range(3) for m in range(4)]
    put(lake, rows, [day(d) for d in range(3)], "r1")
    rows[5] = quote(day(1), 1, bid="0.42")
    commit = put(lake, rows, [day(d) for d in range(3)], "r2")
    assert commit.partitions == ((day(1), "KXCPIYOY"),)
    runs = lake.read("quotes", bookkeeping=True)
    by_date = {(r["event_date"], r["run_id"]) for r in runs.to_pylist()}
    assert by_date == {(day(0), "r1"), (day(1), "r2"), (day(2), "r1")}


def test_the_two_zeros_are_one_and_null_is_neither(lake: Lake) -> None:
    base = {
        "event_ticker": "E", "series_ticker": "S", "event_date": day(0), "as_of": at(0), "horizon": "a",
        "release_time": at(9), "ts": at(0), "known_at": at(0),
    }  # fmt: skip

    def write(**values: object) -> bool:
        rows = table("distributions", [{**base, **values}])
        return lake.replace("distributions", rows, scope=Scope([day(0)]), run_id="r").changed

    def merge(**values: object) -> bool:
        return lake.upsert("distributions", table("distributions", [{**base, **values}]), run_id="r").changed

    for change in (write, merge):
        assert change(mean=0.0, support=[1.0, 0.0], n_live=1)
        assert not change(mean=-0.0, support=[1.0, -0.0], n_live=1)
        assert change(mean=0.0, support=[1.0, 2.0], n_live=1)
        assert change(mean=None, support=[1.0, 2.0], n_live=1)
        assert change(mean=None, support=None, n_live=1)
        assert not change(mean=None, support=None, n_live=1)
        assert change(mean=None, support=[], n_live=1)
        assert change(mean=None, support=[], n_live=2)


def test_a_partition_that_another_engine_rewrote_in_its_own_order_is_still_equal(lake: Lake) -> None:
    from deltalake import write_deltalake

    rows = table("quotes", [quote(day(0), m, strike=s) for s in ("T1", "T2") for m in range(3)])
    put(lake, rows.to_pylist(), [day(0)])
    stored = lake.read("quotes", bookkeeping=True)
    shuffled = stored.take([5, 0, 3, 1, 4, 2])
    write_deltalake(lake.tables.address("quotes"), shuffled, mode="overwrite", predicate="event_date = '2024-02-01'")
    assert lake.read("quotes", bookkeeping=True).equals(stored)
    assert not put(lake, rows.to_pylist(), [day(0)]).changed
    assert put(lake, [*rows.to_pylist()[1:], quote(day(0), 9)], [day(0)]).changed


def test_replace_touches_its_scope_only_and_empties_what_has_no_rows(lake: Lake) -> None:
    rows = [quote(day(d), 1, series=s) for d in range(3) for s in ("KXCPIYOY", "KXU3")]
    put(lake, rows, [day(d) for d in range(3)])
    commit = put(lake, [], [day(1)], series=["KXU3"])
    assert commit.partitions == ((day(1), "KXU3"),)
    put(lake, [quote(day(0), 7, series="KXU3")], [day(0), day(2)], series=["KXU3"])
    left = {(r["event_date"], r["series_ticker"], r["ts"]) for r in lake.read("quotes").to_pylist()}
    assert left == {
        *((day(d), "KXCPIYOY", at(1)) for d in range(3)),
        (day(0), "KXU3", at(7)),
    }
    assert lake.event_dates("quotes", ["KXU3"]) == [day(0)]


def test_many_dates_are_one_version(lake: Lake) -> None:
    dates = [day(d) for d in range(120)]
    assert put(lake, [quote(d, 1) for d in dates], dates).version == 1
    assert put(lake, [quote(d, 2) for d in dates], dates).version == 2
    assert len(lake.files("quotes")) == 120


def test_a_row_outside_the_scope_is_refused(lake: Lake) -> None:
    with pytest.raises(StoreError, match="outside the scope"):
        put(lake, [quote(day(1), 1)], [day(0)])
    with pytest.raises(StoreError, match="outside the scope"):
        put(lake, [quote(day(0), 1)], [day(0)], series=["KXU3"])
    assert lake.version("quotes") is None


def test_odd_series_names_are_partitions_too(lake: Lake) -> None:
    names = ["KX A/B", "100%", "it's", "ü=é", "a:b?c#d"]
    put(lake, [quote(day(0), 1, series=s) for s in names], [day(0)])
    assert not put(lake, [quote(day(0), 1, series=s) for s in names], [day(0)]).changed
    assert sorted(lake.read("quotes").column("series_ticker").to_pylist()) == sorted(names)
    for name in names:
        assert lake.read("quotes", series=[name]).num_rows == 1
        put(lake, [], [day(0)], series=[name])
    assert lake.read("quotes").num_rows == 0


def test_files_are_one_a_partition_sorted_by_ticker_then_known_at(lake: Lake, tmp_path: Path) -> None:
    rows = [quote(day(d), m, strike=s) for m in (3, 1, 2) for s in ("T2.6", "T2.5") for d in (1, 0)]
    put(lake, rows, [day(0), day(1)])
    paths = sorted((tmp_path / "lake/quotes").glob("event_date=*/*/*.parquet"))
    assert len(paths) == 2
    for path in paths:
        stored = pq.ParquetFile(path).read(columns=["ticker", "known_at"]).to_pylist()
        assert stored == sorted(stored, key=lambda r: (r["ticker"], r["known_at"]))


def test_upsert_adds_replaces_and_leaves(lake: Lake) -> None:
    first = [macro(day(0), 0, 3.1), macro(day(1), 0, 3.2), macro(day(2), 0, -0.0)]
    lake.upsert("macro_observations", table("macro_observations", first), run_id="r1")
    changes = [macro(day(0), 0, 3.1), macro(day(1), 0, 3.3), macro(day(2), 0, 0.0), macro(day(1), 5, 3.4)]
    commit = lake.upsert("macro_observations", table("macro_observations", changes), run_id="r2")
    assert commit.version == 2
    got = lake.read("macro_observations", history=True, bookkeeping=True).to_pylist()
    assert [(r["observation_date"], r["known_at"], r["run_id"]) for r in got] == [
        (day(0), at(0), "r1"), (day(1), at(0), "r2"), (day(1), at(5), "r2"), (day(2), at(0), "r1"),
    ]  # fmt: skip
    assert [r["value"] for r in got][:3] == [3.1, 3.3, 3.4]
    assert not lake.upsert("macro_observations", table("macro_observations", changes), run_id="r3").changed
    assert not lake.upsert("macro_observations", table("macro_observations", []), run_id="r3").changed


def test_upsert_into_partitions_rewrites_only_those_that_change(lake: Lake) -> None:
    lake.upsert("trials", table("trials", [trial(1, day(0)), trial(2, day(1))]), run_id="r1")
    commit = lake.upsert("trials", table("trials", [trial(1, day(0)), trial(3, day(1))]), run_id="r2")
    assert commit.partitions == ((day(1),),)
    assert [(r["trial_id"], r["run_id"]) for r in lake.read("trials", bookkeeping=True).to_pylist()] == [
        ("t1", "r1"), ("t2", "r1"), ("t3", "r2"),
    ]  # fmt: skip


def with_column(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), name, values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.append_column("extra", pa.array([1])), ["quotes", "'extra'"]),
        (lambda t: t.append_column("run_id", pa.array(["x"])), ["run_id", "the store writes"]),
        (lambda t: t.drop_columns(["known_at"]), ["quotes", "known_at", "required"]),
        (lambda t: with_column(t, "known_at", pa.nulls(1, pa.timestamp("us", "UTC"))), ["quotes.known_at", "-T2.5"]),
        (lambda t: with_column(t, "ts", pa.array([datetime(2024, 1, 1)])), ["quotes.ts", "time zone"]),  # noqa: DTZ001
        (lambda t: with_column(t, "known_at", pa.array(["2024-01-01"])), ["quotes.known_at", "string"]),
        (lambda t: with_column(t, "period_s", pa.array([60.0])), ["quotes.period_s", "double"]),
        (lambda t: with_column(t, "series_ticker", pa.array([""])), ["quotes.series_ticker", "empty"]),
        (lambda t: pa.concat_tables([t, t]), ["quotes", "repeat the key", "ticker=KXCPIYOY-24FEB01-T2.5"]),
    ],
)
def test_rows_that_break_the_schema_are_refused_by_name(lake: Lake, change, words: list[str]) -> None:
    with pytest.raises(StoreError) as caught:
        lake.replace("quotes", change(table("quotes", [quote(day(0), 1)])), scope=Scope([day(0)]), run_id="r")
    assert all(w in str(caught.value) for w in words), str(caught.value)
    assert lake.version("quotes") is None


def test_a_float_price_is_no_price(lake: Lake) -> None:
    rows = table("quotes", [quote(day(0), 1)])
    with pytest.raises(StoreError, match="yes_bid_close_usd is double"):
        lake.replace(
            "quotes", with_column(rows, "yes_bid_close_usd", pa.array([0.4])), scope=Scope([day(0)]), run_id="r"
        )
    too_fine = pa.array([Decimal("0.41234567")], pa.decimal128(9, 8))
    with pytest.raises(StoreError, match="yes_bid_close_usd does not fit"):
        lake.replace("quotes", with_column(rows, "yes_bid_close_usd", too_fine), scope=Scope([day(0)]), run_id="r")


def test_encodings_are_accepted_and_absent_optional_columns_become_null(lake: Lake) -> None:
    rows = table("quotes", [quote(day(0), 1)])
    slim = with_column(rows, "ticker", rows.column("ticker").dictionary_encode()).drop_columns(["volume_contracts"])
    lake.replace("quotes", slim, scope=Scope([day(0)]), run_id="r")
    assert lake.read("quotes").equals(rows)


def test_reading_and_writing_wrongly_is_said(lake: Lake) -> None:
    with pytest.raises(StoreError, match="no table 'qoutes'"):
        lake.read("qoutes")
    with pytest.raises(StoreError, match="no column 'bid'"):
        lake.read("quotes", columns=["bid"])
    with pytest.raises(StoreError, match="no partitions"):
        lake.replace("series", TABLES["series"].schema.empty_table(), scope=Scope([day(0)]), run_id="r")
    with pytest.raises(StoreError, match="not partitioned"):
        lake.event_dates("series")


def test_columns_come_as_asked_and_bookkeeping_says_who_and_when(tmp_path: Path) -> None:
    lake = Lake(tmp_path, now=lambda: datetime(2024, 5, 6, 7, tzinfo=UTC))
    put(lake, [quote(day(0), 2), quote(day(0), 1)], [day(0)], "run-7")
    got = lake.read("quotes", columns=["yes_bid_close_usd", "ts"], bookkeeping=True)
    assert got.column_names == ["yes_bid_close_usd", "ts", "run_id", "recorded_at"]
    assert got.column("ts").to_pylist() == [at(1), at(2)]
    assert set(got.column("run_id").to_pylist()) == {"run-7"}
    assert set(got.column("recorded_at").to_pylist()) == {datetime(2024, 5, 6, 7, tzinfo=UTC)}


def test_an_event_that_moved_is_absent_from_its_old_date_once_that_is_known(lake: Lake) -> None:
    old, new = label(day(0), 1, 3.0, event_ticker="E"), label(day(5), 10, 3.1, event_ticker="E")
    other = label(day(0), 1, 2.0, event_ticker="F")
    lake.upsert("labels", table("labels", [old, new, other]), run_id="r")

    def seen(minute: float, d: int) -> list[str]:
        return lake.read("labels", as_of=at(minute), event_dates=[day(d)]).column("event_ticker").to_pylist()

    assert seen(5, 0) == ["E", "F"]
    assert seen(5, 5) == []
    assert seen(10, 0) == ["F"]
    assert seen(10, 5) == ["E"]
    assert lake.read("labels", event_dates=[day(0)], history=True).num_rows == 2
    assert lake.read("labels").column("event_ticker").to_pylist() == ["E", "F"]


def test_a_past_version_reads_as_it_was_and_cannot_be_written(lake: Lake) -> None:
    put(lake, [quote(day(0), 1)], [day(0)])
    versions = lake.versions()
    put(lake, [quote(day(0), 1), quote(day(0), 2)], [day(0)])
    past = lake.at(versions)
    assert (past.read("quotes").num_rows, lake.read("quotes").num_rows) == (1, 2)
    assert past.versions() == versions
    assert past.read("labels").num_rows == 0
    with pytest.raises(StoreError, match="past version"):
        put(past, [], [day(0)])
    with pytest.raises(StoreError, match="quotes"):
        lake.at({"quotes": 99}).read("quotes")


def test_stored_content_hashes_as_the_rows_in_hand(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    from kalshi_assets.core.hashing import content_hash_of
    from kalshi_assets.store import content_hashes

    rows = table("quotes", [quote(day(d), m, series=s) for d in range(4) for m in (1, 2) for s in ("KXU3", "KXCPI")])
    lake.replace("quotes", rows, scope=Scope([day(d) for d in range(4)]), run_id="r")
    expected = content_hash_of("quotes", rows)
    assert lake.content_hash("quotes") == expected
    monkeypatch.setattr(content_hashes, "_BLOCK_ROWS", 3)
    assert Lake(lake.root).content_hash("quotes") == expected
    assert lake.content_hash("quotes", event_dates=[day(1)]) == {day(1): expected[day(1)]}
    lake.upsert("macro_observations", table("macro_observations", [macro(day(0), 0, 1.0)]), run_id="r")
    assert list(lake.content_hash("macro_observations")) == [None]


def test_every_table_of_the_lake_can_be_written_and_read(lake: Lake) -> None:
    for name, spec in TABLES.items():
        rows = table(name, [lawful_row(spec)])
        if spec.partition_by:
            lake.replace(name, rows, scope=Scope([day(0)]), run_id="r")
        else:
            lake.upsert(name, rows, run_id="r")
        assert lake.read(name).equals(rows), name
        assert lake.read(name, as_of=at(-1)).num_rows == 0, name
    assert set(lake.versions()) == set(TABLES)


def test_a_lost_race_is_bounded_and_waits_with_jitter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deltalake.exceptions import CommitFailedError

    from kalshi_assets.store import lake as lake_module

    waits: list[float] = []
    lake = Lake(tmp_path, sleep=waits.append, rng=random.Random(3))
    monkeypatch.setattr(lake_module, "_ATTEMPTS", 6)

    def lose(*_: object) -> None:
        raise CommitFailedError("lost")

    monkeypatch.setattr(lake_module, "commit_files", lose)
    with pytest.raises(StoreError, match="quotes was changed by others in each of 6 attempts"):
        put(lake, [quote(day(0), 1)], [day(0)])
    assert len(waits) == 6
    assert all(0.5 * 0.01 * 2**i <= w <= 1.5 * 0.01 * 2**i for i, w in enumerate(waits))
    assert lake.read("quotes").num_rows == 0


def test_the_address_of_a_folder_is_that_folder(tmp_path: Path) -> None:
    from kalshi_assets.store.snapshots import load_snapshot, record_snapshot
    from kalshi_assets.store.sql import query

    (tmp_path / "lake").mkdir()
    lake = Lake(f"file://{tmp_path}/lake")
    rows = table("quotes", [quote(day(0), 1, series=s) for s in ("KXU3", "odd/name")])
    lake.replace("quotes", rows, scope=Scope([day(0)]), run_id="r")
    assert not lake.replace("quotes", rows, scope=Scope([day(0)]), run_id="r").changed
    assert lake.read("quotes").equals(rows)
    assert query(lake, "select count(*) n from quotes").to_pylist() == [{"n": 2}]
    snapshot_id = record_snapshot(lake, stage="quotes", run_id="r", code_version="1", config_hash="c")
    assert load_snapshot(lake, snapshot_id).versions == {"quotes": 1}
