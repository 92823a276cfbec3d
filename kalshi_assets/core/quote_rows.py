"""Quote rows packed for lookups: what a row says, the newest row known by then, and what its feed traded lately.

Kernels over the sorted columns of quotes. A ladder is packed when its first
snapshot comes and read by all of them while it is near at hand. How rows are
sorted, and how one is found, is ``asof``'s business.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.amounts import MISSING_AMOUNT
from kalshi_assets.core.compiled import in_place
from kalshi_assets.core.spec_index import Records

Ints = npt.NDArray[np.int64]

MICRO = 1_000_000
NO_PRICE, BAD_PRICE = -1, -2

# What a lookup reads of a row. Short, for it is memory that lookups wait for.
QUOTE = np.dtype(
    [
        ("ts", np.int64),  # the instant that the row describes
        ("newest", np.int32),  # the contract's row, counted from its first, that an observer at known_at would use
        ("feed", np.int32),  # place of its feed (source and bar length)
        ("bid", np.int32),  # micro-dollars; NO_PRICE no bid, BAD_PRICE outside (0, 1)
        ("ask", np.int32),  # the same for the ask
        ("volume", np.float64),  # contracts traded on its feed in the window that ends at known_at; NaN unknown
    ]
)


@in_place
def _price(units: int, empty_at: int) -> int:
    """Micro-dollars; ``NO_PRICE`` where missing or at the mark by which feeds write an empty side."""
    if units in (MISSING_AMOUNT, empty_at):
        return NO_PRICE
    return units if 0 < units < MICRO else BAD_PRICE


@in_place
def _count(
    i: int, start: int, oldest: int, latest: np.int64, ts: Ints, traded: Ints, rows: Records, counted: Ints
) -> int:
    """What a row adds to its feed's window, which begins at ``oldest``; ``latest`` is the feed's greatest ts before it.

    A row about an instant of which its feed has spoken before is a correction: its volume takes the place
    of the first row's, for as long as that one lies in the window.
    """
    volume = max(int(traded[i, 0]), 0)
    counted[i - start] = volume
    if ts[i] > latest:
        return volume
    for k in range(start, i):
        if ts[k] == ts[i] and rows[k - start].feed == rows[i - start].feed:
            counted[i - start] = 0
            if k < oldest:
                return 0
            held = int(counted[k - start])
            counted[k - start] = volume
            return volume - held
    return volume


@in_place
def _sum_window(
    start: int, stop: int, known_at: Ints, ts: Ints, traded: Ints, window: int, counted: Ints, rows: Records
) -> None:
    """Volume with known_at in (row - window, row] for a contract with one feed, simultaneous rows included.

    Summed in whole hundredths of a contract, so that the order of simultaneous rows leaves no
    trace. A row that does not say what was traded has none. A bar that was corrected counts once, by
    what it said last and from when it was first known.
    """
    oldest, first, total, latest = start, start, 0, np.int64(-(1 << 62))
    for i in range(start, stop):
        now = known_at[i]
        total += _count(i, start, oldest, latest, ts, traded, rows, counted)
        latest = max(latest, ts[i])
        if i + 1 < stop and known_at[i + 1] == now:
            continue
        while known_at[oldest] <= now - window:
            total -= counted[oldest - start]
            oldest += 1
        for k in range(first, i + 1):
            rows[k - start].volume = total / 100.0 if traded[k, 0] >= 0 else math.nan
        first = i + 1


@in_place
def _sum_windows(
    start: int, stop: int, known_at: Ints, ts: Ints, traded: Ints, window: int, counted: Ints, oldest: Ints,
    total: Ints, latest: Ints, rows: Records,
) -> None:  # fmt: skip
    """As ``_sum_window`` for a contract with several feeds: volume of the row's own feed, one window a feed."""
    oldest[:] = start
    total[:] = 0
    latest[:] = -(1 << 62)
    first = start
    for i in range(start, stop):
        now, own = known_at[i], rows[i - start].feed
        total[own] += _count(i, start, oldest[own], latest[own], ts, traded, rows, counted)
        latest[own] = max(latest[own], ts[i])
        if i + 1 < stop and known_at[i + 1] == now:
            continue
        for k in range(first, i + 1):
            feed = rows[k - start].feed
            at = oldest[feed]
            while known_at[at] <= now - window or rows[at - start].feed != feed:
                if rows[at - start].feed == feed:
                    total[feed] -= counted[at - start]
                at += 1
            oldest[feed] = at
            rows[k - start].volume = total[feed] / 100.0 if traded[k, 0] >= 0 else math.nan
        first = i + 1


@in_place
def _pack_contract(
    start: int, stop: int, known_at: Ints, ts: Ints, feed_ends: Ints, feed_of_run: Ints, rank: Ints, bids: Ints,
    asks: Ints, interests: Ints, rows: Records,
) -> None:  # fmt: skip
    """Write the records of one contract, whose rows are ``start:stop`` of the columns, all but their volume.

    The newest of some rows has the latest ts; then its feed ranks first, then its known_at is last.
    Rows that agree on all three contradict the table's key; what is left of
    the comparison only makes the choice independent of their order.
    """
    run = np.searchsorted(feed_ends, start, side="right")
    best, latest = start, np.int64(-(1 << 62))
    for i in range(start, stop):
        run += feed_ends[run] <= i
        feed = feed_of_run[run]
        row = rows[i - start]
        row.ts, row.feed = ts[i], feed
        row.bid, row.ask = _price(bids[i, 0], 0), _price(asks[i, 0], MICRO)
        better = ts[i] > latest
        if ts[i] == latest:
            held = rows[best - start].feed
            if rank[feed] != rank[held]:
                better = rank[feed] < rank[held]
            elif known_at[i] != known_at[best]:
                better = True
            elif bids[i, 0] != bids[best, 0]:
                better = bids[i, 0] > bids[best, 0]
            elif asks[i, 0] != asks[best, 0]:
                better = asks[i, 0] < asks[best, 0]
            else:
                better = interests[i, 0] > interests[best, 0]
        if better:
            best, latest = i, ts[i]
        row.newest = best - start


@in_place
def pack_ladder(
    begin: int, end: int, specs: Records, offsets: Ints, known_at: Ints, ts: Ints, feed_ends: Ints,
    feed_of_run: Ints, rank: Ints, bids: Ints, asks: Ints, interests: Ints, traded: Ints, window: int, counted: Ints,
    oldest: Ints, total: Ints, latest: Ints, packed: npt.NDArray[np.bool_], shift: Ints, rows: Records,
) -> None:  # fmt: skip
    """Write the records of every contract of an event, one contract after the other.

    Args:
        begin: first spec of the event.
        end: one past its last.
        specs: records of dtype ``spec_index.SPEC``.
        offsets: this and the next nine are ``asof.QuoteColumns``'s.
        known_at: see ``offsets``.
        ts: see ``offsets``.
        feed_ends: see ``offsets``.
        feed_of_run: see ``offsets``.
        rank: see ``offsets``.
        bids: see ``offsets``.
        asks: see ``offsets``.
        interests: see ``offsets``.
        traded: see ``offsets``.
        window: of the volume, microseconds.
        counted: scratch, a place a row of the longest contract.
        oldest: scratch, a place a feed.
        total: the same.
        latest: the same.
        packed: scratch, a place a contract.
        shift: receives, for each contract, what leads from its first record to the place of its first row.
        rows: receives records of dtype ``QUOTE``: row i of contract c is ``rows[i + shift[c]]``.
    """
    for j in range(begin, end):
        packed[specs[j].contract] = False
    filled = 0
    for j in range(begin, end):
        contract = specs[j].contract
        if packed[contract]:  # another version of the same contract
            continue
        start, stop = offsets[contract], offsets[contract + 1]
        packed[contract], shift[contract] = True, filled - start
        mine = rows[filled : filled + stop - start]
        _pack_contract(start, stop, known_at, ts, feed_ends, feed_of_run, rank, bids, asks, interests, mine)
        if rank.size > 1:
            _sum_windows(start, stop, known_at, ts, traded, window, counted, oldest, total, latest, mine)
        else:
            _sum_window(start, stop, known_at, ts, traded, window, counted, mine)
        filled += stop - start
