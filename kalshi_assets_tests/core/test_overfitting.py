"""CSCV against a slow reference, split counts, combinatorial purged splits against literal arrays."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.overfitting import (
    assemble_paths,
    backtest_overfitting,
    combinatorial_purged_splits,
    path_count,
    symmetric_splits,
)
from kalshi_assets.errors import DomainError


def slow_pbo(returns: np.ndarray, n_blocks: int) -> float:
    """The definition, one split at a time."""
    bounds = np.linspace(0, len(returns), n_blocks + 1).astype(int)
    blocks = [returns[a:b] for a, b in itertools.pairwise(bounds)]
    below = []
    for chosen in itertools.combinations(range(n_blocks), n_blocks // 2):
        inside = np.vstack([blocks[i] for i in chosen])
        outside = np.vstack([blocks[i] for i in range(n_blocks) if i not in chosen])
        best = (inside.mean(axis=0) / inside.std(axis=0)).argmax()
        sharpe = outside.mean(axis=0) / outside.std(axis=0)
        omega = (sum(sharpe < sharpe[best]) + 1) / (returns.shape[1] + 1)
        below.append(math.log(omega / (1 - omega)) < -1e-9)
    return float(np.mean(below))


def test_sixteen_blocks_give_12870_splits() -> None:
    splits = symmetric_splits(16)
    assert splits.shape == (12_870, 16)
    assert (splits.sum(axis=1) == 8).all()
    assert len(np.unique(splits, axis=0)) == 12_870


@pytest.mark.parametrize(("n", "k", "n_blocks", "seed"), [(60, 7, 6, 0), (83, 5, 8, 1), (40, 3, 4, 2), (64, 12, 6, 3)])
def test_pbo_equals_the_slow_reference(n: int, k: int, n_blocks: int, seed: int) -> None:
    returns = np.random.default_rng(seed).normal(0.02, 1, (n, k))
    assert backtest_overfitting(returns, n_blocks=n_blocks).pbo == pytest.approx(slow_pbo(returns, n_blocks))


def test_noise_overfits_and_a_real_edge_does_not() -> None:
    noise = np.random.default_rng(7).normal(0, 1, (240, 20))
    assert backtest_overfitting(noise).pbo > 0.3
    noise[:, 3] += 0.5
    assert backtest_overfitting(noise).pbo < 0.01


def test_identical_configurations_share_their_rank() -> None:
    column = np.random.default_rng(1).normal(0, 1, (64, 1))
    result = backtest_overfitting(np.repeat(column, 4, axis=1), n_blocks=8)
    assert np.allclose(result.logits, 0.0)
    assert result.pbo == 0.0


@pytest.mark.parametrize("returns", [np.zeros((100, 1)), np.zeros((10, 3)), np.full((100, 3), np.nan)])
def test_too_little_to_split_is_nan(returns: np.ndarray) -> None:
    assert math.isnan(backtest_overfitting(returns).pbo)


@pytest.mark.parametrize("n_blocks", [0, 3, 18])
def test_blocks_that_cannot_be_halved_are_refused(n_blocks: int) -> None:
    with pytest.raises(DomainError):
        backtest_overfitting(np.zeros((100, 2)), n_blocks=n_blocks)


def test_split_and_path_counts() -> None:
    start = np.arange(60) * 10
    assert len(combinatorial_purged_splits(start, start + 1)) == 15
    assert path_count(6, 2) == 5
    assert path_count(5, 2) == 4


def test_purge_and_embargo_against_literal_arrays() -> None:
    # Ten events a day apart, each label 12 hours long; groups {0-3}, {4-6}, {7-9} by floor of equal cuts.
    start = np.arange(10) * 24
    splits = combinatorial_purged_splits(start, start + 12, n_groups=5, n_test_groups=1, purge=12, embargo=0)
    assert splits[0].test.tolist() == [0, 1]
    assert splits[0].train.tolist() == [2, 3, 4, 5, 6, 7, 8, 9]
    wider = combinatorial_purged_splits(start, start + 12, n_groups=5, n_test_groups=1, purge=13, embargo=0)
    assert wider[2].test.tolist() == [4, 5]
    assert wider[2].train.tolist() == [0, 1, 2, 7, 8, 9]
    embargoed = combinatorial_purged_splits(start, start + 12, n_groups=5, n_test_groups=1, purge=0, embargo=37)
    assert embargoed[2].train.tolist() == [0, 1, 2, 3, 8, 9]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_training_label_meets_a_widened_test_label(data: st.DataObject) -> None:
    n = data.draw(st.integers(8, 30))
    start = np.cumsum(data.draw(st.lists(st.integers(0, 20), min_size=n, max_size=n)))
    end = start + np.array(data.draw(st.lists(st.integers(0, 60), min_size=n, max_size=n)))
    purge = data.draw(st.integers(0, 30))
    for split in combinatorial_purged_splits(start, end, n_groups=4, n_test_groups=2, purge=purge):
        for i, j in itertools.product(split.train, split.test):
            assert not (start[i] < end[j] + purge and end[i] > start[j] - purge)
        assert not set(split.train) & set(split.test)


def test_every_path_is_a_complete_history() -> None:
    start = np.arange(23) * 10
    splits = combinatorial_purged_splits(start, start + 1)
    outcomes = [split.test.astype(float) for split in splits]
    paths = assemble_paths(splits, outcomes, 6)
    assert paths.shape == (5, 23)
    assert (paths == np.arange(23)).all()


def test_unordered_events_are_refused() -> None:
    with pytest.raises(DomainError):
        combinatorial_purged_splits(np.array([3, 1, 2]), np.array([4, 2, 3]), n_groups=3, n_test_groups=1)
    with pytest.raises(DomainError):
        combinatorial_purged_splits(np.arange(3), np.arange(3) + 1, n_groups=6)
