"""As-of lookup: which quote of a contract was the newest that an observer could have had.

Quotes lie sorted by (contract, known_at) behind an offset index; a lookup is
one binary search. A row that arrives late about an earlier time must not
displace a newer one, so each row also names the newest row among all that
were known by then. How old that may be belongs to ``staleness``.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import MISSING_TIME, codes, reals, times
from kalshi_assets.core.compiled import compiled
from kalshi_assets.core.staleness import FEED_POLICIES, FeedPolicy, feed_policy
from kalshi_assets.errors import DomainError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Records: TypeAlias = Any  # a structured array; numpy cannot type its fields

MICRO = 1_000_000
NO_PRICE, BAD_PRICE = -1, -2
_COLUMNS = (
    "ticker", "source", "period_s", "ts", "known_at", "yes_bid_close_usd", "yes_ask_close_usd",
    "volume_contracts", "open_interest_contracts",
)  # fmt: skip


# One row of a quote index. Rows are records, so that a lookup touches one cache line and kernels take one array.
QUOTE = np.dtype(
    [
        ("ts", np.int64),  # the instant that the row describes
        ("known_at", np.int64),  # when it could be had
        ("newest", np.int64),  # the row that an observer at this known_at would use
        ("bid", np.int64),  # micro-dollars; NO_PRICE no bid, BAD_PRICE outside (0, 1)
        ("ask", np.int64),  # the same for the ask
        ("feed", np.int64),  # place of its feed (source and bar length)
        ("volume", np.float64),  # contracts traded on its feed in the window that ends at known_at; NaN unknown
        ("open_interest", np.float64),  # NaN unknown
    ]
)


class QuoteIndex(NamedTuple):
    """Quotes of many contracts, ready for lookups.

    Rows are sorted by (contract, known_at); rows of contract ``i`` are
    ``offsets[i]:offsets[i + 1]``. Times are microseconds since 1970.

    Attributes:
        offsets: shape (n_contracts + 1,).
        known_at: ``known_at`` of each row once more, dense for the binary search.
        rows: records of dtype ``QUOTE``.
        feed_carry_us: per feed, how long a quote counts at least after its last observation.
        feed_reports_changes: per feed, whether silence means no change.
    """

    offsets: Ints
    known_at: Ints
    rows: Records
    feed_carry_us: Ints
    feed_reports_changes: npt.NDArray[np.bool_]


def _unscaled(column: pa.ChunkedArray, scale: int) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Integers ``value * 10**scale`` of a decimal column, straight from its buffer, and which are missing."""
    stored = column.type
    ready = pa.types.is_decimal128(stored) and stored.scale == scale
    array = (column if ready else pc.cast(column, pa.decimal128(38, scale))).combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    missing = pc.is_null(array).to_numpy(zero_copy_only=False)
    if len(array) == 0:
        return np.zeros(0, np.int64), missing
    # a decimal128 is two little-endian words; ours fit the low one, sign included
    words = np.frombuffer(array.buffers()[1], dtype=np.int64)
    low = words[2 * array.offset : 2 * (array.offset + len(array)) : 2]
    return np.where(missing, 0, low), missing


def micro_prices(column: pa.ChunkedArray, empty_at: int) -> Ints:
    """Prices as integer micro-dollars.

    Args:
        column: decimal (or float) dollars.
        empty_at: the micro-dollar price by which feeds write an empty side (0 for bids, 1 USD for asks).

    Returns:
        ``NO_PRICE`` where null, NaN or at the empty mark; ``BAD_PRICE`` where not inside (0, 1).
    """
    if pa.types.is_decimal(column.type):
        units, missing = _unscaled(column, 6)
    else:
        values = reals(column)
        missing = np.isnan(values)
        units = np.rint(np.clip(np.where(missing, 0.0, values), -1e3, 1e3) * MICRO).astype(np.int64)
    price = np.where((units > 0) & (units < MICRO), units, BAD_PRICE)
    return np.where(missing | (units == empty_at), NO_PRICE, price).astype(np.int64)


@compiled
def last_known(known_at: Ints, start: int, stop: int, as_of: int) -> int:
    """Last row in [start, stop) with known_at <= as_of, or -1."""
    low, high = start, stop
    while low < high:
        middle = (low + high) // 2
        if known_at[middle] <= as_of:
            low = middle + 1
        else:
            high = middle
    return low - 1 if low > start else -1


@compiled
def _running_newest(
    offsets: Ints, known_at: Ints, ts: Ints, rank: Ints, bid: Ints, ask: Ints, open_interest: Ints
) -> Ints:
    """For each row the best row so far: latest ts, then feed rank (low wins), then known_at.

    Rows that agree on all three contradict the table's key; what is left of
    the comparison only makes the choice independent of their order.
    """
    newest = np.empty(known_at.size, np.int64)
    for contract in range(offsets.size - 1):
        best = -1
        for i in range(offsets[contract], offsets[contract + 1]):
            better = best < 0
            if not better:
                if ts[i] != ts[best]:
                    better = ts[i] > ts[best]
                elif rank[i] != rank[best]:
                    better = rank[i] < rank[best]
                elif known_at[i] != known_at[best]:
                    better = known_at[i] > known_at[best]
                elif bid[i] != bid[best]:
                    better = bid[i] > bid[best]
                elif ask[i] != ask[best]:
                    better = ask[i] < ask[best]
                else:
                    better = open_interest[i] > open_interest[best]
            if better:
                best = i
            newest[i] = best
    return newest


@compiled
def _window_volume(offsets: Ints, known_at: Ints, feed: Ints, n_feeds: int, volume: Ints, window: int) -> Ints:
    """Volume of the row's own feed with known_at in (row - window, row], rows of the same instant included.

    One sliding window a feed, in whole hundredths of a contract, so that the
    order of simultaneous rows leaves no trace. -1 where the feed has none.
    """
    out = np.full(volume.size, -1, np.int64)
    following = np.empty(volume.size, np.int64)  # next row of the same feed, as a linked list
    head, tail, total = np.empty(n_feeds, np.int64), np.empty(n_feeds, np.int64), np.empty(n_feeds, np.int64)
    for contract in range(offsets.size - 1):
        head[:] = -1
        tail[:] = -1
        total[:] = 0
        first, stop = offsets[contract], offsets[contract + 1]
        while first < stop:
            end = first
            while end < stop and known_at[end] == known_at[first]:
                f = feed[end]
                if volume[end] >= 0:
                    if head[f] < 0:
                        head[f] = end
                    else:
                        following[tail[f]] = end
                    tail[f] = end
                    total[f] += volume[end]
                end += 1
            for i in range(first, end):
                f = feed[i]
                if volume[i] < 0:
                    continue
                while known_at[head[f]] <= known_at[i] - window:
                    total[f] -= volume[head[f]]
                    head[f] = following[head[f]]
                out[i] = total[f]
            first = end
    return out


def index_quotes(
    quotes: pa.Table,
    tickers: pa.Array,
    *,
    source_priority: tuple[str, ...] = ("book",),
    policies: tuple[FeedPolicy, ...] = FEED_POLICIES,
    volume_window_s: float = 86_400.0,
) -> QuoteIndex:
    """Sort and encode quotes for lookups.

    Args:
        quotes: rows of table ``quotes``, any order, any number of feeds and contracts.
        tickers: the contracts to index, in the order of the index's offsets; quotes of others are left out.
        source_priority: sources that win a tie at one ``ts``, best first; other sources follow, finer bars first.
        policies: staleness rules of the feeds.
        volume_window_s: width of the window behind ``volume``.

    Returns:
        The index. A row without ts or known_at is left out: it cannot be placed in time.

    Raises:
        DomainError: a required column is absent.
    """
    missing = [c for c in _COLUMNS if c not in quotes.column_names]
    if missing:
        raise DomainError(f"The quotes have no column {', '.join(missing)}; pass rows of table quotes.")
    contract = codes(quotes["ticker"], tickers)
    known_at, ts = times(quotes["known_at"]), times(quotes["ts"])
    keep = (contract >= 0) & (known_at != MISSING_TIME) & (ts != MISSING_TIME)
    if not keep.all():
        rows = np.flatnonzero(keep)
        quotes = quotes.take(pa.array(rows))
        contract, known_at, ts = contract[rows], known_at[rows], ts[rows]
    order = _order(contract, known_at)
    if order is not None:
        quotes = quotes.take(pa.array(order))
        contract, known_at, ts = contract[order], known_at[order], ts[order]
    offsets = np.searchsorted(contract, np.arange(len(tickers) + 1)).astype(np.int64)
    feed, rank, carry, reports_changes = _feeds(quotes, source_priority, policies)
    bid = micro_prices(quotes["yes_bid_close_usd"], 0)
    ask = micro_prices(quotes["yes_ask_close_usd"], MICRO)
    volume = _hundredths(quotes["volume_contracts"])
    open_interest = _hundredths(quotes["open_interest_contracts"])
    records: Records = np.empty(known_at.size, QUOTE)
    records["ts"], records["known_at"], records["feed"] = ts, known_at, feed
    records["bid"], records["ask"] = bid, ask
    records["newest"] = _running_newest(offsets, known_at, ts, rank[feed], bid, ask, open_interest)
    window = int(volume_window_s * 1e6)
    traded = _window_volume(offsets, known_at, feed, max(len(rank), 1), volume, window)
    records["volume"], records["open_interest"] = _contracts(traded), _contracts(open_interest)
    return QuoteIndex(offsets, known_at, records, carry, reports_changes)


def _order(contract: Ints, known_at: Ints) -> Ints | None:
    """Permutation to (contract, known_at) order, or None when the rows already are."""
    step, clock = np.diff(contract), np.diff(known_at)
    if bool(np.all((step > 0) | ((step == 0) & (clock >= 0)))):
        return None
    return np.lexsort((known_at, contract))


def _hundredths(column: pa.ChunkedArray) -> Ints:
    """Contract counts in hundredths; -1 where null or negative."""
    if pa.types.is_decimal(column.type):
        units, missing = _unscaled(column, 2)
    else:
        values = reals(column)
        missing = np.isnan(values)
        units = np.rint(np.where(missing, 0.0, values) * 100.0).astype(np.int64)
    return np.where(missing | (units < 0), -1, units)


def _contracts(hundredths: Ints) -> Floats:
    return np.where(hundredths < 0, np.nan, hundredths / 100.0)


def _dictionary(column: pa.ChunkedArray) -> tuple[Ints, list[Any]]:
    """Code of each value, null included, and the values by code."""
    encoded = pc.dictionary_encode(column, null_encoding="encode").combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64), encoded.dictionary.to_pylist()


def _feeds(
    quotes: pa.Table, source_priority: tuple[str, ...], policies: tuple[FeedPolicy, ...]
) -> tuple[Ints, Ints, Ints, npt.NDArray[np.bool_]]:
    """Feed of each row, and per feed its tie rank, its carry limit in microseconds and whether it reports changes."""
    spelling, names = _dictionary(pc.cast(quotes["source"], pa.string()))
    length, lengths = _dictionary(pc.cast(quotes["period_s"], pa.int64()))
    both = spelling * max(len(lengths), 1) + length
    used = np.flatnonzero(np.bincount(both, minlength=1))
    feed = np.zeros(used.max(initial=0) + 1, np.int64)
    feed[used] = np.arange(used.size)
    pairs = [(names[u // len(lengths)] or "", lengths[u % len(lengths)] or 0) for u in used.tolist()]
    places = {name: i for i, name in enumerate(source_priority)}
    by_rank = sorted(pairs, key=lambda p: (places.get(p[0], len(places)), p[1], p[0]))
    rank = np.array([by_rank.index(p) for p in pairs], np.int64)
    # an unlimited carry must still fit the clock's integers
    rules = [feed_policy(*p, policies) for p in pairs]
    carry = np.array([min(r.carry_s * 1e6, 4e18) for r in rules]).astype(np.int64)
    return feed[both], rank, carry, np.array([r.change_feed for r in rules], np.bool_)
