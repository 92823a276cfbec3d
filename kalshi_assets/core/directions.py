"""Which way a contract pays, read from what the exchange says: a field, or else words.

Words are a fallback for old listings without strike fields. A text that says
two opposite things says nothing: the caller gets no direction, never a guess.
Turning a direction and its numbers into lattice indices is ``contracts``' work.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kalshi_assets.core.strike_text import RANGE, SCALE, UNIT, number_in, plain, range_in

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

_MORE, _FEWER = r"(?:more|greater|higher|larger|bigger)", r"(?:less|lower|fewer|smaller)"
_UP, _DOWN = r"(?:above|over|exceed(?:s|ed|ing)?|surpass(?:es|ed|ing)?)", r"(?:below|under|beneath)"
_FALL = (
    r"(?:fall(?:s|en|ing)?|fell|drop(?:s|ped|ping)?|declin(?:e|es|ed|ing)|decreas(?:e|es|ed|ing)"
    r"|dip(?:s|ped|ping)?|slip(?:s|ped|ping)?|sinks?|sank)"
)
_RISE = (
    r"(?:be|ris(?:e|es|en|ing)|rose|increas(?:e|es|ed|ing)|gr[eo]w(?:s|n|ing)?|climb(?:s|ed|ing)?|go(?:es|ing)?|went"
    r"|come in|jump(?:s|ed|ing)?)"
)
_READ = "\0"  # stands where a statement was


def _or_equal(comparative: str, preposition: str) -> str:
    return (
        rf"{comparative}(?: than)?,? or equals?(?: to)?|{preposition},? or (?:equals?(?: to)?|at)"
        rf"|(?:equals?(?: to)?|at|meets?),? or (?:{comparative}(?: than)?|{preposition})"
    )


def _after_the_number(words: str) -> str:
    """``3 or higher``. ``Or higher than 3`` and ``or above 3`` are statements of their own."""
    return rf"(?<!{_READ} )(?:or|and) (?:{words})(?! (?:than|to)\b| [-+]?\$?[-+]?\.?\d)"


def _statement(words: str, symbols: str = "") -> re.Pattern[str]:
    """Words stand on word boundaries, so that "recovery" is not "over"; a symbol needs none."""
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)" + (f"|{symbols}" if symbols else ""))


# What stands before its number, and so what "not" can turn round: or-equal before strict, which it contains.
_DIRECT = (
    (GREATER_EQUAL, rf"{_or_equal(_MORE, _UP)}|at (?:the )?(?:very )?least", ">=|=>|≥"),
    (LESS_EQUAL, rf"{_or_equal(_FEWER, _DOWN)}|at (?:the )?(?:very )?most", "<=|=<|≤"),
    (GREATER, rf"{_MORE} than|{_UP}", ">"),
    (LESS, rf"{_FEWER} than|{_DOWN}", "<"),
)
_OPPOSITE = {GREATER_EQUAL: LESS, LESS_EQUAL: GREATER, GREATER: LESS_EQUAL, LESS: GREATER_EQUAL}
_STATEMENTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    *((_OPPOSITE[k], _statement(f"not (?:{w})", rf"(?<!\w)not ?(?:{s})")) for k, w, s in _DIRECT),
    (LESS_EQUAL, _statement(f"not {_MORE}")),
    (GREATER_EQUAL, _statement(f"not {_FEWER}")),
    *((k, _statement(w, s)) for k, w, s in _DIRECT[:2]),
    (
        GREATER_EQUAL,
        _statement(
            _after_the_number(f"{_MORE}|above|over|up") + "|minimum of", rf"\d{SCALE}?{UNIT}?\s?\+(?!\s?[\d$.])"
        ),
    ),
    (LESS_EQUAL, _statement(_after_the_number(f"{_FEWER}|below|under|down") + "|maximum of|up to")),
    *((k, _statement(w, s)) for k, w, s in _DIRECT[2:]),
    (EXACT, _statement(r"exactly|equals?(?: to)?", "=")),
)
# Words that compare nothing go; every refusal is written "not", without the verb that parts it from what it refuses.
_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), written)
    for pattern, written in (
        (r"\b(year|quarter|month|week)[- ]over[- ]\1\b|\bover the (?:\w+ ){0,2}(?:year|quarter|month|week)s?\b", " "),
        (r"\b(?:otherwise|else),? (?:(?:it|the market|resolves|pays|settles|to) )*no\b", " "),
        (rf"\b{_FALL} (?:to (?=at most\b|at or below\b)|(?:to )?(?={_DOWN}\b|lower than\b))", ""),
        (r"\b(?:\w+n't|(?:ca|wo|is|was|are|do|does|did)nt|cannot|never|fail(?:s|ed|ing)? to)\b", "not"),
        (rf"\bno(?= (?:{_MORE}|{_FEWER})\b)", "not"),
        (rf"\bnot (?:to )?(?:{_RISE} )?(?:by |to )?", "not "),
    )
)
# Left over beside a statement, any of these may turn it round or add a second one.
_UNREAD = re.compile(
    r"\b(?:not|no|none|neither|nor|without|unless|except|exclu\w+|outside|avoid\w*|unable|unlikely|false|untrue|opposite"
    r"|fail\w*|short of|rather than|instead of|other than|anything but|between|within|beyond|equal\w*|reach\w*"
    r"|hits?|tops|topped|beats?|plus|minus|positive|negative|at an? (?:minimum|maximum)"
    r"|(?:great|high|larg|bigg|low|few|small|bett|wors|strong|weak|hott|warm|cold|cool|fast|slow)er|more|less"
    rf"|{_FALL}|shr[aiu]nk\w*|contract(?:s|ed|ing)? by|contraction|los(?:e|es|ing|s|ses|t)|cut(?:s|ting)?|reduc\w+"
    rf"|plung\w+|plummet\w*|tumbl\w+|slid(?:e|es|ing)|slow(?:s|ed|ing)|down"
    # from 3 to 4 is a path, and a change by more than 3 may go either way
    rf"|(?:{_RISE}|moves?|moved|changes?|changed) from|(?:moves?|moved|changes?|changed) by)\b|[→~≈±]"
    rf"|\b(?:moves|moved|changes|changed) {_READ}"
)


def read(text: str | None) -> tuple[str | None, bool]:
    """What a text says of the direction.

    Args:
        text: a title, subtitle or rules paragraph.

    Returns:
        The one direction that it states (None when it states none, contradicts itself, or holds a refusal, a fall or
        a comparison beside it that is not certainly read), and whether it holds any word or symbol of comparison or
        refusal at all: then it is not silent, and nothing may be assumed in its place.
    """
    if not text:
        return None, False
    rest, unread = plain(text), False
    kinds: set[str] = set()
    if RANGE.search(rest):
        kinds.add(BETWEEN)
        unread = range_in(rest) is None
        rest = RANGE.sub(_READ, rest)
    for pattern, written in _REWRITES:
        rest = pattern.sub(written, rest)
    for kind, statement in _STATEMENTS:
        rest, count = statement.subn(_READ, rest)
        if count:
            kinds.add(kind)
    unread = unread or _UNREAD.search(rest) is not None
    return (next(iter(kinds)) if len(kinds) == 1 and not unread else None), bool(kinds) or unread


def direction_in_text(text: str | None) -> str | None:
    """The one direction that a text certainly states, or None; see ``read``."""
    return read(text)[0]


def strikes_in_text(text: str | None, kind: str) -> tuple[float, ...]:
    """The strike or strikes that a text names for a direction.

    Dates and times are not strikes. Several different numbers left over, or
    one that is not plainly written, make the text unusable.

    Args:
        text: a title, subtitle or rules paragraph.
        kind: the direction read from the same text.

    Returns:
        Two values for ``between``, one for any other kind, none when the text does not say.
    """
    if not text:
        return ()
    if kind == BETWEEN:
        return range_in(plain(text)) or ()
    value = number_in(plain(text))
    return () if value is None else (value,)


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
