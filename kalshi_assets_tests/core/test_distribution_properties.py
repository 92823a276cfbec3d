"""Laws of one coherent ladder, whatever its quotes: unit, redundancy, tails, bands; and a list of poisons by name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.distribution import DistributionConfig
from kalshi_assets.core.live_quotes import stretched
from kalshi_assets.core.snapshot_numbers import WITHHELD
from kalshi_assets_tests.core.ladder_rows import AS_OF, CPI_QUOTES, CPI_STRIKES, build, contract, cpi_ladder, quote
from kalshi_assets_tests.core.ladder_rows import thresholds as listed
from kalshi_assets_tests.core.test_distribution_laws import assert_no_number_without_its_flag, policies

QUANTILES = ("q05", "q10", "q25", "q50", "q75", "q90", "q95")


@st.composite
def coherent(draw: st.DrawFn) -> list[tuple[float, float]]:
    """Bids and asks around a falling curve of mids, at most six cents wide."""
    mids = sorted(draw(st.lists(st.integers(4, 96), min_size=3, max_size=8)), reverse=True)
    widths = draw(st.lists(st.integers(0, 3), min_size=len(mids), max_size=len(mids)))
    return [((m - w) / 100, (m + w) / 100) for m, w in zip(mids, widths, strict=True)]


def one(strikes: list[float], prices: Any, policy: str = "step", **facts: Any) -> dict[str, Any]:
    rows = listed(strikes, **facts)
    quotes = [quote(c["ticker"], *p) for c, p in zip(rows, prices, strict=True)]
    found: dict[str, Any] = build(
        rows, quotes, config=DistributionConfig(tail_policy=policy)
    ).distributions.to_pylist()[0]
    return found


@settings(deadline=None, max_examples=25)
@given(coherent(), policies)
def test_a_change_of_unit_changes_the_unit_only(prices: Any, policy: str) -> None:
    # strikes on the published tenth against strikes on whole numbers, a tick of one, ten times as large
    small = one([round(k / 10, 1) for k in range(len(prices))], prices, policy, series="KXCPI")
    large = one([float(k) for k in range(len(prices))], prices, policy, series="KXNOBODYKNOWS")
    assert (small["hard_gate_failed"], small["gate_reason"]) == (large["hard_gate_failed"], large["gate_reason"])
    if small["hard_gate_failed"]:
        return
    for name in ("mean", "std", "median", "mode", "mean_low", "mean_high", *QUANTILES):
        assert large[name] == pytest.approx(10 * small[name], abs=1e-9), name
    for name in ("skewness", "kurtosis", "entropy", "tail_mass_low", "tail_mass_high", "probability"):
        assert large[name] == pytest.approx(small[name], abs=1e-9), name


@settings(deadline=None, max_examples=25)
@given(coherent(), policies, st.data())
def test_a_redundant_contract_changes_nothing(prices: Any, policy: str, data: st.DataObject) -> None:
    strikes = [round(k / 10, 1) for k in range(len(prices))]
    plain = one(strikes, prices, policy)
    k = data.draw(st.integers(0, len(prices) - 1))
    bid, ask = prices[k]
    twin = data.draw(
        st.sampled_from(
            [
                (contract("TWIN", "greater_or_equal", round(strikes[k] + 0.1, 1)), bid, ask),
                (contract("TWIN", "less_or_equal", None, strikes[k]), round(1 - ask, 2), round(1 - bid, 2)),
                (contract("TWIN", "greater", strikes[k]), None, None),
            ]
        )
    )
    rows = listed(strikes)
    quotes = [quote(c["ticker"], *p) for c, p in zip(rows, prices, strict=True)]
    again = build(
        [*rows, twin[0]], [*quotes, quote("TWIN", *twin[1:])], config=DistributionConfig(tail_policy=policy)
    ).distributions.to_pylist()[0]
    for name in (*WITHHELD, "support", "probability"):
        if plain[name] is not None:
            assert again[name] == pytest.approx(plain[name], abs=1e-9), name


@settings(deadline=None, max_examples=25)
@given(coherent(), policies)
def test_mass_tails_and_bands(prices: Any, policy: str) -> None:
    found = one([round(k / 10, 1) for k in range(len(prices))], prices, policy)
    if found["hard_gate_failed"]:
        assert found["gate_reason"] == "no_interior_mass"
        return
    x, p = np.array(found["support"]), np.array(found["probability"])
    assert p.sum() == pytest.approx(1.0, abs=1e-12)
    first, last = 0.1, round(len(prices) / 10, 1)  # at or above the first strike's cutpoint, and the last one's
    if policy != "truncate":
        assert found["tail_mass_low"] == pytest.approx(p[x < first - 1e-9].sum(), abs=1e-12)
        assert found["tail_mass_high"] == pytest.approx(p[x > last - 1e-9].sum(), abs=1e-12)
        inside = p[(x > first - 1e-9) & (x < last - 1e-9)].sum()
        assert found["tail_mass_low"] + inside + found["tail_mass_high"] == pytest.approx(1.0, abs=1e-12)
    cumulative = np.cumsum(p)
    for name, level in zip(QUANTILES, (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95), strict=True):
        assert found[name] == pytest.approx(x[np.argmax(cumulative >= level - 1e-9)], abs=1e-9)
        low, high = ("median_low", "median_high") if name == "q50" else (f"{name}_low", f"{name}_high")
        assert found[low] <= found[name] <= found[high]


def test_quantile_bands_by_hand() -> None:
    # S at -0.1 .. 0.4 is 0.97 0.95 0.89 0.64 0.16 0.07 by the bids and 0.99 0.97 0.92 0.67 0.18 0.08 by the asks:
    # P(X <= 0.0) is 0.05 by the bids, which reaches 5 %, and 0.03 by the asks, where 0.08 at 0.1 does
    found = cpi_ladder()
    assert [(found[f"{q}_low"], found[f"{q}_high"]) for q in ("q05", "q10", "q25", "q75", "q90", "q95")] == [
        (0.0, 0.1), (0.1, 0.2), (0.2, 0.2), (0.3, 0.3), (0.4, 0.4), (0.5, 0.5)
    ]  # fmt: skip


def test_spread_of_the_tails_by_hand() -> None:
    truncated = cpi_ladder(config=DistributionConfig(tail_policy="truncate"))
    mean = (0.0055 + 0.05 + 0.1455 + 0.038) / 0.905
    second = (0.055 * 0.01 + 0.25 * 0.04 + 0.485 * 0.09 + 0.095 * 0.16) / 0.905
    assert truncated["std"] == pytest.approx((second - mean**2) ** 0.5, abs=1e-12)
    hazard = cpi_ladder(config=DistributionConfig(tail_policy="hazard"))
    up, down = 0.075 / 0.17, 0.02 / 0.04
    # a geometric tail: points 0.5, 0.6, ... above and -0.1, -0.2, ... below
    upper = [(0.5 + 0.1 * j, 0.075 * (1 - up) * up**j) for j in range(200)]
    lower = [(-0.1 - 0.1 * j, 0.02 * (1 - down) * down**j) for j in range(200)]
    points = [(0.0, 0.02), (0.1, 0.055), (0.2, 0.25), (0.3, 0.485), (0.4, 0.095), *upper, *lower]
    mean = sum(x * p for x, p in points)
    assert hazard["mean"] == pytest.approx(mean, abs=1e-6)
    assert hazard["std"] == pytest.approx(sum((x - mean) ** 2 * p for x, p in points) ** 0.5, abs=1e-6)


def test_the_range_correction_by_hand() -> None:
    found = cpi_ladder(config=DistributionConfig(correct_range=True))
    mids = [(m - 0.01) / 0.98 for m in (0.98, 0.96, 0.905, 0.655, 0.17, 0.075)]
    assert found["mean"] == pytest.approx(-0.1 + 0.1 * sum(mids), abs=1e-6)
    assert found["tail_mass_high"] == pytest.approx(0.065 / 0.98, abs=1e-6)
    assert cpi_ladder()["mean"] == pytest.approx(0.2745, abs=1e-12)  # not without the option


@pytest.mark.parametrize(
    ("price", "probability"),
    [(0, 0), (10_000, 0), (500_000, 500_000), (990_000, 1_000_000), (1_000_000, 1_000_000), (20_000, 10_204)],
)
def test_stretched_prices(price: int, probability: int) -> None:
    assert stretched(price) == probability


NAN, INF = float("nan"), float("inf")
GOOD = list(CPI_QUOTES)
POISONS: dict[str, tuple[list[float], list[tuple[float | None, float | None]], str | None]] = {
    "crossed book": (list(CPI_STRIKES), [*GOOD[:3], (0.68, 0.64), *GOOD[4:]], "crossed_book"),
    "crossed strikes": (list(CPI_STRIKES), [GOOD[2], GOOD[1], GOOD[0], *GOOD[3:]], "executable_arbitrage"),
    "all NaN": (list(CPI_STRIKES), [(NAN, NAN)] * 6, "low_coverage"),
    "one NaN pair": (list(CPI_STRIKES), [*GOOD[:2], (NAN, NAN), *GOOD[3:]], "invalid_price"),
    "one NaN bid": (list(CPI_STRIKES), [*GOOD[:2], (NAN, 0.92), *GOOD[3:]], "invalid_price"),
    "an infinite ask": (list(CPI_STRIKES), [*GOOD[:2], (0.89, INF), *GOOD[3:]], "invalid_price"),
    "a bid of minus infinity": (list(CPI_STRIKES), [*GOOD[:2], (-INF, 0.92), *GOOD[3:]], "invalid_price"),
    "a huge ask": (list(CPI_STRIKES), [*GOOD[:2], (0.89, 1e300), *GOOD[3:]], "invalid_price"),
    "a hair below nought": (list(CPI_STRIKES), [*GOOD[:2], (-1e-7, 0.92), *GOOD[3:]], "invalid_price"),
    "asks alone": (list(CPI_STRIKES), [(None, ask) for _, ask in GOOD], "one_sided"),
    "negative": (list(CPI_STRIKES), [(-0.2, 0.99), *GOOD[1:]], "invalid_price"),
    "above one": (list(CPI_STRIKES), [(0.97, 1.7), *GOOD[1:]], "invalid_price"),
    "one contract": ([0.1], [(0.4, 0.42)], "insufficient_contracts"),
    "none": ([], [], "low_coverage"),
    "duplicate strikes": (
        [0.0, 0.1, 0.1, 0.2],
        [(0.9, 0.92), (0.5, 0.52), (0.6, 0.62), (0.1, 0.12)],
        "executable_arbitrage",
    ),
    "duplicate strikes that agree": (
        [*CPI_STRIKES[:4], CPI_STRIKES[3], *CPI_STRIKES[4:]],
        [*GOOD[:4], (0.60, 0.665), *GOOD[4:]],
        "duplicate_strikes",
    ),
}


@pytest.mark.parametrize("name", POISONS)
@pytest.mark.parametrize("policy", ["step", "hazard", "truncate"])
def test_a_poison_by_name_is_flagged(name: str, policy: str) -> None:
    strikes, prices, flag = POISONS[name]
    rows = listed(strikes)
    quotes = [quote(c["ticker"], *p) for c, p in zip(rows, prices, strict=True)]
    built = build(rows, quotes, config=DistributionConfig(tail_policy=policy))
    assert flag in built.distributions.to_pylist()[0]["quality_flags"]
    assert_no_number_without_its_flag(built)


def test_strikes_out_of_order_are_no_poison() -> None:
    order = [3, 0, 5, 1, 4, 2]
    plain = one(list(CPI_STRIKES), GOOD)
    mixed = one([CPI_STRIKES[k] for k in order], [GOOD[k] for k in order])
    for name in (*WITHHELD, "quality_flags", "support", "probability"):
        assert mixed[name] == plain[name], name


def test_quotes_that_are_all_stale_give_no_number() -> None:
    rows = listed(list(CPI_STRIKES))
    old = [quote(c["ticker"], *p, at=AS_OF - timedelta(days=6)) for c, p in zip(rows, GOOD, strict=True)]
    built = build(rows, old)
    found = built.distributions.to_pylist()[0]
    assert (found["gate_reason"], found["mean"]) == ("stale_quotes", None)
    assert_no_number_without_its_flag(built)
