from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import UsageError
from kalshi_assets.store import sql as sql_module
from kalshi_assets.store.conform import stored_schema
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.snapshots import record_snapshot
from kalshi_assets.store.sql import open_connection, query
from kalshi_assets.store.statements import require_reading
from kalshi_assets_tests.store.rows import at, day, label, quote, table
from kalshi_assets_tests.store.sql_attacks import ATTACKS


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


def test_a_snapshot_reads_past_versions(lake: Lake) -> None:
    versions = lake.versions()
    lake.replace("quotes", table("quotes", []), scope=Scope([day(0)]), run_id="r9")
    assert query(lake, "select count(*) n from quotes").to_pylist() == [{"n": 6}]
    assert query(lake, "select count(*) n from quotes", snapshot=versions).to_pylist() == [{"n": 9}]


def test_tables_not_written_are_empty_views(tmp_path: Path) -> None:
    empty = Lake(tmp_path / "nothing")
    for name, spec in TABLES.items():
        assert query(empty, f"select * from {name}").schema.names == stored_schema(spec).names
    assert query(empty, "show tables").column(0).to_pylist() == sorted([*TABLES, "lake_snapshots"])


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


@pytest.mark.parametrize("attack", ATTACKS)
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


# What DuckDB can call in a FROM clause without looking beyond the tables.
HARMLESS = frozenset(
    {
        "duckdb_columns", "duckdb_functions", "duckdb_tables", "duckdb_types", "duckdb_views", "generate_series",
        "histogram", "histogram_values", "icu_calendar_names", "json_each", "json_tree", "pg_timezone_names", "range",
        "repeat", "repeat_row", "summary", "test_all_types", "test_vector_types", "unnest",
    }
)  # fmt: skip


def test_every_function_that_duckdb_has_to_look_elsewhere_is_refused(lake: Lake) -> None:
    """A release of DuckDB that brings another one fails here."""
    listed = "from duckdb_functions() where function_type in ('table', 'table_macro')"
    names = query(lake, f"select distinct function_name n {listed}")["n"].to_pylist()
    assert len(names) > 100
    refused = {}
    for name in names:
        try:
            require_reading(duckdb.connect(), f'select * from "{name}"(1)')
        except UsageError as error:
            refused[name] = str(error)
    assert set(names) - set(refused) == HARMLESS
    assert all(f"calls {name}, which looks beyond the tables" in words for name, words in refused.items())


def test_no_view_of_duckdbs_own_tells_of_the_machine(lake: Lake) -> None:
    views = query(lake, "select schema_name || '.' || view_name v from duckdb_views() where internal")["v"].to_pylist()
    refused = {}
    for view in views:
        try:
            assert str(Path.home()) not in str(query(lake, f"from {view}").to_pylist()), view
        except UsageError as error:
            refused[view] = str(error)
    assert {"pg_catalog.pg_settings", "main.duckdb_logs"} <= set(refused)
    assert all("looks beyond the tables" in words for words in refused.values())
    assert len(views) > len(refused) + 30


def test_a_pivot_reads(lake: Lake) -> None:
    whole = "pivot quotes on event_date using count(*) group by ticker"
    for sql in (whole, f"from ({whole})", f"with p as ({whole}) select * from p", f"({whole})"):
        got = query(lake, sql, as_of=at(2))
        assert got.column_names[1:] == [str(day(d)) for d in range(3)], sql
        assert sum(sum(got.column(c).to_pylist()) for c in got.column_names[1:]) == 6
    with pytest.raises(UsageError, match="larger than"):
        query(lake, whole, largest_bytes=1)
    with pytest.raises(UsageError, match="has DELETE inside"):
        query(lake, f"with p as ({whole}) delete from quotes")
    assert query(lake, "select * from quotes pivot (count(*) for period_s in (60))").num_rows >= 1


def test_words_inside_texts_and_comments_are_no_calls(lake: Lake) -> None:
    sql = """
        select 'getenv(1), é duckdb_secrets(' as "query", event_ticker glob 'K*' g -- copy (
        from labels /* read_csv( */
    """
    assert query(lake, sql).column_names == ["query", "g"]
    assert query(lake, "select count(*) n from duckdb_tables()").num_rows == 1
    # Letters of more than one byte before a call do not hide it.
    with pytest.raises(UsageError, match="calls duckdb_memory"):
        query(lake, "select 'éééé', * from duckdb_memory()")


def test_a_query_cannot_take_the_memory_or_the_disk(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    small = [s.replace("'25%'", "'64MB'") for s in sql_module._LOCK]
    assert small != list(sql_module._LOCK)
    monkeypatch.setattr(sql_module, "_LOCK", small)
    runaway = "select a.range x, hash(b.range) y from range(100000) a, range(100000) b order by y, x"
    with pytest.raises(UsageError, match="Out of Memory"):
        query(lake, f"select count(*) from ({runaway})")
    with pytest.raises(UsageError, match="larger than 4 MiB: aggregate"):
        query(lake, "select * from range(100000000000)", largest_bytes=4 << 20)
    assert query(lake, "select * from range(400000)", largest_bytes=4 << 20).num_rows == 400_000
    with open_connection(lake) as connection:
        assert connection.sql("select current_setting('temp_directory')").fetchall() == [("",)]
    assert sorted(tmp_path.rglob("*")) == before


def test_an_error_late_in_the_answer_is_the_querys(lake: Lake) -> None:
    late = "select case when range = 900000 then error('enough') else 1 end from range(1000000)"
    with pytest.raises(UsageError, match="enough"):
        query(lake, late)


def test_the_snapshots_are_a_table(lake: Lake) -> None:
    assert query(lake, "select * from lake_snapshots").num_rows == 0
    ids = [record_snapshot(lake, stage=s, run_id="run", code_version="1", config_hash="c") for s in ("a", "b")]
    got = query(lake, "select * from lake_snapshots order by sequence").to_pylist()
    assert [r["id"] for r in got] == ids
    assert [r["stage"] for r in got] == ["a", "b"]
    assert {(r["run_id"], r["code_version"], r["config_hash"]) for r in got} == {("run", "1", "c")}
    assert json.loads(got[0]["tables"]) == lake.versions()
    assert query(lake, "select 1 from lake_snapshots", as_of=at(0)).num_rows == 0
    versions = "select tables->>'quotes' v from lake_snapshots limit 1"
    assert query(lake, versions).to_pylist() == [{"v": str(lake.version("quotes"))}]


def test_queries_stay_at_the_newest_snapshot_or_at_the_one_that_is_named(lake: Lake) -> None:
    def counts(snapshot: str | None = None) -> tuple[int, int]:
        sql = "select (select count(*) from quotes) q, (select count(*) from labels) l"
        (row,) = query(lake, sql, snapshot=snapshot).to_pylist()
        return row["q"], row["l"]

    first = record_snapshot(lake, stage="s", run_id="r", code_version="1", config_hash="c")
    lake.replace("quotes", table("quotes", []), scope=Scope([day(0)]), run_id="r9")
    assert counts() == (9, 3)
    lake.upsert("labels", table("labels", [label(day(7), 1, 1.0)]), run_id="r9")
    assert counts() == (9, 3)
    second = record_snapshot(lake, stage="s", run_id="r", code_version="1", config_hash="c")
    assert counts() == counts(second) == (6, 4)
    assert counts(first) == counts(first[:6]) == (9, 3)
    with pytest.raises(UsageError, match="no lake snapshot"):
        counts("0" * 32)
