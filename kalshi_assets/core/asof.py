"""As-of lookup: which quote of a contract was the newest that an observer could have had.

Quotes lie sorted by (contract, known_at) behind offsets; a lookup is one
binary search. A row that arrives late about an earlier time must not displace
a newer one, so each row also names the newest row among all that were known
by then (``quote_rows``). How old that may be belongs to ``staleness``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.amounts import amounts
from kalshi_assets.core.columns import MISSING_TIME, codes, times
from kalshi_assets.core.compiled import in_place
from kalshi_assets.core.staleness import FEED_POLICIES, FeedPolicy, feed_policy
from kalshi_assets.core.tables import TIME
from kalshi_assets.core.text_runs import runs
from kalshi_assets.errors import DomainError

Ints = npt.NDArray[np.int64]

_NUMBERS = (
    "ts", "known_at", "yes_bid_close_usd", "yes_ask_close_usd", "volume_contracts", "open_interest_contracts",
)  # fmt: skip
# The columns of table ``quotes`` that a distribution rests on.
QUOTE_COLUMNS = ("ticker", "source", "period_s", *_NUMBERS)


class QuoteColumns(NamedTuple):
    """Quotes of many contracts, ready for lookups.

    Rows are sorted by (contract, known_at); rows of contract ``i`` are
    ``offsets[i]:offsets[i + 1]``. Times are microseconds since 1970. Prices and
    counts lie where the table has them, shape (n, k) with the number in the first
    place (see ``amounts``).

    Attributes:
        offsets: shape (n_contracts + 1,).
        known_at: when each row could be had.
        ts: the instant that it describes.
        feed_ends: one past the last row of each run of rows of one feed (source and bar length).
        feed_of_run: place of its feed.
        feed_rank: per feed, its place in ties, low wins.
        bids: micro-dollars.
        asks: the same.
        interests: open interest in hundredths of a contract.
        traded: volume in hundredths of a contract.
        feed_carry_us: per feed, how long a quote counts at least after its last observation.
        feed_reports_changes: per feed, whether silence means no change.
    """

    offsets: Ints
    known_at: Ints
    ts: Ints
    feed_ends: Ints
    feed_of_run: Ints
    feed_rank: Ints
    bids: Ints
    asks: Ints
    interests: Ints
    traded: Ints
    feed_carry_us: Ints
    feed_reports_changes: npt.NDArray[np.bool_]


@in_place
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


@in_place
def _in_order(ends: Ints, contract_of_run: Ints, known_at: Ints, ts: Ints) -> bool:
    """Whether the rows lie in (contract, known_at) order, none of them without a place."""
    begin, before = 0, -1
    for run in range(ends.size):
        contract, end = contract_of_run[run], ends[run]
        if contract < 0 or contract < before:
            return False
        ordered = known_at[begin] != MISSING_TIME and ts[begin] != MISSING_TIME
        if contract == before:
            ordered &= known_at[begin] >= known_at[begin - 1]
        for i in range(begin + 1, end):
            ordered &= (known_at[i] >= known_at[i - 1]) & (ts[i] != MISSING_TIME)
        if not ordered:
            return False
        begin, before = end, contract
    return True


def quote_columns(
    quotes: pa.Table,
    tickers: pa.Array,
    *,
    source_priority: tuple[str, ...] = ("book",),
    policies: tuple[FeedPolicy, ...] = FEED_POLICIES,
) -> QuoteColumns:
    """Sort quotes for lookups.

    Args:
        quotes: rows of table ``quotes``, any order, any number of feeds and contracts.
        tickers: the contracts wanted, in the order of the offsets; quotes of others are left out.
        source_priority: sources that win a tie at one ``ts``, best first; other sources follow, finer bars first.
        policies: staleness rules of the feeds.

    Returns:
        Sorted columns. A row without ts or known_at is left out: it cannot be placed in time.

    Raises:
        DomainError: a required column is absent.
    """
    missing = [c for c in QUOTE_COLUMNS if c not in quotes.column_names]
    if missing:
        raise DomainError(f"The quotes have no column {', '.join(missing)}; pass rows of table quotes.")
    names, numbers, offsets = _sorted(quotes, tickers)
    feeds, rank, carry, reports_changes = _feeds(names, source_priority, policies)
    return QuoteColumns(
        offsets, _micros(numbers["known_at"]), _micros(numbers["ts"]), *feeds, rank,
        amounts(numbers["yes_bid_close_usd"], 6), amounts(numbers["yes_ask_close_usd"], 6),
        amounts(numbers["open_interest_contracts"], 2), amounts(numbers["volume_contracts"], 2), carry, reports_changes,
    )  # fmt: skip


def _sorted(quotes: pa.Table, tickers: pa.Array) -> tuple[pa.Table, dict[str, pa.Array], Ints]:
    """The rows of known contracts in (contract, known_at) order.

    Returns:
        Columns that name a feed, columns of numbers in one piece each, and the offsets of the contracts.
    """
    names = runs(quotes["ticker"].cast(pa.string()))
    contract = codes(names.values, tickers)
    lengths = np.diff(names.ends, prepend=0)
    known_at, ts = _micros(_whole(quotes["known_at"])), _micros(_whole(quotes["ts"]))
    if not _in_order(names.ends, contract, known_at, ts):
        contract = np.repeat(contract, lengths)
        contract[(known_at == MISSING_TIME) | (ts == MISSING_TIME)] = -1
        order = np.lexsort((known_at, contract))
        order = order[np.searchsorted(contract[order], 0) :]
        contract, lengths, quotes = contract[order], np.ones(order.size), quotes.take(pa.array(order))
    rows = np.bincount(contract, weights=lengths, minlength=len(tickers)).astype(np.int64)
    numbers = {name: _whole(quotes[name]) for name in _NUMBERS}
    return quotes.select(["source", "period_s"]), numbers, np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _micros(column: pa.Array) -> Ints:
    """Microseconds as they lie in the column, read-only; null is ``MISSING_TIME``."""
    found = times(column) if column.null_count else np.asarray(column.cast(TIME).cast(pa.int64()))
    found.setflags(write=False)
    return found


def _dictionary(values: pa.Array) -> tuple[Ints, list[Any]]:
    """Code of each value, null included, and the values by code."""
    encoded = pc.dictionary_encode(values, null_encoding="encode")
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64), encoded.dictionary.to_pylist()


def _feeds(
    quotes: pa.Table, source_priority: tuple[str, ...], policies: tuple[FeedPolicy, ...]
) -> tuple[tuple[Ints, Ints], Ints, Ints, npt.NDArray[np.bool_]]:
    """Runs of rows of one feed as (ends, feeds), and per feed its tie rank, its carry limit and its kind of silence."""
    source, period = runs(quotes["source"].cast(pa.string())), runs(quotes["period_s"].cast(pa.int64()))
    spelling, names = _dictionary(source.values)
    length, lengths = _dictionary(period.values)
    ends = source.ends if np.array_equal(source.ends, period.ends) else np.union1d(source.ends, period.ends)
    both = spelling[np.searchsorted(source.ends, ends)] * max(len(lengths), 1)
    both += length[np.searchsorted(period.ends, ends)]
    used, feed = np.unique(both, return_inverse=True)
    pairs = [(names[u // len(lengths)] or "", lengths[u % len(lengths)] or 0) for u in used.tolist()]
    places = {name: i for i, name in enumerate(source_priority)}
    by_rank = sorted(pairs, key=lambda p: (places.get(p[0], len(places)), p[1], p[0]))
    rank = np.array([by_rank.index(p) for p in pairs], np.int64)
    # an unlimited carry must still fit the clock's integers
    rules = [feed_policy(*p, policies) for p in pairs]
    carry = np.array([min(r.carry_s * 1e6, 4e18) for r in rules]).astype(np.int64)
    return (ends, feed.astype(np.int64)), rank, carry, np.array([r.change_feed for r in rules], np.bool_)
