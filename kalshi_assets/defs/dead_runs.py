"""Ends the records of terminal runs whose process was killed, and frees what they held in Dagster.

Dagster learns that a run ended from the run itself. One that was killed stays
"started" for ever: it keeps its slot of a pool (four such runs and the next one
waits for ever), holds the writer's place in the queue and keeps event dates from
being put in order. The lock on the home tells the dead from the living: its
holder knows that no other terminal run is alive. Runs that the UI launches are
watched by Dagster's daemon (``run_monitoring``), not here. ``make ui`` runs this
module before it starts Dagster.
"""

import sys

import dagster as dg

from kalshi_assets.defs.instance import open_instance
from kalshi_assets.errors import HomeInUse
from kalshi_assets.settings import Settings
from kalshi_assets.store.locks import hold_home

TERMINAL = {"kalshi/started_from": "terminal"}

_UNFINISHED = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark the unfinished terminal runs as failed and free the slots of every run that has ended.

    The caller holds the home and has no run of its own in flight.

    Returns:
        The ids of the runs that were marked, the newest first.
    """
    dead = [
        record.dagster_run
        for record in instance.get_run_records(dg.RunsFilter(tags=TERMINAL, statuses=list(_UNFINISHED)))
    ]
    for run in dead:
        instance.report_run_failed(run, "The process of this run was killed. Run the same command again.")
    log = instance.event_log_storage
    if log.supports_global_concurrency_limits:
        for run_id in log.get_concurrency_run_ids():
            held_by = instance.get_run_by_id(run_id)
            if held_by is None or held_by.is_finished:
                log.free_concurrency_slots_for_run(run_id)
    return [run.run_id for run in dead]


def sweep(settings: Settings) -> str:
    """End the dead runs of a home that nobody is working on, and say what was done."""
    try:
        with hold_home(settings.home), open_instance(settings) as instance:
            ended = end_dead_runs(instance)
    except HomeInUse as error:
        return f"Runs were left as they are. {error}"
    return "".join(f"Run {run_id[:8]} was killed; it is now shown as failed.\n" for run_id in ended).rstrip()


if __name__ == "__main__":
    if said := sweep(Settings.from_environment()):
        sys.stdout.write(f"{said}\n")
