"""Laws that every distribution obeys: nothing from the future, nothing unflagged, whatever the quotes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.distribution import DistributionConfig, DistributionTables, build_distributions
from kalshi_assets.core.snapshot_numbers import WITHHELD
from kalshi_assets.core.tables import QUANTILE_BANDS, QUANTILES
from kalshi_assets_tests.core.ladder_rows import (
    AS_OF,
    LISTED,
    build,
    contract,
    quote,
    quotes_table,
    snapshots_table,
    specs_of,
    thresholds,
)

TIMES = [AS_OF - timedelta(hours=h) for h in (0, 1, 24, 72)]

cents = st.one_of(st.none(), st.integers(0, 100).map(lambda c: c / 100))
wild = st.one_of(cents, st.sampled_from([-0.5, 1.5, float("nan"), 1e-6, 0.999999]))
kinds = st.sampled_from(["greater", "less", "between", "greater_or_equal", "less_or_equal", "custom", None])


@st.composite
def listings(draw: st.DrawFn) -> list[dict[str, Any]]:
    rows = []
    for k in range(draw(st.integers(0, 7))):
        kind, lo, width = draw(kinds), draw(st.integers(-3, 12)), draw(st.integers(-1, 6))
        known = LISTED + timedelta(hours=draw(st.integers(0, 300)))
        rows.append(contract(f"T{k}", kind, lo / 10, (lo + width) / 10, known_at=known))
    return rows


@st.composite
def rows_of_quotes(draw: st.DrawFn, prices: st.SearchStrategy[Any] = wild) -> list[dict[str, Any]]:
    found = []
    for _ in range(draw(st.integers(0, 25))):
        feed = draw(st.sampled_from([("book", 0), ("candle", 60), ("candle", 3600), ("candle", 86_400)]))
        at = AS_OF + timedelta(minutes=draw(st.integers(-6000, 2000)))
        late = timedelta(minutes=draw(st.sampled_from([0, 0, 0, 5, 2000])))
        ticker = f"T{draw(st.integers(0, 6))}"
        found.append(
            quote(ticker, draw(prices), draw(prices), at=at, known_at=at + late, source=feed[0], period_s=feed[1])
        )
    return found


policies = st.sampled_from(["step", "hazard", "truncate"])


def assert_no_number_without_its_flag(built: DistributionTables) -> None:
    for found in built.distributions.to_pylist():
        unsure = ("mean_low", "mean_high", "median_low", "median_high", "kurtosis", *QUANTILE_BANDS)
        numbers = [found[name] for name in WITHHELD if name not in unsure]
        if found["hard_gate_failed"]:
            assert found["gate_reason"]
            assert found["quality_low"]
            assert all(found[name] is None for name in (*WITHHELD, "support", "probability"))
            continue
        assert found["gate_reason"] is None
        assert all(v is not None and np.isfinite(v) for v in numbers)
        assert sum(found["probability"]) == pytest.approx(1.0)
        assert min(found["probability"]) > 0.0
        assert found["support"] == sorted(set(found["support"]))
        assert np.dot(found["support"], found["probability"]) == pytest.approx(found["mean"], abs=1e-9)
        assert found["q05"] <= found["q25"] <= found["q50"] == found["median"] <= found["q75"] <= found["q95"]
        assert found["violations_post"] == 0
        if found["executable_arbitrage"]:
            assert "executable_arbitrage" in found["quality_flags"]
            assert all(found[name] is None for name in unsure if name != "kurtosis")
        else:
            assert all(found[f"{q}_low"] <= found[q] <= found[f"{q}_high"] for q in QUANTILES if q != "q50")
            assert found["mean_low"] <= found["mean"] <= found["mean_high"]
            assert found["median_low"] <= found["median"] <= found["median_high"]
        assert found["quality_low"] == bool(found["quality_flags"])
    for rung in built.rungs.to_pylist():
        if rung["repaired_prob"] is not None:
            assert -1e-12 <= rung["repaired_prob"] <= 1.0 + 1e-12
        if rung["band_low_prob"] is not None:
            assert rung["band_low_prob"] <= rung["repaired_prob"] <= rung["band_high_prob"]


@settings(deadline=None, max_examples=150)
@given(listings(), rows_of_quotes(), policies)
def test_poisoned_ladders_never_raise_and_never_give_a_number_without_its_flag(
    contracts: list[dict[str, Any]], quotes: list[dict[str, Any]], policy: str
) -> None:
    assert_no_number_without_its_flag(
        build(contracts, quotes, times=TIMES, config=DistributionConfig(tail_policy=policy))
    )


@settings(deadline=None, max_examples=100)
@given(listings(), rows_of_quotes(), rows_of_quotes(), listings(), st.integers(0, 2**32 - 1))
def test_rows_known_later_change_no_bit(
    contracts: list[dict[str, Any]],
    quotes: list[dict[str, Any]],
    later_quotes: list[dict[str, Any]],
    later_contracts: list[dict[str, Any]],
    seed: int,
) -> None:
    past = [c for c in contracts if c["known_at"] <= AS_OF]
    seen = [r for r in quotes if r["known_at"] <= AS_OF]
    future = [r | {"known_at": max(r["known_at"], AS_OF + timedelta(microseconds=1))} for r in later_quotes]
    after = [c | {"known_at": AS_OF + timedelta(days=1), "ts": AS_OF + timedelta(days=1)} for c in later_contracts]
    base = build(past, seen, times=TIMES)
    rng = np.random.default_rng(seed)
    mixed = [seen[0], *seen[1:], *future] if seen else future
    order = rng.permutation(len(mixed))
    again = build([*past, *after], [mixed[i] for i in order], times=TIMES)
    assert again.distributions.equals(base.distributions)
    assert again.rungs.equals(base.rungs)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99)), min_size=3, max_size=9))
def test_a_coherent_ladder_stays_inside_its_quotes(prices: list[tuple[int, int]]) -> None:
    rows = thresholds([k / 10 for k in range(len(prices))])
    quotes = [quote(c["ticker"], min(p) / 100, max(p) / 100) for c, p in zip(rows, prices, strict=True)]
    built = build(rows, quotes)
    found = built.distributions.to_pylist()[0]
    crossed = any(min(prices[j]) > max(prices[i]) for j in range(len(prices)) for i in range(j + 1))
    assert found["executable_arbitrage"] is crossed
    repaired = [r["repaired_prob"] for r in built.rungs.to_pylist()]
    if crossed or None in repaired:
        return
    assert np.all(np.diff(repaired) <= 1e-12)
    for p, (x, y) in zip(repaired, prices, strict=True):
        assert min(x, y) / 100 - 1e-9 <= p <= max(x, y) / 100 + 1e-9


def test_a_thousand_contracts_are_one_ladder_and_a_thousand_overlapping_ranges_are_refused() -> None:
    rows = thresholds([k / 10 for k in range(1000)])
    quotes = [quote(c["ticker"], max(0.995 - k / 1000, 0.001), max(1.0 - k / 1000, 0.002)) for k, c in enumerate(rows)]
    found = build(rows, quotes).distributions.to_pylist()[0]
    assert found["mean"] == pytest.approx(49.9, abs=0.5)
    ranges = [contract(f"R{k:04d}", "between", k / 10, k / 10 + 0.5) for k in range(1000)]
    refused = build(ranges, [quote(c["ticker"], 0.001, 0.002) for c in ranges]).distributions.to_pylist()[0]
    assert (refused["gate_reason"], refused["mean"]) == ("ladder_too_large", None)
    assert "invalid_bin_structure" in refused["quality_flags"]


def test_a_fine_lattice_under_a_coarse_ladder_stays_short() -> None:
    rows = [contract(f"B{k}", "between", 90_000.0 + 250 * k, 90_249.99 + 250 * k, series="KXBTC") for k in range(4)] + [
        contract("HI", "greater_or_equal", 91_000.0, series="KXBTC"),
        contract("LO", "less", None, 90_000.0, series="KXBTC"),
    ]
    prices = [(0.19, 0.21)] * 4 + [(0.09, 0.11)] * 2
    quotes = [quote(c["ticker"], *p) for c, p in zip(rows, prices, strict=True)]
    found = build(rows, quotes, event_type="CRYPTO").distributions.to_pylist()[0]
    assert len(found["support"]) <= 4096 + 8
    assert "coarse_support" in found["quality_flags"]
    assert sum(found["probability"]) == pytest.approx(1.0)
    assert found["mean"] == pytest.approx(90_500.0, abs=1.0)


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_contracts(n: int) -> None:
    rows = thresholds([0.1, 0.2][:n])
    found = build(rows, [quote(c["ticker"], 0.4, 0.42) for c in rows]).distributions.to_pylist()[0]
    assert (found["gate_reason"], found["mean"]) == ("too_few_contracts", None)
    assert "insufficient_contracts" in found["quality_flags"]


def test_contracts_that_disagree_about_the_lattice_are_refused() -> None:
    rows = [*thresholds([0.1, 0.2, 0.3]), contract("ODD", "greater", 100.0, series="KXPAYROLLS")]
    found = build(rows, [quote(c["ticker"], 0.4, 0.42) for c in rows]).distributions.to_pylist()[0]
    assert (found["gate_reason"], found["mean"]) == ("mixed_lattice", None)


def test_a_snapshot_on_demand_is_the_snapshot_of_the_batch() -> None:
    rows = thresholds([0.1, 0.2, 0.3, 0.4])
    rng = np.random.default_rng(5)
    quotes = [
        quote(c["ticker"], 0.8 - 0.2 * k - d, 0.8 - 0.2 * k + d, at=AS_OF - timedelta(minutes=int(m)))
        for k, c in enumerate(rows)
        for m, d in zip(rng.integers(0, 4000, 40), rng.integers(1, 4, 40) / 100, strict=True)
    ]
    specs, table = specs_of(rows), quotes_table(quotes)
    batch = build_distributions(specs, table, snapshots_table(TIMES))
    for i, t in enumerate(TIMES):
        alone = build_distributions(specs, table, snapshots_table([t], horizon=f"h{i:03d}"))
        assert alone.distributions.equals(batch.distributions.slice(i, 1))
