"""The expanding walk-forward: one fold an event date, out-of-sample predictions, every fit a trial.

Assembly only: roles come from ``core.folds``, arrays from ``core.decision_panel``,
fits from ``core.models``. What the predictions earn is ``core.pnl``'s matter.

A fold reads the rows and labels known before its own test interval and nothing
else, so that it gives the same rows alone, in a backfill, and after later events
have arrived.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kalshi_assets.core.columns import MISSING_TIME, day_number, moment_of, real_column, reals, time_column
from kalshi_assets.core.decision_panel import DecisionPanel, decision_panel
from kalshi_assets.core.folds import (
    ROLES,
    TEST,
    TRAIN,
    UNLABELLED,
    Fold,
    assign_roles,
    decisions_at,
    overlapping,
    test_start,
)
from kalshi_assets.core.hashing import hash_json
from kalshi_assets.core.label_history import KnownLabels, LabelHistory
from kalshi_assets.core.models import Design, build_design, fit_ridge_path, seeded, skill
from kalshi_assets.core.strategy import StrategyConfig
from kalshi_assets.core.tables import TABLES

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

RIDGE, MARKET, LAST_PRINT, CLIMATOLOGY, RANDOM, SHUFFLED = (
    "ridge", "market", "last_print", "climatology", "random", "shuffled_labels",
)  # fmt: skip
REASON_PURGED = "label_interval_reaches_purge_window"
REASON_EMBARGO = "embargo"
REASON_NO_LABEL = "label_not_known_at_test_start"
REASON_NO_MEAN = "no_implied_mean"
REASON_NO_SCALE = "no_implied_std_known"


@dataclass(frozen=True, slots=True)
class WalkForward:
    """Rows of the tables ``folds``, ``predictions`` and ``trials``, in their schemas and canonical order of test date.

    Attributes:
        folds: one row an event and test date, for the events known at the test start.
        predictions: one row an event and model; a model that cannot predict an event has no row.
        trials: one row a fitted configuration.
    """

    folds: pa.Table
    predictions: pa.Table
    trials: pa.Table


def alpha_model(alpha: float) -> str:
    """Name under which the ridge with one fixed penalty is predicted, so that selection can be judged."""
    return f"{RIDGE}[alpha={alpha:g}]"


def walk_forward(
    panel: pa.Table, labels: pa.Table, *, test_dates: Sequence[date], config: StrategyConfig
) -> WalkForward:
    """Predict the prints of each test date from what was known before it.

    The target of an event is its surprise, first print minus implied mean, in units of
    ``DecisionPanel.scale``. A training event needs a known label, an implied mean and a scale; otherwise its role
    is ``unlabelled`` with the reason. The penalty is the one with the best skill over training events, each
    predicted with every event left out whose label interval or release date meets its own.

    A release date is the one known at the decision. An event that moved is tested on each date for which it was
    decided, and in each fold it has one row, see ``core.folds.decisions_at``.

    Args:
        panel: rows of table ``feature_panel``, under every mapping; rows of later events may be there and are not
            read.
        labels: rows of table ``labels`` with their history; a version counts when its ``known_at`` lies before the
            test start.
        test_dates: event dates to test, any order, no repeats; a date without a panel row at
            the horizon yields no rows.
        config: the strategy.

    Returns:
        Folds, predictions and trials. ``prediction`` is the expected first print in the statistic's unit.

    Raises:
        DomainError: duplicate panel rows, a label without a learning time, or one learned after the test began.
    """
    rows = decision_panel(panel, config)
    history = LabelHistory(labels, rows.events)
    decided_again = len(rows.events) < len(rows.event)
    out = _Output()
    baselines = {LAST_PRINT: reals(rows.table["last_print"]), CLIMATOLOGY: reals(rows.table["print_mean_12"])}
    for day in sorted(set(test_dates)):
        start = test_start(rows.event_day, rows.as_of, day_number(day))
        if start is None:
            continue
        counts = decisions_at(rows.event, rows.event_day, rows.as_of, day_number(day)) if decided_again else None
        _run_fold(rows, history.known_before(start).of(rows.event), counts, baselines, day, config, out)
    return WalkForward(*out.tables(rows, config))


@dataclass
class _Output:
    """Rows in the making; positions refer to the decision panel."""

    folds: list[tuple[date, int, IntArray, IntArray, list[str | None], IntArray]] = field(default_factory=list)
    predictions: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    trials: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))

    def predict(
        self, model: str, events: IntArray, values: FloatArray, start_us: int, trial_id: str | None, n_train: int | None
    ) -> None:
        for event, value in zip(events.tolist(), values.tolist(), strict=True):
            if np.isfinite(value):
                row = {"event": event, "model": model, "prediction": value, "ts": start_us}
                for name, cell in {**row, "trial_id": trial_id, "n_train": n_train}.items():
                    self.predictions[name].append(cell)

    def tables(self, rows: DecisionPanel, config: StrategyConfig) -> tuple[pa.Table, pa.Table, pa.Table]:
        return self._fold_table(rows, config), self._prediction_table(rows, config), self._trial_table()

    def _fold_table(self, rows: DecisionPanel, config: StrategyConfig) -> pa.Table:
        schema = TABLES["folds"].schema
        if not self.folds:
            return schema.empty_table()
        sizes = [len(fold[2]) for fold in self.folds]
        event = np.concatenate([fold[2] for fold in self.folds])
        starts = time_column(np.repeat([fold[1] for fold in self.folds], sizes))
        columns = {
            "strategy_id": pa.repeat(config.strategy_id, len(event)),
            "event_date": pa.array([fold[0] for fold in self.folds], pa.date32()).take(
                pa.array(np.repeat(np.arange(len(sizes)), sizes))
            ),
            "event_ticker": rows.table["event_ticker"].take(pa.array(event)),
            "role": pa.array(ROLES).take(pa.array(np.concatenate([fold[3] for fold in self.folds]))),
            "ts": starts,
            "known_at": starts,
            "reason": pa.array([reason for fold in self.folds for reason in fold[4]], pa.string()),
            "label_start": time_column(rows.as_of[event]),
            "label_end": time_column(np.concatenate([fold[5] for fold in self.folds])),
        }
        return pa.table([columns[name] for name in schema.names], schema=schema)

    def _prediction_table(self, rows: DecisionPanel, config: StrategyConfig) -> pa.Table:
        schema, made = TABLES["predictions"].schema, self.predictions
        event = np.array(made["event"], dtype=np.int64)
        source = rows.table.take(pa.array(event))
        starts = time_column(np.array(made["ts"], dtype=np.int64))
        copied = ("event_ticker", "series_ticker", "event_date", "horizon", "as_of", "release_time")
        columns = {
            **{name: source[name] for name in copied},
            "strategy_id": pa.repeat(config.strategy_id, len(event)),
            "model": pa.array(made["model"], pa.string()),
            "ts": starts,
            "known_at": starts,
            "prediction": pa.array(made["prediction"], pa.float64()),
            "implied_mean": real_column(rows.implied_mean[event]),
            "trial_id": pa.array(made["trial_id"], pa.string()),
            "n_train": pa.array(made["n_train"], pa.int64()),
        }
        return pa.table([columns[name] for name in schema.names], schema=schema)

    def _trial_table(self) -> pa.Table:
        schema = TABLES["trials"].schema
        return pa.table([pa.array(self.trials[f.name], f.type) for f in schema], schema=schema)


def _run_fold(
    rows: DecisionPanel,
    labels: KnownLabels,
    counts: npt.NDArray[np.bool_] | None,
    baselines: dict[str, FloatArray],
    day: date,
    config: StrategyConfig,
    out: _Output,
) -> None:
    has_mean, has_scale = np.isfinite(rows.implied_mean), np.isfinite(rows.scale)
    fold = assign_roles(
        rows.event_day,
        rows.as_of,
        labels.learned_at,
        labels.known & has_mean & has_scale,
        rows.purge_us,
        test_day=day_number(day),
        embargo_dates=config.embargo_events,
        counts=counts,
    )
    train, test = fold.members(TRAIN), fold.members(TEST)
    enough = len(train) >= config.train_min_events
    short = None if enough else f"train_events_{len(train)}_below_{config.train_min_events}"
    known = np.flatnonzero(fold.role).astype(np.int64)
    reasons = _reasons(fold, known, labels.known, has_mean, has_scale, short)
    label_end = np.where(fold.role[known] == TEST, MISSING_TIME, labels.learned_at[known])
    out.folds.append((day, fold.test_start_us, known, fold.role[known].astype(np.int64), reasons, label_end))

    market, scale = rows.implied_mean[test], rows.scale[test]
    noise = np.array([seeded(config.seed, RANDOM, rows.event_ticker[i]).standard_normal() for i in test])
    out.predict(MARKET, test, market, fold.test_start_us, None, None)
    for name, values in baselines.items():
        out.predict(name, test, values[test], fold.test_start_us, None, None)
    out.predict(RANDOM, test, market + scale * noise, fold.test_start_us, None, None)
    ready = test[has_mean[test] & has_scale[test]]
    if enough and len(ready):
        surprise = (labels.first_print[train] - rows.implied_mean[train]) / rows.scale[train]
        _fit_fold(rows, labels, fold, train, ready, surprise, day, config, out)


def _fit_fold(
    rows: DecisionPanel,
    labels: KnownLabels,
    fold: Fold,
    train: IntArray,
    test: IntArray,
    surprise: FloatArray,
    day: date,
    config: StrategyConfig,
    out: _Output,
) -> None:
    design = build_design(rows.features[train], rows.features[test])
    shuffled = seeded(config.seed, SHUFFLED, day).permutation(surprise)
    targets = np.column_stack([surprise, shuffled])
    together = overlapping(rows.event_day[train], rows.as_of[train], labels.learned_at[train], rows.purge_us[train])
    path = fit_ridge_path(design, targets, np.array(config.alphas), together)
    tickers = [rows.event_ticker[i] for i in train]
    for column, model in enumerate((RIDGE, SHUFFLED)):
        scores = [skill(path.held_out[a, :, column], targets[:, column]) for a in range(len(config.alphas))]
        chosen = int(np.nanargmax(scores)) if np.isfinite(scores).any() else len(scores) // 2
        data_hash = _data_hash(design, targets[:, column], tickers)
        values = rows.implied_mean[test] + rows.scale[test] * path.prediction[:, :, column]
        trial_ids = []
        for a, alpha in enumerate(config.alphas):
            trial = {
                "config_hash": config.config_hash,
                "model": model,
                "alpha": alpha,
                "horizon": config.horizon,
                "event_date": day,
                "data_hash": data_hash,
            }
            trial_ids.append(hash_json(trial))
            row = {
                **trial,
                "trial_id": trial_ids[-1],
                "strategy_id": config.strategy_id,
                "ts": moment_of(fold.test_start_us),
                "known_at": moment_of(fold.test_start_us),
                "n_train": len(train),
                "n_features": design.train.shape[1],
                "inner_score": scores[a] if np.isfinite(scores[a]) else None,
                "selected": a == chosen,
                "seed": config.seed,
                "config_json": config.canonical_text,
            }
            for name, value in row.items():
                out.trials[name].append(value)
            if model == RIDGE:
                out.predict(alpha_model(alpha), test, values[a], fold.test_start_us, trial_ids[-1], len(train))
        out.predict(model, test, values[chosen], fold.test_start_us, trial_ids[chosen], len(train))


def _reasons(
    fold: Fold,
    events: IntArray,
    labelled: npt.NDArray[np.bool_],
    has_mean: npt.NDArray[np.bool_],
    has_scale: npt.NDArray[np.bool_],
    short: str | None,
) -> list[str | None]:
    by_role: dict[str, str | None] = {"purged": REASON_PURGED, "embargoed": REASON_EMBARGO, "test": short}
    reasons = []
    for event, role in zip(events.tolist(), fold.role[events].tolist(), strict=True):
        reason = by_role.get(ROLES[role])
        if role == UNLABELLED and not labelled[event]:
            reason = REASON_NO_LABEL
        elif role in (UNLABELLED, TEST) and not has_mean[event]:
            reason = REASON_NO_MEAN
        elif role in (UNLABELLED, TEST) and not has_scale[event]:
            reason = REASON_NO_SCALE
        reasons.append(reason)
    return reasons


def _data_hash(design: Design, target: FloatArray, tickers: list[str]) -> str:
    digest = hashlib.sha256("\n".join(tickers).encode())
    digest.update(str((design.train.shape, design.columns)).encode())
    digest.update(np.ascontiguousarray(design.train).tobytes())
    digest.update(np.ascontiguousarray(target).tobytes())
    return digest.hexdigest()
