"""Overlapping contracts as one problem on the survival curve."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.mixed import difference_envelope, project_differences
from kalshi_assets_tests.core.ladder_oracles import difference_rows, differences_in_bounds, survival_range

Ints = npt.NDArray[np.int64]


def envelope(u: Ints, v: Ints, lower: Ints, upper: Ints, m: int) -> tuple[bool, Ints, Ints]:
    low, high = np.empty(m + 2, np.int64), np.empty(m + 2, np.int64)
    return bool(difference_envelope(u, v, lower, upper, u.size, m, low, high)), low[1:-1], high[1:-1]


def project(u: Ints, v: Ints, lower: Ints, upper: Ints, target: Ints, weight: Ints, m: int) -> npt.NDArray[np.float64]:
    out = np.empty(m)
    converged = project_differences(
        u, v, lower / 1e6, upper / 1e6, target / 1e6, weight.astype(float), u.size, np.ones(m + 1), m, out
    )
    assert converged
    return out


def test_a_range_and_two_thresholds_by_hand() -> None:
    # above a at 0.8, above b at 0.3, between a and b at 0.4: equal weights share the 0.1 that does not fit in thirds
    u, v = np.array([1, 2, 1]), np.array([3, 3, 2])
    found = project(u, v, np.zeros(3), np.full(3, 1_000_000), np.array([800_000, 300_000, 400_000]), np.ones(3), 2)
    assert found == pytest.approx([0.8 - 0.1 / 3, 0.3 + 0.1 / 3], abs=1e-10)


def test_a_sure_profit_across_a_range_is_seen() -> None:
    # buy above-a at 0.5 and sell above-b at 0.3: the range between them is covered for 0.2, and someone bids 0.25
    u, v = np.array([1, 2, 1]), np.array([3, 3, 2])
    bid, ask = np.array([0, 300_000, 250_000]), np.array([500_000, 1_000_000, 1_000_000])
    assert envelope(u, v, bid, ask, 2)[0] is False
    bid[2] = 200_000
    assert envelope(u, v, bid, ask, 2)[0] is True


@st.composite
def mixed_ladders(draw: st.DrawFn) -> tuple[Ints, Ints, Ints, Ints, int]:
    m = draw(st.integers(1, 5))
    pairs = draw(
        st.lists(
            st.tuples(st.integers(0, m + 1), st.integers(0, m + 1)).filter(
                lambda p: p[0] < p[1] and p != (0, m + 1)
            ),
            min_size=1, max_size=8,
        )
    )  # fmt: skip
    cents = st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted)
    boxes = draw(st.lists(cents, min_size=len(pairs), max_size=len(pairs)))
    u, v = np.array(pairs, np.int64).T
    lower, upper = np.array(boxes, np.int64).T * 50_000
    return u, v, lower, upper, m


@settings(deadline=None)
@given(mixed_ladders())
def test_the_envelope_is_what_linear_programming_finds(ladder: tuple[Ints, Ints, Ints, Ints, int]) -> None:
    u, v, lower, upper, m = ladder
    feasible, low, high = envelope(u, v, lower, upper, m)
    oracle = survival_range(u, v, lower, upper, m)
    assert feasible is (oracle is not None)
    if oracle is not None:
        assert low / 1e6 == pytest.approx(oracle[0], abs=1e-7)
        assert high / 1e6 == pytest.approx(oracle[1], abs=1e-7)


@settings(deadline=None)
@given(mixed_ladders(), st.data())
def test_it_is_the_projection_wherever_the_contracts_determine_the_curve(
    ladder: tuple[Ints, Ints, Ints, Ints, int], data: st.DataObject
) -> None:
    u, v, lower, upper, m = ladder
    # one threshold at every cutpoint makes the least-squares problem of full rank
    u = np.concatenate([u, np.arange(1, m + 1)])
    v = np.concatenate([v, np.full(m, m + 1)])
    lower = np.concatenate([lower, np.zeros(m, np.int64)])
    upper = np.concatenate([upper, np.full(m, 1_000_000)])
    n = u.size
    target = np.array(data.draw(st.lists(st.integers(0, 20), min_size=n, max_size=n))) * 50_000
    weight = np.array(data.draw(st.lists(st.integers(1, 10), min_size=n, max_size=n)))
    if not envelope(u, v, lower, upper, m)[0]:
        return
    found = project(u, v, lower, upper, target, weight, m)
    rows, constant = difference_rows(u, v, m)
    price = rows @ found + constant
    assert np.all(price >= lower / 1e6 - 1e-9)
    assert np.all(price <= upper / 1e6 + 1e-9)
    assert np.all(np.diff(found, prepend=1.0, append=0.0) <= 1e-9)
    oracle = differences_in_bounds(u, v, target / 1e6, weight.astype(float), lower / 1e6, upper / 1e6, m)
    assert found == pytest.approx(oracle, abs=1e-8)


@settings(deadline=None)
@given(mixed_ladders())
def test_bounds_alone_give_a_curve_inside_them(ladder: tuple[Ints, Ints, Ints, Ints, int]) -> None:
    u, v, lower, upper, m = ladder
    if not envelope(u, v, lower, upper, m)[0]:
        return
    found = project(u, v, lower, upper, np.zeros(u.size), np.zeros(u.size), m)
    rows, constant = difference_rows(u, v, m)
    price = rows @ found + constant
    assert np.all(price >= lower / 1e6 - 1e-8)
    assert np.all(price <= upper / 1e6 + 1e-8)


def test_what_nothing_prices_is_spread_evenly() -> None:
    found = project(*(np.array([], np.int64) for _ in range(4)), np.array([]), np.array([]), 3)
    assert found == pytest.approx([0.75, 0.5, 0.25], abs=1e-9)
