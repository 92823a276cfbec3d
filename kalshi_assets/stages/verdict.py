"""Stage 8: what we would have said of the strategy on each event date."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.decision_panel import last_decisions
from kalshi_assets.core.pnl import event_pnl
from kalshi_assets.core.promotion import (
    EvidenceSummary,
    candidate_returns,
    trial_counts,
    verdicts_for_dates,
)
from kalshi_assets.core.strategy import StrategyConfig
from kalshi_assets.stages.commit import code_version, finish, whole
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.stages.evidence import READS, data_hashes, require_evidence
from kalshi_assets.stages.folds import dates_of_moved
from kalshi_assets.stages.tail_policies import pnl_under_other_tails
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.registry import record_verdicts

STAGE = "promotion_verdict"
# Reaching this stage means that require_evidence found a passed, current result of every gate.
_VOUCHED = EvidenceSummary(present=True, current=True, passed=True)


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that verdicts up to a date rest on, as read from the lake.

    Attributes:
        history: event dates covered.
        predictions: rows of that table, of each event its last decision.
        labels, panel, trials, rungs, contracts, series: rows of those tables.
    """

    history: tuple[date, ...]
    predictions: pa.Table
    labels: pa.Table
    panel: pa.Table
    trials: pa.Table
    rungs: pa.Table
    contracts: pa.Table
    series: pa.Table


@whole
def promotion_verdict(context: StageContext, scope: Scope) -> StageResult:
    """Judge the strategy for every date of the scope, by what was known at the end of that date.

    Raises:
        GateError: when any date that a verdict rests on is not vouched for.
    """
    lake, dates = context.lake, sorted(scope.event_dates)
    history = verdict_history(lake, dates)
    require_evidence(lake, STAGE, history)
    rows = judge_dates(lake, dates, history, context.strategy)
    commit = record_verdicts(lake, rows, context.run_id)
    return finish(context, STAGE, dates, changed={"verdicts": commit.rows})


def verdict_history(lake: Lake, dates: Sequence[date]) -> list[date]:
    """The dates that a verdict of the last of some dates looks back on, and those dates themselves."""
    last = max(dates)
    return sorted({*dates, *(d for d in _with_a_record(lake, last) if d <= last)})


def _with_a_record(lake: Lake, last: date) -> set[date]:
    """The dates with a fold, and those under which what was decided for an earlier one is filed since it moved."""
    return {*lake.event_dates("folds"), *(dates_of_moved(lake, last) & {*lake.event_dates("labels")})}


def judge_dates(lake: Lake, dates: Sequence[date], history: Sequence[date], config: StrategyConfig) -> pa.Table:
    """Rows of table ``verdicts`` for some dates, from what the lake holds.

    The other tail policies are tried only for dates on which the strategy earned its keep
    under its own: elsewhere they could not change the word.
    """
    record = read_record(lake, history, config)
    hashes = inputs_hashes(lake, history)
    pnl = _pnl_by_model(record, config)
    given = {
        "pnl": pnl,
        "predictions": record.predictions,
        "labels": record.labels,
        "trials": trial_counts(record.trials, dates),
        "config": config,
        "evidence": _VOUCHED,
        "simulated": any(record.series["simulated"].to_pylist()),
        "code_version": code_version(),
        "inputs_hash": {d: hashes[d] for d in dates},
        "config_returns": candidate_returns(pnl),
        "regimes": record.panel,
    }
    rows = verdicts_for_dates(dates, **given)
    earned = rows.filter(pc.is_in(rows["verdict"], pa.array(["hold", "promote"])))["event_date"].to_pylist()
    if not earned:
        return rows
    tails = pnl_under_other_tails(lake, [d for d in history if d <= max(earned)], record, config)
    judged = verdicts_for_dates(earned, **given, tail_pnls=tails)
    settled = rows.filter(pc.invert(pc.is_in(rows["event_date"], pa.array(earned, pa.date32()))))
    return pa.concat_tables([settled, judged]).sort_by("event_date")


def read_record(lake: Lake, history: Sequence[date], config: StrategyConfig) -> Record:
    """Read what verdicts rest on."""
    rungs = lake.read("distribution_rungs", event_dates=history)
    predictions = lake.read("predictions", event_dates=history)
    trials = lake.read("trials", event_dates=history)
    return Record(
        history=tuple(history),
        predictions=last_decisions(predictions.filter(pc.equal(predictions["strategy_id"], config.strategy_id))),
        labels=lake.read("labels", event_dates=history, history=True),
        panel=lake.read("feature_panel", event_dates=history),
        trials=trials.filter(pc.equal(trials["strategy_id"], config.strategy_id)),
        rungs=rungs.filter(pc.equal(rungs["horizon"], config.horizon)),
        contracts=lake.read("contracts", event_dates=history, history=True),
        series=lake.read("series", history=True),
    )


def inputs_hashes(lake: Lake, history: Sequence[date]) -> dict[date, str]:
    """For each date one hash over all that its verdict rests on: every upstream row of that date and before.

    A date without a record adds nothing, so the hash is the same in whichever range the date is judged.
    """
    by_stage = [data_hashes(lake, upstream, history) for upstream in READS[STAGE]]
    trials = lake.content_hash("trials", event_dates=history)
    running, hashes, counted = hashlib.sha256(), {}, _with_a_record(lake, max(history))
    for day in sorted(history):
        if day in counted:
            running.update("|".join([str(day), *(h[day] for h in by_stage), trials.get(day, "")]).encode())
        hashes[day] = running.hexdigest()
    return hashes


def _pnl_by_model(record: Record, config: StrategyConfig) -> Mapping[str, pa.Table]:
    models = sorted(pc.unique(record.predictions["model"]).to_pylist())
    return {
        model: event_pnl(record.predictions, record.rungs, record.contracts, record.series, config=config, model=model)
        for model in {*models, "ridge"}
    }
