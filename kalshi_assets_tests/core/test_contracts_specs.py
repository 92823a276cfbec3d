"""Listing facts to predicates on the lattice."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_assets.core.contracts import resolve_specs, spec_version_of, weakest_resolution
from kalshi_assets.core.lattice import index_above, index_at_or_above, infer_tick
from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.ladder_rows import LISTED, contract, contracts_table, specs_of


def one(*args: Any, **facts: Any) -> dict[str, Any]:
    row: dict[str, Any] = specs_of([contract("KXCPI-26FEB-T0.3", *args, **facts)]).to_pylist()[0]
    return row


@pytest.mark.parametrize(
    ("strike_type", "floor", "cap", "kind", "lo", "hi", "strict"),
    [
        ("greater", 2.4, None, "gt", 25, None, True),
        ("greater_or_equal", 2.4, None, "ge", 24, None, False),
        ("less", None, 2.4, "lt", None, 23, True),
        ("less_or_equal", None, 2.4, "le", None, 24, False),
        ("between", 2.1, 2.4, "between", 21, 24, False),
        ("greater", -0.1, None, "gt", 0, None, True),
        # off the lattice of tenths: what counts is which published values pay
        ("greater", 2.45, None, "gt", 25, None, True),
        ("greater_or_equal", 2.45, None, "ge", 25, None, False),
        ("less", None, 2.45, "lt", None, 24, True),
        ("less_or_equal", None, 2.45, "le", None, 24, False),
        ("greater", 0.3, None, "gt", 4, None, True),  # 0.3 / 0.1 is 2.9999999999999996 in floats
    ],
)
def test_strike_fields(
    strike_type: str, floor: float | None, cap: float | None, kind: str, lo: int | None, hi: int | None, strict: bool
) -> None:
    row = one(strike_type, floor, cap)
    assert (row["direction"], row["lo_index"], row["hi_index"], row["strict"]) == (kind, lo, hi, strict)
    assert (row["source"], row["confidence"], row["lattice_source"]) == ("explicit_metadata", "high", "series")
    assert row["tick"] == 0.1


def test_payroll_strikes_live_on_thousands() -> None:
    row = specs_of([contract("KXPAYROLLS-26FEB-T125000", "greater", 125_000.0, series="KXPAYROLLS")]).to_pylist()[0]
    assert (row["tick"], row["lo_index"]) == (1000.0, 126)


@pytest.mark.parametrize(
    ("ticker", "series", "facts", "expected"),
    [
        ("CPI-22AUG-T0.4", "KXCPI", {"yes_sub_title": "Above 0.4%"}, ("gt", 5, None, "subtitle", "medium")),
        ("HIGHNY-T85", "KXHIGHNY", {"yes_sub_title": "86° or above"}, ("ge", 86, None, "subtitle", "medium")),
        ("HIGHNY-B84.5", "KXHIGHNY", {"yes_sub_title": "84-85°"}, ("between", 84, 85, "subtitle", "medium")),
        ("HIGHNY-T36", "KXHIGHNY", {"yes_sub_title": "35° or below"}, ("le", None, 35, "subtitle", "medium")),
        (
            "CPI-22AUG-T0.4", "KXCPI", {"rules_primary": "If CPI increases by more than 0.4%, then Yes."},
            ("gt", 5, None, "rules_text", "medium"),
        ),
        (
            "CPI-22AUG-T0.4", "KXCPI", {"title": "Will CPI rise more than 0.4% in August 2022?"},
            ("gt", 5, None, "title", "low"),
        ),
        # rules that name another number than the ticker are not this contract's
        (
            "CPI-22AUG-T0.4", "KXCPI", {"rules_primary": "If CPI increases by more than 0.3%, then Yes."},
            ("gt", 5, None, "ticker", "low"),
        ),
        ("CPI-22AUG-T-0.1", "KXCPI", {}, ("gt", 0, None, "ticker", "low")),
        ("CPI-22AUG-TN0.1", "KXCPI", {}, ("gt", 0, None, "ticker", "low")),
        ("HIGHNY-B84.5", "KXHIGHNY", {}, ("between", 84, 85, "ticker", "low")),
        # a bare T on a temperature may be either tail: no guess
        ("HIGHNY-T85", "KXHIGHNY", {}, ("unresolved", None, None, "none", "none")),
    ],
)  # fmt: skip
def test_listings_without_strike_fields(ticker: str, series: str, facts: dict[str, str], expected: Any) -> None:
    row = specs_of([contract(ticker, None, series=series, **facts)]).to_pylist()[0]
    assert (row["direction"], row["lo_index"], row["hi_index"], row["source"], row["confidence"]) == expected


UNRESOLVED = ("unresolved", None, None, "none", "none")


@pytest.mark.parametrize(
    ("ticker", "facts", "expected"),
    [
        # what a text compares is never overruled by the ticker's custom
        ("CPI-22AUG-T0.4", {"title": "CPI is below or equal to 0.4%"}, ("le", None, 4, "title", "low")),
        ("CPI-22AUG-T0.4", {"title": "CPI is equal to or greater than 0.4%"}, ("ge", 4, None, "title", "low")),
        ("CPI-22AUG-T0.4", {"title": "CPI is above 0.3% or below 0.1%"}, UNRESOLVED),
        ("CPI-22AUG-T0.4", {"yes_sub_title": "≧ 0.4%"}, ("ge", 4, None, "subtitle", "medium")),
        ("CPI-22AUG-T0.4", {"yes_sub_title": "0.4%+"}, ("ge", 4, None, "subtitle", "medium")),
        ("CPI-22AUG-T0.4", {"yes_sub_title": "&gt; 0.4%"}, ("gt", 5, None, "subtitle", "medium")),
        ("CPI-22AUG-T0.4", {"rules_primary": "If CPI is neither above nor at 0.4%, then Yes."}, UNRESOLVED),
        ("CPI-22AUG-T0.4", {"rules_secondary": "Pays unless CPI reaches 0.4%."}, UNRESOLVED),
        ("CPI-22AUG-T0.4", {"title": "CPI in August: 0.4%"}, ("gt", 5, None, "ticker", "low")),
        ("HIGHNY-B84.5", {"title": "Not between 84 and 85"}, UNRESOLVED),
        # a refusal or a fall never gives the opposite
        ("CPI-22AUG-T0.4", {"yes_sub_title": "Cannot exceed 0.4%"}, ("le", None, 4, "subtitle", "medium")),
        ("CPI-22AUG-T0.4", {"yes_sub_title": "Not at least 0.4%"}, ("lt", None, 3, "subtitle", "medium")),
        ("CPI-22AUG-T0.4", {"yes_sub_title": "Does not drop below 0.4%"}, ("ge", 4, None, "subtitle", "medium")),
        ("CPI-22AUG-T0.4", {"yes_sub_title": "Without exceeding 0.4%"}, UNRESOLVED),
        ("CPI-22AUG-T-0.4", {"rules_primary": "If CPI falls by more than 0.4%, then Yes."}, UNRESOLVED),
        # numbers
        ("PAYROLLS-22AUG-T250000", {"yes_sub_title": "Above 250K"}, ("gt", 251, None, "subtitle", "medium")),
        ("PAYROLLS-22AUG-T1500000", {"yes_sub_title": "Above 1.5 million"}, ("gt", 1501, None, "subtitle", "medium")),
        ("CPI-22AUG-T-0.1", {"yes_sub_title": "Above –0.1%"}, ("gt", 0, None, "subtitle", "medium")),
        ("CPI-22AUG-T-0.1", {"yes_sub_title": "Above ‐0.1%"}, ("gt", 0, None, "subtitle", "medium")),
        ("CPI-22AUG-T-0.1", {"yes_sub_title": "Above - 0.1%"}, ("gt", 0, None, "subtitle", "medium")),
        ("CPI-22AUG-T3.5", {"yes_sub_title": "3,5% or higher"}, UNRESOLVED),
        ("CPI-22AUG-T3.5", {"yes_sub_title": "Above 3,5%"}, ("gt", 36, None, "ticker", "low")),
        (
            "CPI-22AUG-T3.5", {"title": "CPI released on 2024-07-11 is above 3.5%"},
            ("gt", 36, None, "title", "low"),
        ),
        ("CPI-22AUG-T3", {"title": "Released 8:30-9:30 AM, above 3%"}, ("gt", 31, None, "title", "low")),
        # a subtitle that names another number than its ticker contradicts it
        ("CPI-22AUG-T0.4", {"yes_sub_title": "Above 0.3%"}, UNRESOLVED),
        ("CPI-22AUG-T0.1", {"yes_sub_title": "Above -0.1%"}, UNRESOLVED),
        ("PAYROLLS-22AUG-T250", {"yes_sub_title": "Above 250K"}, UNRESOLVED),
        ("HIGHNY-T85", {"yes_sub_title": "85° or above"}, ("ge", 85, None, "subtitle", "medium")),
        ("HIGHNY-T85", {"yes_sub_title": "87° or above"}, UNRESOLVED),
        ("HIGHNY-T85", {"yes_sub_title": "84° or above"}, UNRESOLVED),
        ("HIGHNY-T36", {"yes_sub_title": "37° or below"}, UNRESOLVED),
        ("HIGHNY-B84.5", {"yes_sub_title": "85-86°"}, UNRESOLVED),
    ],
)  # fmt: skip
def test_words_are_read_with_certainty_or_not_at_all(ticker: str, facts: dict[str, str], expected: Any) -> None:
    series = "KX" + ticker.split("-")[0]
    row = specs_of([contract(ticker, None, series=series, **facts)]).to_pylist()[0]
    assert (row["direction"], row["lo_index"], row["hi_index"], row["source"], row["confidence"]) == expected


@pytest.mark.parametrize(
    ("strike_type", "floor", "ticker", "facts", "expected"),
    [
        # "or above" says in other words what the strict number 85 of the field or the ticker says
        ("greater", None, "HIGHNY-T85", {"yes_sub_title": "86° or above"}, ("gt", 86, None, "ticker", "low")),
        (None, 85.0, "HIGHNY-26", {"yes_sub_title": "86° or above"}, ("ge", 86, None, "subtitle", "medium")),
        (None, 85.0, "HIGHNY-26", {"yes_sub_title": "88° or above"}, UNRESOLVED),
        ("greater", None, "HIGHNY-26", {"yes_sub_title": "85°"}, ("gt", 86, None, "subtitle", "medium")),
        ("greater", None, "HIGHNY-26", {"title": "The high of 12 stations"}, UNRESOLVED),
        ("greater", None, "HIGHNY-B84.5", {}, UNRESOLVED),
    ],
)  # fmt: skip
def test_a_text_beside_half_a_strike(
    strike_type: str | None, floor: float | None, ticker: str, facts: dict[str, str], expected: Any
) -> None:
    row = specs_of([contract(ticker, strike_type, floor, series="KXHIGHNY", **facts)]).to_pylist()[0]
    assert (row["direction"], row["lo_index"], row["hi_index"], row["source"], row["confidence"]) == expected


def test_a_series_that_nobody_described_takes_the_tick_of_the_strikes_that_are_compared() -> None:
    near, far = (contract(f"X-T{n}", None, series="KXNEW", yes_sub_title="5,000 or above") for n in (4999.99, 4998.99))
    assert [r["direction"] for r in specs_of([near, far]).to_pylist()] == ["unresolved", "ge"]


@pytest.mark.parametrize(
    "row",
    [
        contract("X-1", "custom", 25.0), contract("X-1", "structured"), contract("X-1", "functional"),
        contract("X-1", "greater", 25.0, market_type="scalar"),
        contract("X-1", "between", 2.4, 2.1),  # inverted
        contract("X-1", "between", 2.41, 2.49),  # no published tenth lies inside
        contract("X-1", "greater"), contract("X-1", "greater", float("nan")), contract("X-1", None),
    ],
)  # fmt: skip
def test_what_cannot_be_put_on_the_lattice_is_unresolved(row: dict[str, Any]) -> None:
    spec = specs_of([row]).to_pylist()[0]
    assert (spec["direction"], spec["lo_index"], spec["hi_index"]) == ("unresolved", None, None)
    assert spec["confidence"] == "none"


def test_only_listing_facts_are_read() -> None:
    plain = specs_of([contract("X-T2.4", "greater", 2.4)])
    settled = specs_of(
        [
            contract("X-T2.4", "greater", 2.4, result="yes", expiration_value="3.1", volume_contracts=5)
            | {"status": "finalized"}
        ]
    )
    assert plain.equals(settled)
    assert plain.schema == TABLES["contract_specs"].schema


def test_a_later_version_with_the_same_listing_opens_no_new_spec_and_a_changed_one_does() -> None:
    first, later = LISTED, LISTED + timedelta(days=3)
    same = [contract("X-T2.4", "greater", 2.4), contract("X-T2.4", "greater", 2.4, known_at=later)]
    assert specs_of(same)["known_at"].to_pylist() == [first]
    changed = [contract("X-T2.4", "greater", 2.4), contract("X-T2.4", "greater", 2.5, known_at=later)]
    rows = specs_of(reversed(changed)).to_pylist()
    assert [(r["known_at"], r["ts"], r["lo_index"]) for r in rows] == [(first, first, 25), (later, later, 26)]
    assert rows[0]["spec_id"] != rows[1]["spec_id"]


def test_an_inferred_tick_uses_only_strikes_listed_by_then() -> None:
    later = LISTED + timedelta(days=1)
    rows = [
        contract("A", "greater", 2.0, series="KXNEW"),
        contract("B", "greater", 2.5, series="KXNEW", known_at=later),
    ]
    specs = specs_of(rows).to_pylist()
    assert [(r["ticker"], r["known_at"], r["tick"], r["lo_index"]) for r in specs] == [
        ("A", LISTED, 1.0, 3), ("A", later, 0.5, 5), ("B", later, 0.5, 6),
    ]  # fmt: skip
    assert {r["lattice_source"] for r in specs} == {"strikes"}


def test_spec_versions_name_the_set_and_not_its_order() -> None:
    rows = [contract(f"X-T{k}", "greater", k / 10) for k in range(20, 26)]
    specs, shuffled = specs_of(rows), specs_of(reversed(rows))
    assert specs.equals(shuffled)
    assert spec_version_of(specs) == spec_version_of(specs.take([3, 1, 0, 2, 5, 4]))
    assert spec_version_of(specs) != spec_version_of(specs.slice(1))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DomainError, match="known_at"):
        resolve_specs(contracts_table([]).drop_columns("known_at"))


def test_an_empty_catalog_gives_an_empty_table() -> None:
    assert resolve_specs(pa.Table.from_pylist([], schema=TABLES["contracts"].schema)).num_rows == 0


def test_a_ladder_is_as_certain_as_its_least_certain_contract() -> None:
    assert weakest_resolution(["explicit_metadata", "title"], ["high", "low"]) == ("title", "low")
    assert weakest_resolution([], []) == ("none", "none")


@pytest.mark.parametrize(
    ("strikes", "tick"),
    [
        ((70, 80, 90), 1.0),
        ((2.0, 2.5), 0.5),
        ((4.25, 4.5), 0.25),
        ((2.4, 2.45), 0.05),
        ((99.99, 100), 0.01),
        ((), None),
    ],
)
def test_inferred_ticks(strikes: tuple[float, ...], tick: float | None) -> None:
    assert infer_tick(strikes) == tick


@given(st.integers(-10_000, 10_000), st.sampled_from([1.0, 0.5, 0.25, 0.1, 0.05, 0.01, 1000.0]))
def test_lattice_indices_are_exact_for_every_value_as_it_is_written(index: int, tick: float) -> None:
    value = float(Fraction(repr(tick)) * index)
    assert index_at_or_above(value, tick) == index
    assert index_above(value, tick) == index + 1
