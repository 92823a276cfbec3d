"""The promotion verdict: may this strategy be traded, judged by what was known at the end of an event date.

Pure: tables and counts in, a verdict out. Trading the predictions is ``core.pnl``'s work; reading evidence and
recording verdicts are the stage's. Measurements are in ``core.promotion_case``, the meaning of gates in
``core.promotion_gates``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kalshi_assets.core.hashing import canonical_json, hash_json
from kalshi_assets.core.promotion_case import PromotionCase, Verdict
from kalshi_assets.core.promotion_evidence import EvidenceSummary, TrialCount, trial_counts, verdict_time
from kalshi_assets.core.promotion_gates import Gate, PromotionThresholds
from kalshi_assets.core.strategy import StrategyConfig
from kalshi_assets.core.tables import TABLES
from kalshi_assets.core.track_record import track_record
from kalshi_assets.core.walk_forward import CLIMATOLOGY, LAST_PRINT, RIDGE
from kalshi_assets.errors import DomainError

__all__ = [
    "EvidenceSummary",
    "PromotionThresholds",
    "TrialCount",
    "Verdict",
    "candidate_returns",
    "judge",
    "trial_counts",
    "verdict_row",
    "verdict_time",
    "verdicts_for_dates",
]

FloatArray = npt.NDArray[np.float64]


def candidate_returns(pnl: Mapping[str, pa.Table], *, model: str = RIDGE) -> FloatArray:
    """Per-event returns of the configurations among which one could have chosen, for the overfitting statistics.

    Candidates are the model with each fixed penalty (``model[...]``) and the two forecasts that need no
    fit, last print and climatology. Without such genuine alternatives the ranks of
    near-identical penalties would be pure noise.

    Args:
        pnl: a table of ``core.pnl`` for each model.
        model: the strategy's model; its events, by (event date, event ticker), are the rows.

    Returns:
        Shape (n_events, n_candidates); 0 where a candidate did not trade or had no forecast.
    """
    events = track_record(pnl[model]).event_ticker
    place = {ticker: i for i, ticker in enumerate(events.tolist())}
    names = [n for n in pnl if n.startswith(f"{model}[") or n in (LAST_PRINT, CLIMATOLOGY)]
    returns = np.zeros((len(events), len(names)))
    for column, name in enumerate(sorted(names)):
        record = track_record(pnl[name])
        for ticker, value in zip(record.event_ticker.tolist(), record.value.tolist(), strict=True):
            if ticker in place:
                returns[place[ticker], column] = value
    return returns


def judge(
    pnl: Mapping[str, pa.Table],
    predictions: pa.Table,
    labels: pa.Table,
    *,
    trials: TrialCount,
    config: StrategyConfig,
    event_date: date,
    evidence: EvidenceSummary,
    simulated: bool,
    thresholds: PromotionThresholds | None = None,
    config_returns: FloatArray | None = None,
    regimes: pa.Table | None = None,
    tail_pnls: Mapping[str, pa.Table] | None = None,
    model: str = RIDGE,
) -> Verdict:
    """Judge a strategy by what was known at the end of an event date.

    Only events whose ladder had settled, and prints that had been learned, by ``verdict_time(event_date)`` count. Every
    statistic is per event or per release date; a horizon row is never an observation.

    Args:
        pnl: a table of ``core.pnl`` for each model, the null strategies and fixed penalties among them.
        predictions: rows of table ``predictions``.
        labels: rows of table ``labels`` with their history.
        trials: trials known by then.
        config: the strategy.
        event_date: the date judged.
        evidence: state of the leakage checks.
        simulated: whether the data are simulated; recorded with the verdict, it opens no gate.
        thresholds: limits of the gates; None means the defaults.
        config_returns: shape (n_events, n_configurations), rows as in ``candidate_returns``; without it PBO is
            unavailable.
        regimes: rows of table ``feature_panel``; without it the regime gates are unavailable.
        tail_pnls: the model's P&L under each further declared tail policy; without one the tail gate is unavailable.
        model: the model judged.

    Returns:
        The verdict.

    Raises:
        DomainError: an event occurs twice, the model has no P&L, or ``config_returns`` does not fit.
    """
    case = PromotionCase(
        pnl, predictions, labels, config, thresholds or PromotionThresholds(), config_returns, regimes, tail_pnls, model
    )
    return case.judge(event_date, trials, evidence, simulated)


def verdict_row(verdict: Verdict, *, config: StrategyConfig, code_version: str, inputs_hash: str) -> dict[str, Any]:
    """One row of table ``verdicts``.

    Args:
        verdict: the judgement.
        config: the strategy judged.
        code_version: version of the code that judged.
        inputs_hash: hash of every input content: P&L, predictions, labels, trials and evidence.

    Returns:
        The row. ``verdict_id`` is a hash of date, configuration, code, inputs and the outcome, so equal ids
        mean equal verdicts; NaN is written as null.
    """
    content = {
        "strategy_id": config.strategy_id,
        "event_date": verdict.event_date,
        "verdict": verdict.verdict,
        "score": _number(verdict.score),
        "reasons": list(verdict.reasons),
        "n_events": verdict.n_events,
        "n_trades": verdict.n_trades,
        "n_trials": verdict.n_trials,
        "simulated": verdict.simulated,
        "metrics_json": canonical_json({name: _number(value) for name, value in verdict.metrics.items()}),
        "gates_json": canonical_json([_gate_content(gate) for gate in verdict.gates]),
        "config_hash": config.config_hash,
        "code_version": code_version,
        "inputs_hash": inputs_hash,
    }
    return {"verdict_id": hash_json(content), **content, "ts": verdict.known_at, "known_at": verdict.known_at}


def verdicts_for_dates(
    dates: Sequence[date],
    pnl: Mapping[str, pa.Table],
    predictions: pa.Table,
    labels: pa.Table,
    *,
    trials: TrialCount | Mapping[date, TrialCount],
    config: StrategyConfig,
    evidence: EvidenceSummary | Mapping[date, EvidenceSummary],
    simulated: bool,
    code_version: str,
    inputs_hash: str | Mapping[date, str],
    thresholds: PromotionThresholds | None = None,
    config_returns: FloatArray | None = None,
    regimes: pa.Table | None = None,
    tail_pnls: Mapping[str, pa.Table] | None = None,
    model: str = RIDGE,
) -> pa.Table:
    """One verdict an event date: what would have been said then.

    Arguments as in :func:`judge`; ``trials``, ``evidence`` and ``inputs_hash`` may differ by date. A date absent
    from such a mapping has no evidence, respectively is an error for the other two.

    Returns:
        Rows of table ``verdicts``, in order of the date. Each equals what :func:`judge` gives for its date alone.

    Raises:
        DomainError: as :func:`judge`, or a date has no trial count or inputs hash.
    """
    case = PromotionCase(
        pnl, predictions, labels, config, thresholds or PromotionThresholds(), config_returns, regimes, tail_pnls, model
    )
    absent = EvidenceSummary(present=False, current=False, passed=False)
    rows = []
    for day in sorted(set(dates)):
        count = trials if isinstance(trials, TrialCount) else trials.get(day)
        inputs = inputs_hash if isinstance(inputs_hash, str) else inputs_hash.get(day)
        if count is None or inputs is None:
            raise DomainError(f"Event date {day} has no trial count or inputs hash: give both for every date judged.")
        shown = evidence if isinstance(evidence, EvidenceSummary) else evidence.get(day, absent)
        verdict = case.judge(day, count, shown, simulated)
        rows.append(verdict_row(verdict, config=config, code_version=code_version, inputs_hash=inputs))
    return pa.Table.from_pylist(rows, schema=TABLES["verdicts"].schema)


def _gate_content(gate: Gate) -> dict[str, Any]:
    return {
        "name": gate.name,
        "kind": gate.kind,
        "value": _number(gate.value),
        "threshold": _number(gate.threshold),
        "passed": gate.passed,
        "reason": gate.reason,
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
