"""Order-book bodies as one Arrow table; when to take snapshots does not belong here.

Books hold bids only, of both sides; the ask of one side is one minus the best bid
of the other. An empty book proves nothing: the exchange sends one for settled and
for unknown markets alike.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.tables import COUNT, INT, PRICE, TEXT, TIME
from kalshi_assets.errors import MalformedResponse
from kalshi_assets.exchange.columns import count_column, price_column, text_column

ORDERBOOKS = pa.schema(
    [("ticker", TEXT), ("side", TEXT), ("level", INT), ("price_usd", PRICE), ("size_contracts", COUNT), ("ts", TIME)]
)

_SIDES = (("yes", "yes_dollars"), ("no", "no_dollars"))


def orderbook_table(body: dict[str, Any], received_at: datetime) -> pa.Table:
    """The books of a batch response.

    Args:
        body: the response of ``/markets/orderbooks``.
        received_at: our clock on receipt; books carry no time of their own.

    Returns:
        One row per (ticker, side, level): level 0 is the best bid. Books without levels have no row.

    Raises:
        MalformedResponse: the body is no batch of books.
    """
    books = body.get("orderbooks")
    if not isinstance(books, list):
        raise MalformedResponse("The response has no list 'orderbooks'.")
    tables = [ORDERBOOKS.empty_table()]
    for entry in books:
        ticker = entry.get("ticker") if isinstance(entry, dict) else None
        if not isinstance(ticker, str):
            raise MalformedResponse("An order book has no 'ticker'.")
        tables.append(single_orderbook_table(entry, ticker, received_at))
    return pa.concat_tables(tables).combine_chunks()


def single_orderbook_table(body: dict[str, Any], ticker: str, received_at: datetime) -> pa.Table:
    """The book of one market, from a response of ``/markets/{ticker}/orderbook``; rows as of ``orderbook_table``."""
    book = body.get("orderbook_fp")
    if not isinstance(book, dict):
        raise MalformedResponse(f"The order book of {ticker[:80]} has no 'orderbook_fp'.")
    return pa.concat_tables([_side(ticker, side, book.get(key), received_at) for side, key in _SIDES]).combine_chunks()


def _side(ticker: str, side: str, levels: Any, received_at: datetime) -> pa.Table:
    what = f"the {side} book of {ticker[:80]}"
    if levels is None:
        levels = []
    if not isinstance(levels, list) or not all(isinstance(x, list) and len(x) == 2 for x in levels):
        raise MalformedResponse(f"A level in {what} is not a pair of price and count.")
    price = price_column([x[0] for x in levels], f"a price in {what}")
    size = count_column([x[1] for x in levels], f"a count in {what}")
    if price.null_count or size.null_count:
        raise MalformedResponse(f"A level in {what} lacks its price or count.")
    # Best bid first, whatever order was sent: the documentation contradicts itself.
    order = pc.sort_indices(price, sort_keys=[("", "descending")])
    n = len(levels)
    return pa.table(
        {
            "ticker": pa.repeat(text_column([ticker], "ticker")[0], n),
            "side": pa.repeat(pa.scalar(side, TEXT), n),
            "level": pa.array(range(n), INT),
            "price_usd": price.take(order),
            "size_contracts": size.take(order),
            "ts": pa.repeat(pa.scalar(received_at, TIME), n),
        },
        schema=ORDERBOOKS,
    )
