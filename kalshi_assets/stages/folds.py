"""Stage 7: one expanding fold per event date, out-of-sample predictions, every fit in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pyarrow as pa

from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.gates import check_no_label_after_test
from kalshi_assets.core.walk_forward import walk_forward
from kalshi_assets.stages.commit import Gate, finish, whole
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.stages.evidence import require_evidence
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.registry import record_trials

STAGE = "walk_forward_folds"
NO_TRAINING = "no event could be trained on yet"


def history_until(lake: Lake, last: date) -> list[date]:
    """The event dates with a panel or a label that a fold up to and including a date may look back on.

    An event that was due by then and moved is filed under a later date; what was decided on it lies there.
    """
    held = {*lake.event_dates("feature_panel"), *lake.event_dates("labels")}
    return sorted({day for day in held if day <= last} | (held & dates_of_moved(lake, last)))


def dates_of_moved(lake: Lake, last: date) -> frozenset[date]:
    """Every date of the events that moved and were due by some date on one of them."""
    moved = lake.moved_events()
    return frozenset().union(*(dates for dates in moved.dates if min(dates) <= last)) if moved else frozenset()


@whole
def walk_forward_folds(context: StageContext, scope: Scope) -> StageResult:
    """Fold every date of the scope against all history before it.

    Trials are filed before predictions, so that no score exists of a fit that was not counted.

    Raises:
        GateError: when any date that a fold looks back on is not vouched for.
    """
    lake, dates = context.lake, scope.event_dates
    history = sorted({*history_until(lake, max(dates)), *dates})
    require_evidence(lake, STAGE, history)
    built = walk_forward(
        lake.read("feature_panel", event_dates=history),
        lake.read("labels", event_dates=history, history=True),
        test_dates=dates,
        config=context.strategy,
    )
    whole = Scope(event_dates=dates)
    changed = {
        "trials": record_trials(lake, built.trials, context.run_id).rows,
        "predictions": lake.replace("predictions", built.predictions, scope=whole, run_id=context.run_id).rows,
        "folds": lake.replace("folds", built.folds, scope=whole, run_id=context.run_id).rows,
    }
    return finish(
        context,
        STAGE,
        dates,
        changed=changed,
        gate=_no_label_after_test(lake, history),
        may_be_empty={
            "predictions": "no model could predict on that date",
            "folds": "no event had a row at the decision horizon",
        },
    )


def _no_label_after_test(lake: Lake, history: Sequence[date]) -> Gate:
    def gate(stored: Mapping[str, pa.Table], dates: Sequence[date]) -> Sequence[GateResult]:
        labels = lake.read("labels", event_dates=history, history=True)
        return check_no_label_after_test(stored["folds"], labels, stored["predictions"], dates, allow_empty=NO_TRAINING)

    return gate
