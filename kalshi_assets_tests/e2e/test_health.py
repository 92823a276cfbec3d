"""The health report of a filled home: the command, and the asset that files it."""

import dagster as dg
import pyarrow.compute as pc

from kalshi_assets.defs.health import lake_health
from kalshi_assets.defs.workbench import Workbench
from kalshi_assets.settings import Settings
from kalshi_assets.sources import OpenSource
from kalshi_assets.store.lake import Lake, Scope


def test_a_whole_home_has_no_problem(filled):
    _, ka = filled
    rows = ka.json("health", "--json")
    assert {r["series_ticker"] for r in rows} == {"KXCPIYOY", "KXPAYROLLS", "KXU3"}
    assert all(r["n_events"] == r["n_labelled"] == 4 for r in rows)
    assert all(r["problems"] == [] for r in rows)


def test_a_label_that_is_gone_is_a_problem(ka_filled):
    lake = Lake(ka_filled.home / "lake")
    labels = lake.read("labels", history=True)
    day = labels["event_date"][0].as_py()
    lost = labels.filter(pc.equal(labels["event_date"], day))["event_ticker"].to_pylist()
    lake.replace("labels", labels.slice(0, 0), scope=Scope([day]), run_id="loss")
    done = ka_filled("health", "--json")
    assert done.returncode == 1, done.stderr
    assert f"the first is {lost[0]}" in done.stdout


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
    assert lake.read("health").num_rows == 3
    (event,) = result.get_asset_materialization_events()
    assert "KXU3" in event.materialization.metadata["report"].value
    assert event.materialization.metadata["problems"].value == 0
