"""The release sensor: registers newly listed event dates and asks for refreshes near each release.

A thin shell over ``core.cadence``: it reads, asks for a plan, and says what the
plan says. A failed read is not an empty calendar: it ends the tick with the
reason and changes nothing.
"""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import dagster as dg

from kalshi_assets.core.cadence import plan
from kalshi_assets.defs.partitions import registered_dates, sync_event_dates
from kalshi_assets.defs.workbench import Workbench
from kalshi_assets.errors import ExchangeError, UsageError

if TYPE_CHECKING:  # Dagster gives this type no public name.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

TICK_SECONDS = 30


def _utc_now() -> datetime:
    return datetime.now(UTC)


def build_release_sensor(
    job: "UnresolvedAssetJobDefinition", now: Callable[[], datetime] = _utc_now
) -> dg.SensorDefinition:
    """The sensor over the job that materialises all stages of a date.

    Args:
        job: what is launched for a date.
        now: the clock, UTC.
    """

    @dg.sensor(
        name="release_refresh",
        job=job,
        minimum_interval_seconds=TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Registers listed event dates in order and refreshes them ever more often towards the release.",
    )
    def release_refresh(
        context: dg.SensorEvaluationContext, workbench: dg.ResourceParam[Workbench]
    ) -> dg.SensorResult | dg.SkipReason:
        try:
            catalog = workbench.source.catalog(workbench.chosen_series())
        except ExchangeError as error:
            return dg.SkipReason(f"The listing could not be read, so nothing was changed: {error}")
        releases: dict[date, list[datetime]] = {}
        for row in catalog.events.select(["event_date", "release_time"]).to_pylist():
            releases.setdefault(row["event_date"], []).append(row["release_time"])
        served = _read_cursor(context.cursor)
        todo = plan(releases, registered_dates(context.instance), served, now())
        if todo.new_dates:
            try:
                sync_event_dates(context.instance, todo.new_dates)
            except UsageError as error:
                return dg.SkipReason(str(error))
        if todo.reason:
            return dg.SkipReason(todo.reason)
        served.update({r.event_date: r.slot for r in todo.refreshes})
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(run_key=r.run_key, partition_key=r.event_date.isoformat()) for r in todo.refreshes
            ],
            cursor=json.dumps({d.isoformat(): s.isoformat() for d, s in sorted(served.items())}),
        )

    return release_refresh


def _read_cursor(cursor: str | None) -> dict[date, datetime]:
    held: dict[str, str] = json.loads(cursor) if cursor else {}
    return {date.fromisoformat(d): datetime.fromisoformat(s) for d, s in held.items()}
