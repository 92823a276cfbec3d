"""From specs, quotes and times to distributions, through the public door."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from kalshi_assets.core.contracts import spec_version_of
from kalshi_assets.core.distribution import DistributionConfig, build_distributions
from kalshi_assets.core.snapshot_numbers import WITHHELD
from kalshi_assets.core.tables import DISTANCES, TABLES
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.ladder_rows import (
    AS_OF,
    CPI_QUOTES,
    CPI_STRIKES,
    EVENT,
    LISTED,
    RELEASE,
    build,
    contract,
    cpi_ladder,
    quote,
    quotes_table,
    snapshots_table,
    specs_of,
    thresholds,
)

CONFIG = DistributionConfig()


def row(*args: Any, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = build(*args, **options).distributions.to_pylist()[0]
    return found


def pmf(found: dict[str, Any]) -> dict[float, float]:
    return dict(zip(found["support"], found["probability"], strict=True))


def quoted(contracts: list[dict[str, Any]], prices: Any, **facts: Any) -> list[dict[str, Any]]:
    return [quote(c["ticker"], *p, **facts) for c, p in zip(contracts, prices, strict=True)]


# --- the KXCPI ladder: strikes -0.1 .. 0.4, mids 0.98 0.96 0.905 0.655 0.17 0.075 ---


def test_step_tails_by_hand() -> None:
    found = cpi_ladder()
    mass = {-0.1: 0.02, 0.0: 0.02, 0.1: 0.055, 0.2: 0.25, 0.3: 0.485, 0.4: 0.095, 0.5: 0.075}
    assert pmf(found) == pytest.approx(mass, abs=1e-12)
    assert found["support"] == list(mass)  # published values exactly, 0.3 and not 0.30000000000000004
    assert found["mean"] == pytest.approx(0.2745, abs=1e-12)
    second_moment = 0.0002 + 0.00055 + 0.01 + 0.04365 + 0.0152 + 0.01875
    assert found["variance"] == pytest.approx(second_moment - 0.2745**2, abs=1e-12)
    assert found["std"] == pytest.approx(0.114016446, abs=1e-9)
    assert (found["median"], found["mode"]) == (0.3, 0.3)
    assert [found[q] for q in ("q05", "q10", "q25", "q50", "q75", "q90", "q95")] == [0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.5]
    assert found["tail_mass_low"] == pytest.approx(0.02)
    assert found["tail_mass_high"] == pytest.approx(0.075)
    assert found["violations_pre"] == found["violations_post"] == 0
    assert found["repair_l1"] == pytest.approx(0.0, abs=1e-12)


def test_hazard_tails_by_hand() -> None:
    found = cpi_ladder(config=replace(CONFIG, tail_policy="hazard"))
    up, down = 0.075 / 0.17, 0.02 / 0.04
    beyond = 0.1 * 0.075 * up / (1 - up) - 0.1 * 0.02 * down / (1 - down)
    assert found["mean"] == pytest.approx(0.2745 + beyond, abs=1e-6)
    assert pmf(found)[0.5] == pytest.approx(0.075 * (1 - up), abs=1e-12)
    assert pmf(found)[-0.1] == pytest.approx(0.02 * (1 - down), abs=1e-12)


def test_truncated_tails_by_hand() -> None:
    found = cpi_ladder(config=replace(CONFIG, tail_policy="truncate"))
    assert found["mean"] == pytest.approx((0.0055 + 0.05 + 0.1455 + 0.038) / 0.905, abs=1e-12)
    assert found["probability"] == pytest.approx([x / 0.905 for x in (0.02, 0.055, 0.25, 0.485, 0.095)], abs=1e-12)
    assert found["tail_mass_high"] == pytest.approx(0.075)


def test_bands_by_hand() -> None:
    found = cpi_ladder()
    # E[X] = -0.1 + 0.1 * sum of survival at -0.1, 0, ..., 0.4
    assert found["mean_low"] == pytest.approx(-0.1 + 0.1 * sum(b for b, _ in CPI_QUOTES), abs=1e-12)
    assert found["mean_high"] == pytest.approx(-0.1 + 0.1 * sum(a for _, a in CPI_QUOTES), abs=1e-12)
    assert found["median_low"] == found["median_high"] == 0.3


def test_the_tables_have_their_schemas_and_fill_what_they_can() -> None:
    rows = thresholds(CPI_STRIKES)
    built = build(rows, quoted(rows, CPI_QUOTES))
    assert built.distributions.schema == TABLES["distributions"].schema
    assert built.rungs.schema == TABLES["distribution_rungs"].schema
    found = built.distributions.to_pylist()[0]
    never_null = set(found) - set(DISTANCES) - {"gate_reason"}
    assert {k for k in never_null if found[k] is None} == set()
    assert found["ts"] == found["known_at"] == found["as_of"] == AS_OF
    assert found["inputs_known_at"] == AS_OF - timedelta(minutes=1)
    assert found["spec_version"] == spec_version_of(specs_of(rows))
    assert (found["direction_resolved"], found["direction_source"]) == (True, "explicit_metadata")
    assert (found["n_contracts"], found["n_live"], found["n_two_sided"], found["coverage_ratio"]) == (6, 6, 6, 1.0)
    assert found["median_spread_usd"] == pytest.approx(0.02)
    assert found["median_quote_age_s"] == 60.0
    assert (found["quality_low"], found["quality_flags"], found["hard_gate_failed"]) == (False, [], False)
    rungs = built.rungs.to_pylist()
    assert [r["rung"] for r in rungs] == list(range(6))
    assert [r["strike"] for r in rungs] == list(CPI_STRIKES)
    assert [r["mid_prob"] for r in rungs] == pytest.approx([0.98, 0.96, 0.905, 0.655, 0.17, 0.075])
    assert [r["repaired_prob"] for r in rungs] == pytest.approx([0.98, 0.96, 0.905, 0.655, 0.17, 0.075])
    assert [r["band_low_prob"] for r in rungs] == pytest.approx([b for b, _ in CPI_QUOTES])
    assert [r["band_high_prob"] for r in rungs] == pytest.approx([a for _, a in CPI_QUOTES])
    assert [r["weight"] for r in rungs] == pytest.approx([50.0, 50.0, 100 / 3, 100 / 3, 50.0, 100.0])


# --- contracts of every kind ---


def test_one_law_has_one_mean_whatever_its_contracts_are_called() -> None:
    survival = {3: 0.9, 4: 0.6, 5: 0.25}  # P(X >= k tenths)
    price = {k: (s - 0.01, s + 0.01) for k, s in survival.items()}
    ladders = {
        "gt": [("greater", (k - 1) / 10, None, price[k]) for k in survival],
        "ge": [("greater_or_equal", k / 10, None, price[k]) for k in survival],
        "lt": [("less", None, k / 10, (1 - price[k][1], 1 - price[k][0])) for k in survival],
        "le": [("less_or_equal", None, (k - 1) / 10, (1 - price[k][1], 1 - price[k][0])) for k in survival],
    }
    ladders["both"] = [ladders["gt"][0], ladders["le"][1], ladders["ge"][2]]
    found = {}
    for name, ladder in ladders.items():
        rows = [contract(f"T{i}", kind, floor, cap) for i, (kind, floor, cap, _) in enumerate(ladder)]
        found[name] = row(rows, quoted(rows, [p for *_, p in ladder]))
    # below 0.3: 0.1 at 0.2; then 0.3, 0.35, and 0.25 at 0.5
    assert found["gt"]["mean"] == pytest.approx(0.1 * 0.2 + 0.3 * 0.3 + 0.35 * 0.4 + 0.25 * 0.5)
    for name in ladders:
        for number in ("mean", "std", "skewness", "entropy", "median", "tail_p_1"):
            assert found[name][number] == pytest.approx(found["gt"][number], abs=1e-9), (name, number)


BINS = [
    contract("B0", "less", None, 36.0, series="KXHIGHNY"),
    contract("B1", "between", 36.0, 37.0, series="KXHIGHNY"),
    contract("B2", "between", 38.0, 39.0, series="KXHIGHNY"),
    contract("B3", "greater", 39.0, None, series="KXHIGHNY"),
]


def test_bins_sum_to_one_and_lie_on_their_degrees() -> None:
    found = row(BINS, quoted(BINS, [(0.09, 0.11), (0.39, 0.41), (0.29, 0.31), (0.19, 0.21)]), event_type="TEMPERATURE")
    expected = {34: 0.05, 35: 0.05, 36: 0.2, 37: 0.2, 38: 0.15, 39: 0.15, 40: 0.1, 41: 0.1}
    assert pmf(found) == pytest.approx(expected, abs=1e-9)
    assert found["renormalization_delta"] == pytest.approx(0.0, abs=1e-12)


def test_bins_that_do_not_sum_to_one_are_repaired_and_say_so() -> None:
    found = row(BINS, quoted(BINS, [(0.08, 0.14), (0.37, 0.43), (0.27, 0.33), (0.19, 0.25)]), event_type="TEMPERATURE")
    assert sum(found["probability"]) == pytest.approx(1.0)
    assert found["renormalization_delta"] == pytest.approx(0.03)
    assert found["repair_l1"] == pytest.approx(0.03)
    assert (found["violations_pre"], found["executable_arbitrage"]) == (1, False)
    assert found["constraint_violation_score"] == pytest.approx(np.exp(-0.03))


def test_a_bin_without_a_quote_gets_what_the_others_leave() -> None:
    built = build(BINS, quoted(BINS[:3], [(0.09, 0.11), (0.39, 0.41), (0.29, 0.31)]), event_type="TEMPERATURE")
    missing = built.rungs.to_pylist()[3]
    assert missing["ticker"] == "B3"
    assert missing["repaired_prob"] == pytest.approx(0.2)
    assert (missing["yes_bid_prob"], missing["weight"], missing["quote_known_at"]) == (None, None, None)
    assert (missing["band_low_prob"], missing["band_high_prob"]) == pytest.approx((0.17, 0.23))
    assert built.distributions.to_pylist()[0]["tail_right_missing"] is True


def test_a_ladder_that_mixes_thresholds_and_ranges() -> None:
    rows = [contract("A", "greater", 0.1), contract("B", "greater", 0.3), contract("C", "between", 0.2, 0.3)]
    found = build(rows, quoted(rows, [(0.79, 0.81), (0.29, 0.31), (0.39, 0.41)]))
    repaired = {r["ticker"]: r["repaired_prob"] for r in found.rungs.to_pylist()}
    # 0.8 - 0.3 is 0.5, the range says 0.4; the quotes allow 0.79 - 0.31 = 0.48 at least, so this cannot be repaired
    assert found.distributions.to_pylist()[0]["executable_arbitrage"] is True
    assert repaired == pytest.approx({"A": 0.8 - 0.1 / 3, "B": 0.3 + 0.1 / 3, "C": 0.5 - 0.2 / 3}, abs=1e-9)
    found = build(rows, quoted(rows, [(0.75, 0.85), (0.25, 0.35), (0.36, 0.46)]))
    repaired = {r["ticker"]: r["repaired_prob"] for r in found.rungs.to_pylist()}
    assert found.distributions.to_pylist()[0]["executable_arbitrage"] is False
    assert repaired["C"] == pytest.approx(repaired["A"] - repaired["B"], abs=1e-9)
    # 0.09 too much, shared in thirds
    assert repaired == pytest.approx({"A": 0.77, "B": 0.33, "C": 0.44}, abs=1e-9)


def test_overlapping_ranges_are_flagged_and_clean_ones_are_not() -> None:
    rows = [contract(f"B{k}", "between", lo, hi) for k, (lo, hi) in enumerate([(0.1, 0.3), (0.2, 0.4), (0.5, 0.6)])]
    prices = [(0.29, 0.31), (0.39, 0.41), (0.29, 0.31)]
    assert "invalid_bin_structure" in row(rows, quoted(rows, prices))["quality_flags"]
    apart = [contract(f"B{k}", "between", lo, hi) for k, (lo, hi) in enumerate([(0.1, 0.2), (0.3, 0.4), (0.5, 0.6)])]
    assert not {"invalid_bin_structure", "bin_gaps"} & set(row(apart, quoted(apart, prices))["quality_flags"])
    gapped = [contract(f"B{k}", "between", lo, hi) for k, (lo, hi) in enumerate([(0.1, 0.2), (0.5, 0.6), (0.7, 0.8)])]
    assert "bin_gaps" in row(gapped, quoted(gapped, prices))["quality_flags"]


def test_an_unresolved_contract_is_counted_flagged_and_never_priced() -> None:
    rows = [*thresholds(CPI_STRIKES), contract("CUT", "custom")]
    built = build(rows, quoted(rows, [*CPI_QUOTES, (0.5, 0.52)]))
    found = built.distributions.to_pylist()[0]
    assert found["mean"] == pytest.approx(0.2745)
    assert (found["n_contracts"], found["n_live"], found["direction_resolved"]) == (7, 6, False)
    assert "unresolved_direction" in found["quality_flags"]
    assert found["direction_confidence"] == "none"
    assert next(r for r in built.rungs.to_pylist() if r["ticker"] == "CUT")["repaired_prob"] is None


def test_a_ladder_of_unknown_direction_has_no_moments() -> None:
    rows = [contract(f"C{k}", None) for k in range(4)]
    found = row(rows, quoted(rows, [(0.2, 0.22)] * 4))
    assert (found["gate_reason"], found["mean"], found["tail_p_1"]) == ("unresolved_direction", None, None)
    assert found["quality_low"] is True


# --- repair ---


def test_a_break_of_mids_is_repaired_counted_and_priced() -> None:
    prices = [*CPI_QUOTES[:3], (0.16, 0.24), (0.20, 0.28), CPI_QUOTES[5]]
    found = cpi_ladder(prices)
    assert (found["violations_pre"], found["violations_post"]) == (1, 0)
    assert found["violation_magnitude"] == pytest.approx(0.04)
    assert found["repair_l1"] == pytest.approx(0.04)
    assert found["repair_l2"] == pytest.approx(0.02 * 2**0.5)
    assert (found["repair_cost_usd"], found["executable_arbitrage"]) == (0.0, False)


def test_crossed_quotes_of_two_strikes_are_an_arbitrage_flag_and_cost_money() -> None:
    prices = [*CPI_QUOTES[:3], (0.16, 0.20), (0.24, 0.28), CPI_QUOTES[5]]
    found = cpi_ladder(prices)
    assert found["executable_arbitrage"] is True
    assert "executable_arbitrage" in found["quality_flags"]
    assert found["repair_cost_usd"] == pytest.approx(0.04)
    assert found["mean"] is not None
    assert (found["mean_low"], found["mean_high"]) == (None, None)


def test_quotes_that_contradict_each_other_by_more_than_a_usable_spread_withhold_the_moments() -> None:
    found = cpi_ladder([*CPI_QUOTES[:3], (0.16, 0.20), (0.60, 0.64), CPI_QUOTES[5]])
    assert (found["gate_reason"], found["mean"]) == ("infeasible", None)
    assert found["repair_cost_usd"] == pytest.approx(0.4)


def test_a_crossed_book_is_flagged() -> None:
    found = cpi_ladder([*CPI_QUOTES[:3], (0.68, 0.66), *CPI_QUOTES[4:]])
    assert {"crossed_book", "executable_arbitrage"} <= set(found["quality_flags"])


def test_redundant_contracts_change_nothing() -> None:
    rows = thresholds(CPI_STRIKES)
    plain = row(rows, quoted(rows, CPI_QUOTES))
    twin = [*rows, contract("TWIN", "greater_or_equal", 0.3)]  # above 0.2, said otherwise
    doubled = row(twin, quoted(twin, [*CPI_QUOTES, CPI_QUOTES[3]]))
    mirror = [*rows, contract("MIRROR", "less_or_equal", None, 0.2)]
    mirrored = row(mirror, quoted(mirror, [*CPI_QUOTES, (1 - 0.67, 1 - 0.64)]))
    silent = [*rows, contract("SILENT", "greater", 0.25)]
    unquoted = row(silent, quoted(rows, CPI_QUOTES))
    for other in (doubled, mirrored, unquoted):
        for number in (*WITHHELD, "support", "probability"):
            if not number.startswith("tail_threshold"):
                assert other[number] == pytest.approx(plain[number], abs=1e-12), number


def test_two_quotes_on_one_payoff_are_the_best_bid_and_the_best_ask() -> None:
    rows = [*thresholds(CPI_STRIKES), contract("TWIN", "greater_or_equal", 0.3)]
    found = build(rows, quoted(rows, [*CPI_QUOTES, (0.60, 0.65)]))
    # above 0.2 is quoted 0.64/0.67 and 0.60/0.65: together 0.64/0.65
    assert found.rungs.to_pylist()[3]["repaired_prob"] == pytest.approx(0.645)


def test_the_order_of_rows_is_no_information() -> None:
    rows = thresholds(CPI_STRIKES)
    specs, quotes = specs_of(rows), quotes_table(quoted(rows, CPI_QUOTES) + quoted(rows, CPI_QUOTES[::-1], at=LISTED))
    times = snapshots_table([AS_OF - timedelta(hours=h) for h in range(5)])
    rng = np.random.default_rng(1)
    first = build_distributions(specs, quotes, times)
    for _ in range(5):
        shuffled = [t.take(rng.permutation(t.num_rows)) for t in (specs, quotes, times)]
        again = build_distributions(*shuffled)
        assert again.distributions.equals(first.distributions)
        assert again.rungs.equals(first.rungs)


def test_one_event_does_not_see_another() -> None:
    rows = thresholds(CPI_STRIKES)
    other = [contract(f"O{k}", "greater", 2.0 + k, event="OTHER", series="KXNEW") for k in range(3)]
    alone = build(rows, quoted(rows, CPI_QUOTES))
    together = build([*rows, *other], quoted(rows, CPI_QUOTES) + quoted(other, [(0.5, 0.9)] * 3, event="OTHER"))
    assert together.distributions.equals(alone.distributions)
    assert together.rungs.equals(alone.rungs)


# --- tails and thresholds ---


def test_tail_probabilities_are_the_mass_at_or_above_the_thresholds_of_the_type() -> None:
    rows = thresholds([2.9, 3.0, 3.4, 3.9], series="KXCPIYOY")
    found = row(rows, quoted(rows, [(0.89, 0.91), (0.79, 0.81), (0.49, 0.51), (0.19, 0.21)]))
    assert [found[f"tail_threshold_{k}"] for k in (1, 2, 3)] == [3.0, 3.5, 4.0]
    assert [found[f"tail_p_{k}"] for k in (1, 2, 3)] == pytest.approx([0.9, 0.5, 0.2])


def test_a_type_without_thresholds_gets_percentiles_of_its_cutpoints() -> None:
    found = cpi_ladder()
    rows = thresholds(CPI_STRIKES)
    other = row(rows, quoted(rows, CPI_QUOTES), event_type="SOMETHING")
    assert found["tail_threshold_1"] == 3.0
    cut = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    stated = [other[f"tail_threshold_{k}"] for k in (1, 2, 3)]
    assert stated == pytest.approx(np.percentile(cut, [60, 75, 90]).tolist())
    assert [other[f"tail_p_{k}"] for k in (1, 2, 3)] == pytest.approx([0.655, 0.17, 0.075])


def test_tails_and_interior_add_up() -> None:
    found = cpi_ladder()
    inside = sum(p for x, p in pmf(found).items() if -0.1 < x < 0.5)
    assert found["tail_mass_low"] + inside + found["tail_mass_high"] == pytest.approx(1.0)


# --- time ---


def test_a_contract_listed_later_is_not_in_the_ladder_yet() -> None:
    late = LISTED + timedelta(days=5)
    rows = [*thresholds(CPI_STRIKES), contract("LATE", "greater", 0.5, known_at=late)]
    times = [late - timedelta(microseconds=1), late]
    quotes = quoted(rows, [*CPI_QUOTES, (0.02, 0.04)], at=LISTED + timedelta(hours=1))
    before, after = build(rows, quotes, times=times).distributions.to_pylist()
    assert (before["n_contracts"], after["n_contracts"]) == (6, 7)
    assert before["spec_version"] == spec_version_of(specs_of(rows[:6]))
    assert after["spec_version"] == spec_version_of(specs_of(rows))
    assert before["inputs_known_at"] == LISTED + timedelta(hours=1)
    assert after["inputs_known_at"] == late


def test_a_changed_spec_replaces_the_earlier_one_once_it_is_known() -> None:
    change = AS_OF - timedelta(minutes=30)
    rows = [*thresholds(CPI_STRIKES), contract(f"{EVENT}-T005", "greater", 0.6, known_at=change)]
    quotes = quoted(rows[:6], CPI_QUOTES, at=AS_OF - timedelta(hours=2))
    before, after = build(rows, quotes, times=[change - timedelta(seconds=1), AS_OF]).distributions.to_pylist()
    assert (before["n_contracts"], after["n_contracts"]) == (6, 6)
    # the last two strikes now stand three ticks apart, and so does the end of the upper tail
    assert (max(before["support"]), max(after["support"])) == (0.5, 0.9)


@pytest.mark.parametrize(
    ("as_of", "reason"),
    [(LISTED - timedelta(days=1), "not_listed"), (LISTED + timedelta(minutes=1), "no_quotes")],
)
def test_before_listing_and_before_the_first_quote(as_of: Any, reason: str) -> None:
    rows = thresholds(CPI_STRIKES)
    found = row(rows, quoted(rows, CPI_QUOTES), times=[as_of])
    assert (found["gate_reason"], found["mean"], found["support"]) == (reason, None, None)
    assert (found["hard_gate_failed"], found["quality_low"], found["quality_score"]) == (True, True, 0.0)


def test_the_event_listing_time_gates_even_where_a_contract_is_known() -> None:
    rows = thresholds(CPI_STRIKES)
    quotes = quoted(rows, CPI_QUOTES, at=LISTED)
    found = row(rows, quotes, times=[LISTED + timedelta(hours=1)], listed_at=LISTED + timedelta(hours=2))
    assert found["gate_reason"] == "not_listed"


def test_an_event_without_contracts_is_a_row_with_a_reason() -> None:
    built = build([], [], event="UNKNOWN")
    assert built.distributions.to_pylist()[0]["gate_reason"] == "not_listed"
    assert built.distributions.to_pylist()[0]["spec_version"] is None
    assert built.rungs.num_rows == 0


def test_nothing_in_nothing_out() -> None:
    built = build([], [], times=[])
    assert (built.distributions.num_rows, built.rungs.num_rows) == (0, 0)
    assert built.distributions.schema == TABLES["distributions"].schema


# --- staleness ---


def coverage(as_of: Any, **facts: Any) -> dict[str, Any]:
    rows = thresholds(CPI_STRIKES)
    return row(rows, quoted(rows, CPI_QUOTES, **facts), times=[as_of])


def test_a_book_that_nobody_polled_goes_stale_within_minutes_near_the_event() -> None:
    facts = {"source": "book", "period_s": 0, "volume": None}
    assert coverage(AS_OF, at=AS_OF - timedelta(seconds=119), **facts)["coverage_ratio"] == 1.0
    stale = coverage(AS_OF, at=AS_OF - timedelta(seconds=181), **facts)
    assert (stale["gate_reason"], stale["mean"]) == ("stale_quotes", None)
    assert "stale_quotes" in stale["quality_flags"]
    assert stale["stale_cutoff_s"] == 120.0


def test_far_from_the_event_the_same_age_is_fine() -> None:
    far = RELEASE - timedelta(days=3)
    found = coverage(far, source="book", period_s=0, volume=None, at=far - timedelta(minutes=38))
    assert found["hard_gate_failed"] is False
    # 60 minutes far out, times 0.8 for CPI, times 0.8 for a liquid market (ln 101 twice is more than 6)
    assert found["stale_cutoff_s"] == pytest.approx(60 * 60 * 0.8 * 0.8)


def test_an_unchanged_candle_still_stands_while_its_feed_reports_on_the_ladder() -> None:
    rows = thresholds(CPI_STRIKES)
    old = quoted(rows[:5], CPI_QUOTES[:5], at=LISTED)
    fresh = quoted(rows[5:], CPI_QUOTES[5:], at=AS_OF - timedelta(minutes=5))
    found = build(rows, [*old, *fresh])
    kept = found.distributions.to_pylist()[0]
    assert kept["mean"] == pytest.approx(0.2745)
    assert kept["median_quote_age_s"] == 300.0  # last observed
    assert found.rungs.to_pylist()[0]["age_s"] == (AS_OF - LISTED).total_seconds()  # last changed


@pytest.mark.parametrize(("period_s", "days"), [(60, 2), (3_600, 2), (86_400, 7)])
def test_a_feed_that_falls_silent_on_the_whole_ladder_carries_up_to_its_limit(period_s: int, days: int) -> None:
    limit = timedelta(days=days)
    assert coverage(AS_OF, at=AS_OF - limit, period_s=period_s)["hard_gate_failed"] is False
    gone = coverage(AS_OF, at=AS_OF - limit - timedelta(seconds=1), period_s=period_s)
    assert gone["gate_reason"] == "stale_quotes"


def test_liquidity_looks_at_a_recent_window_only() -> None:
    rows = thresholds(CPI_STRIKES)
    ancient = [
        quote(c["ticker"], 0.4, 0.5, at=LISTED + timedelta(hours=h), volume=1e6, open_interest=None)
        for c in rows
        for h in range(20)
    ]
    recent = quoted(rows, CPI_QUOTES, volume=4.0, open_interest=None)
    assert row(rows, ancient + recent)["volume_oi_proxy"] == pytest.approx(np.tanh(2 * np.log(5.0) / 8))
    assert row(rows, ancient + recent)["volume_oi_proxy"] == row(rows, recent)["volume_oi_proxy"]


# --- spreads and coverage ---


def test_a_normal_two_cent_market_in_the_tails_is_not_gated() -> None:
    found = cpi_ladder([(0.97, 0.99), (0.95, 0.97), (0.30, 0.32), (0.04, 0.06), (0.02, 0.04), (0.01, 0.03)])
    assert found["hard_gate_failed"] is False


@pytest.mark.parametrize(
    ("quote", "repaired", "band"),
    [
        # Both sides say more than the neighbours do: the mid counts, weakly, and nothing pulls against it here.
        ((0.20, 0.80), 0.50, (0.20, 0.80)),
        # The bid is below the next rung's: a constraint that does not bind, and the curve is straight across it.
        ((0.10, 0.80), (0.905 + 0.17) / 2, (0.16, 0.80)),
        ((0.20, 0.95), (0.905 + 0.17) / 2, (0.20, 0.92)),
    ],
)
def test_a_wide_quote(quote: tuple[float, float], repaired: float, band: tuple[float, float]) -> None:
    prices = [*CPI_QUOTES[:3], quote, *CPI_QUOTES[4:]]
    rows = thresholds(CPI_STRIKES)
    rung = build(rows, quoted(rows, prices)).rungs.to_pylist()[3]
    assert rung["mid_prob"] is None
    assert rung["weight"] == 0.0
    assert rung["repaired_prob"] == pytest.approx(repaired)
    assert (rung["band_low_prob"], rung["band_high_prob"]) == pytest.approx(band)


@pytest.mark.parametrize(("half", "gated", "flagged"), [(0.05, False, False), (0.07, False, True), (0.14, True, True)])
def test_wide_spreads_are_flagged_above_ten_cents_and_gated_above_twenty_five(
    half: float, gated: bool, flagged: bool
) -> None:
    mids = (0.85, 0.72, 0.55, 0.42, 0.28, 0.15)
    rows = thresholds(CPI_STRIKES)
    built = build(rows, quoted(rows, [(round(m - half, 2), round(m + half, 2)) for m in mids]))
    found = built.distributions.to_pylist()[0]
    assert found["hard_gate_failed"] is gated
    assert ("wide_spread" in found["quality_flags"]) is flagged


def test_mostly_wide_quotes_withhold_the_moments_and_keep_the_evidence() -> None:
    rows = thresholds(CPI_STRIKES)
    built = build(rows, quoted(rows, [(0.30, 0.80)] * 5 + [(0.07, 0.09)]))
    found = built.distributions.to_pylist()[0]
    assert found["gate_reason"] == "wide_spread"
    assert all(found[name] is None for name in WITHHELD)
    assert (found["support"], found["probability"]) == (None, None)
    assert found["median_spread_usd"] == pytest.approx(0.5)
    assert found["quality_score"] > 0.0
    assert built.rungs.to_pylist()[0]["yes_bid_prob"] == 0.30


def test_far_strikes_with_empty_books_do_not_kill_a_ladder_whose_neighbours_bound_them() -> None:
    rows = thresholds([*CPI_STRIKES, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1])
    found = row(rows, quoted(rows, [*CPI_QUOTES, *[(None, None)] * 6]))
    assert found["hard_gate_failed"] is False
    assert found["coverage_ratio"] == 0.5
    assert "low_coverage" in found["quality_flags"]
    assert found["mean"] == pytest.approx(0.2745)


def test_one_sided_quotes_are_bounds_at_nought_and_one() -> None:
    found = cpi_ladder([(0.96, None), *CPI_QUOTES[1:5], (None, 0.04)])
    assert (found["n_live"], found["n_two_sided"]) == (6, 4)
    assert found["tail_mass_low"] == pytest.approx(0.02)  # 0.96 to 1
    assert found["tail_mass_high"] == pytest.approx(0.02)  # 0 to 0.04


# --- distances ---


def test_distances_to_an_hour_and_a_day_earlier() -> None:
    rows = thresholds(CPI_STRIKES)
    shifted = [(0.98, 0.99), (0.97, 0.99), (0.95, 0.97), (0.89, 0.92), (0.64, 0.67), (0.16, 0.18)]
    quotes = quoted(rows, CPI_QUOTES, at=AS_OF - timedelta(days=1, minutes=2))
    quotes += quoted(rows, shifted, at=AS_OF - timedelta(minutes=30))
    found = row(rows, quotes)
    then = cpi_ladder()
    # the law then and now by their survival at 0, 0.1, ..., 0.5
    now = [0.985, 0.98, 0.96, 0.905, 0.655, 0.17]
    gap = np.array(now) - np.array([0.98, 0.96, 0.905, 0.655, 0.17, 0.075])
    assert found["distance_wasserstein_1d"] == pytest.approx(0.1 * np.abs(gap).sum())
    assert found["distance_ks_1d"] == pytest.approx(0.485)
    assert found["distance_crps_1d"] == pytest.approx(0.1 * np.square(gap).sum())
    assert found["mean"] - then["mean"] == pytest.approx(0.1 * gap.sum())
    assert 0.0 < found["distance_js_1d"] < found["distance_kl_1d"]


def test_a_feed_too_slow_for_the_lag_gives_no_distance() -> None:
    rows = thresholds(CPI_STRIKES)
    found = row(rows, quoted(rows, CPI_QUOTES, at=AS_OF - timedelta(hours=5), period_s=86_400))
    assert found["mean"] is not None
    assert found["distance_kl_1h"] is None
    assert found["distance_kl_1d"] is None  # nothing was quoted a day before


def test_an_unmoved_ladder_is_at_no_distance() -> None:
    rows = thresholds(CPI_STRIKES)
    found = row(rows, quoted(rows, CPI_QUOTES, at=AS_OF - timedelta(hours=2)))
    assert [found[d] for d in DISTANCES if d.endswith("1h")] == pytest.approx([0.0] * 5, abs=1e-15)


# --- refusals ---


def test_an_unknown_tail_policy_is_refused() -> None:
    with pytest.raises(DomainError, match="step, hazard, truncate"):
        cpi_ladder(config=replace(CONFIG, tail_policy="fat"))


def test_a_snapshot_without_a_time_is_refused() -> None:
    times = snapshots_table()
    broken = times.set_column(
        times.schema.get_field_index("as_of"),
        pa.field("as_of", times.schema.field("as_of").type),
        pa.nulls(1, times["as_of"].type),
    )
    with pytest.raises(DomainError, match="as_of"):
        build_distributions(specs_of([]), quotes_table([]), broken)


def test_the_key_order_of_the_output_does_not_depend_on_the_snapshots_order() -> None:
    rows = thresholds(CPI_STRIKES)
    built = build(rows, quoted(rows, CPI_QUOTES), times=[AS_OF, AS_OF - timedelta(hours=1)])
    assert pc.all(pc.equal(built.distributions["horizon"], pa.array(["h000", "h001"]))).as_py()


@pytest.mark.parametrize("chosen", ["step", "hazard", "truncate"])
def test_the_standing_sensitivity_is_what_each_policy_gives(chosen: str) -> None:
    found = cpi_ladder(config=replace(CONFIG, tail_policy=chosen))
    for policy in ("step", "hazard", "truncate"):
        other = cpi_ladder(config=replace(CONFIG, tail_policy=policy))
        assert found[f"mean_{policy}"] == pytest.approx(other["mean"], abs=1e-12)
        assert found[f"std_{policy}"] == pytest.approx(other["std"], abs=1e-12)


def test_a_gated_snapshot_has_no_sensitivity() -> None:
    found = cpi_ladder([(0.10, 0.90)] * 6)
    assert found["hard_gate_failed"]
    assert found["mean_step"] is found["std_truncate"] is None
