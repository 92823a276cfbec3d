"""Promotion thresholds, gates and what follows from them: the verdict's word and the ranking score.

A gate compares one number with one threshold. A number that is missing or NaN
fails its gate. Computing the numbers is ``core.promotion``'s work; the leakage gates of the
pipeline live elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kalshi_assets.core.significance import Convention

Kind = Literal["evidence", "performance", "robustness"]
Word = Literal["promote", "hold", "reject", "insufficient_evidence"]


@dataclass(frozen=True)
class PromotionThresholds:
    """Limits of the gates. Returns are portfolio returns (``core.track_record``).

    Attributes:
        min_events: settled events, traded or not.
        min_trades: traded events.
        track_record_confidence: confidence of the minimum track record against a Sharpe ratio of zero.
        min_win_rate: share of traded events with a profit.
        min_sharpe: annualised Sharpe ratio.
        min_profit_factor: profits over losses.
        max_drawdown: lowest admissible drawdown, negative.
        min_annual_return: compounded return a year.
        max_dsr_pvalue: one minus the deflated Sharpe ratio.
        dsr_convention: convention of the deflated Sharpe ratio, see ``core.significance``.
        max_mc_pvalue: sign-flip null.
        worst_event_loss: lowest admissible return of one event, negative.
        min_oos_correlation: predicted against realised surprise.
        min_surprise_hit_rate: equal signs among large surprises.
        max_pbo: probability of backtest overfitting.
        require_spa: whether Hansen's test counts.
        max_spa_pvalue: its consistent p-value.
        max_capacity_utilization: capital over capacity.
        min_positive_fold_fraction: share of blocks of ``fold_events`` traded events with a positive mean.
        fold_events: traded events a block.
        max_is_oos_gap: inner skill minus out-of-sample skill.
        min_event_type_stability: see ``track_record.event_type_stability``.
        min_macro_regime_stability: see ``regimes.regime_stability``, mean over the kinds of regime.
        min_regime_positive_fraction: share of regimes with a positive mean return.
        min_regime_events: traded events from which a regime counts.
    """

    min_events: int = 40
    min_trades: int = 80
    track_record_confidence: float = 0.95
    min_win_rate: float = 0.50
    min_sharpe: float = 0.75
    min_profit_factor: float = 1.10
    max_drawdown: float = -0.20
    min_annual_return: float = 0.05
    max_dsr_pvalue: float = 0.05
    dsr_convention: Convention = "2014"
    max_mc_pvalue: float = 0.05
    worst_event_loss: float = -0.08
    min_oos_correlation: float = 0.01
    min_surprise_hit_rate: float = 0.50
    max_pbo: float = 0.45
    require_spa: bool = False
    max_spa_pvalue: float = 0.05
    max_capacity_utilization: float = 1.0
    min_positive_fold_fraction: float = 0.60
    fold_events: int = 20
    max_is_oos_gap: float = 0.20
    min_event_type_stability: float = 0.40
    min_macro_regime_stability: float = 0.40
    min_regime_positive_fraction: float = 0.50
    min_regime_events: int = 3


@dataclass(frozen=True, slots=True)
class Gate:
    """One comparison.

    Attributes:
        name: the metric.
        kind: what failing means, see :func:`word_of`.
        value: the metric's value, NaN when unavailable.
        threshold: what it was compared with.
        passed: the outcome; a NaN never passes.
        reason: why it failed, None when passed.
    """

    name: str
    kind: Kind
    value: float
    threshold: float
    passed: bool
    reason: str | None


def at_least(name: str, kind: Kind, value: float, threshold: float, *, reason: str | None = None) -> Gate:
    """A gate that passes when ``value >= threshold``."""
    return _gate(name, kind, value, threshold, value >= threshold, reason)


def at_most(name: str, kind: Kind, value: float, threshold: float, *, reason: str | None = None) -> Gate:
    """A gate that passes when ``value <= threshold``."""
    return _gate(name, kind, value, threshold, value <= threshold, reason)


def _gate(name: str, kind: Kind, value: float, threshold: float, passed: bool, reason: str | None) -> Gate:
    if math.isnan(value):
        return Gate(name, kind, value, threshold, False, f"{name}_unavailable")
    return Gate(name, kind, value, threshold, bool(passed), None if passed else reason or name)


def word_of(gates: Sequence[Gate]) -> Word:
    """The verdict that a set of gates implies.

    ``insufficient_evidence`` when a gate of kind ``evidence`` fails: there is too little to judge by. Else ``reject``
    when a gate of kind ``performance`` fails: the strategy did not earn it. Else ``hold`` when a gate of
    kind ``robustness`` fails: it earned it, but the result is not trusted yet. Else ``promote``. No gates at all
    is insufficient evidence.
    """
    failed = {gate.kind for gate in gates if not gate.passed}
    if not gates or "evidence" in failed:
        return "insufficient_evidence"
    if "performance" in failed:
        return "reject"
    return "hold" if "robustness" in failed else "promote"


def ranking_score(metrics: dict[str, float], gates: Sequence[Gate]) -> float:
    """Score that ranks verdicts; it decides nothing.

    The original's weights: 1.30·Sharpe + 0.80·annual return + 0.35·win rate + 0.20·min(profit factor, 5)
    + 0.25·min(trades, 5000)/5000 + 0.80·max(drawdown, −0.5) + 0.75·out-of-sample correlation
    + 0.40·positive regimes + 0.15·fold consistency, and bonuses for passed gates: deflated Sharpe 0.50,
    Monte-Carlo 0.45, PBO 0.35, SPA 0.40. An unavailable metric adds nothing.
    """
    passed = {gate.name for gate in gates if gate.passed}
    terms = (
        1.30 * metrics.get("sharpe", math.nan),
        0.80 * metrics.get("annual_return", math.nan),
        0.35 * metrics.get("win_rate", math.nan),
        0.20 * min(metrics.get("profit_factor", math.nan), 5.0),
        0.25 * min(metrics.get("trades", math.nan), 5000.0) / 5000.0,
        0.80 * max(metrics.get("max_drawdown", math.nan), -0.5),
        0.75 * metrics.get("wf_oos_corr", math.nan),
        0.40 * metrics.get("regime_positive_fraction", math.nan),
        0.15 * metrics.get("fold_consistency", math.nan),
        0.50 * ("dsr_pvalue" in passed),
        0.45 * ("mc_pvalue" in passed),
        0.35 * ("pbo" in passed),
        0.40 * ("spa_pvalue" in passed),
    )
    return math.fsum(term for term in terms if math.isfinite(term))
