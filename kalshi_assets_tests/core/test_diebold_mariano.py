"""The corrected Diebold-Mariano test: another library's numbers, its equal, its size, its refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from kalshi_assets.core.diebold_mariano import LEAST_CLUSTERS, diebold_mariano
from kalshi_assets.errors import DomainError

OUTCOME = np.array([0.1, 0.3, 0.2, 0.4, 0.0, 0.5, 0.3, 0.2])
FIRST = np.array([0.2, 0.25, 0.2, 0.1, 0.15, 0.3, 0.35, 0.1])
SECOND = np.array([0.0, 0.5, 0.35, 0.2, 0.3, 0.9, 0.1, 0.3])


def test_as_another_library_has_it() -> None:
    # By dieboldmariano 1.1.0, absolute loss, one step ahead.
    found = diebold_mariano(np.abs(FIRST - OUTCOME) - np.abs(SECOND - OUTCOME))
    assert (found.n, found.statistic, found.p_value) == (8, pytest.approx(-7 / 3), pytest.approx(0.0523563066))
    assert found.mean_difference == pytest.approx(-0.0875)


def test_several_steps_ahead_as_another_library_has_it() -> None:
    # By dieboldmariano 1.1.0, squared loss, two steps ahead, rectangular kernel.
    found = diebold_mariano((FIRST - OUTCOME) ** 2 - (SECOND - OUTCOME) ** 2, steps_ahead=2)
    assert (found.statistic, found.p_value) == (pytest.approx(-1.3385453600), pytest.approx(0.2225574738))


def test_one_step_ahead_it_is_a_paired_t_test() -> None:
    d = np.random.default_rng(1).normal(0.2, 1.0, 25)
    found, plain = diebold_mariano(d), ttest_1samp(d, 0.0)
    assert (found.statistic, found.p_value) == (pytest.approx(plain.statistic), pytest.approx(plain.pvalue))
    swapped = diebold_mariano(-d)
    assert (swapped.statistic, swapped.p_value) == (pytest.approx(-found.statistic), pytest.approx(found.p_value))


def test_series_that_share_a_release_count_once() -> None:
    d = np.random.default_rng(2).normal(0.1, 1.0, 12)
    twice = diebold_mariano(np.repeat(d, 2), cluster=np.repeat(np.arange(12), 2))
    assert twice.n == 12
    assert twice.statistic == pytest.approx(diebold_mariano(d).statistic)
    assert abs(diebold_mariano(np.repeat(d, 2)).statistic) > abs(twice.statistic)


def test_it_keeps_its_size_in_small_samples() -> None:
    rng = np.random.default_rng(7)
    rejected = [diebold_mariano(rng.normal(0, 1, 12)).p_value < 0.05 for _ in range(2000)]
    assert np.mean(rejected) == pytest.approx(0.05, abs=0.015)


def test_too_few_or_constant_differences_have_no_statistic() -> None:
    short = diebold_mariano(np.arange(LEAST_CLUSTERS - 1.0))
    assert (short.n, short.mean_difference) == (LEAST_CLUSTERS - 1, 1.5)
    for found in (
        short,
        diebold_mariano(np.full(20, 0.1)),
        diebold_mariano(np.zeros(20)),
        diebold_mariano(np.zeros(0)),
    ):
        assert math.isnan(found.statistic)
        assert math.isnan(found.p_value)


def test_a_missing_difference_is_refused() -> None:
    with pytest.raises(DomainError):
        diebold_mariano(np.array([0.1, math.nan]))
    with pytest.raises(DomainError):
        diebold_mariano(np.ones(9), steps_ahead=0)
