"""A complete promotion case built directly from returns, for tests of the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from kalshi_assets.core.pnl import PNL_SCHEMA
from kalshi_assets.core.promotion import EvidenceSummary, TrialCount, Verdict, candidate_returns, judge
from kalshi_assets.core.strategy import StrategyConfig
from kalshi_assets_tests.core.synthetic_events import released, rows_of

CONFIG = StrategyConfig(alphas=(1.0, 10.0, 100.0))
SOUND = EvidenceSummary(present=True, current=True, passed=True)
START = date(2012, 1, 3)


def day_of(i: int, every: int = 10) -> date:
    return START + timedelta(days=every * i)


def pnl_table(returns: np.ndarray, *, model: str = "ridge", every: int = 10, **change: Any) -> pa.Table:
    """One event every few days with the given return on capital at risk; NaN is a traded event without a return."""
    rows = []
    for i, value in enumerate(returns):
        at = released(day_of(i, every))
        rows.append(
            {"event_ticker": f"E{i:04d}", "series_ticker": "KXCPI", "event_date": day_of(i, every), "model": model}
            | {"event_type": ("CPI", "GDP")[i % 2], "horizon": "1d", "decided_at": at - timedelta(days=1)}
            | {"learned_at": at + timedelta(hours=1), "prediction": 0.0, "implied_mean": 0.0, "n_trades": 3}
            | {"n_synthetic_no": 0, "n_backdated_fees": 0, "contracts": 3.0, "stake_usd": 1.5, "fees_usd": 0.05}
            | {"pnl_usd": float(value) * 1.55, "return": None if np.isnan(value) else float(value)}
            | {"capital_fraction": 0.02, "capacity_usd": 5000.0}
            | change
        )
    return pa.Table.from_pylist(rows, schema=PNL_SCHEMA)


def abstained(n: int, model: str) -> pa.Table:
    nothing = {"n_trades": 0, "return": None, "pnl_usd": 0.0, "capital_fraction": 0.0, "capacity_usd": None}
    return pnl_table(np.zeros(n), model=model, **nothing)


@dataclass
class Case:
    """Everything :func:`judge` takes, with sensible defaults for a strategy of ``n`` events."""

    pnl: dict[str, pa.Table]
    predictions: pa.Table
    labels: pa.Table
    event_date: date
    regimes: pa.Table
    trials: TrialCount = field(default_factory=lambda: TrialCount(3, 900, inner_score=0.2))
    tail_pnls: dict[str, pa.Table] | None = None
    evidence: EvidenceSummary = SOUND
    config_returns: np.ndarray | None = None
    config: StrategyConfig = CONFIG

    def arguments(self) -> dict[str, Any]:
        return {
            "trials": self.trials, "config": self.config, "event_date": self.event_date, "evidence": self.evidence,
            "simulated": True, "config_returns": self.config_returns, "regimes": self.regimes,
            "tail_pnls": self.tail_pnls,
        }  # fmt: skip

    def judge(self, **change: Any) -> Verdict:
        return judge(self.pnl, self.predictions, self.labels, **self.arguments() | change)

    def but(self, **change: Any) -> Case:
        return replace(self, **change)


def case(mean: float, *, n: int = 200, std: float = 0.6, seed: int = 0, skill: float = 0.5) -> Case:
    """A strategy with a mean return on capital at risk, and forecasts that correlate with the prints."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, std, n)
    edge = noise - noise.mean() + mean if mean else noise

    def variant(weight: float) -> np.ndarray:
        return edge * (1 - weight) + weight * rng.normal(0, std, n)

    pnl = {
        "ridge": pnl_table(edge),
        "ridge[alpha=1]": pnl_table(variant(0.05), model="ridge[alpha=1]"),
        "ridge[alpha=10]": pnl_table(variant(0.0), model="ridge[alpha=10]"),
        "ridge[alpha=100]": pnl_table(variant(0.1), model="ridge[alpha=100]"),
        "last_print": pnl_table(rng.normal(-0.1, std, n), model="last_print"),
        "climatology": pnl_table(rng.normal(-0.1, std, n), model="climatology"),
        "random": pnl_table(rng.normal(-0.05, std, n), model="random"),
        "shuffled_labels": pnl_table(rng.normal(-0.05, std, n), model="shuffled_labels"),
        "market": abstained(n, "market"),
    }
    surprise = rng.normal(0, 0.15, n)
    forecast = skill * surprise + np.sqrt(1 - skill**2) * 0.5 * rng.normal(0, 0.15, n)
    predictions, labels, regimes = [], [], []
    for i in range(n):
        at = released(day_of(i))
        key = {"event_ticker": f"E{i:04d}", "series_ticker": "KXCPI", "event_date": day_of(i), "release_time": at}
        snapshot = {**key, "horizon": "1d", "as_of": at - timedelta(days=1), "ts": at, "known_at": at}
        predictions.append(
            {**snapshot, "strategy_id": "s", "model": "ridge", "prediction": 3 + forecast[i], "implied_mean": 3.0}
        )
        learned = at + timedelta(seconds=1)
        labels.append(
            {**key, "ts": at, "known_at": learned, "first_print": 3 + surprise[i], "implied_std": 0.15}
            | {"first_print_learned_at": learned}
        )
        tags = {"inflation_regime": ("high", "low")[i // 3 % 2], "policy_regime": "neutral"}
        regimes.append({**snapshot, "inputs_known_at": at, **tags, "volatility_regime": "unknown"})
    return Case(
        pnl=pnl,
        predictions=rows_of("predictions", predictions),
        labels=rows_of("labels", labels),
        event_date=day_of(n - 1),
        regimes=rows_of("feature_panel", regimes),
        tail_pnls=dict.fromkeys(CONFIG.tail_policies[1:], pnl["ridge"]),
        config_returns=candidate_returns(pnl),
    )
