"""Candlesticks: windows of rows, and their JSON text in the spelling of either tier.

A row is never turned into Python objects. Each price column is a code into the
few distinct prices that occur, each code has its JSON text ready, key and all,
and a block of rows is one element-wise join of those texts. Caps, tiers and parameters
are the routes' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.emulator.fixed_point import MICRO, count_texts, price_texts, unscaled
from kalshi_assets.errors import ArchiveError

LIVE, HISTORICAL = "live", "historical"
DAY_MINUTES = 1440

_BLOCK_ROWS = 4096
_BLOCKS_KEPT = 64

_NEW_YORK = ZoneInfo("America/New_York")
_QUOTE = ("open", "high", "low", "close")
_GROUPS = {"yes_bid": _QUOTE, "yes_ask": _QUOTE, "price": (*_QUOTE, "mean", "previous")}
_COLUMNS = tuple(f"{group}_{point}" for group, points in _GROUPS.items() for point in points)
_EMPTY_BOOK = {"yes_bid": "0.0000", "yes_ask": "1.0000"}

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Latest:
    """The state of a contract after a candle; prices and counts as text.

    Attributes:
        end: end of the candle, Unix seconds.
        yes_bid: closing bid.
        yes_ask: closing ask.
        opening_yes_bid: bid at the candle's start.
        opening_yes_ask: ask at the candle's start.
        price: last traded price, None before the first trade.
        previous_price: last traded price before the candle, None where there was none.
        open_interest: open contracts.
    """

    end: int
    yes_bid: str
    yes_ask: str
    opening_yes_bid: str
    opening_yes_ask: str
    price: str | None
    previous_price: str | None
    open_interest: str


class CandleBook:
    """Every candle of an archive, by period and ticker.

    Rows are sorted by (period, ticker, end of period), so that a window is a slice.
    """

    def __init__(self, table: pa.Table) -> None:
        """Index a ``candlesticks`` table of the archive."""
        table = table.sort_by(
            [("period_interval", "ascending"), ("ticker", "ascending"), ("end_period_ts", "ascending")]
        )
        self._ends: npt.NDArray[np.int64] = np.asarray(table["end_period_ts"].to_numpy(), np.int64)
        columns = [unscaled(table[name]) for name in _COLUMNS]
        # Prices are few: each gets a code, found through a table over every micro-dollar up to one dollar.
        occurs = np.zeros(MICRO + 1, np.bool_)
        for name, (values, _) in zip(_COLUMNS, columns, strict=True):
            if len(values) and not 0 <= values.min() <= values.max() <= MICRO:
                raise ArchiveError(f"Candlesticks hold a {name} outside 0 to 1 dollar. Correct the archive.")
            occurs[values] = True
        texts = price_texts(np.flatnonzero(occurs))
        self._prices = texts.to_pylist()
        code = (np.cumsum(occurs) - 1).astype(np.int32)
        absent = np.int32(len(self._prices))
        self._codes = {
            name: np.where(valid, code[values], absent) for name, (values, valid) in zip(_COLUMNS, columns, strict=True)
        }
        self._volume = unscaled(table["volume"])[0]
        self._open_interest = unscaled(table["open_interest"])[0]
        self._spans = _spans(table)
        self._pieces = {tier: _pieces(texts, tier) for tier in (LIVE, HISTORICAL)}
        self._block = lru_cache(maxsize=_BLOCKS_KEPT)(self._rendered)

    def window(self, ticker: str, period: int, start: int, end: int) -> Span:
        """Rows of a contract with start <= end of period <= end, both ends in; (i, i) where there are none."""
        lo, hi = self._spans.get((period, ticker), (0, 0))
        ends = self._ends[lo:hi]
        return lo + int(np.searchsorted(ends, start)), lo + int(np.searchsorted(ends, end, "right"))

    def texts(self, spans: Sequence[Span], tier: str) -> list[str]:
        """The rows of each span as the inside of a JSON array, without its brackets."""
        return [self._text(lo, hi, tier) for lo, hi in spans]

    def latest(self, ticker: str, at: float | None = None) -> Latest | None:
        """The last candle of a contract that ended by ``at`` (the last of all without it), of any period."""
        best: tuple[int, int, int] | None = None
        for period in (1, 60, DAY_MINUTES):
            lo, hi = self._spans.get((period, ticker), (0, 0))
            if at is not None:
                hi = lo + int(np.searchsorted(self._ends[lo:hi], at, "right"))
            if hi > lo and (best is None or int(self._ends[hi - 1]) > best[0]):
                best = (int(self._ends[hi - 1]), -period, hi - 1)
        return None if best is None else self._latest(best[2])

    def projected(self, ticker: str, period: int, start: int) -> str | None:
        """The made-up candle that carries the last one before ``start`` to the first boundary from there on.

        None where there is no earlier candle, or where a real one already ends at that boundary.
        """
        lo, hi = self._spans.get((period, ticker), (0, 0))
        row = lo + int(np.searchsorted(self._ends[lo:hi], start)) - 1
        boundary = next_boundary(start, period)
        if row < lo or (row + 1 < hi and int(self._ends[row + 1]) == boundary):
            return None
        last = self._latest(row)
        quotes = ",".join(
            f'"{group}":{{' + ",".join(f'"{point}_dollars":"{close}"' for point in _QUOTE) + "}"
            for group, close in (("yes_bid", last.yes_bid), ("yes_ask", last.yes_ask))
        )
        price = f'"previous_dollars":"{last.price}"' if last.price is not None else ""
        return (
            f'{{"end_period_ts":{boundary},{quotes},"price":{{{price}}},'
            f'"volume_fp":"0.00","open_interest_fp":"{last.open_interest}"}}'
        )

    def _latest(self, row: int) -> Latest:
        def text(name: str) -> str | None:
            code = int(self._codes[name][row])
            return None if code == len(self._prices) else str(self._prices[code])

        def quote(group: str, point: str) -> str:
            return text(f"{group}_{point}") or _EMPTY_BOOK[group]

        return Latest(
            end=int(self._ends[row]),
            yes_bid=quote("yes_bid", "close"),
            yes_ask=quote("yes_ask", "close"),
            opening_yes_bid=quote("yes_bid", "open"),
            opening_yes_ask=quote("yes_ask", "open"),
            price=text("price_close") or text("price_previous"),
            previous_price=text("price_previous"),
            open_interest=str(count_texts(self._open_interest[row : row + 1])[0]),
        )

    def _text(self, lo: int, hi: int, tier: str) -> str:
        parts = []
        for number in range(lo // _BLOCK_ROWS, -(-hi // _BLOCK_ROWS)):
            text, offsets = self._block(tier, number)
            first = number * _BLOCK_ROWS
            start, end = max(lo - first, 0), min(hi - first, _BLOCK_ROWS)
            parts.append(text[offsets[start] : offsets[end]])
        return b"".join(parts)[:-1].decode()

    def _rendered(self, tier: str, number: int) -> tuple[bytes, npt.NDArray[np.int32]]:
        """(text, offsets) of a block of rows, each row with a comma behind it.

        Pages are short and a reader walks through neighbouring contracts, so rows are rendered by the
        block, and the blocks in use are kept.
        """
        rows = slice(number * _BLOCK_ROWS, min((number + 1) * _BLOCK_ROWS, len(self._ends)))
        suffix = "_fp" if tier == LIVE else ""
        prices = [
            pc.take(pieces, pa.array(self._codes[name][rows]))
            for name, pieces in zip(_COLUMNS, self._pieces[tier], strict=True)
        ]
        text = pc.binary_join_element_wise(
            '{"end_period_ts":',
            pa.array(self._ends[rows]).cast(pa.string()),
            *prices,
            f'}},"volume{suffix}":"',
            count_texts(self._volume[rows]),
            f'","open_interest{suffix}":"',
            count_texts(self._open_interest[rows]),
            '"},',
            "",
        )
        if tier == LIVE:
            # Absent keys are left out, so an object may begin with the comma of its second key.
            text = pc.replace_substring(text, "{,", "{")
        _, offsets, content = text.buffers()
        return content.to_pybytes(), np.frombuffer(offsets, np.int32, len(text) + 1, 4 * text.offset)


def next_boundary(start: int, period: int) -> int:
    """The first end of a period at or after ``start``; a day ends at midnight New York."""
    if period != DAY_MINUTES:
        step = 60 * period
        return -(-start // step) * step
    local = datetime.fromtimestamp(start, _NEW_YORK)
    midnight = datetime(local.year, local.month, local.day, tzinfo=_NEW_YORK)
    if midnight.timestamp() < start:
        following = midnight.date() + timedelta(days=1)
        midnight = datetime(following.year, following.month, following.day, tzinfo=_NEW_YORK)
    return int(midnight.timestamp())


def _spans(table: pa.Table) -> dict[tuple[int, str], Span]:
    """(period, ticker) to the slice of rows, for a table sorted by them."""
    n = table.num_rows
    if not n:
        return {}
    tickers = table["ticker"].combine_chunks().dictionary_encode()
    if isinstance(tickers, pa.ChunkedArray):
        tickers = tickers.unify_dictionaries().combine_chunks()
    code = np.asarray(tickers.indices.to_numpy(zero_copy_only=False), np.int64)
    period = np.asarray(table["period_interval"].to_numpy(), np.int64)
    first = np.flatnonzero(np.concatenate([[True], (np.diff(code) != 0) | (np.diff(period) != 0)]))
    last = np.concatenate([first[1:], [n]])
    names = tickers.dictionary.to_pylist()
    return {(int(period[lo]), str(names[code[lo]])): (int(lo), int(hi)) for lo, hi in zip(first, last, strict=True)}


def _pieces(prices: pa.Array, tier: str) -> list[pa.Array]:
    """For each price column the JSON text of every distinct price, in row order; the last entry is absence."""
    suffix = "_dollars" if tier == LIVE else ""
    pieces = []
    for group, points in _GROUPS.items():
        opening = {"yes_bid": ',"yes_bid":{', "yes_ask": '},"yes_ask":{', "price": '},"price":{'}[group]
        for i, point in enumerate(points):
            # On the live tier the first key of a group also carries a comma: an absent key must leave no trace.
            lead = opening if i == 0 else ""
            comma = "," if tier == LIVE or i else ""
            key = f'{lead}{comma}"{point}{suffix}":'
            absent = lead if tier == LIVE else f"{key}null"
            texts = pc.binary_join_element_wise(f'{key}"', prices, '"', "")
            pieces.append(pa.concat_arrays([texts, pa.array([absent], pa.string())]))
    return pieces
