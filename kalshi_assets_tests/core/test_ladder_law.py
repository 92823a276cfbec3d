"""Tails, moments, quantiles and distances of closed laws."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.distances import KL_FLOOR, distances
from kalshi_assets.core.moments import N_MOMENTS, lattice_value, law_mean, law_moments, law_pmf, law_quantile
from kalshi_assets.core.tails import HAZARD, STEP, TRUNCATE, close_tails, max_edges, survival_at
from kalshi_assets_tests.core.ladder_oracles import pmf_moments

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def close(
    cut: list[int], survival: list[float], policy: int, *, first: int = 0, last: int | None = None,
    low: list[float] | None = None, high: list[float] | None = None,
) -> tuple[Ints, Floats]:  # fmt: skip
    m = len(cut)
    size = max_edges(m)
    edges, law = np.empty(size, np.int64), np.empty(size)
    n = close_tails(
        np.array(cut, np.int64), np.array(survival), np.array(low or [0.0] * m), np.array(high or [1.0] * m), m,
        first, m - 1 if last is None else last, policy, edges, law, np.empty((2, size), np.int64), np.empty((4, size)),
    )  # fmt: skip
    return edges[:n], law[:n]


def mass_function(edges: Ints, law: Floats) -> dict[int, float]:
    index, mass = np.empty(4096, np.int64), np.empty(4096)
    n = law_pmf(edges, law, edges.size, 4096, index, mass)
    return dict(zip(index[:n].tolist(), mass[:n].tolist(), strict=True))


def test_step_on_adjacent_strikes_puts_each_tail_on_its_own_lattice_point() -> None:
    found = mass_function(*close([25, 26, 27], [0.9, 0.5, 0.2], STEP))
    assert found == pytest.approx({24: 0.1, 25: 0.4, 26: 0.3, 27: 0.2})


def test_step_between_distant_strikes_spreads_over_one_ladder_step() -> None:
    found = mass_function(*close([0, 2, 5], [0.9, 0.5, 0.3], STEP))
    # lower step has two points, the cells two and three, the upper step three
    assert found == pytest.approx(
        {-2: 0.05, -1: 0.05, 0: 0.2, 1: 0.2, 2: 0.2 / 3, 3: 0.2 / 3, 4: 0.2 / 3, 5: 0.1, 6: 0.1, 7: 0.1}
    )


def test_hazard_keeps_the_last_share_every_step() -> None:
    found = mass_function(*close([0, 1, 2], [0.8, 0.4, 0.2], HAZARD))
    assert found[2] == pytest.approx(0.1)
    assert found[3] == pytest.approx(0.05)
    assert found[4] == pytest.approx(0.025)
    # the lower side kept a third of its mass in its last step
    assert found[-1] == pytest.approx(0.2 * (1 - 0.2 / 0.6))
    assert found[-2] == pytest.approx(0.2 * (0.2 / 0.6) * (1 - 0.2 / 0.6))
    assert sum(found.values()) == pytest.approx(1.0)


def test_hazard_is_capped() -> None:
    found = mass_function(*close([0, 1], [1.0, 0.99], HAZARD))
    assert found[1] == pytest.approx(0.99 * 0.2)
    assert found[2] == pytest.approx(0.99 * 0.2 * 0.8)


def test_truncate_drops_the_tails() -> None:
    found = mass_function(*close([0, 1, 2], [0.9, 0.5, 0.1], TRUNCATE))
    assert found == pytest.approx({0: 0.5, 1: 0.5})


def test_truncate_without_interior_mass_has_no_law() -> None:
    assert close([0, 1], [0.4, 0.4], TRUNCATE)[0].size == 0


def test_outer_rungs_hold_the_tail_inside_their_bounds() -> None:
    # targets end at rung 1 with 0.3; an ask at rung 2 caps the tail, a bid at rung 3 holds mass out there
    edges, law = close(
        [0, 1, 2, 3], [0.9, 0.3, 0, 0], STEP, last=1, low=[0.9, 0.3, 0.05, 0.05], high=[0.9, 0.3, 0.2, 0.2]
    )
    for x, low, high in ((2, 0.05, 0.2), (3, 0.05, 0.2)):
        assert low <= survival_at(x, edges, law, edges.size) <= high
    assert law[0] == 1.0
    assert law[-1] == 0.0


curves = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 100)), min_size=1, max_size=8)


def draw_curve(steps: list[tuple[int, int]]) -> tuple[list[int], list[float]]:
    cut = np.cumsum([g for g, _ in steps]).tolist()
    return cut, sorted((s / 100 for _, s in steps), reverse=True)


@settings(deadline=None)
@given(curves, st.sampled_from([STEP, HAZARD, TRUNCATE]))
def test_every_closed_law_has_unit_mass_and_keeps_the_curve(steps: list[tuple[int, int]], policy: int) -> None:
    cut, survival = draw_curve(steps)
    edges, law = close(cut, survival, policy)
    if edges.size == 0:
        assert survival[0] - survival[-1] <= 1e-9
        return
    assert np.all(np.diff(edges) > 0)
    assert np.all(np.diff(law) <= 1e-12)
    mass = mass_function(edges, law)
    assert sum(mass.values()) == pytest.approx(1.0)
    assert min(mass.values()) > 0.0
    if policy != TRUNCATE:
        for c, s in zip(cut, survival, strict=True):
            assert sum(p for x, p in mass.items() if x >= c) == pytest.approx(s, abs=1e-9)


@settings(deadline=None)
@given(curves, st.sampled_from([STEP, HAZARD]), st.sampled_from([0.1, 0.25, 1.0, 1000.0]))
def test_moments_by_cells_are_moments_by_points(steps: list[tuple[int, int]], policy: int, tick: float) -> None:
    edges, law = close(*draw_curve(steps), policy)
    mass = mass_function(edges, law)
    x, p = np.array(list(mass)) * tick, np.array(list(mass.values()))
    found = np.empty(N_MOMENTS)
    law_moments(edges, law, edges.size, tick, found)
    expected = pmf_moments(x, p / p.sum())
    names = ("mean", "std", "variance", "skewness", "kurtosis", "entropy", "median", "mode")
    got = dict(zip(names, found.tolist(), strict=True))
    scale = tick * (edges[-1] - edges[0])
    assert got["mean"] == pytest.approx(expected["mean"], abs=1e-9 * scale)
    assert law_mean(edges, law, edges.size, tick) == pytest.approx(expected["mean"], abs=1e-9 * scale)
    assert got["std"] == pytest.approx(expected["std"], abs=1e-7 * scale)
    assert got["variance"] == pytest.approx(expected["variance"], rel=1e-7, abs=1e-12 * scale**2)
    assert got["entropy"] == pytest.approx(expected["entropy"], abs=1e-9)
    assert got["median"] == pytest.approx(expected["median"], abs=1e-9 * scale)
    if expected["variance"] > 1e-6 * tick**2:
        assert got["skewness"] == pytest.approx(expected["skewness"], rel=1e-5, abs=1e-6)
        assert got["kurtosis"] == pytest.approx(expected["kurtosis"], rel=1e-5)
    best = p.max()
    assert p[np.argmin(np.abs(x - got["mode"]))] == pytest.approx(best, abs=1e-9)


@settings(deadline=None)
@given(curves, st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95]))
def test_a_quantile_is_the_first_point_that_reaches_its_level(steps: list[tuple[int, int]], level: float) -> None:
    edges, law = close(*draw_curve(steps), STEP)
    mass = mass_function(edges, law)
    cumulative = np.cumsum(list(mass.values()))
    expected = list(mass)[int(np.argmax(cumulative >= level - 1e-9))]
    found = law_quantile(edges, law, edges.size, level)
    if not np.any(np.abs(cumulative - level) < 1e-9):
        assert found == expected


def test_a_quantile_that_is_met_exactly_is_not_passed_by_rounding() -> None:
    edges, law = close([1, 2, 3], [0.9, 0.7, 0.5], STEP)  # P(X <= 2) = 0.5
    assert law_quantile(edges, law, edges.size, 0.5) == 2


def test_a_law_too_long_to_list_keeps_its_mass_and_its_moments() -> None:
    edges, law = np.array([0, 1_000_000, 3_000_000]), np.array([1.0, 0.5, 0.0])
    index, mass = np.empty(200, np.int64), np.empty(200)
    n = law_pmf(edges, law, 3, 100, index, mass)
    assert n <= 100
    assert mass[:n].sum() == pytest.approx(1.0)
    assert (index[:n] * mass[:n]).sum() == pytest.approx(law_mean(edges, law, 3, 1.0), rel=1e-3)


@pytest.mark.parametrize(("index", "tick", "value"), [(73, 0.1, 7.3), (-1, 0.1, -0.1), (17, 0.25, 4.25), (3, 1e3, 3e3)])
def test_published_values_are_written_as_published(index: int, tick: float, value: float) -> None:
    assert lattice_value(index, tick) == value
    assert Fraction(repr(lattice_value(index, tick))) == Fraction(repr(tick)) * index


def laws(draw: st.DrawFn) -> tuple[Ints, Floats]:
    points = draw(st.lists(st.integers(0, 20), min_size=1, max_size=8, unique=True))
    weights = draw(st.lists(st.integers(1, 20), min_size=len(points), max_size=len(points)))
    return np.sort(np.array(points, np.int64)), np.array(weights) / sum(weights)


@settings(deadline=None)
@given(st.composite(laws)(), st.composite(laws)(), st.sampled_from([0.1, 1.0, 1000.0]))
def test_distances_by_their_definitions(a: tuple[Ints, Floats], b: tuple[Ints, Floats], tick: float) -> None:
    grid = np.arange(0, 22)
    p, q = np.zeros(22), np.zeros(22)
    p[a[0]], q[b[0]] = a[1], b[1]
    gap = np.cumsum(p) - np.cumsum(q)
    n = np.union1d(a[0], b[0])
    floored_p, floored_q = (p[n] + KL_FLOOR) / (1 + KL_FLOOR * n.size), (q[n] + KL_FLOOR) / (1 + KL_FLOOR * n.size)
    middle = (p + q) / 2
    found = distances(*a, *b, tick)
    assert found["kl"] == pytest.approx(np.sum(floored_p * np.log(floored_p / floored_q)), abs=1e-12)
    js = sum(0.5 * w[i] * math.log(w[i] / middle[i]) for w in (p, q) for i in grid if w[i] > 0)
    assert found["js"] == pytest.approx(js, abs=1e-12)
    assert found["wasserstein"] == pytest.approx(np.abs(gap).sum() * tick)
    assert found["ks"] == pytest.approx(np.abs(gap).max(), abs=1e-12)
    assert found["crps"] == pytest.approx(np.square(gap).sum() * tick)
    assert 0.0 <= found["js"] <= math.log(2.0) + 1e-12


def test_a_law_is_at_no_distance_from_itself() -> None:
    x, p = np.array([1, 2, 5]), np.array([0.2, 0.5, 0.3])
    assert distances(x, p, x, p, 0.1) == pytest.approx(dict.fromkeys(("kl", "js", "wasserstein", "ks", "crps"), 0.0))


def test_a_vanishing_rung_moves_kl_by_what_a_cent_can_tell() -> None:
    found = distances(np.array([1, 2]), np.array([0.99, 0.01]), np.array([1]), np.array([1.0]), 0.1)
    assert found["kl"] < 0.02
    assert found["wasserstein"] == pytest.approx(0.001)


def test_a_shift_by_one_tick_is_one_tick_of_wasserstein() -> None:
    p = np.array([0.25, 0.5, 0.25])
    found = distances(np.array([1, 2, 3]), p, np.array([2, 3, 4]), p, 0.1)
    assert found["wasserstein"] == pytest.approx(0.1)
    assert found["ks"] == pytest.approx(0.5)
