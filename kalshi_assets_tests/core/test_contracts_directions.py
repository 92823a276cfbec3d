"""Directions from fields and from words."""

from __future__ import annotations

import pytest

from kalshi_assets.core.directions import Direction, direction_in_text, read, resolve_direction, strikes_in_text


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


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("CPI is below or equal to 0.4%", "le"), ("above or equal to 0.4%", "ge"), ("equal to or below 0.4%", "le"),
        ("equal to or greater than 0.4%", "ge"), ("equal to or above 0.4%", "ge"), ("greater or equal to 0.4%", "ge"),
        ("equal to or less than 0.4%", "le"), ("meets or exceeds 0.4%", "ge"), ("0.4% and up", "ge"),
        ("0.4% or up", "ge"), ("0.4% and above", "ge"), ("0.4% and over", "ge"), ("0.4% and below", "le"),
        ("0.4% and under", "le"), ("≧ 0.4%", "ge"), ("⩾ 0.4%", "ge"), ("≦ 0.4%", "le"), ("⩽ 0.4%", "le"),
        ("0.4%+", "ge"), ("250K+", "ge"), ("86°+", "ge"), ("&gt; 0.4%", "gt"), ("&lt; 0.4%", "lt"),
        ("&ge; 0.4%", "ge"), ("&le; 0.4%", "le"), ("&gt;= 0.4%", "ge"), ("year-over-year CPI is at most 3%", "le"),
        ("CPI over the past 12 months is below 3%", "lt"), ("3 through 4", "between"),
    ],
)  # fmt: skip
def test_or_equal_in_every_spelling(text: str, kind: str) -> None:
    assert direction_in_text(text) == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("cannot exceed 3", "le"), ("can't exceed 3", "le"), ("can not exceed 3", "le"), ("isn't above 3", "le"),
        ("isnt above 3", "le"), ("won't exceed 3", "le"), ("won’t exceed 3", "le"), ("fails to exceed 3", "le"),
        ("failed to exceed 3", "le"), ("never exceeds 3", "le"), ("not to exceed 3", "le"), ("not be above 3", "le"),
        ("does not rise by more than 0.4%", "le"), ("does not increase by at least 0.4%", "lt"), ("not > 3", "le"),
        ("not at or above 3", "lt"), ("not at least 3", "lt"), ("not greater than or equal to 3", "lt"),
        ("not equal to or greater than 3", "lt"), ("not ≥ 3", "lt"), ("≱ 3", "lt"), ("!> 3", "le"),
        ("not less than or equal to 3", "gt"), ("not at or below 3", "gt"), ("not at most 3", "gt"),
        ("does not drop below 3", "ge"), ("doesn't fall under 3", "ge"), ("no lower than 3", "ge"),
        ("drops below 3", "lt"), ("falls to at most 3", "le"),
        ("above 3 pays Yes, otherwise no", "gt"),
    ],
)  # fmt: skip
def test_a_refusal_that_is_plain_is_read(text: str, kind: str) -> None:
    assert direction_in_text(text) == kind


@pytest.mark.parametrize(
    "text",
    [
        "without exceeding 3", "neither above 3", "neither above 3 nor below 2", "nor above 3", "not equal to 3", "≠ 3",
        "not exactly 3", "not between 3 and 4", "outside 3 to 4", "between 3 and 4, exclusive", "unless above 3",
        "falls by more than 0.4%", "fell by more than 0.4%", "a decline of more than 0.4%", "lower by more than 0.4%",
        "does not fall by more than 0.4%", "contracts by more than 0.4%", "loses more than 50,000 jobs",
        "is cut by more than 0.25%", "down more than 0.4%", "changes by more than 0.4%", "rises from 3.1% to 3.4%",
        "not 3 or higher", "not above or below 3", "above 0.3% or below 0.1%", "between three and four", "not up to 3",
        "is above 0.4%: resolves to No", "anything but above 3", "3.3 to 3.1", "between 3.3 and 3.1", "above 3 to 4",
        "hits 0.4%", "is negative", "86 or hotter", "is 3, not above or below", "falls at most 0.4%",
    ],
)  # fmt: skip
def test_what_is_not_certainly_read_has_no_direction_and_is_not_silent(text: str) -> None:
    assert read(text) == (None, True)


@pytest.mark.parametrize("text", [None, "", "0.4%", "CPI in December 2026", "The first published value is used (0.1)."])
def test_a_text_that_compares_nothing_is_silent(text: str | None) -> None:
    assert read(text) == (None, False)


@pytest.mark.parametrize(
    ("text", "kind", "strikes"),
    [
        ("Above 250K", "gt", (250_000.0,)), ("Above 250 thousand", "gt", (250_000.0,)), ("250K+", "ge", (250_000.0,)),
        ("Above 1.5 million", "gt", (1_500_000.0,)), ("Above 1.1M", "gt", (1_100_000.0,)),
        ("Above $1.5B", "gt", (1_500_000_000.0,)), ("Above 2 billion", "gt", (2_000_000_000.0,)),
        ("200K to 250K", "between", (200_000.0, 250_000.0)), ("200-250K", "between", ()),
        ("Above ‐0.1%", "gt", (-0.1,)), ("Above ‑0.1%", "gt", (-0.1,)), ("Above ‒0.1%", "gt", (-0.1,)),
        ("Above –0.1%", "gt", (-0.1,)), ("Above —0.1%", "gt", (-0.1,)), ("Above ―0.1%", "gt", (-0.1,)),
        ("Above - 0.1%", "gt", (-0.1,)), ("- 0.1% or above", "ge", (-0.1,)), ("Above minus 0.1%", "gt", (-0.1,)),
        ("between - 0.2% and - 0.1%", "between", (-0.2, -0.1)), ("-0.2–-0.1%", "between", (-0.2, -0.1)),
        ("CPI - 0.4% or above", "ge", ()),  # a dash or a minus sign
        ("3,5% or higher", "ge", ()), ("Above 12,34", "gt", ()), ("Above 1,234,567", "gt", (1_234_567.0,)),
        ("Above 3½%", "gt", ()), ("Above 3 1/2%", "gt", ()), ("Above 1e6", "gt", ()), ("Above 25 bps", "gt", ()),
        ("released on 2024-07-11 is above 3.5%", "gt", (3.5,)), ("Released 8:30-9:30 AM, above 3%", "gt", (3.0,)),
        ("on 7-11 above 3.5%", "gt", (3.5,)), ("07-11: above 3.5%", "gt", (3.5,)), ("7/11/2024: > 3%", "gt", (3.0,)),
        ("the July 28-29 meeting, above 4.25%", "gt", (4.25,)), ("by 28 July 2026, above 4.25%", "gt", (4.25,)),
        ("at 8:30 AM on Jan 13, 2027 is above 0.3%", "gt", (0.3,)), ("unemployment (U-3) above 4%", "gt", (4.0,)),
        ("the 10-year yield is above 4.5%", "gt", (4.5,)), ("Above 0.2025", "gt", (0.2025,)),
        ("3.3 to 3.1", "between", ()), ("3 to 4 or 5 to 6", "between", ()),
    ],
)  # fmt: skip
def test_numbers_are_read_as_they_are_meant_or_not_at_all(text: str, kind: str, strikes: tuple[float, ...]) -> None:
    assert strikes_in_text(text, kind) == strikes


@pytest.mark.parametrize("text", ["released on 2024-07-11 is above 3.5%", "Released 8:30-9:30 AM, above 3%"])
def test_a_date_or_a_time_is_no_range(text: str) -> None:
    assert direction_in_text(text) == "gt"
