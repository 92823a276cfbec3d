"""The batching event log stores what the stock one stores."""

import sqlite3
from contextlib import closing

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from kalshi_assets.defs.instance import drop_half_created, open_instance
from kalshi_assets.settings import Settings
from kalshi_assets.store.disk import NoRoom

DATES = dg.DynamicPartitionsDefinition(name="event_date")
KEYS = ["2024-01-11", "2024-02-13", "2024-03-12"]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dg.asset(
    partitions_def=DATES,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec("gate", asset="a", blocking=True)],
)
def a(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    return dg.MaterializeResult(
        metadata={"n": len(context.partition_keys)},
        check_results=[dg.AssetCheckResult(passed=True, check_name="gate")],
    )


@pytest.fixture
def instance(tmp_path, monkeypatch):
    for name in ("KALSHI_ASSETS_HOME", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE", "DAGSTER_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    with open_instance(Settings.from_environment({}, home=tmp_path)) as made:
        made.add_dynamic_partitions("event_date", KEYS)
        yield made


def run(instance, first, last):
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    return dg.materialize([a], instance=instance, tags=tags, run_config=QUIET)


def test_a_range_is_recorded_partition_by_partition(instance):
    result = run(instance, KEYS[0], KEYS[1])
    key = dg.AssetKey("a")
    assert result.success
    assert instance.get_materialized_partitions(key) == set(KEYS[:2])
    records = instance.fetch_materializations(key, limit=10).records
    assert sorted(r.partition_key for r in records) == KEYS[:2]
    newest = instance.get_latest_materialization_event(key)
    assert newest is not None
    assert newest.run_id == result.run_id
    planned = [e for e in instance.all_logs(result.run_id) if e.dagster_event_type is dg.DagsterEventType.STEP_SUCCESS]
    assert len(planned) == 1


def test_an_error_inside_a_batch_stores_nothing_of_it(instance):
    key = dg.AssetKey("b")
    log = instance.event_log_storage

    def store_and_fail():
        with log.one_transaction():
            instance.report_runless_asset_event(dg.AssetMaterialization(key))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        store_and_fail()
    assert instance.get_latest_materialization_event(key) is None
    instance.report_runless_asset_event(dg.AssetMaterialization(key))
    assert instance.get_latest_materialization_event(key) is not None


@pytest.mark.parametrize("batched", [False, True])
def test_an_event_without_room_is_a_full_disk_and_no_dagster_error(instance, monkeypatch, batched):
    """Dagster prints what it catches and goes on; ``NoRoom`` is nothing that it catches."""
    result = run(instance, KEYS[0], KEYS[1])
    log, event = instance.event_log_storage, instance.all_logs(result.run_id)[0]

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(SqliteEventLogStorage, "store_event", full)
    with pytest.raises(NoRoom):
        log.store_event_batch([event]) if batched else log.store_event(event)


def test_all_state_is_under_the_home(instance, tmp_path):
    run(instance, KEYS[0], KEYS[0])
    assert (tmp_path / "dagster" / "history" / "index.db").is_file()


@pytest.mark.parametrize("name", ["runs.db", "history/index.db", "schedules/schedules.db"])
def test_a_database_that_a_kill_left_half_created_is_made_anew(tmp_path, name):
    settings = Settings.from_environment({}, home=tmp_path)
    file = settings.dagster / name
    file.parent.mkdir(parents=True)
    with closing(sqlite3.connect(file)) as db:
        db.execute("create table runs (id integer primary key)")
    with open_instance(settings) as made:
        made.add_dynamic_partitions("event_date", ["2024-10-10"])
    with open_instance(settings) as again:
        assert again.get_dynamic_partitions("event_date") == ["2024-10-10"]
        assert again.get_runs_count() == 0


def test_a_finished_database_is_left_alone(instance, tmp_path):
    instance.add_dynamic_partitions("event_date", ["2024-10-10"])
    assert drop_half_created(Settings.from_environment({}, home=tmp_path).dagster) == []
    assert "2024-10-10" in instance.get_dynamic_partitions("event_date")
