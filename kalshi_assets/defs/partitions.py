"""Event dates as Dagster partitions, kept in order.

Dynamic keys are listed in the order in which they were added, and a range over
keys that were added late silently selects the wrong dates. So keys are only
ever appended at the end or, when one belongs earlier, deleted and added again
sorted, which loses no materialisation record.
"""

from collections.abc import Iterable
from datetime import date

import dagster as dg

from kalshi_assets.errors import UsageError

EVENT_DATES = dg.DynamicPartitionsDefinition(name="event_date")
_NAME = "event_date"
_BUSY = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def registered_dates(instance: dg.DagsterInstance) -> list[date]:
    """The registered event dates, in partition order.

    Raises:
        UsageError: when somebody added a key that is no date.
    """
    keys = instance.get_dynamic_partitions(_NAME)
    try:
        return [date.fromisoformat(key) for key in keys]
    except ValueError as error:
        raise UsageError(f"A partition key of event_date is no date ({error}): delete it in Dagster's UI.") from error


def added_in_order(registered: list[date], wanted: Iterable[date]) -> tuple[list[date], bool]:
    """Which dates to add, and whether the whole list must be rebuilt to stay sorted.

    Returns:
        The new dates in order, and True when one of them precedes a registered date or the list is out of order.
    """
    new = sorted(set(wanted) - set(registered))
    unsorted = registered != sorted(registered)
    late = bool(new and registered and new[0] < registered[-1])
    return new, unsorted or late


def sync_event_dates(
    instance: dg.DagsterInstance, wanted: Iterable[date], *, own_run_id: str | None = None
) -> list[date]:
    """Register event dates so that the partition order is the order of time.

    Args:
        instance: Dagster's instance.
        wanted: dates that must be partitions afterwards.
        own_run_id: a run that may be in flight while the list is rebuilt: the caller's own.

    Returns:
        The dates that were new.

    Raises:
        UsageError: when the list must be rebuilt while another run is in flight, which would break that run.
    """
    registered = registered_dates(instance)
    new, rebuild = added_in_order(registered, wanted)
    if rebuild:
        busy = instance.get_run_records(dg.RunsFilter(statuses=list(_BUSY)))
        others = [r.dagster_run.run_id for r in busy if r.dagster_run.run_id != own_run_id]
        if others:
            raise UsageError(
                f"{len(new)} event dates belong before dates that are registered already, and run {others[0][:8]} "
                "is in flight: wait for it to end, then register them again."
            )
        for day in registered:
            instance.delete_dynamic_partition(_NAME, day.isoformat())
        instance.add_dynamic_partitions(_NAME, [d.isoformat() for d in sorted({*registered, *new})])
    elif new:
        instance.add_dynamic_partitions(_NAME, [d.isoformat() for d in new])
    return new
