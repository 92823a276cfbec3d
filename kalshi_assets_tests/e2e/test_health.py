"""The health report of a filled home: the command, and the asset that files it."""

import dagster as dg
import pyarrow.compute as pc

from kalshi_assets.defs.health import lake_health
from kalshi_assets.defs.workbench import Workbench
from kalshi_assets.settings import Settings
from kalshi_assets.sources import OpenSource
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.snapshots import newest_snapshot, record_snapshot
from kalshi_assets.store.sql import query


def test_a_whole_home_has_no_problem(filled):
    _, ka = filled
    rows = ka.json("health", "--json")
    assert {r["series_ticker"] for r in rows} == {"KXCPIYOY", "KXPAYROLLS", "KXU3"}
    assert all(r["n_events"] == r["n_labelled"] == 4 for r in rows)
    assert all(r["problems"] == [] for r in rows)


def test_a_label_that_is_gone_is_a_problem_once_readers_see_that(ka_filled):
    lake = Lake(ka_filled.home / "lake")
    whole = newest_snapshot(lake).snapshot_id
    labels = lake.read("labels", history=True)
    day = labels["event_date"][0].as_py()
    lost = labels.filter(pc.equal(labels["event_date"], day))["event_ticker"].to_pylist()
    lake.replace("labels", labels.slice(0, 0), scope=Scope([day]), run_id="loss")
    # Half of a stage is nothing to report.
    assert ka_filled("health").returncode == 0
    record_snapshot(lake, stage="loss", run_id="loss", code_version="1", config_hash="c")
    done = ka_filled("health", "--json")
    assert done.returncode == 1, done.stderr
    assert f"the first is {lost[0]}" in done.stdout
    assert ka_filled("health", "--snapshot", whole[:8]).returncode == 0
    assert "no lake snapshot" in ka_filled.sentence("health", "--snapshot", "f" * 32, code=2)


def test_the_asset_files_one_row_a_series_and_day(ka_filled, archive):
    settings = Settings.from_environment({}, home=ka_filled.home, source=f"archive:{archive}")
    lake = Lake(settings.lake)
    for _ in range(2):
        with OpenSource(settings) as source:
            workbench = Workbench(lake, source)
            result = dg.materialize(
                [lake_health], resources={"workbench": dg.ResourceDefinition.hardcoded_resource(workbench)}
            )
        assert result.success
    # A reader sees the report at once, and no more than the report is new.
    assert query(lake, "select count(*) n, count(distinct series_ticker) s from health").to_pylist() == [
        {"n": 3, "s": 3}
    ]
    assert newest_snapshot(lake).stage == "health"
    (event,) = result.get_asset_materialization_events()
    assert "KXU3" in event.materialization.metadata["report"].value
    assert event.materialization.metadata["problems"].value == 0
