"""Which contracts of a ladder are known at a time, and which of their quotes still count then.

Kernels over one ladder at one instant; they fill a workspace that the
snapshot kernel reuses. The lookup itself is ``asof``'s, the rules of age are
``staleness``'s; what the live quotes imply is ``ladder``'s.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_assets.core import quality as q
from kalshi_assets.core.asof import BAD_PRICE, QuoteIndex, last_known
from kalshi_assets.core.compiled import compiled
from kalshi_assets.core.ladder import MINUS, PLUS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

UNKNOWN_TIME = -(1 << 62)


class SpecIndex(NamedTuple):
    """Contract specs as flat arrays, sorted by (event, lo, hi, ticker); rows of event e lie behind ``offsets``.

    Attributes:
        offsets: shape (n_events + 1,).
        known_at: when the version became known, microseconds.
        until: when the next version of the same contract became known.
        lo: first paying lattice index, or ``MINUS``.
        hi: one past the last paying index, or ``PLUS``.
        contract: the contract's place in the quote index.
        resolved: the predicate is known and says something.
        tick: lattice step.
        by_ticker: rows of each event in ticker order.
    """

    offsets: Ints
    known_at: Ints
    until: Ints
    lo: Ints
    hi: Ints
    contract: Ints
    resolved: npt.NDArray[np.bool_]
    tick: Floats
    by_ticker: Ints


class Contracts(NamedTuple):
    """Workspace of one ladder at one instant.

    The first block has one entry a known contract in strike order, the second
    one a live contract. Prices are micro-dollars with open sides at 0 and 1 USD.
    """

    spec: Ints
    row: Ints
    alive: npt.NDArray[np.bool_]
    age_s: Floats
    permitted_s: Floats
    volume: Floats
    open_interest: Floats
    width: Floats

    lo: Ints
    hi: Ints
    bid: Ints
    ask: Ints
    spread: Floats

    feed_seen: Ints


class Known(NamedTuple):
    """Counts over the contracts known at an instant; see ``find_quotes``."""

    n: int
    resolved: int
    quoted: int
    tick: float
    mixed_lattice: bool
    least_end: int
    most_end: int
    specs_known_at: int
    quotes_known_at: int


class Live(NamedTuple):
    """Counts over the contracts with a usable quote; see ``keep_live``."""

    fresh: int
    n: int
    two_sided: int
    flags: int
    least_end: int
    most_end: int


def contracts_workspace(capacity: int, n_feeds: int) -> Contracts:
    """A workspace for ladders of at most ``capacity`` contracts."""
    n = max(capacity, 1)
    spec, row, lo, hi, bid, ask = (np.empty(n, np.int64) for _ in range(6))
    age, permitted, volume, open_interest, width, spread = (np.empty(n) for _ in range(6))
    alive, feed_seen = np.empty(n, np.bool_), np.empty(max(n_feeds, 1), np.int64)
    return Contracts(
        spec, row, alive, age, permitted, volume, open_interest, width, lo, hi, bid, ask, spread, feed_seen
    )


@compiled
def known_contracts(event: Ints, as_of: Ints, specs: SpecIndex) -> Ints:  # pragma: no cover - compiled
    """Number of contracts known at each (event, as_of): specs with known_at <= as_of < until."""
    count = np.zeros(event.size, np.int64)
    for s in range(event.size):
        if event[s] >= 0:
            for j in range(specs.offsets[event[s]], specs.offsets[event[s] + 1]):
                count[s] += specs.known_at[j] <= as_of[s] < specs.until[j]
    return count


@compiled
def median(values: Floats, n: int) -> float:  # pragma: no cover - compiled
    """Median of the finite values among the first n; NaN without any."""
    kept = np.sort(values[:n][np.isfinite(values[:n])])
    middle = kept.size // 2
    if kept.size == 0:
        return math.nan
    return float(kept[middle] if kept.size % 2 else 0.5 * (kept[middle - 1] + kept[middle]))


@compiled
def find_quotes(
    event: int, as_of: int, specs: SpecIndex, quotes: QuoteIndex, volume_window: int, at: Contracts
) -> Known:  # pragma: no cover - compiled
    """The contracts known at ``as_of`` and the newest quote row that was known of each.

    Fills ``spec``, ``row`` (-1 without one), ``volume``, ``open_interest`` and
    ``feed_seen``: when each feed last reported on any contract of the ladder.
    """
    n, resolved, quoted = 0, 0, 0
    least, most, tick, mixed = PLUS, MINUS, math.nan, False
    specs_known, quotes_known = UNKNOWN_TIME, UNKNOWN_TIME
    at.feed_seen[:] = UNKNOWN_TIME
    start, stop = (specs.offsets[event], specs.offsets[event + 1]) if event >= 0 else (0, 0)
    for j in range(start, stop):
        if not specs.known_at[j] <= as_of < specs.until[j]:
            continue
        at.spec[n] = j
        at.row[n] = -1
        at.volume[n] = math.nan
        at.open_interest[n] = math.nan
        specs_known = max(specs_known, specs.known_at[j])
        if specs.resolved[j]:
            resolved += 1
            mixed = mixed or (tick != specs.tick[j] and not math.isnan(tick))
            tick = specs.tick[j]
            for end in (specs.lo[j], specs.hi[j]):
                if end not in (MINUS, PLUS):
                    least, most = min(least, end), max(most, end)
            c = specs.contract[j]
            found = last_known(quotes.known_at, quotes.offsets[c], quotes.offsets[c + 1], as_of)
            if found >= 0:
                i = quotes.newest[found]
                at.row[n] = i
                quoted += 1
                feed = quotes.feed[i]
                at.feed_seen[feed] = max(at.feed_seen[feed], quotes.ts[i])
                quotes_known = max(quotes_known, quotes.known_at[i])
                # the row's window has passed without another row of its feed: nothing traded since
                idle = as_of - quotes.known_at[i] >= volume_window and not math.isnan(quotes.volume[i])
                at.volume[n] = 0.0 if idle else quotes.volume[i]
                at.open_interest[n] = quotes.open_interest[i]
        n += 1
    return Known(n, resolved, quoted, tick, mixed, least, most, specs_known, quotes_known)


@compiled
def keep_live(
    n: int, as_of: int, cutoff_us: float, specs: SpecIndex, quotes: QuoteIndex, at: Contracts
) -> Live:  # pragma: no cover - compiled
    """Of the contracts found, those whose quote is young enough and has a price on at least one side.

    Fills ``age_s`` (since last observed), ``permitted_s``, ``alive`` and the
    live block.
    """
    fresh, live, two_sided, flags = 0, 0, 0, 0
    least, most = PLUS, MINUS
    for k in range(n):
        at.alive[k] = False
        at.age_s[k] = math.nan
        at.permitted_s[k] = math.nan
        i = at.row[k]
        if i < 0:
            continue
        feed = quotes.feed[i]
        seen = at.feed_seen[feed] if quotes.feed_reports_changes[feed] else quotes.ts[i]
        at.age_s[k] = (as_of - seen) / 1e6
        permitted = max(cutoff_us, float(quotes.feed_carry_us[feed]))
        at.permitted_s[k] = permitted / 1e6
        if as_of - seen > permitted:
            continue
        fresh += 1
        bid, ask = quotes.bid[i], quotes.ask[i]
        if BAD_PRICE in (bid, ask):
            flags |= q.FLAG_PRICE
        if bid < 0 and ask < 0:
            continue
        if bid > 0 and ask > 0:
            two_sided += 1
            if bid > ask:
                flags |= q.FLAG_CROSSED
        j = at.spec[k]
        at.alive[k] = True
        at.lo[live] = specs.lo[j]
        at.hi[live] = specs.hi[j]
        at.bid[live] = bid if bid > 0 else 0
        at.ask[live] = ask if ask > 0 else 1_000_000
        at.spread[live] = max(at.ask[live] - at.bid[live], 0) / 1e6
        for end in (specs.lo[j], specs.hi[j]):
            if end not in (MINUS, PLUS):
                least, most = min(least, end), max(most, end)
        live += 1
    return Live(fresh, live, two_sided, flags, least, most)
