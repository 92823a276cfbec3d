"""The soft score, the liquidity proxy and the order of the gates."""

from __future__ import annotations

import math

import pytest

from kalshi_assets.core import quality as q


def test_liquidity_does_not_depend_on_which_columns_a_feed_has() -> None:
    assert q.liquidity(math.e**2 - 1, math.e**2 - 1) == pytest.approx(4.0)
    assert q.liquidity(math.e**2 - 1, math.nan) == pytest.approx(4.0)
    assert q.liquidity(math.nan, math.e**2 - 1) == pytest.approx(4.0)
    assert math.isnan(q.liquidity(math.nan, math.nan))


def test_a_perfect_snapshot_scores_one_less_what_liquidity_lacks() -> None:
    total, liquid, constraint = q.score(1.0, 0.0, 0.2, 0.0, 8.0, 0.0)
    assert liquid == pytest.approx(math.tanh(1.0))
    assert constraint == 1.0
    assert total == pytest.approx(0.35 + 0.20 + 0.20 + 0.10 * math.tanh(1.0) + 0.15)


def test_each_dimension_pulls_its_weight() -> None:
    base = q.score(1.0, 0.0, 0.2, 0.0, 8.0, 0.0)[0]
    assert base - q.score(0.5, 0.0, 0.2, 0.0, 8.0, 0.0)[0] == pytest.approx(0.175)
    assert base - q.score(1.0, 0.1, 0.2, 0.0, 8.0, 0.0)[0] == pytest.approx(0.1)
    assert base - q.score(1.0, 0.0, 0.2, 1 / 6, 8.0, 0.0)[0] == pytest.approx(0.2 * (1 - math.exp(-1)))
    assert base - q.score(1.0, 0.0, 0.2, 0.0, 8.0, 1.0)[0] == pytest.approx(0.15 * (1 - math.exp(-1)))


def test_unknown_spread_and_age_count_one_half() -> None:
    assert q.score(0.0, math.nan, 0.2, math.nan, math.nan, 0.0)[0] == pytest.approx(0.1 + 0.1 + 0.15)


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ((0, 0, 0, 0, 0), "not_listed"),
        ((10, 0, 0, 0, 0), "unresolved_direction"),
        ((10, 2, 2, 2, 2), "unresolved_direction"),
        ((10, 10, 0, 0, 0), "no_quotes"),
        ((10, 10, 10, 0, 0), "stale_quotes"),
        ((10, 10, 10, 2, 2), "stale_quotes"),
        ((10, 10, 10, 10, 0), "no_quotes"),
        ((16, 16, 16, 16, 3), "low_coverage"),
        ((4, 4, 4, 4, 2), "too_few_contracts"),
        ((10, 10, 10, 10, 10), "passed"),
        ((10, 10, 10, 3, 3), "passed"),
    ],
)
def test_the_first_failing_gate_names_the_reason(counts: tuple[int, int, int, int, int], reason: str) -> None:
    assert q.GATE_REASONS[q.quote_gate(*counts, 0.25, 3)] == reason
