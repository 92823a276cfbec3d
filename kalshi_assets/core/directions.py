"""Which way a contract pays, read from what the exchange says: a field, or else words.

Words are a fallback for old listings without strike fields. A text that says
two opposite things says nothing: the caller gets no direction, never a guess.
Turning a direction and its numbers into lattice indices is ``contracts``' work.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

GREATER, GREATER_EQUAL, LESS, LESS_EQUAL = "gt", "ge", "lt", "le"
BETWEEN, EXACT, UNRESOLVED = "between", "exact", "unresolved"


@dataclass(frozen=True, slots=True)
class Direction:
    """A resolved direction and how far to trust it.

    Attributes:
        kind: ``gt``, ``ge``, ``lt``, ``le``, ``between``, ``exact``; None when nothing says.
        source: ``explicit_metadata``, ``rules_text``, ``title`` or ``none``.
        confidence: ``high``, ``medium``, ``low`` or ``none``.
    """

    kind: str | None
    source: str
    confidence: str


_FIELD_WORDS = {
    GREATER: ("gt", ">", "greater", "greater_than", "above", "over"),
    GREATER_EQUAL: ("ge", "gte", ">=", "≥", "greater_or_equal", "at_least"),
    LESS: ("lt", "<", "less", "less_than", "below", "under"),
    LESS_EQUAL: ("le", "lte", "<=", "≤", "less_or_equal", "at_most"),
    BETWEEN: ("between",),
    EXACT: ("exact", "exactly", "equal", "="),
}
_KIND_OF_FIELD = {word: kind for kind, words in _FIELD_WORDS.items() for word in words}

_NUMBER = r"[-−]?\$?\d[\d,]*(?:\.\d+)?|[-−]?\$?\.\d+"
_UNIT = r"\s*(?:%|°[fc]?|bps|percent|degrees)?\s*"
_RANGE = re.compile(rf"(?<![\w.])({_NUMBER}){_UNIT}(?:to|–|—|-)\s*({_NUMBER})(?!\d)", re.IGNORECASE)
_BETWEEN_AND = re.compile(rf"(?<!\w)between\s+({_NUMBER}){_UNIT}and\s*({_NUMBER})(?!\d)", re.IGNORECASE)
_STRIKE = re.compile(rf"(?<![\w.])({_NUMBER})(?![\d])", re.IGNORECASE)
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d|\.\d)")

# Longest phrases first: "not above" must be consumed before "above" is looked for, "or equal" before "greater than".
_PHRASES: tuple[tuple[str, str], ...] = (
    (GREATER_EQUAL, r"(?:greater|more|higher|larger) than or equal(?: to)?|>=|=>|≥|⩾"),
    (LESS_EQUAL, r"(?:less|lower|fewer|smaller) than or equal(?: to)?|<=|=<|≤|⩽"),
    (
        LESS_EQUAL,
        r"(?:not|no|never) (?:rise |go |be )?"
        r"(?:above|over|exceed(?:s|ing)?|(?:more|greater|higher) than|higher|greater)|does not exceed",
    ),
    (
        GREATER_EQUAL,
        r"(?:not|no|never) (?:fall |go |be )?(?:below|under|(?:less|lower|fewer) than|lower|less)",
    ),
    (GREATER_EQUAL, r"at or above|at least|(?:or|and) (?:higher|more|above|greater|over)|minimum of"),
    (LESS_EQUAL, r"at or below|at most|up to|(?:or|and) (?:lower|less|below|fewer|under)|maximum of"),
    (GREATER, r"(?:more|greater|higher|larger) than|above|over|exceed(?:s|ing)?|>"),
    (LESS, r"(?:less|lower|fewer|smaller) than|below|under|<"),
    (EXACT, r"exactly|equal to"),
)


def _alternatives(pattern: str) -> list[str]:
    """Split at the bars that stand outside brackets."""
    parts, depth = [""], 0
    for character in pattern:
        depth += (character == "(") - (character == ")")
        if character == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


_MATCHERS = tuple(
    # a phrase stands on word boundaries, so that "recovery" is not "over"; a symbol needs none
    (kind, re.compile("|".join(p if p[0] in "<>=≤≥⩽⩾" else rf"(?<!\w)(?:{p})(?!\w)" for p in _alternatives(pattern))))
    for kind, pattern in _PHRASES
)
_BETWEEN_WORD = re.compile(r"(?<!\w)between(?!\w)")


def direction_in_text(text: str | None) -> str | None:
    """The one direction that a text states.

    Args:
        text: a title, subtitle or rules paragraph.

    Returns:
        A kind, or None when the text states none or contradicts itself.
    """
    if not text:
        return None
    rest = text.lower().replace("−", "-")
    if _BETWEEN_WORD.search(rest) or _range_in(rest) is not None:
        return BETWEEN
    found: list[str] = []
    for kind, matcher in _MATCHERS:
        if matcher.search(rest):
            found.append(kind)
            rest = matcher.sub(" ; ", rest)
    return found[0] if len(set(found)) == 1 else None


def _range_in(text: str) -> tuple[float, float] | None:
    dateless = _YEAR.sub(" ", text)
    match = _BETWEEN_AND.search(dateless) or _RANGE.search(dateless)
    return None if match is None else (_value(match.group(1)), _value(match.group(2)))


def _value(number: str) -> float:
    return float(number.replace(",", "").replace("$", "").replace("−", "-"))


def strikes_in_text(text: str | None, kind: str) -> tuple[float, ...]:
    """The strike or strikes that a text names for a direction.

    Calendar years are not strikes. Several different numbers left over make
    the text unusable.

    Args:
        text: a title, subtitle or rules paragraph.
        kind: the direction read from the same text.

    Returns:
        Two values for ``between``, one for any other kind, none when the text does not say.
    """
    if not text:
        return ()
    if kind == BETWEEN:
        pair = _range_in(text)
        return () if pair is None else pair
    without_years = _YEAR.sub(" ", text)
    values = {_value(m) for m in _STRIKE.findall(without_years)}
    return (values.pop(),) if len(values) == 1 else ()


def resolve_direction(
    direction: str | None = None,
    payout_structure: str | None = None,
    rules_text: str | None = None,
    title: str | None = None,
    subtitle: str | None = None,
) -> Direction:
    """Direction of a contract from the most reliable thing that states one.

    Args:
        direction: an explicit field such as ``ge``, ``>=`` or ``greater``.
        payout_structure: a second explicit field, used when the first says nothing.
        rules_text: settlement rules.
        title: the contract's title.
        subtitle: the contract's subtitle, read together with the title.

    Returns:
        Explicit fields give confidence ``high``, rules ``medium``, titles ``low``;
        otherwise kind None with confidence ``none``.
    """
    for field in (direction, payout_structure):
        kind = _KIND_OF_FIELD.get(field.strip().lower()) if field else None
        if kind is not None:
            return Direction(kind, "explicit_metadata", "high")
    kind = direction_in_text(rules_text)
    if kind is not None:
        return Direction(kind, "rules_text", "medium")
    kind = direction_in_text(" ".join(part for part in (title, subtitle) if part))
    if kind is not None:
        return Direction(kind, "title", "low")
    return Direction(None, "none", "none")
