"""Dagster's bookkeeping of a backfill: the batching event log against the stock one, on assets that do nothing."""

import os
import tempfile
import warnings
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import yaml

from bench.measuring import Result, Timing, best_of
from kalshi_assets.defs.instance import EVENT_BATCH, configuration_folder

DATES, ASSETS = 204, 8
KEYS = [(date(2020, 1, 1) + timedelta(days=7 * i)).isoformat() for i in range(DATES)]
_PARTITIONS = dg.DynamicPartitionsDefinition(name="event_date")
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_STOCK = {"module": "dagster._core.storage.event_log.sqlite.sqlite_event_log", "class": "SqliteEventLogStorage"}


def measure() -> Result:
    """One run of each on a home of its own; all else is as in the shipped dagster.yaml."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assets = [_empty(i) for i in range(ASSETS)]
        ours, stock = _time(assets, stock=False), _time(assets, stock=True)
    return Result(
        f"Event log: one range run over {DATES} dates x {ASSETS} empty assets",
        ("event log", "seconds", "CPU s", "times ours", "CPU times ours"),
        [
            _row("BatchingEventLog", ours, ours),
            _row("SqliteEventLogStorage (stock)", stock, ours),
        ],
        (
            f"Both are handed batches of {EVENT_BATCH} events; the stock one stores a batch event by event.",
            "One run of each, after a run over one date.",
        ),
    )


def _empty(i: int) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"asset_{i}",
        deps=[f"asset_{i - 1}"] if i else [],
        partitions_def=_PARTITIONS,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def nothing() -> dg.MaterializeResult:
        return dg.MaterializeResult()

    return nothing


def _time(assets: list[dg.AssetsDefinition], *, stock: bool) -> Timing:
    with (
        tempfile.TemporaryDirectory(prefix="bench-event-log-") as home,
        patch.dict(os.environ, _environment(home)),
        _instance(Path(home), stock=stock) as instance,
    ):
        instance.add_dynamic_partitions("event_date", KEYS)
        # Imports, empty databases and the first plan are not what is measured.
        _materialise(assets, instance, KEYS[0], KEYS[0])
        timing = best_of(1, lambda: _materialise(assets, instance, KEYS[0], KEYS[-1]))
        recorded = len(instance.get_materialized_partitions(dg.AssetKey(f"asset_{ASSETS - 1}")))
    if recorded != DATES:
        raise RuntimeError(f"The event log recorded {recorded} of {DATES} dates.")
    return timing


def _environment(home: str) -> Mapping[str, str]:
    return {
        "KALSHI_ASSETS_HOME": home,
        "DAGSTER_HOME": home,
        "DAGSTER_EVENT_BATCH_SIZE": str(EVENT_BATCH),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }


def _instance(home: Path, *, stock: bool) -> dg.DagsterInstance:
    config: dict[str, Any] = yaml.safe_load((configuration_folder() / "dagster.yaml").read_text("utf-8"))
    if stock:
        config["event_log_storage"] = {**_STOCK, "config": {"base_dir": str(home / "history")}}
    (home / "dagster.yaml").write_text(yaml.safe_dump(config), "utf-8")
    return dg.DagsterInstance.from_config(str(home))


def _materialise(assets: list[dg.AssetsDefinition], instance: dg.DagsterInstance, first: str, last: str) -> None:
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    dg.materialize(assets, instance=instance, tags=tags, run_config=_QUIET)


def _row(what: str, timing: Timing, ours: Timing) -> tuple[str, ...]:
    wall, cpu = timing.wall_s, timing.cpu_s
    return what, f"{wall:.2f}", f"{cpu:.2f}", f"{wall / ours.wall_s:.1f}", f"{cpu / ours.cpu_s:.1f}"
