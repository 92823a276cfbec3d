"""Trade bodies as one Arrow table in the exchange's order; which endpoint to ask does not belong here."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.tables import BOOL, COUNT, INT, PRICE, TEXT, TIME
from kalshi_assets.errors import MalformedResponse
from kalshi_assets.exchange.columns import count_column, price_column, text_column, time_column
from kalshi_assets.exchange.findings import Findings

TRADES = pa.schema(
    [
        ("trade_id", TEXT),
        ("ticker", TEXT),
        ("sequence", INT),
        ("ts", TIME),
        ("yes_price_usd", PRICE),
        ("no_price_usd", PRICE),
        ("count_contracts", COUNT),
        ("taker_side", TEXT),
        ("is_block_trade", BOOL),
    ]
)

_TIES = 1000  # room for trades at one microsecond of one market
_SIDE_OF_BOOK = {"bid": "yes", "ask": "no"}


def trade_table(newest_first: Sequence[Any], findings: Findings | None = None) -> pa.Table:
    """The trades of one market.

    Args:
        newest_first: trade bodies of all pages, in the order received; the same trade may come twice.
        findings: where unknown sides and prices that do not sum to one are counted.

    Returns:
        One row per trade, oldest first. ``sequence`` is the time in microseconds times 1000 plus
        the rank among the trades of that microsecond: it ascends in the exchange's order and
        does not depend on where the pulled window begins. ``taker_side`` is null where the body
        does not say.

    Raises:
        MalformedResponse: a body lacks a field that is always sent, or holds one of the wrong kind.
    """
    rows = list(reversed(newest_first))
    if not rows:
        return TRADES.empty_table()
    if not all(isinstance(r, dict) for r in rows):
        raise MalformedResponse("A trade is not an object.")
    table = pa.table(
        {
            "trade_id": _required(rows, "trade_id"),
            "ticker": _required(rows, "ticker"),
            "sequence": pa.nulls(len(rows), INT),
            "ts": time_column([r.get("created_time") for r in rows], "created_time of a trade"),
            "yes_price_usd": _price(rows, "yes_price_dollars"),
            "no_price_usd": price_column([r.get("no_price_dollars") for r in rows], "no_price_dollars of a trade"),
            "count_contracts": _count(rows),
            "taker_side": text_column([_taker_side(r, findings) for r in rows], "taker_side of a trade"),
            "is_block_trade": pa.array([_flag(r) for r in rows], BOOL),
        },
        schema=TRADES,
    )
    _note_odd_sums(table, findings)
    return _in_order(table)


def _in_order(table: pa.Table) -> pa.Table:
    ids = table["trade_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    # The first of two equal ids in exchange order is kept; np.unique returns first positions.
    table = table.take(pa.array(np.sort(np.unique(ids, return_index=True)[1])))
    if pc.count_distinct(table["ticker"]).as_py() > 1:
        raise MalformedResponse("The trades of one market came mixed with another market's.")
    ts = table["ts"].combine_chunks().cast(INT).to_numpy(zero_copy_only=False)
    order = np.argsort(ts, kind="stable")
    ts = ts[order]
    starts = np.flatnonzero(np.r_[True, ts[1:] != ts[:-1]])
    rank = np.arange(len(ts)) - np.repeat(starts, np.diff(np.r_[starts, len(ts)]))
    if rank.max() >= _TIES:
        raise MalformedResponse(f"More than {_TIES} trades of {table['ticker'][0].as_py()} at one microsecond.")
    ordered = table.take(pa.array(order))
    position = TRADES.get_field_index("sequence")
    return ordered.set_column(position, TRADES.field(position), pa.array(ts * _TIES + rank, INT)).combine_chunks()


def _required(rows: Sequence[dict[str, Any]], key: str) -> Any:
    column = text_column([r.get(key) for r in rows], f"{key} of a trade")
    if column.null_count:
        raise MalformedResponse(f"A trade has no {key!r}; the response's shape has changed.")
    return column


def _price(rows: Sequence[dict[str, Any]], key: str) -> Any:
    column = price_column([r.get(key) for r in rows], f"{key} of a trade")
    if column.null_count:
        raise MalformedResponse(f"A trade has no {key!r}; the response's shape has changed.")
    return column


def _count(rows: Sequence[dict[str, Any]]) -> Any:
    column = count_column([r.get("count_fp") for r in rows], "count_fp of a trade")
    if column.null_count:
        raise MalformedResponse("A trade has no 'count_fp'; the response's shape has changed.")
    return column


def _taker_side(row: dict[str, Any], findings: Findings | None) -> str | None:
    book = row.get("taker_book_side")
    said = row.get("taker_outcome_side") or (_SIDE_OF_BOOK.get(book) if isinstance(book, str) else None)
    side = said or row.get("taker_side")
    if side in ("yes", "no"):
        return str(side)
    if findings is not None:
        findings.note("trades", "unknown_value", f"taker_outcome_side={side}")
    return None


def _flag(row: dict[str, Any]) -> bool | None:
    value = row.get("is_block_trade")
    return value if isinstance(value, bool) else None


def _note_odd_sums(table: pa.Table, findings: Findings | None) -> None:
    if findings is None:
        return
    odd = pc.not_equal(pc.add(table["yes_price_usd"], table["no_price_usd"]), pa.scalar(Decimal(1), PRICE))
    if count := pc.sum(odd).as_py():
        findings.note("trades", "prices_do_not_sum_to_one", "yes_price_dollars+no_price_dollars", count)
