"""The evidence of one promotion case as arrays, and the gates that it passes at any date.

Gate by gate: what is measured and against which threshold. What a strategy has to hand in, and how a
verdict is recorded, is ``core.promotion``; what failed gates mean, ``core.promotion_gates``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kalshi_assets.core.columns import micros_of
from kalshi_assets.core.forecast_record import ForecastRecord
from kalshi_assets.core.overfitting import MAX_BLOCKS, backtest_overfitting
from kalshi_assets.core.promotion_evidence import EvidenceSummary, TrialCount, verdict_time
from kalshi_assets.core.promotion_gates import (
    Gate,
    Kind,
    PromotionThresholds,
    Word,
    at_least,
    at_most,
    ranking_score,
    word_of,
)
from kalshi_assets.core.regime_record import RegimeRecord
from kalshi_assets.core.resampling import bootstrap_mean_interval, sign_flip_pvalue, superior_predictive_ability
from kalshi_assets.core.significance import (
    deflated_sharpe_ratio,
    minimum_track_record,
    probabilistic_sharpe_ratio,
    sharpe_sample,
)
from kalshi_assets.core.strategy import StrategyConfig
from kalshi_assets.core.track_record import (
    Performance,
    TrackRecord,
    block_means,
    capacity_utilization,
    event_type_stability,
    performance,
    sum_by_day,
    track_record,
)
from kalshi_assets.core.walk_forward import MARKET, RANDOM, SHUFFLED
from kalshi_assets.errors import DomainError

FloatArray = npt.NDArray[np.float64]

NULL_STRATEGIES = (RANDOM, SHUFFLED, MARKET)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One dated judgement.

    Attributes:
        verdict: ``promote``, ``hold``, ``reject`` or ``insufficient_evidence``; see ``promotion_gates.word_of``.
        reasons: why each failed gate failed, in gate order; empty for a promotion.
        score: ranking score; NaN where evidence was insufficient.
        metrics: every number computed, by name; NaN where unavailable.
        gates: every gate evaluated.
        event_date: the date that the verdict speaks for.
        known_at: the moment that it speaks from.
        n_events: settled events known by then.
        n_trades: traded events among them.
        n_trials: fits in the trial ledger by then.
        simulated: whether the data were simulated.
    """

    verdict: Word
    reasons: tuple[str, ...]
    score: float
    metrics: dict[str, float]
    gates: tuple[Gate, ...]
    event_date: date
    known_at: datetime
    n_events: int
    n_trades: int
    n_trials: int
    simulated: bool


class PromotionCase:
    """All evidence as arrays, to be judged at many dates."""

    def __init__(
        self,
        pnl: Mapping[str, pa.Table],
        predictions: pa.Table,
        labels: pa.Table,
        config: StrategyConfig,
        thresholds: PromotionThresholds,
        config_returns: FloatArray | None,
        regimes: pa.Table | None,
        tail_pnls: Mapping[str, pa.Table] | None,
        model: str,
    ) -> None:
        if model not in pnl:
            raise DomainError(f"No P&L of model {model!r} was given: compute it with core.pnl before judging.")
        self.config, self.limits = config, thresholds
        self.record = track_record(pnl[model])
        if config_returns is not None and len(config_returns) != len(self.record.value):
            raise DomainError(
                f"config_returns has {len(config_returns)} rows for {len(self.record.value)} events of {model!r}: "
                "build it with candidate_returns from the same P&L."
            )
        self.config_returns = config_returns
        self.variants = [track_record(table) for name, table in pnl.items() if name.startswith(f"{model}[")]
        self.nulls = {name: track_record(pnl[name]) for name in NULL_STRATEGIES if name in pnl}
        self.tails = {name: track_record(table) for name, table in (tail_pnls or {}).items()}
        self.forecasts = ForecastRecord(predictions, labels, model=model, horizon=config.horizon)
        self.regimes = (
            None
            if regimes is None
            else RegimeRecord(regimes, self.record.event_ticker, self.record.decided_at, config.horizon)
        )

    def judge(self, event_date: date, trials: TrialCount, evidence: EvidenceSummary, simulated: bool) -> Verdict:
        """Evaluate every gate on what was known at the end of a date.

        Args:
            event_date: the date judged.
            trials: trials known by then.
            evidence: state of the leakage checks.
            simulated: recorded with the verdict.

        Returns:
            The verdict. With insufficient evidence only the evidence gates and the leakage gate are evaluated.
        """
        known_at = verdict_time(event_date)
        cut = micros_of(known_at)
        record = self.record.until(cut)
        result = performance(record)
        metrics: dict[str, float] = {
            "events": float(result.n_events),
            "trades": float(result.n_trades),
            "release_dates": float(len(result.dates)),
            "n_configurations": float(trials.n_configurations),
        }
        gates = self._evidence_gates(result, metrics)
        score = math.nan
        if word_of(gates) != "insufficient_evidence":
            variance = self._sharpe_variance(cut, trials)
            earned = self._performance_gates(result, trials, variance, metrics)
            earned.append(self._chance_gate(result, metrics))
            gates += earned
            gates += self._forecast_gates(cut, trials, metrics)
            gates += self._robustness_gates(record, result, cut, metrics)
            gates += self._challenge_gates(cut, trials, variance, all(g.passed for g in earned), metrics)
            score = ranking_score(metrics, gates)
        leakage = evidence.reason
        gates.append(Gate("leakage_evidence", "robustness", float(leakage is None), 1.0, leakage is None, leakage))
        return Verdict(
            verdict=word_of(gates),
            reasons=tuple(g.reason for g in gates if g.reason is not None),
            score=score,
            metrics=metrics,
            gates=tuple(gates),
            event_date=event_date,
            known_at=known_at,
            n_events=result.n_events,
            n_trades=result.n_trades,
            n_trials=trials.n_fits,
            simulated=simulated,
        )

    def _evidence_gates(self, result: Performance, metrics: dict[str, float]) -> list[Gate]:
        limits = self.limits
        gates = [
            at_least("events", "evidence", float(result.n_events), limits.min_events, reason="insufficient_events"),
            at_least("trades", "evidence", float(result.n_trades), limits.min_trades, reason="insufficient_trades"),
        ]
        # A record that loses money needs no longer track to be turned down.
        if not (len(result.dates) and float(result.dates.mean()) <= 0):
            needed = minimum_track_record(result.sample, confidence=limits.track_record_confidence)
            metrics["minimum_track_record"] = needed
            surplus = len(result.dates) - needed
            gates.append(at_least("track_record", "evidence", surplus, 0.0, reason="insufficient_track_record"))
        return gates

    def _sharpe_variance(self, cut: int, trials: TrialCount) -> float:
        if trials.sharpe_variance is not None:
            return trials.sharpe_variance
        sharpes = [sharpe_sample(v.until(cut).only_traded().by_date()).sharpe for v in self.variants]
        finite = [s for s in sharpes if math.isfinite(s)]
        return float(np.var(finite, ddof=1)) if len(finite) > 1 else math.nan

    def _performance_gates(
        self, result: Performance, trials: TrialCount, variance: float, metrics: dict[str, float]
    ) -> list[Gate]:
        """The gates that every strategy, null strategies included, has to pass on its P&L alone."""
        limits, n_trials = self.limits, max(trials.n_configurations, 1)
        deflated = (
            {
                convention: deflated_sharpe_ratio(
                    result.sample, n_trials=n_trials, sharpe_variance=variance, convention=convention
                )
                for convention in ("2014", "2025")
            }
            if result.n_trades
            else {"2014": math.nan, "2025": math.nan}
        )
        metrics |= {
            "win_rate": result.win_rate,
            "sharpe": result.sharpe,
            "profit_factor": result.profit_factor,
            "max_drawdown": result.max_drawdown,
            "annual_return": result.annual_return,
            "worst_event_loss": result.worst_event_loss,
            "psr": probabilistic_sharpe_ratio(result.sample),
            "dsr_2014": deflated["2014"],
            "dsr_2025": deflated["2025"],
            "sharpe_variance": variance,
            "dsr_pvalue": 1 - deflated[limits.dsr_convention],
        }
        kind: Kind = "performance"
        return [
            at_least("win_rate", kind, metrics["win_rate"], limits.min_win_rate),
            at_least("sharpe", kind, metrics["sharpe"], limits.min_sharpe),
            at_least("profit_factor", kind, metrics["profit_factor"], limits.min_profit_factor),
            at_least("max_drawdown", kind, metrics["max_drawdown"], limits.max_drawdown),
            at_least("annual_return", kind, metrics["annual_return"], limits.min_annual_return),
            at_least("worst_event_loss", kind, metrics["worst_event_loss"], limits.worst_event_loss),
            at_most("dsr_pvalue", kind, metrics["dsr_pvalue"], limits.max_dsr_pvalue, reason="dsr_not_significant"),
        ]

    def _chance_gate(self, result: Performance, metrics: dict[str, float]) -> Gate:
        metrics["mc_pvalue"] = sign_flip_pvalue(result.dates, seed=self.config.seed)
        limit = self.limits.max_mc_pvalue
        return at_most("mc_pvalue", "performance", metrics["mc_pvalue"], limit, reason="mc_not_significant")

    def _forecast_gates(self, cut: int, trials: TrialCount, metrics: dict[str, float]) -> list[Gate]:
        limits, scores = self.limits, self.forecasts.scores(cut)
        gap = max(0.0, trials.inner_score - scores.skill) if math.isfinite(trials.inner_score) else math.nan
        metrics |= {
            "wf_oos_corr": scores.correlation,
            "surprise_hit_rate": scores.hit_rate,
            "wf_oos_skill": scores.skill,
            "wf_inner_skill": trials.inner_score,
            "wf_is_oos_gap": gap if math.isfinite(scores.skill) else math.nan,
        }
        return [
            at_least("wf_oos_corr", "performance", metrics["wf_oos_corr"], limits.min_oos_correlation),
            at_least("surprise_hit_rate", "performance", metrics["surprise_hit_rate"], limits.min_surprise_hit_rate),
            at_most("wf_is_oos_gap", "robustness", metrics["wf_is_oos_gap"], limits.max_is_oos_gap),
        ]

    def _robustness_gates(
        self, record: TrackRecord, result: Performance, cut: int, metrics: dict[str, float]
    ) -> list[Gate]:
        limits = self.limits
        kind: Kind = "robustness"
        blocks = block_means(record, limits.fold_events)
        low, high = bootstrap_mean_interval(result.dates, seed=self.config.seed)
        regimes = (
            None
            if self.regimes is None
            else self.regimes.scores(
                self.record.learned_at <= cut, self.record.traded, self.record.value, limits.min_regime_events
            )
        )
        metrics |= {
            "mean_return_low": low,
            "mean_return_high": high,
            "pbo": self._overfitting(cut),
            "capacity_utilization": capacity_utilization(record, self.config.bankroll_usd),
            "wf_positive_fold_fraction": float(np.mean(blocks > 0)) if len(blocks) else math.nan,
            "fold_consistency": _consistency(blocks),
            "event_type_stability": event_type_stability(record),
            "macro_regime_stability": math.nan if regimes is None else regimes.stability,
            "regime_positive_fraction": math.nan if regimes is None else regimes.positive_fraction,
        }
        positive, fraction = metrics["wf_positive_fold_fraction"], metrics["regime_positive_fraction"]
        gates = [
            at_most("pbo", kind, metrics["pbo"], limits.max_pbo),
            at_most("capacity_utilization", kind, metrics["capacity_utilization"], limits.max_capacity_utilization),
            at_least("wf_positive_fold_fraction", kind, positive, limits.min_positive_fold_fraction),
            at_least("event_type_stability", kind, metrics["event_type_stability"], limits.min_event_type_stability),
            at_least(
                "macro_regime_stability", kind, metrics["macro_regime_stability"], limits.min_macro_regime_stability
            ),
            at_least("regime_positive_fraction", kind, fraction, limits.min_regime_positive_fraction),
        ]
        if limits.require_spa:
            metrics["spa_pvalue"] = superior_predictive_ability(
                self._known_config_returns(cut), seed=self.config.seed
            ).consistent
            gates.append(
                at_most("spa_pvalue", kind, metrics["spa_pvalue"], limits.max_spa_pvalue, reason="spa_not_significant")
            )
        return gates

    def _known_config_returns(self, cut: int) -> FloatArray:
        if self.config_returns is None:
            return np.empty((0, 0))
        known = self.record.learned_at <= cut
        return sum_by_day(self.record.day[known], self.config_returns[known])

    def _overfitting(self, cut: int) -> float:
        returns = self._known_config_returns(cut)
        blocks = min(MAX_BLOCKS, len(returns) // 4 * 2)
        return backtest_overfitting(returns, n_blocks=blocks).pbo if blocks >= 2 else math.nan

    def _challenge_gates(
        self, cut: int, trials: TrialCount, variance: float, earned: bool, metrics: dict[str, float]
    ) -> list[Gate]:
        """Would the performance verdict change under another tail policy, and would worthless strategies pass too?"""

        def passes(record: TrackRecord) -> bool:
            result = performance(record.until(cut))
            # A record without enough trades fails whatever its other numbers are.
            return (
                result.n_trades >= self.limits.min_trades
                and all(gate.passed for gate in self._performance_gates(result, trials, variance, {}))
                and self._chance_gate(result, {}).passed
            )

        declared = self.config.tail_policies[1:]
        flips = (
            float(sum(passes(self.tails[policy]) != earned for policy in declared))
            if all(policy in self.tails for policy in declared)
            else math.nan
        )
        null_passes = (
            float(sum(passes(record) for record in self.nulls.values()))
            if len(self.nulls) == len(NULL_STRATEGIES)
            else math.nan
        )
        metrics |= {"tail_policy_flips": flips, "null_strategies_passing": null_passes}
        return [
            at_most("tail_policy_flips", "robustness", flips, 0.0, reason="tail_policy_flips_verdict"),
            at_most("null_strategies_passing", "robustness", null_passes, 0.0, reason="null_strategy_passes"),
        ]


def _consistency(blocks: FloatArray) -> float:
    mean = abs(float(blocks.mean())) if len(blocks) else 0.0
    return float(np.clip(1 - blocks.std() / mean, 0.0, 1.0)) if len(blocks) > 2 and mean > 1e-12 else math.nan
