"""CRPS, log score and PIT of laws on a lattice: closed forms, an independent library's numbers, an obvious twin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, norm

from kalshi_assets.core.lattice_scores import LOG_FLOOR, Laws, randomised_pit
from kalshi_assets.errors import DomainError


def laws(*given: tuple[list[float], list[float]]) -> Laws:
    sizes = [len(support) for support, _ in given]
    return Laws(
        np.append(0, np.cumsum(sizes)).astype(np.int64),
        np.array([x for support, _ in given for x in support], np.float64),
        np.array([p for _, masses in given for p in masses], np.float64),
    )


def one(support: list[float], probability: list[float], outcome: float) -> float:
    return float(laws((support, probability)).crps(np.array([outcome]))[0])


def fine_normal(step: float) -> Laws:
    edges = np.arange(-9.0, 9.0 + step / 2, step)
    mass = np.diff(norm.cdf(edges))
    return Laws(np.array([0, len(mass)]), (edges[:-1] + edges[1:]) / 2, mass / mass.sum())


def test_crps_of_a_standard_normal_at_zero() -> None:
    assert fine_normal(0.001).crps(np.array([0.0]))[0] == pytest.approx(0.2336949773, abs=1e-7)


def test_crps_of_a_uniform_law_at_its_middle() -> None:
    n = 10_000
    law = Laws(np.array([0, n]), (np.arange(n) + 0.5) / n, np.full(n, 1 / n))
    assert law.crps(np.array([0.5]))[0] == pytest.approx(1 / 12, abs=1e-8)


def test_crps_of_a_coin_between_its_sides() -> None:
    assert one([0.0, 1.0], [0.5, 0.5], 0.5) == 0.25


# Values by scoringrules 0.10.0, ``crps_ensemble`` with the masses as weights.
@pytest.mark.parametrize(("outcome", "expected"), [(2.5, 0.46075), (2.9, 0.07075), (3.05, 0.03575), (3.4, 0.31075)])
def test_crps_as_another_library_has_it(outcome: float, expected: float) -> None:
    assert one([2.8, 2.9, 3.0, 3.1, 3.3], [0.05, 0.2, 0.4, 0.25, 0.1], outcome) == pytest.approx(expected, abs=1e-12)


def test_crps_of_a_certain_forecast_is_its_absolute_error() -> None:
    assert one([3.0], [1.0], 3.4) == pytest.approx(0.4)


@st.composite
def ragged(draw: st.DrawFn) -> tuple[list[tuple[list[float], list[float]]], list[float]]:
    n = draw(st.integers(1, 6))
    built, outcomes = [], []
    for _ in range(n):
        indices = sorted(draw(st.sets(st.integers(-30, 30), max_size=8)))
        weights = [draw(st.floats(0.01, 1.0)) for _ in indices]
        built.append(([i / 10 for i in indices], [w / sum(weights) for w in weights]))
        outcomes.append(draw(st.integers(-40, 40)) / 10)
    return built, outcomes


@given(ragged())
@settings(max_examples=150, deadline=None)
def test_many_laws_at_once_equal_the_double_sum(
    case: tuple[list[tuple[list[float], list[float]]], list[float]],
) -> None:
    built, outcomes = case
    found = laws(*built)
    low, high = found.pit(np.array(outcomes))
    logs = found.log_score(np.array(outcomes))
    for i, ((support, mass), y) in enumerate(zip(built, outcomes, strict=True)):
        crps = found.crps(np.array(outcomes))[i]
        if not support:
            assert all(math.isnan(v) for v in (crps, low[i], high[i], logs[i]))
            continue
        to_outcome = sum(p * abs(x - y) for x, p in zip(support, mass, strict=True))
        apart = sum(
            p * q * abs(a - b) for a, p in zip(support, mass, strict=True) for b, q in zip(support, mass, strict=True)
        )
        assert crps == pytest.approx(to_outcome - apart / 2, abs=1e-12)
        assert low[i] == pytest.approx(sum(p for x, p in zip(support, mass, strict=True) if x < y - 1e-9), abs=1e-12)
        assert high[i] == pytest.approx(sum(p for x, p in zip(support, mass, strict=True) if x <= y + 1e-9), abs=1e-12)
        at = [p for x, p in zip(support, mass, strict=True) if abs(x - y) < 1e-9]
        points = len(support) + (not at)
        assert logs[i] == pytest.approx(-math.log((sum(at) + LOG_FLOOR) / (1 + LOG_FLOOR * points)), abs=1e-12)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.lists(st.floats(0.01, 1), min_size=2, max_size=6))
@settings(max_examples=80, deadline=None)
def test_telling_the_truth_scores_best_on_average(truth: list[float], said: list[float]) -> None:
    n = min(len(truth), len(said))
    p, q = np.array(truth[:n]) / sum(truth[:n]), np.array(said[:n]) / sum(said[:n])
    support, outcomes = np.arange(n, dtype=np.float64), np.arange(n, dtype=np.float64)
    offsets = np.arange(n + 1) * n
    honest, other = (Laws(offsets, np.tile(support, n), np.tile(masses, n)) for masses in (p, q))
    assert p @ honest.crps(outcomes) <= p @ other.crps(outcomes) + 1e-12
    # The floor mixes in a uniform law, so the log score is proper for the mixed masses, not for these.
    assert p @ honest.log_score(outcomes, floor=0.0) <= p @ other.log_score(outcomes, floor=0.0) + 1e-12


def test_log_score_of_a_standard_normal_at_zero() -> None:
    step = 0.001
    law = fine_normal(step)
    nearest = law.support[np.argmin(np.abs(law.support))]
    score = law.log_score(np.array([nearest]), floor=0.0)[0]
    assert score + math.log(step) == pytest.approx(0.9189385332, abs=1e-6)


def test_log_score_stands_on_its_floor() -> None:
    law = laws(([1.0, 2.0], [0.75, 0.25]))
    assert law.log_score(np.array([1.0]))[0] == pytest.approx(-math.log(0.755 / 1.01))
    # An outcome without mass is a third point.
    assert law.log_score(np.array([3.0]))[0] == pytest.approx(-math.log(0.005 / 1.015))
    assert law.log_score(np.array([3.0]), floor=0.0)[0] == math.inf


def test_missing_laws_and_outcomes_have_no_score() -> None:
    some = laws(([], []), ([1.0], [1.0]), ([1.0, 2.0], [0.5, 0.5]))
    outcome = np.array([1.0, math.nan, 2.0])
    for score in (some.crps(outcome), some.log_score(outcome), *some.pit(outcome)):
        assert np.isnan(score).tolist() == [True, True, False]
    assert len(some) == 3


@pytest.mark.parametrize(
    ("support", "mass"),
    [([2.0, 1.0], [0.5, 0.5]), ([1.0, 1.0], [0.5, 0.5]), ([1.0, 2.0], [0.5, 0.4]), ([1.0, 2.0], [1.5, -0.5])],
)
def test_what_is_no_law_is_refused(support: list[float], mass: list[float]) -> None:
    with pytest.raises(DomainError):
        laws(([1.0], [1.0]), (support, mass))


def test_randomised_pit_of_calibrated_laws_is_uniform() -> None:
    rng, n = np.random.default_rng(3), 2000
    support, mass = np.array([0.0, 1.0, 2.0]), np.array([0.5, 0.3, 0.2])
    many = Laws(np.arange(n + 1) * 3, np.tile(support, n), np.tile(mass, n))
    low, high = many.pit(rng.choice(support, n, p=mass))
    pit = randomised_pit(low, high, [str(i) for i in range(n)], seed=1)
    assert ((pit >= low) & (pit <= high)).all()
    assert kstest(pit, "uniform").pvalue > 0.01
    assert kstest((low + high) / 2, "uniform").pvalue < 1e-6


def test_a_forecast_keeps_its_draw_when_others_come_and_go() -> None:
    low, high = np.array([0.0, 0.2, 0.5]), np.array([0.2, 0.5, 1.0])
    drawn = randomised_pit(low, high, ["a", "b", "c"], seed=4)
    assert randomised_pit(low[1:], high[1:], ["b", "c"], seed=4).tolist() == drawn[1:].tolist()
    assert randomised_pit(low, high, ["a", "b", "c"], seed=5).tolist() != drawn.tolist()
