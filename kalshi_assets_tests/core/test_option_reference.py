"""Surfaces as of a time: arrival, age, preference."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from kalshi_assets.core.columns import MISSING_TIME, Ints, Reals, micros_of
from kalshi_assets.core.option_reference import option_reference
from kalshi_assets_tests.core.event_rows import table

MONDAY = datetime(2024, 7, 8, 20, tzinfo=UTC)
DAY = timedelta(days=1)


def surface(
    n: int, iv: float, late: timedelta = timedelta(hours=8), symbol: str = "SPX", **more: Any
) -> dict[str, Any]:
    ts = MONDAY + n * DAY
    row = {
        "symbol": symbol, "date": ts.date(), "iv_30": iv, "iv_60": iv, "iv_90": iv + 0.01, "put_25d": iv + 0.04,
        "call_25d": iv - 0.02, "close": 5000.0 + n, "ts": ts, "known_at": ts + late,
    }  # fmt: skip
    return row | more


def look(rows: list[dict[str, Any]], *as_of: datetime) -> tuple[dict[str, Reals], Ints]:
    moments = np.array([micros_of(t) for t in as_of])
    return option_reference(table("option_surfaces", rows), moments, max_age=7 * DAY)


def test_the_newest_surface_known_and_its_factors() -> None:
    got, known = look([surface(0, 0.12), surface(1, 0.15)], MONDAY + 9 * timedelta(hours=1), MONDAY + 2 * DAY)
    np.testing.assert_allclose(got["opt_iv_atm_30"], [0.12, 0.15])
    np.testing.assert_allclose(got["opt_skew_25d"], [0.06, 0.06])
    np.testing.assert_allclose(got["opt_curvature"], [0.01, 0.01])
    np.testing.assert_allclose(got["opt_term_slope_30_90"], [-0.01, -0.01])
    np.testing.assert_allclose(got["opt_iv_repricing_speed_per_hour"], [np.nan, 0.03 / 24])
    assert known.tolist() == [micros_of(MONDAY + timedelta(hours=8)), micros_of(MONDAY + DAY + timedelta(hours=8))]


def test_before_it_is_known_and_when_it_is_old_there_is_none() -> None:
    got, known = look([surface(0, 0.12)], MONDAY + timedelta(hours=7), MONDAY + 7 * DAY, MONDAY + 8 * DAY)
    np.testing.assert_allclose(got["opt_iv_atm_30"], [np.nan, 0.12, np.nan])
    assert (known == MISSING_TIME).tolist() == [True, False, True]


def test_a_correction_or_a_late_day_is_left_out() -> None:
    on_time = [surface(0, 0.12), surface(2, 0.15)]
    late = [surface(1, 0.99, late=5 * DAY), surface(0, 0.77, late=6 * DAY)]
    for as_of in (MONDAY + 3 * DAY, MONDAY + 7 * DAY):
        want, got = look(on_time, as_of), look(late + on_time, as_of)
        for name in want[0]:
            np.testing.assert_array_equal(want[0][name], got[0][name])
        assert want[1].tolist() == got[1].tolist()


def test_the_first_symbol_with_a_fresh_surface_counts() -> None:
    rows = [
        surface(0, 0.12),
        surface(0, 0.20, symbol="SPY"),
        surface(9, 0.22, symbol="SPY"),
        surface(9, 9.0, symbol="X"),
    ]
    got, _ = look(rows, MONDAY + DAY, MONDAY + 10 * DAY)
    np.testing.assert_allclose(got["opt_iv_atm_30"], [0.12, 0.22])


def test_history_delivered_at_once_is_a_history() -> None:
    delivered = MONDAY + 300 * DAY
    rows = [surface(n, 0.10 + n / 1000, known_at=delivered, date=date(2024, 1, 1) + n * DAY) for n in range(80)]
    at = [delivered - DAY, delivered]
    got, _ = option_reference(
        table("option_surfaces", rows), np.array([micros_of(t) for t in at]), max_age=timedelta(days=300)
    )
    assert np.isnan(got["opt_iv_rank_1y"][0])
    assert got["opt_iv_rank_1y"][1] == pytest.approx(1.0)
