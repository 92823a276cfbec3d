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
from kalshi_assets.core.asof import last_known
from kalshi_assets.core.columns import MISSING_TIME
from kalshi_assets.core.compiled import in_place
from kalshi_assets.core.ladder import ASK, BID, HI, LO
from kalshi_assets.core.quote_rows import BAD_PRICE
from kalshi_assets.core.spec_index import Records

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


# One known contract at one instant: the workspace of a ladder, in strike order.
CONTRACT = np.dtype(
    [
        ("spec", np.int64),  # row of the spec index
        ("row", np.int64),  # row of the quote columns, -1 without a quote; of one, the next five
        ("ts", np.int64),  # the instant that it describes
        ("known_at", np.int64),
        ("feed", np.int64),
        ("bid_price", np.int64),  # micro-dollars, ``NO_PRICE`` or ``BAD_PRICE``
        ("ask_price", np.int64),
        ("alive", np.bool_),  # the quote counts
        ("bid", np.int64),  # micro-dollars; 0 without a live bid
        ("ask", np.int64),  # micro-dollars; 1_000_000 without a live ask
        ("age_s", np.float64),  # since last observed
        ("permitted_s", np.float64),
        ("volume", np.float64),  # traded lately
        ("open_interest", np.float64),
        ("spread", np.float64),  # dollars, NaN unless alive
        ("pull", np.float64),  # weight of a trade; not set otherwise
        ("width", np.float64),  # scratch
    ]
)


class Known(NamedTuple):
    """What is known at an instant; see ``find_quotes``.

    Attributes:
        n: known contracts.
        resolved: those with a settlement predicate.
        quoted: resolved ones with any quote row.
        tick: the ladder's lattice step.
        mixed_lattice: contracts disagree about it.
        first: place of the first resolved contract in strike order, -1 without any.
        last: place of the last one.
        duplicates: resolved contracts that pay on the same values as the one before them in strike order.
        specs_known_at: greatest known_at of the specs.
        quotes_known_at: greatest known_at of the quotes.
    """

    n: int
    resolved: int
    quoted: int
    tick: float
    mixed_lattice: bool
    first: int
    last: int
    duplicates: int
    specs_known_at: int
    quotes_known_at: int


class Live(NamedTuple):
    """Counts over the contracts with a usable quote; see ``keep_live``."""

    fresh: int
    n: int
    two_sided: int
    flags: int


@in_place
def median(values: Floats, n: int, scratch: Floats) -> float:
    """Median of the finite values among the first n; NaN without any.

    Insertion sort: contracts come in strike order, along which ages, spreads
    and volumes change slowly, and ladders are short.
    """
    size = 0
    for i in range(n):
        value = values[i]
        if not math.isfinite(value):
            continue
        k = size
        while k > 0 and scratch[k - 1] > value:
            scratch[k] = scratch[k - 1]
            k -= 1
        scratch[k] = value
        size += 1
    if size == 0:
        return math.nan
    middle = size // 2
    return float(scratch[middle] if size % 2 else 0.5 * (scratch[middle - 1] + scratch[middle]))


@in_place
def find_quotes(
    start: int, stop: int, as_of: int, specs: Records, offsets: Ints, known_at: Ints, shift: Ints, rows: Records,
    at: Records, feed_seen: Ints,
) -> Known:  # fmt: skip
    """The contracts known at ``as_of`` and the newest quote row that was known of each.

    Args:
        start: first spec of the event.
        stop: one past its last.
        as_of: microseconds.
        specs: records of dtype ``spec_index.SPEC``.
        offsets: ``asof.QuoteColumns``'s, as is the next.
        known_at: see ``offsets``.
        shift: of ``quote_rows.pack_ladder``, as is the next.
        rows: see ``shift``.
        at: records of dtype ``CONTRACT`` to fill: spec and quote.
        feed_seen: receives when each feed last reported on any contract of the ladder.
    """
    n, resolved, quoted = 0, 0, 0
    first, last, tick, mixed, duplicates = -1, -1, math.nan, False, 0
    specs_known, quotes_known = MISSING_TIME, MISSING_TIME
    feed_seen[:] = MISSING_TIME
    for j in range(start, stop):
        spec = specs[j]
        if not spec.known_at <= as_of < spec.until:
            continue
        here = at[n]
        here.spec = j
        here.row = -1
        specs_known = max(specs_known, spec.known_at)
        if spec.resolved:
            resolved += 1
            mixed = mixed or (tick != spec.tick and not math.isnan(tick))
            tick = spec.tick
            if last >= 0:
                before = specs[at[last].spec]
                duplicates += before.lo == spec.lo and before.hi == spec.hi
            first, last = n if first < 0 else first, n
            c = spec.contract
            found = last_known(known_at, offsets[c], offsets[c + 1], as_of)
            if found >= 0:
                i = offsets[c] + rows[found + shift[c]].newest
                quote = rows[i + shift[c]]
                here.row, here.ts, here.known_at, here.feed = i, quote.ts, known_at[i], quote.feed
                here.bid_price, here.ask_price, here.volume = quote.bid, quote.ask, quote.volume
                quoted += 1
                feed_seen[here.feed] = max(feed_seen[here.feed], here.ts)
                quotes_known = max(quotes_known, here.known_at)
        n += 1
    return Known(n, resolved, quoted, tick, mixed, first, last, duplicates, specs_known, quotes_known)


@in_place
def last_seen(here: Records, feed_seen: Ints, feed_reports_changes: npt.NDArray[np.bool_]) -> int:
    """When a contract's quote was last observed: for a feed of changes, when the feed last reported anything."""
    return int(feed_seen[here.feed] if feed_reports_changes[here.feed] else here.ts)


@in_place
def carried(
    n: int, as_of: int, feed_carry_us: Ints, feed_reports_changes: npt.NDArray[np.bool_], feed_seen: Ints, at: Records
) -> bool:
    """Whether every quote is young enough for its feed, so that no dynamic cutoff can retire one."""
    for k in range(n):
        here = at[k]
        if here.row >= 0 and as_of - last_seen(here, feed_seen, feed_reports_changes) > feed_carry_us[here.feed]:
            return False
    return True


@in_place
def measure_liquidity(n: int, as_of: int, interests: Ints, window: int, at: Records) -> None:
    """Fill in recent volume and open interest of the contracts found, NaN where unknown.

    Args:
        n: known contracts.
        as_of: microseconds.
        interests: ``asof.QuoteColumns``'s.
        window: of the volume, microseconds.
        at: records of dtype ``CONTRACT``.
    """
    for k in range(n):
        here = at[k]
        here.open_interest = math.nan
        if here.row < 0:
            here.volume = math.nan
            continue
        # the row's window has passed without another row of its feed: nothing traded since
        if as_of - here.known_at >= window and not math.isnan(here.volume):
            here.volume = 0.0
        if interests[here.row, 0] >= 0:
            here.open_interest = interests[here.row, 0] / 100.0


@in_place
def stretched(price: int) -> int:
    """The range of prices that can be quoted, one to 99 cents, drawn out to the range of probabilities.

    ``clip((p - 0.01) / 0.98, 0, 1)`` in micro-dollars, rounded half up.
    """
    return min(max((100 * (price - 10_000) + 49) // 98, 0), 1_000_000)


@in_place
def keep_live(
    n: int, as_of: int, cutoff_us: float, specs: Records, feed_carry_us: Ints,
    feed_reports_changes: npt.NDArray[np.bool_], feed_seen: Ints, stretch: bool, fresh_days: float, at: Records,
    ints: Ints, pull: Floats,
) -> Live:  # fmt: skip
    """Of the contracts found, those whose quote is young enough and has a price on at least one side.

    Fills the rest of ``at`` and, for the live ones, rows ``LO``, ``HI``,
    ``BID`` and ``ASK`` of the ladder's workspace ``ints``. Of trades both are the price, there is no
    spread, and ``pull`` receives their weight ``1 / (fresh_days + age in days)``; NaN marks quotes.
    """
    fresh, live, two_sided, flags = 0, 0, 0, 0
    for k in range(n):
        here = at[k]
        here.alive = False
        here.bid = 0
        here.ask = 1_000_000
        here.age_s = math.nan
        here.permitted_s = math.nan
        here.spread = math.nan
        if here.row < 0:
            continue
        seen = last_seen(here, feed_seen, feed_reports_changes)
        here.age_s = (as_of - seen) / 1e6
        permitted = max(cutoff_us, float(feed_carry_us[here.feed]))
        here.permitted_s = permitted / 1e6
        if as_of - seen > permitted:
            continue
        fresh += 1
        bid, ask = here.bid_price, here.ask_price
        if BAD_PRICE in (bid, ask):
            flags |= q.FLAG_PRICE
        if bid < 0 and ask < 0:
            continue
        if bid > 0 and ask > 0 and math.isnan(fresh_days):
            two_sided += 1
            if bid > ask:
                flags |= q.FLAG_CROSSED
        here.alive = True
        here.bid = max(bid, 0)
        here.ask = ask if ask > 0 else 1_000_000
        if stretch:
            here.bid = stretched(here.bid)
            here.ask = stretched(here.ask)
        if fresh_days > 0.0:
            here.pull = 1.0 / (fresh_days + here.age_s / 86_400.0)
            pull[live] = here.pull
        else:
            here.spread = max(here.ask - here.bid, 0) / 1e6
        ints[LO, live] = specs[here.spec].lo
        ints[HI, live] = specs[here.spec].hi
        ints[BID, live] = here.bid
        ints[ASK, live] = here.ask
        live += 1
    return Live(fresh, live, two_sided, flags)
