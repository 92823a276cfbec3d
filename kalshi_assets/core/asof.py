"""As-of lookup: which quote of a contract was the newest that an observer could have had.

Quotes lie sorted by (contract, known_at) behind an offset index; a lookup is
one binary search. A row that arrives late about an earlier time must not
displace a newer one, so each row also names the newest row among all that
were known by then. How old that may be belongs to ``staleness``.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.amounts import MISSING_AMOUNT, Amounts, amount, amounts
from kalshi_assets.core.columns import MISSING_TIME, codes, times
from kalshi_assets.core.compiled import in_place
from kalshi_assets.core.quote_windows import complete_rows
from kalshi_assets.core.staleness import FEED_POLICIES, FeedPolicy, feed_policy
from kalshi_assets.core.tables import TIME
from kalshi_assets.core.text_runs import runs
from kalshi_assets.errors import DomainError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Records: TypeAlias = Any  # a structured array; numpy cannot type its fields

MICRO = 1_000_000
NO_PRICE, BAD_PRICE = -1, -2
_FEW_ROWS = 4096  # a batch of fewer rows costs more than copying it
# The columns of table ``quotes`` that a distribution rests on.
QUOTE_COLUMNS = (
    "ticker", "source", "period_s", "ts", "known_at", "yes_bid_close_usd", "yes_ask_close_usd",
    "volume_contracts", "open_interest_contracts",
)  # fmt: skip


# One row of a quote index. Rows are records, so that a lookup touches one cache line and kernels take one array.
QUOTE = np.dtype(
    [
        ("ts", np.int64),  # the instant that the row describes
        ("known_at", np.int64),  # when it could be had
        ("newest", np.int64),  # the row that an observer at this known_at would use
        ("bid", np.int32),  # micro-dollars; NO_PRICE no bid, BAD_PRICE outside (0, 1)
        ("ask", np.int32),  # the same for the ask
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
def _price(units: int, empty_at: int) -> int:
    """Micro-dollars; ``NO_PRICE`` where missing or at the mark by which feeds write an empty side."""
    if units in (MISSING_AMOUNT, empty_at):
        return NO_PRICE
    return units if 0 < units < MICRO else BAD_PRICE


@in_place
def _encode(
    first: int, n: int, ticker_ends: Ints, contract_of_run: Ints, feed_ends: Ints, feed_of_run: Ints, ts: Ints,
    known_at: Ints, bids: Amounts, asks: Amounts, traded: Amounts, interests: Amounts, contract: Ints, known: Ints,
    volume: Floats, rows: Records,
) -> None:  # fmt: skip
    """Write rows ``first`` to ``first + n`` of the index from one batch; volumes stay hundredths, -1 missing."""
    bid, no_bid = bids
    ask, no_ask = asks
    trades, no_trades = traded
    interest, no_interest = interests
    ticker = np.searchsorted(ticker_ends, first, side="right")
    feed = np.searchsorted(feed_ends, first, side="right")
    i = 0
    while i < n:
        # within a stretch neither the contract nor the feed changes
        stop = min(n, min(ticker_ends[ticker], feed_ends[feed]) - first)
        for j in range(i, stop):
            at = first + j
            placed = known_at[j] != MISSING_TIME and ts[j] != MISSING_TIME
            contract[at] = contract_of_run[ticker] if placed else -1
            known[at], volume[at] = known_at[j], max(amount(trades, no_trades, j), -1)
            held = amount(interest, no_interest, j)
            row = rows[at]
            row.ts, row.known_at, row.newest, row.feed = ts[j], known_at[j], at, feed_of_run[feed]
            row.bid = _price(amount(bid, no_bid, j), 0)
            row.ask = _price(amount(ask, no_ask, j), MICRO)
            row.open_interest = math.nan if held < 0 else held / 100.0
        i = stop
        ticker += ticker_ends[ticker] <= first + i
        feed += feed_ends[feed] <= first + i


@in_place
def _sorted(contract: Ints, known_at: Ints) -> bool:
    """Whether the rows lie in (contract, known_at) order, none of them without a place."""
    ordered = contract.size == 0 or contract[0] >= 0
    for i in range(1, contract.size):
        ordered &= (contract[i] > contract[i - 1]) | (
            (contract[i] == contract[i - 1]) & (known_at[i] >= known_at[i - 1])
        )
    return ordered


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
    missing = [c for c in QUOTE_COLUMNS if c not in quotes.column_names]
    if missing:
        raise DomainError(f"The quotes have no column {', '.join(missing)}; pass rows of table quotes.")
    quotes = quotes.select(QUOTE_COLUMNS)
    n = quotes.num_rows
    contract, known_at, volume = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    rows: Records = np.empty(n, QUOTE)
    names = runs(quotes["ticker"].cast(pa.string()))
    feeds, rank, carry, reports_changes = _feeds(quotes, source_priority, policies)
    contract_of_run = codes(names.values, tickers)
    first = 0
    for batch in _batches(quotes):
        _encode(
            first, batch.num_rows, names.ends, contract_of_run, *feeds,
            _micros(batch["ts"]), _micros(batch["known_at"]),
            amounts(batch["yes_bid_close_usd"], 6), amounts(batch["yes_ask_close_usd"], 6),
            amounts(batch["volume_contracts"], 2), amounts(batch["open_interest_contracts"], 2),
            contract, known_at, volume, rows,
        )  # fmt: skip
        first += batch.num_rows
    if not _sorted(contract, known_at):
        order = np.lexsort((known_at, contract))
        order = order[np.searchsorted(contract[order], 0) :]
        contract, known_at, volume, rows = contract[order], known_at[order], volume[order], rows[order]
    offsets = np.searchsorted(contract, np.arange(len(tickers) + 1)).astype(np.int64)
    head, tail = np.empty(rank.size, np.int64), np.empty(rank.size, np.int64)
    following = np.empty(known_at.size if rank.size > 1 else 0, np.int64)
    window = int(volume_window_s * 1e6)
    complete_rows(offsets, known_at, volume, window, rank, rows, following, head, tail, np.empty(rank.size))
    return QuoteIndex(offsets, known_at, rows, carry, reports_changes)


def _batches(quotes: pa.Table) -> list[pa.RecordBatch]:
    """The table in stretches of contiguous columns, whole where they would be many."""
    batches: list[pa.RecordBatch] = quotes.to_batches()
    if len(batches) * _FEW_ROWS > quotes.num_rows:
        batches = quotes.combine_chunks().to_batches()
    return batches


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
    return (ends, feed[both]), rank, carry, np.array([r.change_feed for r in rules], np.bool_)
