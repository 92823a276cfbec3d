"""Option factors and disagreement, by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from kalshi_assets.core.columns import MISSING_TIME
from kalshi_assets.core.disagreement import disagreement, history_known_at, z_scores_before
from kalshi_assets.core.options import OptionFactors, entropy_proxy, option_factors, option_gaps, tail_proxy
from kalshi_assets.errors import DomainError

NAN = float("nan")


def entropy_of_iv(iv: float) -> float:
    return 0.5 * math.log(2 * math.pi * math.e * iv * iv * 30 / 365)


def factors(n: int, **columns: Any) -> OptionFactors:
    given = {name: np.full(n, 0.2) for name in ("iv_30", "iv_60", "iv_90", "put_25d", "call_25d")}
    given |= {"hours": np.arange(n) * 24.0, "close": np.full(n, 100.0)}
    given |= {k: np.asarray(v, float) for k, v in columns.items()}
    return option_factors(**given)


def test_surface_shape() -> None:
    got = factors(2, iv_30=[0.20, 0.26], iv_90=[0.25, 0.25], put_25d=[0.28, 0.30], call_25d=[0.18, NAN], hours=[0, 3])
    np.testing.assert_allclose(got.term_slope_30_90, [-0.05, 0.01])
    np.testing.assert_allclose(got.skew_25d, [0.10, 0.04])
    np.testing.assert_allclose(got.curvature, [0.03, NAN])
    np.testing.assert_allclose(got.iv_repricing_speed_per_hour, [NAN, 0.02])
    np.testing.assert_allclose(got.tail_proxy, [1 / (1 + math.exp(-1.0)), 1 / (1 + math.exp(-0.4))])
    np.testing.assert_allclose(got.entropy_proxy, [entropy_of_iv(0.20), entropy_of_iv(0.26)])


def test_variance_premium_needs_enough_returns() -> None:
    close = 100.0 * np.cumprod(np.r_[1.0, np.where(np.arange(39) % 2 == 0, 1.01, 0.99)])
    got = factors(40, close=close, iv_30=np.full(40, 0.3), iv_60=np.full(40, 0.4))
    returns = close[1:] / close[:-1] - 1
    assert np.isnan(got.vrp_10[:7]).all()
    assert got.vrp_10[7] == pytest.approx(0.3 - np.std(returns[:7], ddof=1) * math.sqrt(252))
    assert got.vrp_10[39] == pytest.approx(0.3 - np.std(returns[29:39], ddof=1) * math.sqrt(252))
    assert np.isnan(got.vrp_30[19])
    assert got.vrp_30[20] == pytest.approx(0.3 - np.std(returns[:20], ddof=1) * math.sqrt(252))
    assert np.isnan(got.vrp_60).all()
    assert factors(41, iv_60=np.full(41, 0.4)).vrp_60[40] == 0.4


def test_ranks_look_back_a_year_and_need_sixty_values() -> None:
    rising = factors(300, iv_30=np.linspace(0.1, 0.4, 300)).iv_rank_1y
    assert np.isnan(rising[:59]).all()
    np.testing.assert_array_equal(rising[59:], 1.0)
    falling = factors(300, iv_30=np.linspace(0.4, 0.1, 300)).iv_rank_1y
    assert (falling[59], falling[299]) == (1 / 60, 1 / 252)


def test_factors_do_not_see_later_days() -> None:
    rng = np.random.default_rng(7)
    columns = {k: rng.uniform(0.1, 0.5, 120) for k in ("iv_30", "iv_60", "iv_90", "put_25d", "call_25d", "close")}
    full, half = factors(120, **columns), factors(90, **{k: v[:90] for k, v in columns.items()})
    for name in OptionFactors.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(full, name)[:90], getattr(half, name))


def test_times_must_increase() -> None:
    with pytest.raises(DomainError, match="do not increase"):
        factors(2, hours=[1.0, 1.0])


def test_option_gaps_by_hand() -> None:
    one = [np.array([v]) for v in (1.5, 0.3, 0.02, 0.04, 1.2, 0.5, 0.05, 0.2)]
    got = option_gaps(*one)
    assert got.entropy_gap[0] == pytest.approx(0.3)
    assert got.tail_gap[0] == pytest.approx(-0.2)
    assert got.repricing_speed_gap[0] == pytest.approx(-0.03)
    assert got.uncertainty_gap[0] == pytest.approx(0.04 - 0.04 * 30 / 365)


def scores(values: list[float], at: list[int], history: list[float]) -> Any:
    """One group; the history is an hour apart from hour 0, ``at`` in hours."""
    n = len(history)
    return z_scores_before(
        np.array(values), np.zeros(len(values), np.int64), np.array(at, np.int64), np.array([0, n]),
        np.arange(n, dtype=np.int64), np.array(history, float),
    )  # fmt: skip


def test_disagreement_by_hand() -> None:
    got = disagreement(
        np.array([1.0, 1.0]), np.array([0.6, NAN]), np.array([0.09, -1.0]), np.array([0.2, 0.0]), np.array([0.0, 0.0]),
        np.array([-1.5, 0.0]), np.array([NAN, 2.0]),
    )  # fmt: skip
    assert got.entropy_gap[0] == pytest.approx(1.0 - entropy_of_iv(0.2))
    np.testing.assert_array_equal(got.entropy_gap_z, [-1.5, 0.0])
    np.testing.assert_allclose(got.tail_gap, [0.1, NAN])
    np.testing.assert_array_equal(got.skew_tail_gap, got.tail_gap)
    np.testing.assert_array_equal(got.tail_gap_z, [NAN, 2.0])
    np.testing.assert_allclose(got.iv_vol_gap, [0.2 - 0.3, NAN])
    assert np.isnan(got.entropy_gap[1]), "a volatility of zero is none"


def test_z_score_by_hand_and_only_of_what_came_before() -> None:
    history = [float(i) for i in range(12)] + [1000.0]
    got = scores([1.0, 1.0, 1.0, NAN], [12, 11, 10, 12], history)
    assert got[0] == pytest.approx((1.0 - 5.5) / math.sqrt(13.0)), "the value at the snapshot's own time is not before"
    assert got[1] == pytest.approx((1.0 - 5.0) / math.sqrt(11.0)), "eleven values are more than ten"
    assert np.isnan(got[2]), "ten are not"
    assert np.isnan(got[3])


def test_z_score_needs_spread_and_ignores_gaps_in_the_history() -> None:
    assert np.isnan(scores([1.0], [20], [1.0] * 20)).all()
    assert scores([1.0], [13], [*range(12), NAN])[0] == scores([1.0], [12], [*range(12)])[0]


def test_z_scores_keep_to_their_group() -> None:
    history = np.r_[np.arange(12.0), 50.0 + np.arange(12.0)]
    got = z_scores_before(
        np.array([1.0, 51.0]), np.array([0, 1]), np.array([12, 12]), np.array([0, 12, 24]), np.tile(np.arange(12), 2),
        history,
    )  # fmt: skip
    assert got[0] == got[1] == pytest.approx((1.0 - 5.5) / math.sqrt(13.0))
    known = history_known_at(
        np.array([0, 1, 1]), np.array([2, 12, 0]), np.array([0, 12, 24]), np.tile(np.arange(12), 2), np.arange(24)
    )  # fmt: skip
    assert known.tolist() == [1, 23, MISSING_TIME]


def test_proxies_of_the_missing_are_missing() -> None:
    assert np.isnan(entropy_proxy(np.array([NAN]))).all()
    assert np.isnan(tail_proxy(np.array([NAN]))).all()
    assert tail_proxy(np.array([0.0]))[0] == 0.5
    assert entropy_proxy(np.array([0.0]))[0] == pytest.approx(0.5 * math.log(2 * math.pi * math.e * 1e-12))
