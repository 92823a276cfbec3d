"""A whole run from a terminal or a script: register the dates, materialise all stages, say what happened.

The run goes through Dagster, in this process, so that its UI shows it like any
other. Rendering is ``console``; arguments are ``cli``.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import dagster as dg
import pyarrow as pa

from kalshi_assets.console import RunProgress
from kalshi_assets.defs.assets import build_assets
from kalshi_assets.defs.dead_runs import TERMINAL, end_dead_runs
from kalshi_assets.defs.forecast_scores import report_scores
from kalshi_assets.defs.instance import open_instance
from kalshi_assets.defs.partitions import registered_dates, sync_event_dates
from kalshi_assets.defs.workbench import Workbench
from kalshi_assets.errors import GateError, KalshiAssetsError, UsageError
from kalshi_assets.settings import Settings
from kalshi_assets.sources import OpenSource, check_series
from kalshi_assets.stages.context import StageResult
from kalshi_assets.stages.forecast_scores import score_forecasts
from kalshi_assets.stages.kernels import Compilation
from kalshi_assets.store.disk import disk_full, full_disk_said, is_full
from kalshi_assets.store.locks import hold_home
from kalshi_assets.store.opening import open_lake
from kalshi_assets.store.registry import latest_verdicts

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did.

    Attributes:
        run_id: Dagster's run.
        source, provenance: where prices and prints came from.
        simulated: whether the prices are simulated.
        series, dates: what the run was about.
        stages: what each stage returned, in order; shorter than eight when one failed.
        seconds: time each stage took.
        verdicts: the newest verdict of each strategy.
        scores: rows of table ``forecast_scores``; None where a stage failed, which leaves nothing to score.
        requests: HTTP requests sent.
        failure: the error that ended the run, if one did.
    """

    run_id: str
    source: str
    provenance: str
    simulated: bool
    series: tuple[str, ...]
    dates: tuple[date, ...]
    stages: tuple[StageResult, ...]
    seconds: dict[str, float]
    verdicts: tuple[dict[str, Any], ...]
    scores: pa.Table | None
    requests: int
    failure: KalshiAssetsError | None

    @property
    def exit_code(self) -> int:
        """0 when all gates passed, 3 when a blocking gate failed, else that of the error."""
        if any(r.failed for r in self.stages):
            return GateError.exit_code
        return self.failure.exit_code if self.failure else 0


def run_backfill(
    settings: Settings, *, series: Sequence[str] = (), dates: tuple[date, date] | None = None, progress: RunProgress
) -> RunReport:
    """Register the event dates of some series and materialise every stage for them, in one Dagster run.

    Args:
        settings: home and source.
        series: series tickers; empty for the source's default.
        dates: first and last event date, both included; None for all.
        progress: where progress is shown.

    Raises:
        UsageError: for an unknown series, dates in the wrong order or a range without events.
        HomeInUse: when another process runs on the same home.
        DiskFull: when the home's disk has no room even for the account of the run.
    """
    if dates and dates[0] > dates[1]:
        raise UsageError(f"The dates are in the wrong order: {dates[0]} comes after {dates[1]} (--dates FROM:TO).")
    with full_disk_said(settings.home):
        settings.home.mkdir(parents=True, exist_ok=True)
        report = _backfill(settings, series, dates, progress)
        if report.failure and is_full(report.failure, settings.home):
            return replace(report, failure=disk_full(settings.home))
        return report


def _backfill(
    settings: Settings, series: Sequence[str], dates: tuple[date, date] | None, progress: RunProgress
) -> RunReport:
    with hold_home(settings.home), OpenSource(settings) as source:
        progress.requests = lambda: source.requests
        workbench = Workbench(open_lake(settings, to_write=True), source, progress=progress)
        if series:
            check_series([s.ticker for s in source.exchange().series_list()], series)
        workbench.series = tuple(sorted(set(series))) or source.default_series()
        listed = source.catalog(workbench.series).event_dates
        chosen = [d for d in listed if dates is None or dates[0] <= d <= dates[1]]
        if not chosen:
            covered = f"{listed[0]} to {listed[-1]}" if listed else "nothing"
            named = ", ".join(workbench.series)
            raise UsageError(f"No event of {named} falls in the range: they cover {covered} (--dates).")
        with _quiet(), open_instance(settings) as instance:
            end_dead_runs(instance)
            sync_event_dates(instance, chosen)
            workbench.compilation = Compilation()
            try:
                run_id = _materialise(instance, workbench, chosen)
            finally:
                workbench.compilation.stop()
            scores = _score(instance, workbench, run_id)
        return RunReport(
            run_id=run_id,
            source=str(settings.source),
            provenance=source.provenance(),
            simulated=source.simulated(),
            series=workbench.series,
            dates=tuple(chosen),
            stages=tuple(workbench.results),
            seconds=dict(workbench.seconds),
            verdicts=tuple(latest_verdicts(workbench.lake).to_pylist()),
            scores=scores,
            requests=source.requests,
            failure=workbench.failure,
        )


def _materialise(instance: dg.DagsterInstance, workbench: Workbench, dates: Sequence[date]) -> str:
    """One run over the smallest range of partitions that holds the dates."""
    within = [d for d in registered_dates(instance) if dates[0] <= d <= dates[-1]]
    result = dg.materialize(
        build_assets(),
        instance=instance,
        resources={"workbench": dg.ResourceDefinition.hardcoded_resource(workbench)},
        run_config=_QUIET,
        raise_on_error=False,
        tags={
            "dagster/asset_partition_range_start": within[0].isoformat(),
            "dagster/asset_partition_range_end": within[-1].isoformat(),
            "kalshi/writer": "lake",
            **TERMINAL,
        },
    )
    if not result.success and workbench.failure is None and not any(r.failed for r in workbench.results):
        raise KalshiAssetsError(_first_failure(result))
    return result.run_id


def _score(instance: dg.DagsterInstance, workbench: Workbench, run_id: str) -> pa.Table | None:
    """Score the market's forecasts once every stage has passed; what failed a gate is not scored."""
    if workbench.failure or any(r.failed for r in workbench.results):
        return None
    try:
        scored = score_forecasts(workbench.stage_context(run_id))
    except KalshiAssetsError as error:
        workbench.failure = error
        return None
    report_scores(instance, scored)
    return scored.scores


def _first_failure(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.is_step_failure and (error := event.step_failure_data.error):
            cause = error.cause or error
            if dg.DagsterExecutionInterruptedError.__name__ in (cause.cls_name, error.cls_name):
                raise KeyboardInterrupt
            said = cause.message.strip().splitlines()[0]
            return f"{event.step_key} failed unexpectedly: {said} (run {result.run_id})."
    return f"The run {result.run_id} failed without naming a step: look at it in Dagster's UI (make ui)."


@contextmanager
def _quiet() -> Iterator[None]:
    """Dagster's warnings about beta features and its log are not for the person at the terminal."""
    logger = logging.getLogger("dagster")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
