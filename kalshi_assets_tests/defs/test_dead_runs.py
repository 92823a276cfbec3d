"""What a killed run leaves behind in Dagster never stops the next one."""

import dagster as dg
import pytest

from kalshi_assets.defs.dead_runs import TERMINAL, end_dead_runs, sweep
from kalshi_assets.defs.instance import open_instance
from kalshi_assets.defs.partitions import registered_dates
from kalshi_assets.settings import Settings
from kalshi_assets.store.locks import hold_home

POOL, SLOTS = "exchange", 4
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dg.asset(pool=POOL)
def asks() -> None:
    """An asset that needs one of the slots."""


JOB = dg.define_asset_job("asking").resolve(asset_graph=dg.Definitions(assets=[asks]).resolve_asset_graph())


@pytest.fixture
def settings(tmp_path, monkeypatch):
    for name in ("KALSHI_ASSETS_HOME", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE", "DAGSTER_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return Settings.from_environment({}, home=tmp_path)


def killed(instance, tags=TERMINAL, status=dg.DagsterRunStatus.STARTED):
    """The record of a run that claimed a slot and was never heard of again."""
    run = instance.create_run_for_job(JOB, status=status, tags=tags)
    instance.event_log_storage.initialize_concurrency_limit_to_default(POOL)
    claim = instance.event_log_storage.claim_concurrency_slot(POOL, run.run_id, "asks")
    return run.run_id, claim.is_claimed


def slots_taken(instance):
    return len(instance.event_log_storage.get_concurrency_info(POOL).claimed_slots)


def test_the_slots_of_killed_runs_are_given_back_and_the_next_run_goes_through(settings):
    with open_instance(settings) as instance:
        ids = [killed(instance) for _ in range(SLOTS)]
        assert all(claimed for _, claimed in ids)
        assert slots_taken(instance) == SLOTS
        # What went wrong: with every slot held by the dead, the fifth waits for ever.
        assert killed(instance, tags={}, status=dg.DagsterRunStatus.FAILURE)[1] is False
        assert sorted(end_dead_runs(instance)) == sorted(run_id for run_id, _ in ids)
        assert slots_taken(instance) == 0
        assert {instance.get_run_by_id(run_id).status for run_id, _ in ids} == {dg.DagsterRunStatus.FAILURE}
        assert dg.materialize([asks], instance=instance, run_config=QUIET).success


def test_a_run_of_the_ui_and_a_run_that_ended_are_not_marked(settings):
    with open_instance(settings) as instance:
        alive, _ = killed(instance, tags={})
        done, _ = killed(instance, status=dg.DagsterRunStatus.SUCCESS)
        assert end_dead_runs(instance) == []
        assert instance.get_run_by_id(alive).status is dg.DagsterRunStatus.STARTED
        assert instance.get_run_by_id(done).status is dg.DagsterRunStatus.SUCCESS
        assert slots_taken(instance) == 1, "the slot of the run that ended is free, that of the living is not"


def test_a_sweep_names_what_it_ended_and_leaves_a_home_at_work_alone(settings):
    with open_instance(settings) as instance:
        run_id, _ = killed(instance)
    with hold_home(settings.home):
        assert "in use by process" in sweep(settings)
    assert sweep(settings) == f"Run {run_id[:8]} was killed; it is now shown as failed."
    assert sweep(settings) == ""
    with open_instance(settings) as instance:
        assert registered_dates(instance) == []
