"""What a quote row owes to the rows before it: the newest row known by then, and its feed's volume in a window.

Kernels over the sorted rows of an index. How rows get there is ``asof``'s business.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.compiled import in_place

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Records: TypeAlias = Any  # a structured array; numpy cannot type its fields


@in_place
def _mark_newest(start: int, stop: int, rank: Ints, rows: Records) -> None:
    """Name in each row of a contract the best row so far: latest ts, then feed rank (low wins), then known_at.

    Rows that agree on all three contradict the table's key; what is left of
    the comparison only makes the choice independent of their order.
    """
    best = start
    for i in range(start, stop):
        row, top = rows[i], rows[best]
        if row.ts != top.ts:
            better = row.ts > top.ts
        elif row.feed != top.feed and rank[row.feed] != rank[top.feed]:
            better = rank[row.feed] < rank[top.feed]
        elif row.known_at != top.known_at:
            better = row.known_at > top.known_at
        elif row.bid != top.bid:
            better = row.bid > top.bid
        elif row.ask != top.ask:
            better = row.ask < top.ask
        else:
            better = row.open_interest > top.open_interest or (
                math.isnan(top.open_interest) and not math.isnan(row.open_interest)
            )
        if better:
            best = i
        row.newest = best


@in_place
def _sum_window(start: int, stop: int, known_at: Ints, volume: Floats, window: int, rows: Records) -> None:
    """Volume with known_at in (row - window, row] for a contract with one feed, simultaneous rows included.

    One sliding window in whole hundredths of a contract, so that the order of
    simultaneous rows leaves no trace. A missing volume stays missing.
    """
    head, first, total = start, start, 0.0
    while first < stop:
        end = first
        while end < stop and known_at[end] == known_at[first]:
            total += max(volume[end], 0.0)
            end += 1
        while head < first and known_at[head] <= known_at[first] - window:
            total -= max(volume[head], 0.0)
            head += 1
        for i in range(first, end):
            rows[i].volume = total / 100.0 if volume[i] >= 0.0 else math.nan
        first = end


@in_place
def _sum_windows(
    start: int, stop: int, known_at: Ints, volume: Floats, window: int, rows: Records, following: Ints, head: Ints,
    tail: Ints, total: Floats,
) -> None:  # fmt: skip
    """As ``_sum_window`` for a contract with several feeds: volume of the row's own feed, one window a feed.

    The last four arrays are scratch: the next row of the same feed, as a linked
    list, and per feed its oldest row, newest row and sum.
    """
    head[:] = -1
    total[:] = 0.0
    first = start
    while first < stop:
        end = first
        while end < stop and known_at[end] == known_at[first]:
            if volume[end] >= 0.0:
                f = rows[end].feed
                if head[f] < 0:
                    head[f] = end
                else:
                    following[tail[f]] = end
                tail[f] = end
                total[f] += volume[end]
            end += 1
        for i in range(first, end):
            if volume[i] < 0.0:
                rows[i].volume = math.nan
                continue
            f = rows[i].feed
            while known_at[head[f]] <= known_at[first] - window:
                total[f] -= volume[head[f]]
                head[f] = following[head[f]]
            rows[i].volume = total[f] / 100.0
        first = end


@in_place
def complete_rows(
    offsets: Ints, known_at: Ints, volume: Floats, window: int, rank: Ints, rows: Records, following: Ints,
    head: Ints, tail: Ints, total: Floats,
) -> None:  # fmt: skip
    """Fill in, contract by contract, what each row owes to those before it: the newest row and the volume.

    Args:
        offsets: rows of contract i are ``offsets[i]:offsets[i + 1]``, sorted by known_at.
        known_at: of each row, microseconds.
        volume: of each row, hundredths of a contract; negative where missing.
        window: microseconds.
        rank: tie rank of each feed, low wins.
        rows: records of dtype ``asof.QUOTE``; receive ``newest`` and ``volume``.
        following: scratch, a place a row where there are several feeds.
        head: scratch, a place a feed.
        tail: the same.
        total: the same.
    """
    for contract in range(offsets.size - 1):
        start, stop = offsets[contract], offsets[contract + 1]
        _mark_newest(start, stop, rank, rows)
        if rank.size > 1:
            _sum_windows(start, stop, known_at, volume, window, rows, following, head, tail, total)
        else:
            _sum_window(start, stop, known_at, volume, window, rows)
