"""Trades: newest first, split between the tiers by the time of the trade."""

from __future__ import annotations

import copy
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.emulator.fixed_point import count_texts, price_texts, time_texts, unscaled

MICROSECONDS = 1_000_000


class TradeTape:
    """Every trade of an archive.

    Rows are kept newest first. Trades of one instant keep the archive's order, which is the exchange's.
    """

    def __init__(self, table: pa.Table, cutoff: str) -> None:
        """Index a ``trades`` table.

        Args:
            table: the archive's trades.
            cutoff: RFC 3339; older trades are on the historical tier.
        """
        times = np.asarray(table["created_time"].cast(pa.timestamp("us")).cast(pa.int64()).to_numpy(), np.int64)
        order = np.argsort(-times, kind="stable")
        self._table = table.take(pa.array(order)).combine_chunks()
        self._times: npt.NDArray[np.int64] = times[order]
        self._cutoff = _microseconds(cutoff)
        self._block = np.asarray(pc.fill_null(self._table["is_block_trade"], False).to_numpy(), np.bool_)
        self._rows_of: dict[str, npt.NDArray[np.int64]] = {}
        if table.num_rows:
            codes = self._table["ticker"].combine_chunks().dictionary_encode()
            if isinstance(codes, pa.ChunkedArray):
                codes = codes.unify_dictionaries().combine_chunks()
            indices = np.asarray(codes.indices.to_numpy(zero_copy_only=False), np.int64)
            by_code = np.argsort(indices, kind="stable")
            bounds = np.searchsorted(indices[by_code], np.arange(len(codes.dictionary) + 1))
            for i, name in enumerate(codes.dictionary.to_pylist()):
                self._rows_of[str(name)] = by_code[bounds[i] : bounds[i + 1]]

    def under(self, cutoff: str) -> TradeTape:
        """The same trades, split at another time."""
        moved = copy.copy(self)
        moved._cutoff = _microseconds(cutoff)
        return moved

    def rows(
        self,
        *,
        historical: bool,
        ticker: str | None,
        min_ts: int | None,
        max_ts: int | None,
        block: bool | None,
        now: float | None,
    ) -> npt.NDArray[np.int64]:
        """Row numbers of one tier, newest first; both bounds are whole seconds and included."""
        rows = np.arange(len(self._times)) if ticker is None else self._rows_of.get(ticker, np.empty(0, np.int64))
        times = self._times[rows]
        keep = times < self._cutoff if historical else times >= self._cutoff
        if min_ts is not None:
            keep &= times >= min_ts * MICROSECONDS
        if max_ts is not None:
            keep &= times < (max_ts + 1) * MICROSECONDS
        if now is not None:
            keep &= times <= int(now * MICROSECONDS)
        if block is not None:
            keep &= self._block[rows] == block
        return np.asarray(rows[keep], np.int64)

    def text(self, rows: npt.NDArray[np.int64]) -> str:
        """The rows as the inside of a JSON array."""
        if not len(rows):
            return ""
        table = self._table.take(pa.array(rows))
        side = table["taker_side"].combine_chunks()
        book = pc.if_else(pc.equal(side, "yes"), "bid", "ask")
        texts = pc.binary_join_element_wise(
            '{"trade_id":"',
            table["trade_id"].combine_chunks(),
            '","ticker":"',
            table["ticker"].combine_chunks(),
            '","count_fp":"',
            count_texts(unscaled(table["count"])[0]),
            '","yes_price_dollars":"',
            price_texts(unscaled(table["yes_price"])[0]),
            '","no_price_dollars":"',
            price_texts(unscaled(table["no_price"])[0]),
            '","taker_side":"',
            side,
            '","taker_outcome_side":"',
            side,
            '","taker_book_side":"',
            book,
            '","created_time":"',
            time_texts(table["created_time"].combine_chunks()),
            '","is_block_trade":',
            pc.if_else(pa.array(self._block[rows]), "true", "false"),
            "}",
            "",
        )
        return ",".join(texts.to_pylist())


def _microseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * MICROSECONDS)
