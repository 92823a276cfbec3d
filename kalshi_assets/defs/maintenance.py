"""The upkeep of the lake as a Dagster job, and the weekly schedule that launches it once it is switched on.

What upkeep is belongs to ``store.maintenance``.
"""

import dagster as dg
from pydantic import Field

from kalshi_assets.defs.workbench import Workbench
from kalshi_assets.store.maintenance import KEEP_DAYS, maintain

# Early on Sunday in New York, when no release is due.
WEEKLY = "0 4 * * 0"


class Upkeep(dg.Config):
    """What the job may be told."""

    keep_days: int = Field(KEEP_DAYS, ge=0, description="Lake snapshots of the last so many days stay.")
    dry_run: bool = Field(False, description="Only report what would be done.")


@dg.op(name="maintain_lake", description="Compacts small files, expires old lake snapshots, removes unneeded files.")
def maintain_lake(context: dg.OpExecutionContext, config: Upkeep, workbench: dg.ResourceParam[Workbench]) -> None:
    """Do the upkeep, and attach the report to the step."""
    report = maintain(workbench.lake, keep_days=config.keep_days, dry_run=config.dry_run)
    context.log.info(report.text())
    context.add_output_metadata({k: v for k, v in report.as_json().items() if k != "tables"})


def build_maintenance(tags: dict[str, str]) -> tuple[dg.JobDefinition, dg.ScheduleDefinition]:
    """The job, and its schedule, which is off until somebody switches it on.

    Args:
        tags: those that keep the job from running beside a run that writes the lake.
    """

    @dg.job(name="maintenance", tags=tags, description="Upkeep of the lake; what verdicts rest on is kept for ever.")
    def maintenance() -> None:
        maintain_lake()

    weekly = dg.ScheduleDefinition(
        name="weekly_maintenance",
        job=maintenance,
        cron_schedule=WEEKLY,
        execution_timezone="America/New_York",
        default_status=dg.DefaultScheduleStatus.STOPPED,
    )
    return maintenance, weekly
