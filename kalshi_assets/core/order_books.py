"""What an order-book snapshot says as a quote: the best bid of each side.

Depth beyond the best level stays in the table ``orderbooks``.
"""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.tables import PRICE

_ONE = pa.scalar(Decimal(1), PRICE)


def top_of_book(books: pa.Table) -> pa.Table:
    """Best YES bid and YES ask of each snapshot.

    The exchange lists bids only; somebody who bids p for NO offers YES at 1 − p, on the same book.

    Args:
        books: columns ``ticker, side (yes or no), price_usd, ts``; any order, any number of levels.

    Returns:
        Columns ``ticker, ts, yes_bid_close_usd, yes_ask_close_usd``, by ticker and time; a side without bids is null.
        A book that is empty on both sides has no row: it cannot be told from one that does not exist.
    """
    best = books.group_by(["ticker", "ts", "side"]).aggregate([("price_usd", "max")])
    yes = _side(best, "yes").rename_columns(["ticker", "ts", "yes_bid_close_usd"])
    no = _side(best, "no").rename_columns(["ticker", "ts", "no_bid"])
    both = yes.join(no, ["ticker", "ts"], join_type="full outer").sort_by(
        [("ticker", "ascending"), ("ts", "ascending")]
    )
    ask = pc.subtract(_ONE, both["no_bid"]).cast(PRICE)
    return both.select(["ticker", "ts", "yes_bid_close_usd"]).append_column("yes_ask_close_usd", ask)


def _side(best: pa.Table, side: str) -> pa.Table:
    return best.filter(pc.equal(best["side"], side)).select(["ticker", "ts", "price_usd_max"])
