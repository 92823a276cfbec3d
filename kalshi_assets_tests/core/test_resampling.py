"""Resampling tests: uniform under the null, exact on small cases, equal to reference implementations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import bootstrap, kstest

from kalshi_assets.core.resampling import bootstrap_mean_interval, sign_flip_pvalue, superior_predictive_ability


def test_sign_flip_approaches_the_exhaustive_count() -> None:
    returns = np.array([0.5, -0.1, 0.3, 0.2, -0.4, 0.6, 0.1, -0.05])
    sums = [np.dot(signs, returns) for signs in itertools.product((-1, 1), repeat=8)]
    exact = np.mean(np.array(sums) >= returns.sum() - 1e-12)
    assert sign_flip_pvalue(returns, n_draws=20_000, seed=3) == pytest.approx(exact, abs=0.01)


def test_sign_flip_is_uniform_under_the_null() -> None:
    rng = np.random.default_rng(11)
    pvalues = [sign_flip_pvalue(rng.standard_t(4, 60), n_draws=400, seed=i) for i in range(400)]
    assert kstest(pvalues, "uniform").pvalue > 0.01
    assert np.mean(np.array(pvalues) < 0.05) == pytest.approx(0.05, abs=0.035)


def test_sign_flip_sees_an_edge_and_a_loss() -> None:
    edge = np.random.default_rng(2).normal(0.3, 1, 300)
    assert sign_flip_pvalue(edge) < 0.001
    assert sign_flip_pvalue(-edge) > 0.999
    assert sign_flip_pvalue(np.full(10, 0.1), n_draws=1000) == pytest.approx(2**-10, abs=0.004)


@pytest.mark.parametrize("returns", [[], [0.1, math.nan]])
def test_missing_returns_have_no_pvalue(returns: list[float]) -> None:
    assert math.isnan(sign_flip_pvalue(np.array(returns)))
    assert all(math.isnan(bound) for bound in bootstrap_mean_interval(np.array(returns)))


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_interval_equals_scipy(method: str) -> None:
    returns = np.random.default_rng(5).exponential(size=150) - 0.7
    low, high = bootstrap_mean_interval(returns, n_draws=20_000, seed=1, method=method)
    kind = "BCa" if method == "bca" else "percentile"
    reference = bootstrap((returns,), np.mean, n_resamples=20_000, method=kind, rng=np.random.default_rng(9))
    assert low == pytest.approx(reference.confidence_interval.low, abs=0.006)
    assert high == pytest.approx(reference.confidence_interval.high, abs=0.006)


def test_interval_of_a_constant_is_a_point() -> None:
    assert bootstrap_mean_interval(np.full(20, 0.3)) == pytest.approx((0.3, 0.3))


def test_spa_orders_its_pvalues_and_finds_a_superior_strategy() -> None:
    rng = np.random.default_rng(8)
    excess = rng.normal(0, 1, (300, 12))
    excess[:, 0] += 0.25
    excess[:, 5:] -= 1.0
    result = superior_predictive_ability(excess, n_draws=2000)
    assert result.lower <= result.consistent <= result.upper
    assert result.consistent < 0.02


def test_spa_keeps_its_size_under_the_null() -> None:
    rng = np.random.default_rng(4)
    rejected = [
        superior_predictive_ability(rng.normal(0, 1, (120, 6)), n_draws=300, seed=i).consistent < 0.05
        for i in range(500)
    ]
    assert np.mean(rejected) == pytest.approx(0.055, abs=0.03)


def test_spa_ignores_a_strategy_that_is_the_benchmark_and_refuses_nan() -> None:
    excess = np.random.default_rng(3).normal(0, 1, (50, 2))
    padded = np.column_stack([excess, np.zeros(50)])
    assert superior_predictive_ability(padded) == superior_predictive_ability(excess)
    assert math.isnan(superior_predictive_ability(np.zeros((50, 2))).consistent)
    excess[3, 1] = np.nan
    assert math.isnan(superior_predictive_ability(excess).consistent)
