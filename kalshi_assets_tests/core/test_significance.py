"""Known answers of the Sharpe-ratio literature, both conventions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kurtosis, skew

from kalshi_assets.core.significance import (
    SharpeSample,
    deflated_benchmark,
    deflated_sharpe_ratio,
    expected_maximum,
    maximum_std,
    minimum_backtest_length,
    minimum_track_record,
    probabilistic_sharpe_ratio,
    sharpe_sample,
)
from kalshi_assets.errors import DomainError

HEDGE_FUND = SharpeSample(24, 0.458, -2.448, 10.164)
STRATEGY_2025 = SharpeSample(24, 0.456, -2.448, 10.164)
DAILY = SharpeSample(1250, 2.5 / math.sqrt(250), -3.0, 10.0)


@pytest.mark.parametrize(
    ("n", "value"), [(1, 0.0), (5, 1.19259), (10, 1.57460), (45, 2.23564), (100, 2.53060), (1000, 3.25512)]
)
def test_expected_maximum(n: int, value: float) -> None:
    assert expected_maximum(n) == pytest.approx(value, abs=5e-6)


def test_expected_maximum_needs_a_trial() -> None:
    with pytest.raises(DomainError):
        expected_maximum(0)


@pytest.mark.parametrize(("n", "value"), [(1, 1.0), (2, 0.82565), (10, 0.58681), (100, 0.42942)])
def test_spread_of_the_maximum(n: int, value: float) -> None:
    assert maximum_std(n) == pytest.approx(value, abs=5e-6)


def test_deflated_sharpe_ratio_2014() -> None:
    variance = 0.5 / 250
    assert deflated_benchmark(100, variance) == pytest.approx(0.11317, abs=5e-6)
    assert deflated_sharpe_ratio(DAILY, n_trials=100, sharpe_variance=variance) == pytest.approx(0.9004, abs=5e-5)
    assert deflated_sharpe_ratio(DAILY, n_trials=46, sharpe_variance=variance) == pytest.approx(0.9505, abs=5e-5)
    normal = SharpeSample(1250, DAILY.sharpe, 0.0, 3.0)
    assert deflated_sharpe_ratio(normal, n_trials=88, sharpe_variance=variance) == pytest.approx(0.9505, abs=5e-5)


def test_probabilistic_sharpe_ratio_2014() -> None:
    assert probabilistic_sharpe_ratio(HEDGE_FUND) == pytest.approx(0.9134, abs=5e-5)
    normal = SharpeSample(24, 0.458, 0.0, 3.0)
    assert probabilistic_sharpe_ratio(normal) == pytest.approx(0.9817, abs=5e-5)


def test_the_2025_convention() -> None:
    assert probabilistic_sharpe_ratio(STRATEGY_2025, convention="2025") == pytest.approx(0.987, abs=5e-4)
    assert probabilistic_sharpe_ratio(STRATEGY_2025, 0.1, convention="2025") == pytest.approx(0.939, abs=5e-4)
    assert minimum_track_record(STRATEGY_2025, convention="2025") == pytest.approx(13.011, abs=5e-4)
    assert minimum_track_record(STRATEGY_2025, 0.1, convention="2025") == pytest.approx(27.063, abs=5e-4)
    deflated = deflated_sharpe_ratio(STRATEGY_2025, n_trials=10, sharpe_variance=0.1, convention="2025")
    assert deflated == pytest.approx(0.417, abs=5e-4)


@pytest.mark.parametrize(
    ("per_year", "shape", "years"),
    [(250, (0.0, 3.0), 2.73), (52, (0.0, 3.0), 2.83), (12, (0.0, 3.0), 3.24), (12, (-0.72, 5.78), 4.99)],
)
def test_minimum_track_record(per_year: int, shape: tuple[float, float], years: float) -> None:
    sample = SharpeSample(0, 2 / math.sqrt(per_year), *shape)
    assert minimum_track_record(sample, 1 / math.sqrt(per_year)) / per_year == pytest.approx(years, abs=5e-3)


def test_minimum_track_record_without_an_edge() -> None:
    assert minimum_track_record(SharpeSample(100, -0.1, 0.0, 3.0)) == math.inf
    assert math.isnan(minimum_track_record(SharpeSample(100, math.nan, math.nan, math.nan)))


@pytest.mark.parametrize(("n", "years"), [(45, 4.998), (7, 1.923)])
def test_minimum_backtest_length(n: int, years: float) -> None:
    assert minimum_backtest_length(n, 1.0) == pytest.approx(years, abs=5e-4)
    assert minimum_backtest_length(n, 0.0) == math.inf


def test_track_record_of_minimum_length_has_the_confidence() -> None:
    sample = SharpeSample(0, 0.2, -0.5, 5.0)
    n = math.ceil(minimum_track_record(sample))
    assert probabilistic_sharpe_ratio(SharpeSample(n, 0.2, -0.5, 5.0)) >= 0.95
    assert probabilistic_sharpe_ratio(SharpeSample(n - 1, 0.2, -0.5, 5.0)) < 0.95


def test_more_trials_never_help() -> None:
    ratios = [deflated_sharpe_ratio(DAILY, n_trials=n, sharpe_variance=0.002) for n in (1, 2, 5, 20, 100, 1000)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] == probabilistic_sharpe_ratio(DAILY)


def test_sample_moments_match_scipy() -> None:
    returns = np.random.default_rng(1).gamma(2.0, size=200) - 1.8
    sample = sharpe_sample(returns)
    assert sample.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert sample.skewness == pytest.approx(skew(returns))
    assert sample.kurtosis == pytest.approx(kurtosis(returns, fisher=False))


@pytest.mark.parametrize("returns", [[], [0.1], [0.1, 0.1, 0.1], [0.1, math.nan, 0.2]])
def test_degenerate_samples_are_nan_everywhere(returns: list[float]) -> None:
    sample = sharpe_sample(np.array(returns))
    assert math.isnan(sample.sharpe)
    assert math.isnan(probabilistic_sharpe_ratio(sample))
    assert math.isnan(deflated_sharpe_ratio(sample, n_trials=5, sharpe_variance=0.1))


def test_missing_trial_variance_is_not_zero_variance() -> None:
    assert math.isnan(deflated_sharpe_ratio(DAILY, n_trials=5, sharpe_variance=math.nan))


def test_unknown_convention_is_refused() -> None:
    with pytest.raises(DomainError):
        probabilistic_sharpe_ratio(DAILY, convention="2012")  # type: ignore[arg-type]
