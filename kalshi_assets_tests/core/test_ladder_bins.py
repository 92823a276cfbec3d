"""Structure of bins, on the named cases."""

from __future__ import annotations

import numpy as np
import pytest

from kalshi_assets.core.bins import BinStructure, count_overlaps, validate_bins


def check(*bins: tuple[float, float]) -> BinStructure:
    low, high = np.array(bins, dtype=float).reshape(-1, 2).T
    return validate_bins(low, high)


def test_clean_bins_valid() -> None:
    assert check((1, 2), (2, 3), (3, 4), (4, 5)) == BinStructure(0, 0.0, True, True)


def test_overlapping_bins_detected() -> None:
    found = check((1, 2), (1.5, 3), (3, 4))
    assert (found.valid, found.overlaps) == (False, 1)


def test_gapped_bins_detected() -> None:
    found = check((1, 2), (3, 4), (5, 6))
    assert found.valid
    assert found.ordered
    assert found.gap_share == pytest.approx(2 / 5)


def test_inverted_bin_detected() -> None:
    found = check((1, 2), (3, 3), (4, 5))
    assert (found.valid, found.overlaps) == (False, 1)


def test_single_bin_valid() -> None:
    assert check((1, 2)).valid


def test_incomplete_and_no_bins_valid() -> None:
    assert check((np.nan, 2), (3, np.nan)) == BinStructure(0, 0.0, True, True)
    assert check() == BinStructure(0, 0.0, True, True)


def test_unordered_bins_detected() -> None:
    found = check((3, 4), (1, 2), (2, 3))
    assert (found.ordered, found.valid) == (False, True)


def test_severe_overlap() -> None:
    found = check((1, 5), (1, 5), (1, 5))
    assert (found.valid, found.overlaps) == (False, 2)


def test_a_bin_inside_a_wide_one_overlaps_although_its_neighbour_does_not_reach_it() -> None:
    assert check((1, 10), (2, 3), (4, 5)).overlaps == 2


def test_the_kernel_counts_as_the_checker_does() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        n = rng.integers(1, 7)
        low = np.sort(rng.integers(0, 12, n))
        high = low + rng.integers(0, 5, n)
        order = np.lexsort((high, low))
        assert count_overlaps(low[order], high[order], int(n)) <= validate_bins(low * 1.0, high * 1.0).overlaps
        if np.all(high > low):
            assert count_overlaps(low[order], high[order], int(n)) == validate_bins(low * 1.0, high * 1.0).overlaps
