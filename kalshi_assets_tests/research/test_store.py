"""The notebook's door: nothing behind it is later than its as-of time or its lake snapshot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import UsageError
from kalshi_assets.research.store import ReadStore, open_store
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.snapshots import record_snapshot
from kalshi_assets.store.sql import query
from kalshi_assets_tests.store.rows import at, day, label, quote, table

CUT = at(2)


def put(lake: Lake, minutes: range) -> str:
    lake.replace("quotes", table("quotes", [quote(day(0), m) for m in minutes]), scope=Scope([day(0)]), run_id="r")
    lake.upsert("labels", table("labels", [label(day(0), m, m / 10) for m in minutes]), run_id="r")
    return record_snapshot(lake, stage="s", run_id="r", code_version="1", config_hash="c")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    put(Lake(tmp_path / "lake"), range(5))
    return tmp_path


def test_every_door_is_cut(home: Path) -> None:
    store = open_store(CUT, home=home)
    assert store.as_of == CUT
    assert store.sql("select max(known_at) m, count(*) n from quotes").to_pylist() == [{"m": CUT, "n": 3}]
    assert store.sql("select first_print from labels").to_pylist() == [{"first_print": 0.2}]
    assert store.sql("select count(*) n from labels_history").to_pylist() == [{"n": 3}]
    assert max(store.table("quotes")["known_at"].to_pylist()) == CUT
    assert store.table("labels", event_dates=[day(0)])["first_print"].to_pylist() == [0.2]
    with store.connection() as connection:
        names = [n for (n,) in connection.sql("show tables").fetchall()]
        assert {*TABLES, "labels_history", "lake_snapshots"} <= set(names)
        for name in names:
            time = "recorded_at" if name == "lake_snapshots" else "known_at"
            late = connection.sql(f"from {name}").filter(f"{time} > TIMESTAMPTZ '{CUT.isoformat()}'")
            assert late.fetchall() == [], name
        assert connection.table("labels").project("first_print").fetchall() == [(0.2,)]
        assert connection.sql("from labels_history select count(*)").fetchall() == [(3,)]


@pytest.mark.parametrize(
    "attack",
    [
        "from '{lake}/quotes/**/*.parquet'",
        "select * from read_text('{lake}/_snapshots/_delta_log/00000000000000000000.json')",
        "attach '{lake}/x.db'",
        "copy quotes to '{lake}/out.parquet'",
        "set enable_external_access = true",
        "set lock_configuration = false",
        "install httpfs",
        "from whole",
    ],
)
def test_a_connection_of_ones_own_reaches_nothing_else(home: Path, attack: str) -> None:
    whole = Lake(home / "lake").read("quotes")  # DuckDB must not find it by its name
    before = sorted(home.rglob("*"))
    with open_store(CUT, home=home).connection() as connection:
        for statement in (connection.execute, connection.cursor().execute):
            with pytest.raises(duckdb.Error):
                statement(attack.format(lake=home / "lake"))
        with pytest.raises(duckdb.Error):
            connection.read_parquet(str(home / "lake/quotes/**/*.parquet"))
        # Work of one's own is done in memory.
        connection.execute("create table mine as from quotes")
        assert connection.sql("from mine").count("*").fetchall() == [(3,)]
    assert sorted(home.rglob("*")) == before
    assert whole.num_rows == 5


def test_the_time_cannot_be_moved_and_must_be_one(home: Path) -> None:
    store = open_store(CUT, home=home)
    with pytest.raises(AttributeError):
        store.as_of = None  # type: ignore[misc]
    with pytest.raises(UsageError, match="no table"):
        store.table("nothing")


def test_without_a_time_it_is_now(home: Path) -> None:
    lake, now = Lake(home / "lake"), datetime.now(UTC)
    ahead = table("labels", [{**label(day(1), 0, 9.0), "known_at": now + timedelta(days=1)}])
    lake.upsert("labels", ahead, run_id="r")
    record_snapshot(lake, stage="s", run_id="r", code_version="1", config_hash="c")
    store = open_store(home=home)
    assert now <= store.as_of <= datetime.now(UTC)
    assert store.table("labels").num_rows == store.sql("from labels").num_rows == 1
    # The lake itself has no clock.
    assert lake.read("labels").num_rows == query(lake, "from labels").num_rows == 2


def test_relations_rest_on_one_another_and_become_frames(home: Path) -> None:
    store = open_store(CUT, home=home)
    quotes = store.relation("from quotes")
    known = store.relation("from labels").join(quotes.aggregate("event_ticker, count(*) n"), "event_ticker")
    assert known.project("first_print, n").fetchall() == [(0.2, 3)]
    assert quotes.order("known_at").limit(1).pl()["known_at"].to_list() == [at(0)]
    with pytest.raises(duckdb.Error):
        quotes.write_csv(str(home / "out.csv"))
    assert not (home / "out.csv").exists()


def test_the_door_stays_at_one_snapshot(home: Path) -> None:
    lake = Lake(home / "lake")
    then = open_store(home=home)
    connection = then.connection()
    first = then.snapshot
    assert first is not None
    second = put(lake, range(7))
    lake.replace("quotes", table("quotes", []), scope=Scope([day(0)]), run_id="half a stage")

    def rows(store: ReadStore) -> tuple[int, int]:
        return store.table("quotes").num_rows, store.sql("from quotes").num_rows

    assert rows(then) == (5, 5)
    assert connection.sql("from quotes").count("*").fetchall() == [(5,)]
    connection.close()
    now = open_store(home=home)
    assert (now.snapshot, rows(now)) == (second, (7, 7))
    assert rows(open_store(snapshot=first[:8], home=home)) == (5, 5)
    assert rows(open_store(CUT, snapshot=second, home=home)) == (3, 3)
    with pytest.raises(UsageError, match="no lake snapshot"):
        open_store(snapshot="f" * 32, home=home)


def test_a_lake_without_snapshots_is_read_as_it_is(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.replace("quotes", table("quotes", [quote(day(0), 1)]), scope=Scope([day(0)]), run_id="r")
    store = open_store(home=tmp_path)
    assert store.snapshot is None
    assert store.table("quotes").num_rows == 1
