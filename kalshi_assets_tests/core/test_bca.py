"""BCa intervals: scipy's own on the same data, coverage, degenerate samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from kalshi_assets.core.bca import bca_intervals


def mean(means):
    return means


def ratio(means):
    return means[:, :1] / means[:, 1:]


def test_a_mean_and_a_ratio_as_scipy_has_them() -> None:
    rng = np.random.default_rng(5)
    x = rng.exponential(size=40)
    y = x * rng.uniform(0.5, 1.5, 40) + 0.2
    (found,) = bca_intervals(x[:, None], mean, n_draws=20_000, seed=1)
    theirs = bootstrap(
        (x,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(2)
    ).confidence_interval
    assert found == pytest.approx([theirs.low, theirs.high], abs=0.02)
    (found,) = bca_intervals(np.column_stack([x, y]), ratio, n_draws=20_000, seed=1)
    theirs = bootstrap(
        (x, y), lambda a, b, axis=-1: a.mean(axis=axis) / b.mean(axis=axis), paired=True, vectorized=True,
        n_resamples=20_000, method="BCa", rng=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    assert found == pytest.approx([theirs.low, theirs.high], abs=0.02)


def test_the_interval_of_a_skewed_mean_leans_to_its_long_tail() -> None:
    x = np.random.default_rng(6).exponential(size=25)
    low, high = bca_intervals(x[:, None], mean, seed=3)[0]
    assert low < x.mean() < high
    assert high - x.mean() > x.mean() - low


def test_the_mean_is_covered_as_often_as_said() -> None:
    rng = np.random.default_rng(8)
    hits = 0
    for i in range(300):
        low, high = bca_intervals(rng.normal(0, 1, (30, 1)), mean, n_draws=400, seed=i)[0]
        hits += low <= 0.0 <= high
    assert hits / 300 == pytest.approx(0.94, abs=0.04)


def test_same_seed_same_interval() -> None:
    x = np.random.default_rng(9).normal(size=(20, 1))
    assert (bca_intervals(x, mean, seed=4) == bca_intervals(x, mean, seed=4)).all()
    assert (bca_intervals(x, mean, seed=4) != bca_intervals(x, mean, seed=5)).any()


def test_degenerate_samples() -> None:
    assert bca_intervals(np.full((12, 1), 0.3), mean)[0] == pytest.approx([0.3, 0.3])
    assert np.isnan(bca_intervals(np.ones((1, 1)), mean)).all()
    # In some resample the denominator is zero throughout.
    sparse = np.column_stack([np.ones(12), np.append(np.zeros(11), 1.0)])
    with np.errstate(divide="ignore", invalid="ignore"):
        assert np.isnan(bca_intervals(sparse, ratio)).all()
