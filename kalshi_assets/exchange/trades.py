"""Trade bodies as one Arrow table in one canonical order; which endpoint to ask does not belong here.

The exchange stamps trades to the microsecond, and a taker who sweeps several levels
leaves several trades in one. It does not document an order inside such a tie. In the
recorded archive the prices inside ties go up and down equally often (no-takers: 393 times
down and 365 up; yes-takers: 370 up and 364 down), so the listing's order carries nothing,
and it changes when pages are repeated. The order here is a rule instead: a yes-taker's
sweep walks up the yes price, a no-taker's walks down, yes-takers come before no-takers and
those before unknown ones, and the id decides what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
# What a trade cannot change; the rest of a body may be left out by one tier.
_FIXED = ("ticker", "ts", "yes_price_usd", "count_contracts")
_MAY_BE_ABSENT = ("taker_side", "no_price_usd", "is_block_trade")


def trade_table(bodies: Sequence[Any], findings: Findings | None = None) -> pa.Table:
    """The trades of one market.

    Args:
        bodies: trade bodies of all pages, in any order; the same trade may come twice.
        findings: where unknown sides and prices that do not sum to one are counted.

    Returns:
        One row per trade, oldest first, in the canonical order of this module. ``sequence`` is
        the time in microseconds times 1000 plus the rank among the trades of that microsecond:
        it does not depend on the pages nor on where the pulled window begins. ``taker_side`` is
        null where the body does not say.

    Raises:
        MalformedResponse: a body lacks a field that is always sent, or holds one of the wrong kind;
            two bodies of one trade differ; or another market's trade is among them.
    """
    if not bodies:
        return TRADES.empty_table()
    if not all(isinstance(r, dict) for r in bodies):
        raise MalformedResponse("A trade is not an object.")
    table = pa.table(
        {
            "trade_id": _required(bodies, "trade_id"),
            "ticker": _required(bodies, "ticker"),
            "sequence": pa.nulls(len(bodies), INT),
            "ts": time_column([r.get("created_time") for r in bodies], "created_time of a trade"),
            "yes_price_usd": _price(bodies, "yes_price_dollars"),
            "no_price_usd": price_column([r.get("no_price_dollars") for r in bodies], "no_price_dollars of a trade"),
            "count_contracts": _count(bodies),
            "taker_side": text_column([_taker_side(r, findings) for r in bodies], "taker_side of a trade"),
            "is_block_trade": pa.array([_flag(r) for r in bodies], BOOL),
        },
        schema=TRADES,
    )
    _note_odd_sums(table, findings)
    return _in_order(table)


def merge_trades(tables: Iterable[pa.Table]) -> pa.Table:
    """The trades of several tables of one market as one table, each once and ranked anew.

    Raises:
        MalformedResponse: as of ``trade_table``.
    """
    merged = pa.concat_tables([TRADES.empty_table(), *tables])
    return _in_order(merged) if merged.num_rows else merged


def _in_order(table: pa.Table) -> pa.Table:
    table = _without_twins(table)
    if pc.count_distinct(table["ticker"]).as_py() > 1:
        raise MalformedResponse("The trades of one market came mixed with another market's.")
    ts = table["ts"].combine_chunks().cast(INT).to_numpy(zero_copy_only=False)
    is_yes, is_no = (pc.fill_null(pc.equal(table["taker_side"], side), False) for side in ("yes", "no"))
    side = pc.if_else(is_yes, 0, pc.if_else(is_no, 1, 2))
    price = table["yes_price_usd"]
    walked = pc.if_else(is_yes, price, pc.if_else(is_no, pc.negate(price), pa.scalar(Decimal(0), PRICE)))
    order = pc.sort_indices(
        pa.table({"ts": ts, "side": side, "walked": walked, "trade_id": table["trade_id"]}),
        sort_keys=[(key, "ascending") for key in ("ts", "side", "walked", "trade_id")],
    )
    ts = ts[order.to_numpy()]
    starts = np.flatnonzero(np.r_[True, ts[1:] != ts[:-1]])
    rank = np.arange(len(ts)) - np.repeat(starts, np.diff(np.r_[starts, len(ts)]))
    if rank.max() >= _TIES:
        raise MalformedResponse(f"More than {_TIES} trades of {table['ticker'][0].as_py()} at one microsecond.")
    position = TRADES.get_field_index("sequence")
    ranked = table.take(order).set_column(position, TRADES.field(position), pa.array(ts * _TIES + rank, INT))
    return ranked.combine_chunks()


def _without_twins(table: pa.Table) -> pa.Table:
    """One row per id; of twins the one that says most, whatever order they came in."""
    if pc.count_distinct(table["trade_id"]).as_py() == table.num_rows:
        return table
    # Nulls sort last, so a body that leaves a field out loses to one that has it.
    keys = ("trade_id", *_MAY_BE_ABSENT)
    table = table.sort_by([(key, "ascending") for key in keys]).combine_chunks()
    former, latter = table.slice(0, table.num_rows - 1), table.slice(1)
    twins = pc.equal(former["trade_id"], latter["trade_id"])
    for column in _FIXED:
        contradictory = pc.and_(twins, pc.not_equal(former[column], latter[column]))
        if pc.any(contradictory).as_py():
            trade_id = former["trade_id"].filter(contradictory)[0].as_py()
            raise MalformedResponse(
                f"The trade {trade_id[:80]} came twice and its {column} differs; a trade does not change, "
                "so one of the two bodies is damaged: ask again."
            )
    first = pa.chunked_array([pa.array([True]), *pc.invert(twins).chunks])
    return table.filter(first)


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
