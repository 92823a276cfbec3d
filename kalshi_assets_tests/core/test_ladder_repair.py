"""Threshold ladders: the arbitrage test, the bounded projection, and what lies between the targets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.repair import add_wide_targets, bounded_isotonic, repair_survival, survival_envelope
from kalshi_assets_tests.core.ladder_oracles import Floats, isotonic_in_bounds, unbounded_decreasing

ONE = 1_000_000


def project(target: list[float], weight: list[float], lower: list[float], upper: list[float]) -> Floats:
    n = len(target)
    out = np.full(n, np.nan)
    bounded_isotonic(
        np.array(target, float), np.array(weight, float), np.array(lower, float), np.array(upper, float), n, out,
        np.empty((5, n)), np.empty(n, np.int64),
    )  # fmt: skip
    return out


def free(target: list[float], weight: list[float] | None = None) -> Floats:
    n = len(target)
    return project(target, weight or [1.0] * n, [-100.0] * n, [100.0] * n)


def test_known_answer_of_the_literature() -> None:
    rising = [1.5, 1, 4, 6, 5.7, 5, 7.8, 9, 7.5, 9.5, 9]
    expected = [1.25, 1.25, 4, 16.7 / 3, 16.7 / 3, 16.7 / 3, 7.8, 8.25, 8.25, 9.25, 9.25]
    assert free([-x for x in rising]) == pytest.approx([-x for x in expected], abs=1e-12)


def test_known_answer_decreasing_with_weights() -> None:
    found = free([0.8, 0.85, 0.5, 0.55, 0.1], [1, 1, 2, 1, 1])
    assert found == pytest.approx([0.825, 0.825, 0.51666667, 0.51666667, 0.1], abs=1e-8)


def test_a_pool_of_three_is_its_mean() -> None:
    assert free([0.1, 0.2, 0.3]) == pytest.approx([0.2, 0.2, 0.2])


def test_clipping_the_unbounded_projection_is_wrong_and_the_bounded_one_is_not_it() -> None:
    assert project([0.0, 1.0], [1, 1], [0.8, 0.0], [1.0, 1.0]) == pytest.approx([0.8, 0.8])


def test_rungs_of_weight_zero_are_skipped() -> None:
    found = project([0.9, 0.0, 0.2], [1, 0, 1], [0, 0, 0], [1, 1, 1])
    assert found[[0, 2]] == pytest.approx([0.9, 0.2])
    assert np.isnan(found[1])


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 100)), min_size=1, max_size=25))
def test_without_bounds_it_is_isotonic_regression(rungs: list[tuple[float, float]]) -> None:
    target, weight = np.array(rungs).T
    assert free(list(target), list(weight)) == pytest.approx(unbounded_decreasing(target, weight), abs=1e-10)


prices = st.tuples(st.integers(0, 100), st.integers(0, 100)).map(lambda p: (min(p) * 10_000, max(p) * 10_000))
ladders = st.lists(prices, min_size=1, max_size=9)


def envelope(quotes: list[tuple[int, int]]) -> tuple[bool, Floats, Floats]:
    bid, ask = np.array(quotes, np.int64).T
    low, high = np.empty(bid.size), np.empty(bid.size)
    return bool(survival_envelope(bid, ask, bid.size, low, high)), low, high


@settings(deadline=None)
@given(ladders)
def test_infeasible_exactly_when_a_bid_exceeds_an_earlier_ask(quotes: list[tuple[int, int]]) -> None:
    feasible, low, high = envelope(quotes)
    crossed = any(quotes[j][0] > quotes[i][1] for j in range(len(quotes)) for i in range(j + 1))
    assert feasible is not crossed
    for k in range(len(quotes)):
        assert high[k] == min(a for _, a in quotes[: k + 1]) / 1e6
        assert low[k] == max(b for b, _ in quotes[k:]) / 1e6


@settings(deadline=None)
@given(ladders, st.data())
def test_it_is_the_projection_onto_monotone_curves_inside_the_quotes(
    quotes: list[tuple[int, int]], data: st.DataObject
) -> None:
    feasible, low, high = envelope(quotes)
    if not feasible:
        return
    n = len(quotes)
    target = np.array(data.draw(st.lists(st.integers(0, 100), min_size=n, max_size=n))) / 100
    weight = np.array(data.draw(st.lists(st.integers(1, 50), min_size=n, max_size=n))) * 2.0
    bid, ask = np.array(quotes).T / 1e6
    found = project(list(target), list(weight), list(low), list(high))
    assert np.all(np.diff(found) <= 1e-12)
    assert np.all(found >= bid - 1e-12)
    assert np.all(found <= ask + 1e-12)
    oracle = isotonic_in_bounds(target, weight, bid, ask)
    assert found == pytest.approx(oracle, abs=1e-8)


@settings(deadline=None)
@given(ladders)
def test_a_wide_quote_counts_where_both_its_sides_say_more_than_the_others(quotes: list[tuple[int, int]]) -> None:
    bid, ask = np.array(quotes, np.int64).T
    n = bid.size
    weight = np.where(ask - bid <= 100_000, 7.0, 0.0)
    found = weight.copy()
    add_wide_targets(bid, ask, n, (bid + ask) / 2e6, found)
    for k in range(n):
        says_more = all(ask[k] < a for a in [*ask[:k], ONE]) and all(bid[k] > b for b in [*bid[k + 1 :], 0])
        expected = 1e6 / (ask[k] - bid[k]) if weight[k] == 0.0 and says_more else weight[k]
        assert found[k] == pytest.approx(expected)


def repaired(cuts: list[int], quotes: list[tuple[int, int]], max_spread: int = 100_000) -> tuple[Floats, bool]:
    bid, ask = np.array(quotes, np.int64).T
    curve, feasible = repair_survival(
        np.array([0, len(cuts)]), np.array(cuts, np.int64), bid, ask, max_mid_spread=max_spread
    )
    return curve, bool(feasible[0])


def test_a_wide_quote_only_bounds_and_the_curve_is_straight_across_it() -> None:
    curve, feasible = repaired([0, 1, 4], [(880_000, 920_000), (100_000, 900_000), (280_000, 320_000)])
    assert feasible
    assert curve == pytest.approx([0.9, 0.9 - 0.6 / 4, 0.3])


def test_where_bounds_bar_the_straight_line_the_curve_bends_at_them_only() -> None:
    # straight from 0.9 to 0.1 over four steps would be 0.7 at step one, but the ask there is 0.5
    curve, _ = repaired([0, 1, 2, 3, 4], [(900_000, 900_000), (0, 500_000), (0, ONE), (0, ONE), (100_000, 100_000)])
    step = 0.4 / 3
    assert curve == pytest.approx([0.9, 0.5, 0.5 - step, 0.5 - 2 * step, 0.1])


def test_a_bid_beyond_the_last_target_holds_mass_out_there() -> None:
    curve, _ = repaired([0, 1, 2], [(900_000, 940_000), (200_000, 600_000), (0, ONE)])
    assert curve[:2] == pytest.approx([0.92, 0.4])
    assert np.isnan(curve[2])


def test_incoherent_quotes_are_projected_without_their_bounds() -> None:
    curve, feasible = repaired([0, 1], [(200_000, 220_000), (600_000, 620_000)])
    assert not feasible
    assert curve == pytest.approx([0.41, 0.41])


@settings(deadline=None)
@given(st.lists(ladders, min_size=1, max_size=6))
def test_a_batch_is_its_ladders_one_by_one(batch: list[list[tuple[int, int]]]) -> None:
    offsets = np.concatenate([[0], np.cumsum([len(b) for b in batch])]).astype(np.int64)
    bid, ask = np.array([q for b in batch for q in b], np.int64).T
    cut = np.concatenate([np.arange(len(b)) for b in batch]).astype(np.int64)
    together, feasible = repair_survival(offsets, cut, bid, ask)
    for i, ladder in enumerate(batch):
        alone, coherent = repaired(list(range(len(ladder))), ladder)
        np.testing.assert_array_equal(together[offsets[i] : offsets[i + 1]], alone)
        assert feasible[i] == coherent


@settings(deadline=None)
@given(ladders)
def test_the_filled_curve_is_the_straightest_inside_the_bounds(quotes: list[tuple[int, int]]) -> None:
    """No shorter path: between two targets every inner rung is on the chord of its neighbours or stopped by a bound."""
    feasible, low, high = envelope(quotes)
    curve, _ = repaired(list(range(len(quotes))), quotes, max_spread=50_000)
    known = np.flatnonzero(np.isfinite(curve))
    if not feasible or known.size == 0:
        return
    assert np.all(np.diff(curve[known]) <= 1e-12)
    targeted = [k for k, (b, a) in enumerate(quotes) if a - b <= 50_000]
    for k in range(len(quotes)):
        if k in targeted or not targeted or k < targeted[0] or k > targeted[-1]:
            continue
        chord = 0.5 * (curve[k - 1] + curve[k + 1])
        if curve[k] < chord - 1e-9:
            assert curve[k] == pytest.approx(high[k], abs=1e-12)
        elif curve[k] > chord + 1e-9:
            assert curve[k] == pytest.approx(low[k], abs=1e-12)
