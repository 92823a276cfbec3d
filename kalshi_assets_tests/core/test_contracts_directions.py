"""Directions from fields and from words."""

from __future__ import annotations

import pytest

from kalshi_assets.core.directions import Direction, direction_in_text, resolve_direction, strikes_in_text


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("ge", "ge"), ("gte", "ge"), (">=", "ge"), ("greater_or_equal", "ge"), ("above", "gt"), ("over", "gt"),
        ("greater", "gt"), ("le", "le"), ("lte", "le"), ("<=", "le"), ("less_or_equal", "le"), ("below", "lt"),
        ("under", "lt"), ("less", "lt"), ("between", "between"), ("  GE ", "ge"),
    ],
)  # fmt: skip
def test_explicit_fields_are_certain(word: str, kind: str) -> None:
    assert resolve_direction(direction=word) == Direction(kind, "explicit_metadata", "high")
    assert resolve_direction(payout_structure=word) == Direction(kind, "explicit_metadata", "high")


def test_the_direction_field_comes_before_the_payout_structure_and_both_before_words() -> None:
    assert resolve_direction("ge", "below", "at most 3", "under 3") == Direction("ge", "explicit_metadata", "high")
    assert resolve_direction("nonsense", "below") == Direction("lt", "explicit_metadata", "high")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Resolves Yes if CPI is greater than or equal to 3.5%", "ge"),
        ("Resolves Yes if unemployment is at most 4.0%", "le"),
        ("Pays if the value is above 3.5", "gt"),
        ("Pays if the value is below 3.5", "lt"),
        ("CPI >= 3.5%", "ge"), ("CPI ≥ 3.5%", "ge"), ("CPI ≤ 3.5%", "le"), ("CPI <= 3.5%", "le"),
        ("CPI > 3.5%", "gt"), ("CPI<3.5%", "lt"),
        ("not above 3", "le"), ("no more than 3", "le"), ("does not exceed 3", "le"),
        ("not below 3", "ge"), ("no less than 3", "ge"),
        ("exceeds 3%", "gt"), ("higher than 3%", "gt"), ("rise more than 0.3% in December 2026", "gt"),
        ("3.5 or higher", "ge"), ("86° or above", "ge"), ("3.5 or lower", "le"), ("35° or below", "le"),
        ("fewer than 200,000", "lt"), ("84° to 85°", "between"), ("84-85°", "between"),
        ("between 3.1% and 3.3%", "between"), ("exactly 25", "exact"),
        ("-0.1% or more", "ge"),
    ],
)  # fmt: skip
def test_words(text: str, kind: str) -> None:
    assert direction_in_text(text) == kind
    assert resolve_direction(rules_text=text) == Direction(kind, "rules_text", "medium")
    assert resolve_direction(title=text) == Direction(kind, "title", "low")
    assert resolve_direction(subtitle=text) == Direction(kind, "title", "low")


@pytest.mark.parametrize("word", ["gathering", "danger", "altogether", "recovery", "underperformance", "overall"])
def test_a_word_inside_a_word_is_no_direction(word: str) -> None:
    assert direction_in_text(f"A {word} of 3.5%") is None


def test_a_text_that_says_two_opposite_things_says_nothing() -> None:
    assert direction_in_text("above 3 pays Yes, below 3 pays No") is None


@pytest.mark.parametrize("text", [None, "", "CPI in December", "Who wins?"])
def test_no_signal_is_no_direction(text: str | None) -> None:
    assert resolve_direction(rules_text=text, title=text) == Direction(None, "none", "none")


def test_rules_come_before_the_title() -> None:
    assert resolve_direction(rules_text="at most 3", title="above 3") == Direction("le", "rules_text", "medium")


@pytest.mark.parametrize(
    ("text", "kind", "strikes"),
    [
        ("Above 0.4%", "gt", (0.4,)), ("Above -0.1%", "gt", (-0.1,)), ("Above −0.1%", "gt", (-0.1,)),
        ("86° or above", "ge", (86.0,)), ("84-85°", "between", (84.0, 85.0)), ("84° to 85°", "between", (84.0, 85.0)),
        ("Above 125,000", "gt", (125_000.0,)), ("more than 0.3% in December 2026", "gt", (0.3,)),
        ("between -0.2 and 0.1", "between", (-0.2, 0.1)), ("above 3 or 4", "gt", ()), ("Above", "gt", ()),
        (None, "gt", ()),
    ],
)  # fmt: skip
def test_strikes(text: str | None, kind: str, strikes: tuple[float, ...]) -> None:
    assert strikes_in_text(text, kind) == strikes
