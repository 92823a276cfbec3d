"""Upkeep as Dagster runs it: off until switched on, never beside a writing run, its report in the metadata."""

from types import SimpleNamespace

import dagster as dg
import pytest

from kalshi_assets.defs.build import WRITER
from kalshi_assets.defs.maintenance import build_maintenance
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.snapshots import all_snapshots, record_snapshot
from kalshi_assets_tests.store.rows import day, quote, table

QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path)
    for n in range(1, 14):
        rows = table("quotes", [quote(day(0), m) for m in range(n)])
        lake.replace("quotes", rows, scope=Scope([day(0)]), run_id="r")
        record_snapshot(lake, stage="quotes", run_id="r", code_version="1", config_hash="c")
    return lake


def launch(lake, instance, **config):
    job, _ = build_maintenance(WRITER)
    result = job.execute_in_process(
        instance=instance,
        resources={"workbench": SimpleNamespace(lake=lake)},
        run_config={"ops": {"maintain_lake": {"config": config}}, "loggers": QUIET},
    )
    assert result.success
    (event,) = [e for e in result.all_events if e.is_successful_output]
    return {key: entry.value for key, entry in event.event_specific_data.metadata.items()}


def test_the_job_does_the_upkeep_and_reports_it(lake):
    with dg.DagsterInstance.ephemeral() as instance:
        would = launch(lake, instance, keep_days=0, dry_run=True)
        assert len(all_snapshots(lake)) == 13
        did = launch(lake, instance, keep_days=0)
        assert launch(lake, instance)["snapshots_before"] == 10
    assert len(all_snapshots(lake)) == 10
    for report in (would, did):
        assert (report["snapshots_before"], report["snapshots_after"]) == (13, 10)
    assert (would["dry_run"], did["dry_run"]) == (True, False)
    # The files are younger than any writer may take to commit them.
    assert did["files_before"] == did["files_after"]
    assert lake.read("quotes").num_rows == 13


def test_the_schedule_is_weekly_off_and_never_beside_a_writer():
    job, weekly = build_maintenance(WRITER)
    assert job.tags["kalshi/writer"] == "lake"
    assert weekly.job_name == job.name
    assert weekly.default_status is dg.DefaultScheduleStatus.STOPPED
    assert weekly.cron_schedule == "0 4 * * 0"
    assert weekly.execution_timezone == "America/New_York"


def test_a_negative_number_of_days_is_refused(lake):
    job, _ = build_maintenance(WRITER)
    with pytest.raises((dg.DagsterInvalidConfigError, ValueError)):
        job.execute_in_process(
            resources={"workbench": SimpleNamespace(lake=lake)},
            run_config={"ops": {"maintain_lake": {"config": {"keep_days": -1}}}, "loggers": QUIET},
        )
    assert len(all_snapshots(lake)) == 13
