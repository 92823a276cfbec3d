"""Assembles the definitions; a test or the command line passes its own workbench through the same door."""

import dagster as dg

from kalshi_assets.defs.assets import build_assets
from kalshi_assets.defs.forecast_scores import forecast_scores
from kalshi_assets.defs.health import build_health
from kalshi_assets.defs.maintenance import build_maintenance
from kalshi_assets.defs.references import reference_specs
from kalshi_assets.defs.sensors import build_release_sensor
from kalshi_assets.defs.workbench import Workbench, workbench_from_environment

# dagster.yaml lets one run with this tag write the lake at a time.
WRITER = {"kalshi/writer": "lake"}


def build_definitions(workbench: Workbench | None = None) -> dg.Definitions:
    """All assets, the refresh job and the release sensor, forecast scores, health report and upkeep with schedules.

    Args:
        workbench: used as it is; None builds one from the environment for each run.
    """
    assets = build_assets()
    refresh = dg.define_asset_job(
        "refresh",
        selection=dg.AssetSelection.assets(*assets),
        description="All eight stages of the chosen dates.",
        tags=WRITER,
    )
    maintenance, weekly = build_maintenance(WRITER)
    lake_health, daily = build_health(WRITER)
    resource = dg.ResourceDefinition.hardcoded_resource(workbench) if workbench else workbench_from_environment
    return dg.Definitions(
        assets=[*dg.with_source_code_references([*assets, forecast_scores, lake_health]), *reference_specs()],
        jobs=[refresh, maintenance],
        schedules=[daily, weekly],
        sensors=[build_release_sensor(refresh)],
        resources={"workbench": resource},
        executor=dg.in_process_executor,
    )
