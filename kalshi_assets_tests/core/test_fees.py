"""Fee arithmetic against published amounts, and fee terms as of a time."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_assets.core.columns import micros_of
from kalshi_assets.core.fees import fee_terms_at, maker_fee_usd, rounding_fee_usd, taker_fee_usd
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.synthetic_events import rows_of


@pytest.mark.parametrize(
    ("price", "contracts", "rounding", "fee"),
    [
        (500_000, 100, "cent_ceil", 1.75),
        (250_000, 100, "cent_ceil", 1.32),
        (500_000, 1, "cent_ceil", 0.02),
        (55_000, 1, "model", 0.00363825),
        (55_000, 1, "micro_ceil", 0.003639),
        (520_000, 1, "ten_thousandth_ceil", 0.0175),
        (0, 10, "cent_ceil", 0.0),
        (1_000_000, 10, "cent_ceil", 0.0),
    ],
)
def test_published_taker_fees(price: int, contracts: int, rounding: str, fee: float) -> None:
    assert taker_fee_usd(price, contracts, "quadratic", rounding=rounding) == pytest.approx(fee, abs=1e-12)


def test_maker_fees_by_type() -> None:
    assert maker_fee_usd(500_000, 100, "quadratic_with_maker_fees", rounding="cent_ceil") == pytest.approx(0.44)
    assert maker_fee_usd(500_000, 100, "quadratic_with_combo_maker_fees") == pytest.approx(0.875)
    assert maker_fee_usd(500_000, 100, "quadratic") == 0


def test_rounding_fee_fills_the_balance_to_the_cent() -> None:
    assert rounding_fee_usd(0.055 + 0.003639) == pytest.approx(0.001361)
    assert rounding_fee_usd(0.06) == 0
    assert rounding_fee_usd(0.058639, precision_usd=0.0001) == pytest.approx(0.000061)


def test_multiplier_scales_and_nan_stays_missing() -> None:
    fees = taker_fee_usd(np.array([500_000, 500_000]), 100, "quadratic", np.array([0.5, np.nan]))
    assert fees[0] == pytest.approx(0.875)
    assert np.isnan(fees[1])


@given(
    price=st.integers(0, 1_000_000), contracts=st.integers(1, 100_000), grain=st.sampled_from([1, 100, 10_000]),
)  # fmt: skip
def test_rounding_up_is_exact_rational_arithmetic(price: int, contracts: int, grain: int) -> None:
    rule = {1: "micro_ceil", 100: "ten_thousandth_ceil", 10_000: "cent_ceil"}[grain]
    exact = Fraction(7, 100) * contracts * Fraction(price, 10**6) * Fraction(10**6 - price, 10**6) * 10**6
    expected = ceil(exact / grain) * grain
    fee = float(taker_fee_usd(price, contracts, "quadratic", rounding=rule)) * 1e6
    assert fee == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: taker_fee_usd(500_000, 1, "flat"),
        lambda: taker_fee_usd(500_000, 1, "quadratic", rounding="nearest"),
        lambda: taker_fee_usd(1_000_001, 1, "quadratic"),
        lambda: taker_fee_usd(-1, 1, "quadratic"),
    ],
)
def test_unknown_terms_are_refused(call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DomainError):
        call()


def test_terms_follow_the_schedule_and_flag_what_was_assumed() -> None:
    def version(year: int, kind: str | None, multiplier: float | None) -> dict:
        at = datetime(year, 1, 1, tzinfo=UTC)
        return {"series_ticker": "KXCPI", "ts": at, "known_at": at, "fee_type": kind, "fee_multiplier": multiplier}

    series = rows_of("series", [version(2024, "quadratic_with_maker_fees", 0.5), version(2022, "quadratic", 1.0)])
    at = np.array([micros_of(datetime(y, 6, 1, tzinfo=UTC)) for y in (2020, 2022, 2025, 2025)])
    tickers = np.array(["KXCPI", "KXCPI", "KXCPI", "KXNONE"], dtype=object)
    terms = fee_terms_at(series, tickers, at)
    assert terms.fee_type.tolist() == ["quadratic", "quadratic", "quadratic_with_maker_fees", None]
    assert terms.multiplier[:3].tolist() == [1.0, 1.0, 0.5]
    assert np.isnan(terms.multiplier[3])
    assert terms.backdated.tolist() == [True, False, False, False]
