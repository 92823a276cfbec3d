"""The numbers in a listing's words: dates and times taken out, minus signs made plain, thousands scaled.

A number that is not certainly readable (3,5 or 3½ or 25 bps) makes its text
name no strike: a misread strike is worse than none. Which way a contract pays
belongs to ``directions``.
"""

from __future__ import annotations

import html
import re
import unicodedata
from decimal import Decimal

_DASHES = "‐‑‒–—―−"
_CHARACTERS = str.maketrans(
    dict.fromkeys(_DASHES, "-")
    | dict.fromkeys("’ʼ‘´`", "'")
    | {"≧": "≥", "⩾": "≥", "≦": "≤", "⩽": "≤", "≠": "not =", "≯": "not >", "≮": "not <", "≱": "not ≥", "≰": "not ≤"}
)
# "above - 0.1" is a minus sign, "CPI - 0.1" may be a dash: only the first is closed up.
_LOOSE_MINUS = re.compile(
    r"(^|\b(?:than|above|over|below|under|exceed\w*|least|most|to|of|and|between|equals?|is|be)\s+|[<>=≤≥(]\s*)"
    r"-\s+(?=\$?\.?\d)"
)

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
_NO_STRIKE_AFTER = r"(?!\d|[.,/]\d|-\d|\s*(?:%|°|percent|degrees?))"
_DATES = re.compile(
    "|".join(
        (
            rf"(?<![\w.,$-])(?:19|20)\d\d-\d{{1,2}}(?:-\d{{1,2}})?(?:t[\d:.]+z?)?{_NO_STRIKE_AFTER}",
            r"(?<![\w.,$/-])\d{1,2}/\d{1,2}/\d{2,4}(?!\d)",
            rf"\b(?:on|before|after|until|since|dated)\s\d{{1,2}}[-/]\d{{1,2}}{_NO_STRIKE_AFTER}",
            rf"(?<![\w.,$-])(?:0\d-\d{{1,2}}|\d{{1,2}}-0\d){_NO_STRIKE_AFTER}",
            r"(?<![\w.,$])\d{1,2}:\d\d(?::\d\d)?\s*(?:[ap]\.?m\b\.?)?",
            r"(?<![\w.,$-])\d{1,2}(?:-\d{1,2})?\s*[ap]\.?m\b\.?",
            rf"\b{_MONTH}\.?\s\d{{1,2}}(?:st|nd|rd|th)?(?:-\d{{1,2}})?(?:,?\s(?:19|20)\d\d)?{_NO_STRIKE_AFTER}",
            rf"(?<![\w.,$-])\d{{1,2}}(?:st|nd|rd|th)?\s(?:of\s)?{_MONTH}\b\.?(?:,?\s(?:19|20)\d\d)?",
            r"(?<![\w.,$])(?<!\s-)(?:19|20)\d\d(?!\w|[.,]\d|\s*[%°])",
            r"(?<![\w.,$-])\d+-(?:year|month|week|day|hour|minute)s?\b",
        )
    )
)

_SCALES = {"k": 10**3, "thousand": 10**3, "m": 10**6, "mm": 10**6, "mn": 10**6, "million": 10**6}
_SCALES |= {"b": 10**9, "bn": 10**9, "billion": 10**9, "trillion": 10**12}
SCALE = rf"(?:\s?(?:{'|'.join(sorted(_SCALES, key=len, reverse=True))})(?!\w))"
UNIT = r"(?:\s?(?:%|°\s?f?|percent|degrees?(?: fahrenheit)?|f)(?!\w))"
# The longest run of digits, points and commas, judged as a whole: 3,5 must not become 35, nor 3.
_NUMBER = rf"(?:[-+]?\$?[-+]?\.?\d(?:[\d.,]*\d)?{SCALE}?)"
_WRITTEN = re.compile(r"([-+]?)\$?([-+]?)((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)\s?([a-z]*)")
# A letter and a hyphen before a digit are a name (U-3), not a minus sign.
_START = r"(?<![\w.,])(?<![a-z]-)"
_STRIKE = re.compile(rf"{_START}({_NUMBER})(?!\d)(?!st\b|nd\b|rd\b|th\b){UNIT}?(\w*)")
_RANGE_END = r"(?!\d|[.,/]\d)"
RANGE = re.compile(
    rf"(?:\b(?:between|within)\s+)?{_START}({_NUMBER}){UNIT}?\s*(?:\bto\b|\bthrough\b|-)\s*({_NUMBER}){_RANGE_END}"
    rf"|\bbetween\s+({_NUMBER}){UNIT}?\s*and\s+({_NUMBER}){_RANGE_END}"
)
_UNREADABLE = re.compile(r"[¼½¾⅐-⅞]|\d/\d|\d\s?(?:bps?\b|basis\b)|°\s?c\b|\bcelsius\b")
_MINUS_OR_DASH = re.compile(r"[a-z)]\s-\s\$?\.?\d")


def plain(text: str) -> str:
    """Lower-case text with one kind of dash, apostrophe, space and inequality sign, and without dates and times."""
    simple = html.unescape(unicodedata.normalize("NFC", text)).lower().translate(_CHARACTERS)
    simple = re.sub(r"!(?=[=<>≤≥])", "not ", " ".join(simple.split()).replace("<>", "not =").replace("->", "→"))
    simple = re.sub(r"\b(?:minus|negative)\s(?=\$?\.?\d)", "-", simple)
    return _DATES.sub(" ", _LOOSE_MINUS.sub(r"\1-", simple))


def _value(number: str) -> tuple[float, bool] | None:
    """(value, whether it was scaled); None for a number that is not written plainly."""
    match = _WRITTEN.fullmatch(number)
    if match is None or (match[1] and match[2]):
        return None
    value = Decimal(match[3].replace(",", "")) * _SCALES.get(match[4], 1)
    return float(-value if "-" in (match[1], match[2]) else value), bool(match[4])


def range_in(text: str) -> tuple[float, float] | None:
    """The one range that a plain text names, low and high; None when unreadable, inverted or one of several."""
    pairs = set()
    for match in RANGE.finditer(text):
        low, high = (_value(n) for n in match.groups() if n is not None)
        # 200 to 250K may mean 200 or 200,000: the low end says nothing
        if low is None or high is None or low[0] > high[0] or (high[1] and not low[1]):
            return None
        pairs.add((low[0], high[0]))
    return pairs.pop() if len(pairs) == 1 and not _UNREADABLE.search(text) else None


def number_in(text: str) -> float | None:
    """The one number that a plain text names; None when there is none, several, or one that is not readable."""
    if _UNREADABLE.search(text) or _MINUS_OR_DASH.search(text):
        return None
    values = set()
    for number, rest in _STRIKE.findall(text):
        value = _value(number)
        if value is None or rest:
            return None
        values.add(value[0])
    return values.pop() if len(values) == 1 else None
