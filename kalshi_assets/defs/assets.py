"""The eight stages as Dagster assets, each partitioned by event date, each with its blocking gates.

A body reads nothing itself: it names the dates, calls one stage function and
reports what came back. Gates sit inside the asset, so that no selection can
leave them out, and every date of a range gets a result of its own.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date

import dagster as dg

from kalshi_assets.defs.instance import BatchingEventLog
from kalshi_assets.defs.metadata import column_schema, distribution_picture, stage_metadata
from kalshi_assets.defs.partitions import EVENT_DATES
from kalshi_assets.defs.references import READ_BY, observations
from kalshi_assets.defs.workbench import Workbench
from kalshi_assets.errors import KalshiAssetsError
from kalshi_assets.stages.catalog import market_catalog
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.stages.contracts import contracts
from kalshi_assets.stages.distributions import distributions
from kalshi_assets.stages.evidence import GATES, READS
from kalshi_assets.stages.features import feature_panel
from kalshi_assets.stages.folds import walk_forward_folds
from kalshi_assets.stages.labels import labels
from kalshi_assets.stages.quotes import quotes
from kalshi_assets.stages.verdict import promotion_verdict
from kalshi_assets.store.lake import Scope

StageFunction = Callable[[StageContext, Scope], StageResult]


@dataclass(frozen=True, slots=True)
class Stage:
    """What Dagster needs to know of a stage beyond its function."""

    run: StageFunction
    main_table: str
    description: str
    kinds: frozenset[str]
    pool: str | None = None


STAGE_ASSETS: Mapping[str, Stage] = {
    "market_catalog": Stage(
        market_catalog,
        "events",
        "Series, events and contracts as the exchange lists them, each event with its release time.",
        frozenset({"kalshi", "deltalake"}),
        pool="exchange",
    ),
    "contracts": Stage(
        contracts,
        "contract_specs",
        "Each contract as a predicate on the publication lattice, versioned by content.",
        frozenset({"deltalake"}),
    ),
    "quotes": Stage(
        quotes,
        "quotes",
        "Bid, ask and trade candles with the time at which each could be known, and single trades.",
        frozenset({"kalshi", "deltalake"}),
        pool="exchange",
    ),
    "distributions": Stage(
        distributions,
        "distributions",
        "The implied distribution at every horizon: repaired ladder, moments, quantiles, quality.",
        frozenset({"numba", "deltalake"}),
    ),
    "feature_panel": Stage(
        feature_panel,
        "feature_panel",
        "One row per event and horizon; nothing in it was learned after its as-of time.",
        frozenset({"numba", "deltalake"}),
    ),
    "labels": Stage(
        labels,
        "labels",
        "First prints, later vintages, settlements and surprises, with when each was learned.",
        frozenset({"deltalake"}),
    ),
    "walk_forward_folds": Stage(
        walk_forward_folds,
        "predictions",
        "One expanding fold per event date, purged by label interval; every fit is in the trial ledger.",
        frozenset({"deltalake"}),
    ),
    "promotion_verdict": Stage(
        promotion_verdict,
        "verdicts",
        "What we would have said of the strategy on that date: promote, hold, reject, insufficient evidence.",
        frozenset({"deltalake"}),
    ),
}


def build_assets() -> list[dg.AssetsDefinition]:
    """All eight assets, upstream first."""
    return [_build(name, stage) for name, stage in STAGE_ASSETS.items()]


def _build(name: str, stage: Stage) -> dg.AssetsDefinition:
    @dg.asset(
        name=name,
        deps=[*READS[name], *READ_BY.get(name, ())],
        description=stage.description,
        partitions_def=EVENT_DATES,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[
            dg.AssetCheckSpec(check, asset=name, blocking=True, partitions_def=EVENT_DATES) for check in GATES[name]
        ],
        group_name="kalshi_assets",
        kinds=set(stage.kinds),
        pool=stage.pool,
        metadata={"dagster/column_schema": column_schema(stage.main_table)},
    )
    def body(context: dg.AssetExecutionContext, workbench: dg.ResourceParam[Workbench]) -> dg.MaterializeResult:  # type: ignore[type-arg]
        dates = sorted(date.fromisoformat(key) for key in context.partition_keys)
        scope = Scope(event_dates=dates, series=workbench.chosen_series())
        began = time.monotonic()
        workbench.progress(name, "dates", 0, len(dates))
        if workbench.compilation and "numba" in stage.kinds:
            workbench.compilation.wait()
        try:
            result = stage.run(workbench.stage_context(context.run.run_id), scope)
        except KalshiAssetsError as error:
            workbench.failure = error
            raise dg.Failure(description=str(error), allow_retries=False) from error
        workbench.results.append(result)
        workbench.seconds[name] = time.monotonic() - began
        workbench.progress(name, "dates", len(dates), len(dates))
        for observation in observations(workbench.lake, name) if name in READ_BY else ():
            context.log_event(observation)
        metadata = stage_metadata(result, stage.main_table)
        if name == "distributions" and (picture := distribution_picture(workbench.lake, dates)):
            metadata["ladder"] = picture
        if not context.has_partition_key:  # a range, be it of one date
            _report_each_date(context, name, result)
        return dg.MaterializeResult(metadata=metadata, check_results=_check_results(name, result))

    return body


def _check_results(name: str, result: StageResult) -> list[dg.AssetCheckResult]:
    """One result a gate over all dates of the run: it fails when it fails on any."""
    outcomes = []
    for check in GATES[name]:
        mine = [g for g in result.gates if g.check_name == check]
        failed = [g for g in mine if not g.passed]
        said = f"{failed[0].event_date}: {failed[0].detail}" if failed else f"passed on {len(mine)} dates"
        outcomes.append(dg.AssetCheckResult(passed=not failed, check_name=check, description=said))
    return outcomes


def _report_each_date(context: dg.AssetExecutionContext, name: str, result: StageResult) -> None:
    """A check result inside a range carries no partition, so each date's own is filed beside it.

    Dagster planned one result a check and date for this run; these fill them in.
    """
    log = context.instance.event_log_storage
    with log.one_transaction() if isinstance(log, BatchingEventLog) else nullcontext():
        for g in result.gates:
            evaluation = dg.AssetCheckEvaluation(
                check_name=g.check_name,
                asset_key=dg.AssetKey(name),
                passed=g.passed,
                partition=g.event_date.isoformat(),
                description=g.detail,
            )
            context.instance.report_dagster_event(
                dg.DagsterEvent(
                    event_type_value=dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
                    job_name=context.run.job_name,
                    event_specific_data=evaluation,
                ),
                run_id=context.run.run_id,
            )
