"""Disjoint bins: water-filling inside the bid/ask boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.simplex import project_bins
from kalshi_assets_tests.core.ladder_oracles import bins_in_bounds


def test_mids_that_sum_to_one_stay() -> None:
    p = project_bins(np.array([0.2, 0.5, 0.3]), np.ones(3), np.zeros(3), np.ones(3))
    assert p is not None
    assert p == pytest.approx([0.2, 0.5, 0.3], abs=1e-12)


def test_equal_weights_share_the_excess_equally() -> None:
    p = project_bins(np.array([0.3, 0.5, 0.5]), np.ones(3), np.zeros(3), np.ones(3))
    assert p == pytest.approx([0.2, 0.4, 0.4], abs=1e-12)


def test_a_narrow_quote_gives_way_least() -> None:
    # spreads 1, 2, 3 cents: the excess of 0.06 is shared as 1 : 2 : 3
    p = project_bins(np.array([0.3, 0.36, 0.4]), np.array([100.0, 50.0, 100 / 3]), np.zeros(3), np.ones(3))
    assert p == pytest.approx([0.29, 0.34, 0.37], abs=1e-12)


def test_a_bin_at_its_bid_leaves_the_rest_to_the_others() -> None:
    p = project_bins(np.array([0.3, 0.5, 0.5]), np.ones(3), np.array([0.28, 0.0, 0.0]), np.ones(3))
    assert p == pytest.approx([0.28, 0.36, 0.36], abs=1e-12)


def test_a_bin_without_a_target_takes_what_is_left() -> None:
    p = project_bins(np.array([0.2, 0.0, 0.3]), np.array([1.0, 0.0, 1.0]), np.zeros(3), np.ones(3))
    assert p == pytest.approx([0.2, 0.5, 0.3], abs=1e-12)


def test_two_bins_without_a_target_share_by_their_size() -> None:
    p = project_bins(
        np.array([0.2, 0.0, 0.0]), np.array([1.0, 0.0, 0.0]), np.zeros(3), np.ones(3), np.array([1.0, 1.0, 3.0])
    )
    assert p == pytest.approx([0.2, 0.2, 0.6], abs=1e-12)


def test_a_target_gives_way_only_when_the_others_cannot() -> None:
    p = project_bins(np.array([0.2, 0.0, 0.3]), np.array([1.0, 0.0, 1.0]), np.zeros(3), np.array([1.0, 0.4, 1.0]))
    assert p == pytest.approx([0.25, 0.4, 0.35], abs=1e-12)


@pytest.mark.parametrize(
    ("lower", "upper"), [([0.6, 0.6], [0.7, 0.7]), ([0.0, 0.0], [0.4, 0.5]), ([0.5, 0.1], [0.4, 0.9])]
)
def test_boxes_without_a_probability_vector(lower: list[float], upper: list[float]) -> None:
    assert project_bins(np.array([0.5, 0.5]), np.ones(2), np.array(lower), np.array(upper)) is None


box = st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100), st.integers(1, 40))


@settings(deadline=None)
@given(st.lists(box, min_size=2, max_size=9))
def test_it_is_the_projection(bins: list[tuple[int, int, int, int]]) -> None:
    ends = np.array([sorted(b[:2]) for b in bins]) / 100
    lower, upper = ends.T
    target, weight = np.array([b[2] for b in bins]) / 100, np.array([b[3] for b in bins], float)
    p = project_bins(target, weight, lower, upper)
    total_low, total_high = sum(min(b[:2]) for b in bins), sum(max(b[:2]) for b in bins)
    assert (p is not None) == (total_low <= 100 <= total_high)
    if p is None:
        return
    assert p.sum() == pytest.approx(1.0, abs=1e-9)
    assert np.all((p >= lower - 1e-12) & (p <= upper + 1e-12))
    assert p == pytest.approx(bins_in_bounds(target, weight, lower, upper), abs=1e-8)
