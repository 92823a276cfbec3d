from __future__ import annotations

import math

import numpy as np
import pytest

from kalshi_assets.core.regimes import (
    inflation_regime,
    performance_by_regime,
    policy_regime,
    regime_stability,
    volatility_regime,
)
from kalshi_assets.errors import DomainError

NAN = float("nan")


def test_tags_at_the_thresholds() -> None:
    cpi = np.array([3.5, 3.4, 2.1, 2.0, 0.0, NAN, np.inf])
    assert inflation_regime(cpi).tolist() == ["high", "moderate", "moderate", "low", "low", "unknown", "unknown"]
    assert policy_regime(np.array([25.0, 0.0, -25.0, NAN])).tolist() == ["tightening", "neutral", "easing", "unknown"]
    vix = np.array([25.0, 24.99, 15.01, 15.0, 0.0, NAN])
    assert volatility_regime(vix).tolist() == ["high", "moderate", "moderate", "low", "low", "unknown"]


def test_performance_by_hand() -> None:
    returns = np.array([0.1, -0.1, 0.3, NAN, 0.2])
    tags = np.array(["low", "low", "low", "high", "high"])
    high, low = performance_by_regime(returns, tags)
    assert (high.regime, high.count, high.mean_return, high.win_rate) == ("high", 1, 0.2, 1.0)
    assert high.sharpe_proxy == pytest.approx(0.2 / 1e-12)
    assert (low.regime, low.count) == ("low", 3)
    assert low.mean_return == pytest.approx(0.1)
    assert low.win_rate == pytest.approx(2 / 3)
    assert low.sharpe_proxy == pytest.approx(0.1 / math.sqrt((0.0 + 0.04 + 0.04) / 3))


def test_a_missing_return_takes_its_tag_along() -> None:
    (only,) = performance_by_regime(np.array([NAN, 0.5]), np.array(["a", "b"]))
    assert (only.regime, only.mean_return) == ("b", 0.5)
    with pytest.raises(DomainError, match="2 returns came with 1"):
        performance_by_regime(np.array([0.1, 0.2]), np.array(["a"]))


def stability(*means: float) -> float:
    tags = np.array([f"r{i}" for i in range(len(means))])
    return regime_stability(performance_by_regime(np.array(means), tags))


def test_stability_by_hand() -> None:
    assert math.isnan(stability())
    assert stability(0.4) == 1.0
    assert stability(0.2, 0.2) == 1.0
    assert stability(0.0, 0.0) == 1.0
    assert stability(0.1, 0.3) == pytest.approx(math.exp(-0.1 / 0.2))
    assert stability(0.2, -0.2) == pytest.approx(math.exp(-1.0))
