from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import StoreError, UsageError
from kalshi_assets.store.conform import stored_schema
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.sql import query
from kalshi_assets_tests.store.rows import at, day, label, quote, table


def fill(root: Path) -> Lake:
    lake = Lake(root)
    quotes = [quote(day(d), m, bid=f"0.{m}") for d in range(3) for m in (1, 2, 3)]
    lake.replace("quotes", table("quotes", quotes), scope=Scope([day(d) for d in range(3)]), run_id="r1")
    labels = [label(day(d), k, d + k / 10) for d in range(3) for k in (1, 5)]
    lake.upsert("labels", table("labels", labels), run_id="r2")
    distributions = [
        {
            **{k: v for k, v in labels[2 * d].items() if k != "first_print"},
            "horizon": f"{h}h", "as_of": at(-60 * h), "ts": at(-60 * h), "known_at": at(-60 * h), "mean": d + 0.5 * h,
        }
        for d in range(3) for h in (1, 4)
    ]  # fmt: skip
    lake.upsert("distributions", table("distributions", distributions), run_id="r3")
    return lake


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return fill(tmp_path / "lake")


@pytest.fixture(scope="module")
def fortress(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a lake and a secret beside it; every attack leaves it as it was."""
    root = tmp_path_factory.mktemp("fortress")
    fill(root / "lake")
    (root / "secret.csv").write_text("password\nhunter2\n")
    return root


def test_a_table_is_a_view_with_typed_partitions_and_bookkeeping(lake: Lake) -> None:
    got = query(lake, "select * from quotes where event_date = DATE '2024-02-02' order by ts")
    assert got.column_names == stored_schema(TABLES["quotes"]).names
    assert got.column("event_date").to_pylist() == [day(1)] * 3
    assert [str(v) for v in got.column("yes_bid_close_usd").to_pylist()] == ["0.100000", "0.200000", "0.300000"]
    assert set(got.column("run_id").to_pylist()) == {"r1"}
    assert query(lake, "from QUOTES").num_rows == 9


def test_views_are_cut_and_hold_one_row_a_key(lake: Lake) -> None:
    def prints(sql: str, minute: float | None = None) -> list[float]:
        return query(lake, sql, as_of=None if minute is None else at(minute)).column(0).to_pylist()

    newest = "select first_print from labels order by 1"
    assert prints(newest) == [0.5, 1.5, 2.5]
    assert prints(newest, 4.9) == [0.1, 1.1, 2.1]
    assert prints(newest, 0.9) == []
    assert prints("select first_print from labels_history order by 1") == [0.1, 0.5, 1.1, 1.5, 2.1, 2.5]
    assert prints("select first_print from labels_history order by 1", 1) == [0.1, 1.1, 2.1]
    assert prints("select count(*) from quotes", 2) == [6]
    with pytest.raises(StoreError, match="time zone"):
        query(lake, newest, as_of=datetime(2024, 1, 1))  # noqa: DTZ001


def test_a_snapshot_reads_past_versions(lake: Lake) -> None:
    versions = lake.versions()
    lake.replace("quotes", table("quotes", []), scope=Scope([day(0)]), run_id="r9")
    assert query(lake, "select count(*) n from quotes").to_pylist() == [{"n": 6}]
    assert query(lake, "select count(*) n from quotes", snapshot=versions).to_pylist() == [{"n": 9}]


def test_tables_not_written_are_empty_views(tmp_path: Path) -> None:
    empty = Lake(tmp_path / "nothing")
    for name, spec in TABLES.items():
        assert query(empty, f"select * from {name}").schema.names == stored_schema(spec).names
    assert query(empty, "show tables").column(0).to_pylist() == sorted(TABLES)


def test_queries_as_people_write_them(lake: Lake) -> None:
    content = "select columns(c -> c not in ('run_id','recorded_at','lake_snapshot')) from distributions "
    got = query(lake, content + "where as_of < TIMESTAMPTZ '2024-01-01T09:00:00Z' order by all")
    assert got.num_rows == 3
    assert got.column_names == TABLES["distributions"].schema.names
    error_of_the_last_mean = (
        "with last as (select d.event_ticker, arg_max(d.mean, d.as_of) m from distributions d join labels l using "
        "(event_ticker) where d.mean is not null and d.as_of < l.release_time group by 1) select "
        "left(replace(event_ticker,'KX',''),2) s, count(*) n, avg(abs(m - first_print)) mae from last join (select "
        "distinct event_ticker, first_print from labels) using (event_ticker) where first_print is not null "
        "group by 1 order by 1"
    )
    assert query(lake, error_of_the_last_mean).to_pylist() == [{"s": "CP", "n": 3, "mae": 0.0}]
    assert query(lake, "select columns(lambda c: c like '%ticker') from quotes limit 1").num_columns == 3
    for statement in ("describe quotes", "summarize labels", "explain select * from quotes", "values (1)"):
        assert query(lake, statement).num_rows >= 1
    assert query(lake, "select TIMESTAMPTZ '2024-01-01 00:00:00' t").to_pylist() == [
        {"t": datetime(2024, 1, 1, tzinfo=UTC)}
    ]


@pytest.mark.parametrize(
    "attack",
    [
        "select * from read_csv('{secret}')",
        "select * from read_text('{secret}')",
        "select * from read_blob('{secret}')",
        "select * from read_parquet('{inside}')",
        "select * from glob('{folder}/*')",
        "select * from '{secret}'",
        "select * from '{inside}'",
        "select * from sniff_csv('{secret}')",
        "copy (select 42) to '{target}'",
        "explain analyze copy (select 42) to '{target}'",
        "explain copy (select 42) to '{target}'",
        "export database '{target}'",
        "attach '{target}' as other",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "reset enable_external_access",
        "set lock_configuration = false",
        "pragma enable_profiling",
        "call pragma_version()",
        "create table t as select 1",
        "create view quotes as select 1",
        "insert into quotes select * from quotes",
        "delete from quotes",
        "drop view quotes",
        "with t as (insert into quotes select * from quotes returning *) select * from t",
        "select 1; select 2",
        "select 1; copy (select 42) to '{target}'",
        "prepare p as select 1",
        "use memory",
        "checkpoint",
        "select getenv('HOME')",
        "select * from query('copy (select 42) to ''{target}''')",
        "select * from lake",
        "select * from secret_table",
        "",
        "-- nothing",
        "selec 1",
        "select no_such_column from quotes",
    ],
)
def test_nothing_but_reading_the_lake(fortress: Path, attack: str) -> None:
    lake = Lake(fortress / "lake")
    inside = next((fortress / "lake/quotes").rglob("*.parquet"))
    secret_table = lake.read("quotes")  # a local Arrow table that DuckDB must not find by its name
    before = sorted(fortress.rglob("*"))
    sql = attack.format(secret=fortress / "secret.csv", inside=inside, folder=fortress, target=fortress / "out")
    with pytest.raises(UsageError) as caught:
        query(lake, sql)
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert sorted(fortress.rglob("*")) == before
    assert lake.read("quotes").equals(secret_table)
