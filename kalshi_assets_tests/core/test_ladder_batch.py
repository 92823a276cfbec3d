"""Many ladders from flat arrays: the same laws as one by one, and as the public door gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.distribution import DistributionConfig
from kalshi_assets.core.ladder_batch import repaired_moments
from kalshi_assets.core.repair import repair_survival
from kalshi_assets.core.tables import MOMENTS
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.ladder_oracles import pmf_moments
from kalshi_assets_tests.core.ladder_rows import CPI_QUOTES, cpi_ladder

POLICIES = ["step", "hazard", "truncate"]
OFFSETS, CUT = np.array([0, 6]), np.arange(6)  # above -0.1 is at or above 0.0
BID, ASK = (np.rint(np.array(side) * 1e6).astype(np.int64) for side in zip(*CPI_QUOTES, strict=True))

cents = st.tuples(st.integers(0, 100), st.integers(0, 100))


@pytest.mark.parametrize("policy", POLICIES)
def test_the_public_door_gives_the_same(policy: str) -> None:
    found = repaired_moments(OFFSETS, CUT, BID, ASK, tick=0.1, tail_policy=policy)
    row = cpi_ladder(config=DistributionConfig(tail_policy=policy))
    assert found.moments[0] == pytest.approx([row[name] for name in MOMENTS], abs=1e-12)
    assert found.tails[0] == pytest.approx([row["tail_mass_low"], row["tail_mass_high"]], abs=1e-12)
    assert found.feasible.tolist() == [True]


def test_step_by_the_mass_function_of_adjacent_strikes() -> None:
    found = repaired_moments(OFFSETS, CUT, BID, ASK, tick=0.1)
    points = np.array([-0.1, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    mass = -np.diff(np.concatenate([[1.0], (BID + ASK) / 2e6, [0.0]]))
    by_hand = pmf_moments(points, mass)
    assert found.moments[0] == pytest.approx([by_hand[name] for name in MOMENTS], abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(cents, min_size=0, max_size=8), max_size=6), st.sampled_from(POLICIES))
def test_a_batch_is_its_ladders_one_by_one(batch: list[list[tuple[int, int]]], policy: str) -> None:
    sizes = np.array([len(ladder) for ladder in batch], np.int64)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    quotes = np.array([q for ladder in batch for q in ladder], np.int64).reshape(-1, 2) * 10_000
    cut = np.concatenate([np.arange(n) * 3 for n in sizes] or [np.zeros(0)]).astype(np.int64)
    whole = repaired_moments(offsets, cut, quotes[:, 0], quotes[:, 1], tick=0.1, tail_policy=policy)
    curve, feasible = repair_survival(offsets, cut, quotes[:, 0], quotes[:, 1])
    np.testing.assert_array_equal(whole.survival, curve)
    np.testing.assert_array_equal(whole.feasible, feasible)
    for i, n in enumerate(sizes):
        own = slice(offsets[i], offsets[i + 1])
        alone = repaired_moments(
            np.array([0, n]), cut[own], quotes[own, 0], quotes[own, 1], tick=0.1, tail_policy=policy
        )
        np.testing.assert_array_equal(whole.moments[i], alone.moments[0])
        known = curve[own][np.isfinite(curve[own])]
        if known.size == 0:
            assert np.isnan(whole.moments[i]).all()
            assert np.isnan(whole.tails[i]).all()
        elif np.isfinite(whole.tails[i]).all():
            assert whole.tails[i] == pytest.approx([1.0 - known[0], known[-1]], abs=1e-15)
            assert np.isfinite(np.delete(whole.moments[i], MOMENTS.index("kurtosis"))).all()


def test_an_unknown_tail_policy_is_refused() -> None:
    with pytest.raises(DomainError, match="wild"):
        repaired_moments(OFFSETS, CUT, BID, ASK, tick=0.1, tail_policy="wild")
