"""Rounding as published, and looking up vintages as of a time."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_assets.core.columns import micros_of
from kalshi_assets.core.prints import newest_known, prints_known, round_as_published, vintages_of
from kalshi_assets.core.series import SERIES_FACTS
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.event_rows import RELEASE, empty, print_row, table


@pytest.mark.parametrize(
    ("value", "tick", "want"),
    [
        (3.25, 0.1, 3.3), (3.249, 0.1, 3.2), (1.15, 0.1, 1.2), (2.95, 0.1, 3.0), (-0.05, 0.1, -0.1), (-0.04, 0.1, 0.0),
        (206_500.0, 1000.0, 207_000.0), (71.5, 1.0, 72.0), (float("nan"), 0.1, float("nan")),
    ],
)  # fmt: skip
def test_half_up_on_the_lattice(value: float, tick: float, want: float) -> None:
    got = round_as_published(np.array([value]), tick, "half_up")[0]
    assert got == pytest.approx(want, abs=0.0, nan_ok=True)
    assert str(got) == str(want), "minus zero is not a print"


@given(st.integers(-10_000, 10_000), st.sampled_from([0.1, 0.25, 1.0, 1000.0]))
def test_a_published_value_is_left_alone(index: int, tick: float) -> None:
    published = round(index * tick, 9)
    assert round_as_published(np.array([published]), tick, "half_up")[0] == published


def test_rules_of_rounding() -> None:
    assert round_as_published(np.array([4.33]), 0.25, "none")[0] == 4.33
    for tick, rule in ((0.1, "half_even"), (0.0, "half_up"), (float("nan"), "half_up")):
        with pytest.raises(DomainError, match="cannot round"):
            round_as_published(np.array([1.0]), tick, rule)


rows_known = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 12)), unique=True, max_size=15)


@given(rows_known, st.lists(st.integers(-1, 14), max_size=5))
def test_newest_known_is_the_newest_version_of_the_newest_period(rows: list[tuple[int, int]], asked: list[int]) -> None:
    period, known_at = (np.array([r[i] for r in rows], np.int64) for i in (0, 1))
    got = newest_known(period, known_at, np.array(asked, np.int64))
    for position, as_of in zip(got, asked, strict=True):
        known = [r for r in rows if r[1] <= as_of]
        assert (rows[position] if position >= 0 else None) == max(known, default=None)


def test_a_series_without_vintages_knows_nothing() -> None:
    at = np.array([micros_of(RELEASE)])
    for ticker in ("KXFED", "KXU3"):
        vintages = vintages_of(empty("macro_observations"), SERIES_FACTS[ticker])
        known = prints_known(vintages, at, max_age=timedelta(days=200))
        assert np.isnan(known.last).all()
        assert np.isnan(known.mean_12).all()


def test_a_value_that_is_not_a_number_is_no_vintage() -> None:
    macro = table("macro_observations", [print_row(float("nan"), RELEASE), print_row(3.1, RELEASE + timedelta(days=1))])
    assert vintages_of(macro, SERIES_FACTS["KXCPIYOY"]).value.tolist() == [3.1]


def test_a_print_known_at_the_very_as_of_time_counts() -> None:
    vintages = vintages_of(table("macro_observations", [print_row(3.1, RELEASE)]), SERIES_FACTS["KXCPIYOY"])
    at = np.array([micros_of(RELEASE), micros_of(RELEASE) - 1])
    np.testing.assert_array_equal(prints_known(vintages, at, max_age=timedelta(days=200)).last, [3.1, np.nan])


@pytest.mark.parametrize(("late", "last", "mean"), [(0, 13.0, 7.5), (1, 13.0, 7.5), (12, 13.0, 7.5), (13, 13.0, 7.5)])
def test_a_period_that_arrives_late_takes_its_own_place(late: int, last: float, mean: float) -> None:
    """Fourteen monthly prints 0 to 13, one of them known only after all others; 0 is older than the last twelve."""
    rows = []
    for month in range(14):
        known = RELEASE + timedelta(days=100 if month == late else month)
        period = date(2023 + month // 12, month % 12 + 1, 1)
        rows.append(print_row(float(month), known, period))
    vintages = vintages_of(table("macro_observations", rows), SERIES_FACTS["KXCPIYOY"])
    known = prints_known(vintages, np.array([micros_of(RELEASE + timedelta(days=100))]), max_age=timedelta(days=200))
    assert (known.last[0], known.mean_12[0]) == (last, mean)
