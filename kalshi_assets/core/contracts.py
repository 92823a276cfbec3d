"""From listing facts to the set of lattice values on which a contract pays YES.

Only what the exchange said at listing is read: never a result, a status or a
volume. The set is ``{i : lo_index <= i <= hi_index}`` of published values
``i * tick``; a null end is infinite. Strictness disappears on the lattice
(above 2.4 on tenths is 2.5 and up), so a ``gt`` and a ``ge`` ladder of one law
have one mean. Prices, and what the ladder implies, belong to ``ladder``.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import pyarrow as pa

from kalshi_assets.core import directions as d
from kalshi_assets.core.lattice import exact, index_above, index_at_or_above, infer_tick
from kalshi_assets.core.series import facts_for
from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import DomainError

_LISTING_FACTS = (
    "event_ticker", "series_ticker", "event_date", "ticker", "known_at", "market_type", "strike_type",
    "floor_strike", "cap_strike", "title", "yes_sub_title", "rules_primary", "rules_secondary",
)  # fmt: skip
_REQUIRED = ("event_ticker", "series_ticker", "event_date", "ticker", "known_at")
# Strike types whose payout is not a set of published numbers.
_NOT_NUMERIC = frozenset({"custom", "functional", "structured"})
_TICKER_STRIKE = re.compile(r"-([TB])(N|-)?(\d+(?:\.\d+)?)$")
_Ends = tuple[float | None, float | None]
_OR_EQUAL = (d.GREATER_EQUAL, d.LESS_EQUAL)
_CONFIDENCE = ("none", "low", "medium", "high")


@dataclass(frozen=True, slots=True)
class Predicate:
    """What a listing says, before the lattice is known.

    Attributes:
        kind: a direction of ``core.directions``; ``unresolved`` when the listing does not say.
        floor: lower strike in the series' unit, or None.
        cap: upper strike, or None.
        source: ``explicit_metadata``, ``subtitle``, ``rules_text``, ``title``, ``ticker`` or ``none``.
        confidence: ``high``, ``medium``, ``low`` or ``none``.
    """

    kind: str
    floor: float | None
    cap: float | None
    source: str
    confidence: str


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _with_strikes(kind: str, strikes: tuple[float, ...]) -> _Ends | None:
    """(floor, cap) for a kind from the strikes named beside it; None when the number of strikes does not fit."""
    if kind == d.BETWEEN:
        return strikes if len(strikes) == 2 else None
    if len(strikes) != 1:
        return None
    value = strikes[0]
    if kind == d.EXACT:
        return value, value
    return (value, None) if kind in (d.GREATER, d.GREATER_EQUAL) else (None, value)


def _from_fields(kind: str, floor: float | None, cap: float | None) -> _Ends | None:
    if kind == d.BETWEEN:
        return (floor, cap) if floor is not None and cap is not None else None
    if kind == d.EXACT:
        value = floor if floor is not None else cap
        return None if value is None else (value, value)
    if kind in (d.GREATER, d.GREATER_EQUAL):
        return None if floor is None else (floor, None)
    return None if cap is None else (None, cap)


def _ticker_number(ticker: str) -> tuple[str, float] | None:
    match = _TICKER_STRIKE.search(ticker)
    if match is None:
        return None
    letter, sign, digits = match.groups()
    return letter, -float(digits) if sign else float(digits)


def _from_ticker(ticker: str, series_ticker: str, kind: str | None) -> Predicate | None:
    """Last resort. A ticker names a number, not a direction, so one is assumed only where the series has one custom."""
    facts, number = facts_for(series_ticker), _ticker_number(ticker)
    if number is None:
        return None
    letter, value = number
    if letter == "B" and kind in (None, d.BETWEEN) and facts is not None and facts.tick == 1.0 and value % 1.0 == 0.5:
        return Predicate(d.BETWEEN, value - 0.5, value + 0.5, "ticker", "low")
    if letter != "T":
        return None
    if kind is None and facts is not None and facts.statistic is not None:
        kind = d.GREATER  # every threshold contract of the macro series pays above its ticker's number
    ends = None if kind is None else _with_strikes(kind, (value,))
    return None if kind is None or ends is None else Predicate(kind, *ends, "ticker", "low")


def _is_named(kind: str, ends: _Ends, letter: str, number: float, reach: float | None) -> bool:
    """Whether the strikes of a text are those of the contract that a letter and a number name.

    ``reach`` is how far "86 or above" may lie beyond the strict number 85 that it puts in other words.
    """
    floor, cap = ends
    if letter == "B":
        return kind != d.BETWEEN or (floor is not None and cap is not None and floor <= number <= cap)
    strike = floor if kind == d.GREATER_EQUAL else cap
    if reach is None or kind not in _OR_EQUAL or strike is None:
        return number in ends
    beyond = exact(strike) - exact(number)
    return 0 <= (beyond if kind == d.GREATER_EQUAL else -beyond) <= exact(reach)


def read_predicate(listing: Mapping[str, Any]) -> Predicate:
    """What one listing pays on, from its most reliable statement.

    Order: strike fields (``high``), yes-subtitle and rules (``medium``), title
    and ticker (``low``). A text that names another number than the ticker, or
    another direction than the strike type, is passed over. The ticker's number
    serves only beside the strike type's direction or a text's strict one, or
    where no text compares anything; never where the subtitle names another.

    Args:
        listing: one row of table ``contracts``.

    Returns:
        The predicate; kind ``unresolved`` and confidence ``none`` when nothing says, or what is said is impossible.
    """
    strike_type, ticker = listing["strike_type"], listing["ticker"]
    floor, cap = _finite(listing["floor_strike"]), _finite(listing["cap_strike"])
    unresolved = Predicate(d.UNRESOLVED, floor, cap, "none", "none")
    if strike_type in _NOT_NUMERIC or listing["market_type"] == "scalar":
        return Predicate(d.UNRESOLVED, floor, cap, "explicit_metadata", "none")
    stated = d.resolve_direction(direction=strike_type).kind
    if stated is not None:
        ends = _from_fields(stated, floor, cap)
        if ends is not None:
            return Predicate(stated, *ends, "explicit_metadata", "high")
    facts, in_ticker = facts_for(listing["series_ticker"]), _ticker_number(ticker)
    named = [*([in_ticker] if in_ticker else []), *(("T", field) for field in (floor, cap) if field is not None)]
    numbers = [number for _, number in named]
    rules = " ".join(part for part in (listing["rules_primary"], listing["rules_secondary"]) if part)
    kind_said, compared = stated, False
    for text, source, confidence in (
        (listing["yes_sub_title"], "subtitle", "medium"),
        (listing["rules_primary"], "rules_text", "medium"),
        (rules, "rules_text", "medium"),
        (listing["title"], "title", "low"),
    ):
        kind, compares = d.read(text)
        compared = compared or compares
        if source == "subtitle" and not compares:
            kind = stated  # a bare number
        if kind is None or stated not in (None, kind):
            continue
        # "86 or above" is the contract of the strict number 85: only the text names the number of its "or above"
        strict = stated is not None or kind not in _OR_EQUAL
        kind_said = kind_said or (kind if strict else None)
        in_text = _with_strikes(kind, d.strikes_in_text(text, kind))
        ends = (_from_fields(kind, floor, cap) if strict else None) or in_text
        if ends is None:
            continue
        own = source == "subtitle"
        tick = facts.tick if facts is not None else infer_tick(n for n in (*ends, *numbers) if n is not None)
        if all(_is_named(kind, ends, letter, number, tick if own else None) for letter, number in named):
            return Predicate(kind, *ends, source, confidence)
        if own:
            return unresolved
    if kind_said is None and compared:
        return unresolved
    return _from_ticker(ticker, listing["series_ticker"], kind_said) or unresolved


def lattice_ends(predicate: Predicate, tick: float) -> tuple[int | None, int | None]:
    """Lowest and highest lattice index that pay YES; None is an infinite end.

    A strike off the lattice is exact too: above 2.45 on tenths starts at 2.5,
    at or below 2.45 ends at 2.4.
    """
    lo = hi = None
    if predicate.floor is not None:
        strict = predicate.kind == d.GREATER
        lo = (index_above if strict else index_at_or_above)(predicate.floor, tick)
    if predicate.cap is not None:
        strict = predicate.kind == d.LESS
        hi = (index_at_or_above if strict else index_above)(predicate.cap, tick) - 1
    return lo, hi


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _spec(listing: Mapping[str, Any], predicate: Predicate, inferred_tick: float | None) -> dict[str, Any]:
    facts = facts_for(listing["series_ticker"])
    tick = facts.tick if facts is not None else inferred_tick
    lo = hi = None
    if predicate.kind != d.UNRESOLVED and tick is not None:
        lo, hi = lattice_ends(predicate, tick)
        if lo is not None and hi is not None and lo > hi:  # an inverted range, or one that no published value meets
            predicate = Predicate(d.UNRESOLVED, predicate.floor, predicate.cap, predicate.source, "none")
            lo = hi = None
    rules = [listing["rules_primary"], listing["rules_secondary"]]
    content = {
        "event_ticker": listing["event_ticker"],
        "series_ticker": listing["series_ticker"],
        "ticker": listing["ticker"],
        "direction": predicate.kind,
        "floor_strike": predicate.floor,
        "cap_strike": predicate.cap,
        "strict": predicate.kind in (d.GREATER, d.LESS) if predicate.kind != d.UNRESOLVED else None,
        "tick": tick,
        "rounding": facts.rounding if facts is not None else None,
        "lo_index": lo,
        "hi_index": hi,
        "source": predicate.source,
        "confidence": predicate.confidence,
        "lattice_source": "series" if facts is not None else "strikes" if tick is not None else None,
        "rules_hash": _digest(rules) if any(rules) else None,
    }
    at = listing["known_at"]
    return {**content, "spec_id": _digest(content), "event_date": listing["event_date"], "ts": at, "known_at": at}


def _event_specs(listings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Spec versions of one event in the order in which they became known.

    An inferred tick may use only strikes listed by then, so a finer strike
    that is listed later opens a new version of the earlier contracts.
    """
    rows: list[dict[str, Any]] = []
    current: dict[str, tuple[dict[str, Any], Predicate]] = {}
    spec_ids: dict[str, str] = {}
    tick: float | None = None
    for known_at, group in groupby(listings, key=lambda r: r["known_at"]):
        arrived = {r["ticker"]: (r, read_predicate(r)) for r in group}
        current |= arrived
        strikes = [s for _, p in current.values() if p.kind != d.UNRESOLVED for s in (p.floor, p.cap) if s is not None]
        refined = infer_tick(strikes)
        to_write = arrived if refined == tick else current
        tick = refined
        for ticker in sorted(to_write):
            listing, predicate = current[ticker]
            spec = _spec({**listing, "known_at": known_at}, predicate, tick)
            if spec_ids.get(ticker) != spec["spec_id"]:
                spec_ids[ticker] = spec["spec_id"]
                rows.append(spec)
    return rows


def resolve_specs(contracts: pa.Table) -> pa.Table:
    """Versioned settlement predicates of listed contracts.

    Args:
        contracts: rows of table ``contracts`` (any versions, any order). Only
            listing facts are read; result, status and volume are not.

    Returns:
        Rows of table ``contract_specs``, sorted by ticker and known_at: one
        for a contract's listing (``ts = known_at`` of its earliest version)
        and one for each later change of content. A contract that cannot be
        put on a lattice has direction ``unresolved`` and null ends.

    Raises:
        DomainError: a required column is absent.
    """
    missing = [c for c in _REQUIRED if c not in contracts.column_names]
    if missing:
        raise DomainError(f"The contracts have no column {', '.join(missing)}; pass rows of table contracts.")
    present = [c for c in _LISTING_FACTS if c in contracts.column_names]
    absent = dict.fromkeys(c for c in _LISTING_FACTS if c not in present)
    listings: list[dict[str, Any]] = [{**absent, **row} for row in contracts.select(present).to_pylist()]
    # the listing's text decides between two versions known at one instant, so that row order cannot
    listings.sort(key=_listing_order)
    rows = [
        spec for _, group in groupby(listings, key=lambda r: r["event_ticker"]) for spec in _event_specs(list(group))
    ]
    rows.sort(key=lambda r: (r["ticker"], r["known_at"]))
    return pa.Table.from_pylist(rows, schema=TABLES["contract_specs"].schema)


def _listing_order(listing: Mapping[str, Any]) -> tuple[str, datetime, str, str]:
    facts = "|".join(f"{listing[name]}" for name in _LISTING_FACTS[5:])
    return listing["event_ticker"], listing["known_at"], listing["ticker"], facts


def spec_version(spec_ids: Iterable[str]) -> str:
    """Version of a ladder: a hash over its sorted spec ids, so that it names the set and not its order."""
    return hashlib.sha256("\n".join(sorted(spec_ids)).encode()).hexdigest()


def spec_version_of(specs: pa.Table) -> str:
    """Version of the ladder that ``specs`` (rows of one event in ``contract_specs``) describe."""
    return spec_version(specs.column("spec_id").to_pylist())


def weakest_resolution(sources: Iterable[str], confidences: Iterable[str]) -> tuple[str, str]:
    """Source and confidence of a ladder: those of its least certain contract (ties: first source by name)."""
    pairs = sorted({(_CONFIDENCE.index(c), s) for s, c in zip(sources, confidences, strict=True)})
    return ("none", "none") if not pairs else (pairs[0][1], _CONFIDENCE[pairs[0][0]])
