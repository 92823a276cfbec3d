"""The daily health report as an asset of its own group, with the schedule that makes it once it is switched on.

It is no stage: nothing reads it. What is counted is ``core.health``.
"""

import dagster as dg

from kalshi_assets.defs.metadata import column_schema
from kalshi_assets.defs.workbench import Workbench
from kalshi_assets.stages.health import health

# After the releases of the day, most of which come at 08:30 and 14:00 New York.
DAILY = "0 18 * * *"


@dg.asset(
    name="lake_health",
    group_name="operations",
    kinds={"deltalake"},
    description="How whole the lake is: one row a series with what is missing, overdue, put aside or failed.",
    metadata={"dagster/column_schema": column_schema("health")},
)
def lake_health(
    context: dg.AssetExecutionContext, workbench: dg.ResourceParam[Workbench]
) -> dg.MaterializeResult[None]:
    """Count, file, and show the problems."""
    rows = health(workbench.stage_context(context.run.run_id)).to_pylist()
    lines = ["| series | events | labelled | overdue | incomplete | problems |", "|---|---|---|---|---|---|"]
    for r in rows:
        said = " ".join(r["problems"]) or "none"
        lines.append(
            f"| {r['series_ticker']} | {r['n_events']} | {r['n_labelled']} | {r['n_overdue']} "
            f"| {r['n_incomplete']} | {said} |"
        )
    return dg.MaterializeResult(
        metadata={
            "report": dg.MetadataValue.md("\n".join(lines)),
            "problems": sum(len(r["problems"]) for r in rows),
            "dagster/row_count": len(rows),
        }
    )


def build_health(tags: dict[str, str]) -> tuple[dg.AssetsDefinition, dg.ScheduleDefinition]:
    """The asset, and its schedule, which is off until somebody switches it on.

    Args:
        tags: those that keep it from running beside a run that writes the lake.
    """
    job = dg.define_asset_job("health", selection=dg.AssetSelection.assets(lake_health), tags=tags)
    daily = dg.ScheduleDefinition(
        name="daily_health",
        job=job,
        cron_schedule=DAILY,
        execution_timezone="America/New_York",
        default_status=dg.DefaultScheduleStatus.STOPPED,
    )
    return lake_health, daily
