"""Candlesticks: windows of rows, and their JSON text in the spelling of either tier.

A row is never turned into Python objects. Each price column is a code into the
few distinct prices that occur, each code has its JSON text ready, key and all,
and a page is one element-wise join of those texts. Caps, tiers and parameters
are the routes' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.emulator.fixed_point import count_texts, price_texts, unscaled

LIVE, HISTORICAL = "live", "historical"
DAY_MINUTES = 1440

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
        distinct = np.unique(np.concatenate([np.unique(values) for values, _ in columns]))
        texts = price_texts(distinct)
        self._prices = texts.to_pylist()
        absent = len(distinct)
        self._codes = {
            name: np.where(valid, np.searchsorted(distinct, values), absent).astype(np.int32)
            for name, (values, valid) in zip(_COLUMNS, columns, strict=True)
        }
        self._volume = unscaled(table["volume"])[0]
        self._open_interest = unscaled(table["open_interest"])[0]
        self._spans = _spans(table)
        self._pieces = {tier: _pieces(texts, tier) for tier in (LIVE, HISTORICAL)}

    def window(self, ticker: str, period: int, start: int, end: int) -> Span:
        """Rows of a contract with start <= end of period <= end, both ends in; (i, i) where there are none."""
        lo, hi = self._spans.get((period, ticker), (0, 0))
        ends = self._ends[lo:hi]
        return lo + int(np.searchsorted(ends, start)), lo + int(np.searchsorted(ends, end, "right"))

    def texts(self, spans: Sequence[Span], tier: str) -> list[str]:
        """The rows of each span as the inside of a JSON array, without its brackets."""
        sizes = [hi - lo for lo, hi in spans]
        if not sum(sizes):
            return [""] * len(spans)
        rows = np.concatenate([np.arange(lo, hi) for lo, hi in spans])
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), self._rows(rows, tier)), ",")
        return [str(text) for text in joined.to_pylist()]

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

    def _rows(self, rows: npt.NDArray[np.int64], tier: str) -> pa.Array:
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
            '"}',
            "",
        )
        # Absent keys are left out on the live tier, so an object may begin with the comma of its second key.
        return pc.replace_substring(text, "{,", "{") if tier == LIVE else text


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
