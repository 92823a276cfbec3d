"""Public incidents with orchestration, storage and numbers, one test each, named after the incident."""

import math
import multiprocessing
import random
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import dagster as dg
import pytest

from kalshi_assets.core.cadence import plan, slots
from kalshi_assets.core.hashing import content_hash_of, hash_json
from kalshi_assets.defs.assets import build_assets
from kalshi_assets.defs.instance import open_instance
from kalshi_assets.defs.partitions import registered_dates, sync_event_dates
from kalshi_assets.defs.sensors import TICK_SECONDS
from kalshi_assets.errors import GateError, UsageError
from kalshi_assets.http.retry import RetryPolicy
from kalshi_assets.settings import Settings
from kalshi_assets.stages.evidence import GATES, READS, require_evidence
from kalshi_assets.stages.health import health_of
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets_tests.stages.catalog_seed import DAY, OPENED, RELEASE, SERIES, fill_catalog, vouch, write
from kalshi_assets_tests.store.rows import at, day, macro, quote, table

SPAWN = multiprocessing.get_context("spawn")


def write_date(root: str, n: int) -> None:
    Lake(root).replace(
        "quotes", table("quotes", [quote(day(n), m) for m in range(3)]), scope=Scope([day(n)]), run_id=str(n)
    )


def test_a_locked_database_in_a_parallel_backfill(tmp_path: Path):
    other = SPAWN.Process(target=write_date, args=(str(tmp_path), 1))
    other.start()
    for n in (0, 2, 3):
        write_date(str(tmp_path), n)
    other.join(60)
    assert other.exitcode == 0
    assert Lake(tmp_path).event_dates("quotes") == [day(n) for n in range(4)]


def test_a_check_that_did_not_run_let_downstream_proceed(tmp_path: Path):
    with pytest.raises(GateError, match="is missing"):
        require_evidence(Lake(tmp_path), "promotion_verdict", [date(2024, 7, 11)])
    for stage in ("feature_panel", "distributions"):
        assert {"future_blind", "order_independent", "canaries"} <= set(GATES[stage])
    assert "feature_panel" in READS["walk_forward_folds"]


def test_a_retry_storm_of_requests():
    policy = RetryPolicy()
    rng = random.Random(0)
    pauses = [policy.pause_s(n, rng) for n in range(1, policy.attempts)]
    assert policy.attempts <= 10
    assert max(pauses) <= policy.cap_s
    assert len({round(p, 6) for p in pauses}) == len(pauses)  # clients that failed together do not return together
    assert policy.budget_s < 60


def test_a_retry_storm_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A stage that fails is not tried again by itself, a run that crashed once, a crashed retry never."""
    for name in ("KALSHI_ASSETS_HOME", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE", "DAGSTER_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    @dg.op
    def leaks() -> None:
        raise dg.Failure("A leak.")

    @dg.job
    def stage() -> None:
        leaks()

    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with open_instance(Settings.from_environment({}, home=tmp_path)) as instance:

        def will_retry(run_id: str) -> str:
            return instance.get_run_by_id(run_id).tags["dagster/will_retry"]

        def crash(of: str | None = None) -> str:
            family = {"root_run_id": of, "parent_run_id": of}
            run = instance.create_run_for_job(
                stage,
                status=dg.DagsterRunStatus.STARTED,
                tags={f"dagster/{k}": v for k, v in family.items() if v},
                **family,
            )
            instance.report_run_failed(run, "The process is gone.")
            return run.run_id

        failed = stage.execute_in_process(instance=instance, run_config=quiet, raise_on_error=False)
        assert will_retry(failed.run_id) == "false"
        crashed = crash()
        assert will_retry(crashed) == "true"
        assert will_retry(crash(of=crashed)) == "false"
    assert all(asset.op.retry_policy is None for asset in build_assets())


def test_a_date_that_keeps_failing_is_asked_for_by_the_clock_and_stays_in_sight(tmp_path: Path):
    """Each slot is asked for once, whatever became of its run; what failed counts until it has passed."""
    moments, asked = slots(RELEASE), []
    for tick in range(2 * 24 * 60 * 2):
        now = RELEASE - timedelta(days=2) + tick * timedelta(seconds=TICK_SECONDS)
        served = {DAY: asked[-1]} if asked else {}
        asked += [r.slot for r in plan({DAY: [RELEASE]}, [DAY], served, now).refreshes]
    assert asked == [m for m in moments if RELEASE - timedelta(days=2) <= m < RELEASE]
    assert min(b - a for a, b in pairwise(asked)) >= timedelta(minutes=1)

    lake = Lake(tmp_path)
    fill_catalog(lake)
    write(lake, "series", [{"series_ticker": SERIES, "ts": OPENED, "known_at": OPENED}])
    for _ in range(3):
        vouch(lake, failed="catalog_complete")
    assert health_of(lake, RELEASE)["n_failed_gates"].to_pylist() == [1]
    with pytest.raises(GateError, match="catalog_complete failed"):
        require_evidence(lake, "contracts", [DAY])
    vouch(lake)
    assert health_of(lake, RELEASE)["n_failed_gates"].to_pylist() == [0]


def test_a_partition_deleted_while_its_run_was_in_flight():
    with dg.DagsterInstance.ephemeral() as instance:
        sync_event_dates(instance, [date(2024, 1, 11), date(2024, 3, 12)])
        instance.create_run_for_job(dg.job(name="j")(lambda: None), status=dg.DagsterRunStatus.STARTED)
        with pytest.raises(UsageError, match="in flight"):
            sync_event_dates(instance, [date(2024, 2, 13)])
        assert registered_dates(instance) == [date(2024, 1, 11), date(2024, 3, 12)]


def test_a_failed_read_taken_for_an_empty_listing():
    """Registering nothing never takes anything away; what the sensor does with a failure is in its own tests."""
    with dg.DagsterInstance.ephemeral() as instance:
        sync_event_dates(instance, [date(2024, 1, 11)])
        sync_event_dates(instance, [])
        assert registered_dates(instance) == [date(2024, 1, 11)]


def test_two_float_sums_of_one_list():
    """A hash rests on values, not on the order in which a sum was taken."""
    numbers = [0.1] * 10 + [1e16, 1.0, -1e16]
    assert math.fsum(numbers) == math.fsum(reversed(numbers))
    assert hash_json({"v": Decimal("0.10")}) == hash_json({"v": Decimal("0.1")})
    rows = [macro(day(i), i, 0.1 * i) for i in range(5)]
    assert content_hash_of("macro_observations", table("macro_observations", rows)) == content_hash_of(
        "macro_observations", table("macro_observations", rows[::-1])
    )
    assert isinstance(at(0), datetime)
