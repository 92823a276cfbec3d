"""The CORP decomposition: a hand-made case, another library's numbers, and its laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.corp import corp
from kalshi_assets.errors import DomainError

P = np.array([0.1, 0.1, 0.3, 0.3, 0.5, 0.5, 0.7, 0.9, 0.9, 0.2])
Y = np.array([0, 1, 0, 0, 1, 0, 1, 1, 1, 0.0])


def test_parts_as_another_library_has_them() -> None:
    # By model-diagnostics 1.5.0, ``decompose`` with the squared error.
    found = corp(P, Y)
    assert (found.score, found.miscalibration, found.discrimination, found.uncertainty) == pytest.approx(
        (0.165, 0.035, 0.12, 0.25)
    )
    assert found.forecast.tolist() == [0.1, 0.2, 0.3, 0.5, 0.7, 0.9]
    assert found.recalibrated.tolist() == pytest.approx([0.2, 0.2, 0.2, 0.5, 1.0, 1.0])
    assert found.count.tolist() == [2, 1, 2, 2, 1, 2]


def test_perfect_calibrated_and_useless_forecasts() -> None:
    outcome = np.array([0.0, 1.0, 1.0, 0.0])
    perfect = corp(outcome, outcome)
    assert (perfect.score, perfect.miscalibration, perfect.discrimination) == (0.0, 0.0, 0.25)
    base_rate = corp(np.full(4, 0.5), outcome)
    assert (base_rate.score, base_rate.miscalibration, base_rate.discrimination) == (0.25, 0.0, 0.0)
    reversed_ = corp(1.0 - outcome, outcome)
    assert (reversed_.miscalibration, reversed_.discrimination) == (0.75, 0.0)


def slow(p: list[float], y: list[float]) -> tuple[float, float, float]:
    """Pool adjacent violators by hand on the sorted, tied forecasts."""
    blocks = [
        [sum(b for a, b in zip(p, y, strict=True) if a == v), sum(a == v for a in p), [v]] for v in sorted(set(p))
    ]
    i = 0
    while i + 1 < len(blocks):
        if blocks[i][0] / blocks[i][1] >= blocks[i + 1][0] / blocks[i + 1][1]:
            total, n, values = blocks.pop(i + 1)
            blocks[i] = [blocks[i][0] + total, blocks[i][1] + n, blocks[i][2] + values]
            i = max(i - 1, 0)
        else:
            i += 1
    fitted = {v: total / n for total, n, values in blocks for v in values}
    n = len(p)
    best = sum((fitted[a] - b) ** 2 for a, b in zip(p, y, strict=True)) / n
    base = sum(y) / n
    score = sum((a - b) ** 2 for a, b in zip(p, y, strict=True)) / n
    return score - best, base * (1 - base) - best, base * (1 - base)


@given(st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=1, max_size=40))
@settings(max_examples=150, deadline=None)
def test_parts_add_up_are_not_negative_and_equal_pooling_by_hand(pairs: list[tuple[int, bool]]) -> None:
    p, y = [a / 10 for a, _ in pairs], [float(b) for _, b in pairs]
    found = corp(np.array(p), np.array(y))
    assert found.miscalibration - found.discrimination + found.uncertainty == pytest.approx(found.score, abs=1e-12)
    assert min(found.miscalibration, found.discrimination) >= -1e-12
    assert (found.miscalibration, found.discrimination, found.uncertainty) == pytest.approx(slow(p, y), abs=1e-12)
    assert (np.diff(found.recalibrated) >= -1e-12).all()


def test_nothing_to_score_and_what_is_no_forecast() -> None:
    none = corp(np.zeros(0), np.zeros(0))
    assert none.n == 0
    assert math.isnan(none.score)
    for p, y in ((1.2, 1.0), (math.nan, 1.0), (0.5, 0.5), (0.5, math.nan)):
        with pytest.raises(DomainError):
            corp(np.array([p]), np.array([y]))
