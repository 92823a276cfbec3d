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
def _pack_contract(
    start: int, stop: int, known_at: Ints, ts: Ints, feed_ends: Ints, feed_of_run: Ints, rank: Ints, bids: Ints,
    asks: Ints, interests: Ints, traded: Ints, window: int, oldest: Ints, total: Ints, rows: Records,
) -> None:  # fmt: skip
    """Write the records of one contract, whose rows are ``start:stop`` of the columns.

    The newest of some rows has the latest ts; then its feed ranks first, then its known_at is last.
    Rows that agree on all three contradict the table's key; what is left of
    the comparison only makes the choice independent of their order.

    The volume is that of the row's own feed with known_at in (row - window, row], simultaneous rows
    included, summed in whole hundredths of a contract: the order of such rows leaves no trace.
    A row that does not say what was traded has none.
    """
    run = np.searchsorted(feed_ends, start, side="right")
    oldest[:] = start
    total[:] = 0
    best, first = start, start
    for i in range(start, stop):
        run += feed_ends[run] <= i
        feed = feed_of_run[run]
        row = rows[i - start]
        row.ts, row.feed = ts[i], feed
        row.bid, row.ask = _price(bids[i, 0], 0), _price(asks[i, 0], MICRO)
        total[feed] += max(traded[i, 0], 0)
        better = ts[i] > ts[best]
        if ts[i] == ts[best] and i > start:
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
        best = i if better else best
        row.newest = best - start
        if i + 1 < stop and known_at[i + 1] == known_at[i]:
            continue
        limit = known_at[i] - window
        for k in range(first, i + 1):
            here = rows[k - start]
            feed, oldest_row = here.feed, oldest[here.feed]
            while known_at[oldest_row] <= limit or rows[oldest_row - start].feed != feed:
                if rows[oldest_row - start].feed == feed:
                    total[feed] -= max(traded[oldest_row, 0], 0)
                oldest_row += 1
            oldest[feed] = oldest_row
            here.volume = total[feed] / 100.0 if traded[k, 0] >= 0 else math.nan
        first = i + 1


@in_place
def pack_ladder(
    begin: int, end: int, specs: Records, offsets: Ints, known_at: Ints, ts: Ints, feed_ends: Ints,
    feed_of_run: Ints, rank: Ints, bids: Ints, asks: Ints, interests: Ints, traded: Ints, window: int, oldest: Ints,
    total: Ints, packed: npt.NDArray[np.bool_], shift: Ints, rows: Records,
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
        oldest: scratch, a place a feed.
        total: the same.
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
        _pack_contract(
            start, stop, known_at, ts, feed_ends, feed_of_run, rank, bids, asks, interests, traded, window, oldest,
            total, rows[filled : filled + stop - start],
        )  # fmt: skip
        filled += stop - start
