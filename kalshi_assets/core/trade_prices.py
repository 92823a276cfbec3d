"""Trades in the shape in which distributions take prices; how old a trade may be is ``staleness``'s business."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.tables import COUNT, INT, PRICE, TEXT, TIME
from kalshi_assets.errors import DomainError

TRADE = "trade"
_COLUMNS = ("ticker", "ts", "known_at", "sequence", "yes_price_usd", "count_contracts")
_MOMENT = ["ticker", "ts", "known_at"]


def trade_prices(trades: pa.Table) -> pa.Table:
    """One row a contract and instant with trades: the price of the last one as bid and ask, and what was traded.

    Args:
        trades: rows of table ``trades``, any order. Of trades of one instant the greatest ``sequence`` is the last.

    Returns:
        Columns as ``asof.quote_columns`` reads them, source ``trade``, sorted by contract and time. A trade
        without a price keeps none.

    Raises:
        DomainError: a required column is absent.
    """
    missing = [c for c in _COLUMNS if c not in trades.column_names]
    if missing:
        raise DomainError(f"The trades have no column {', '.join(missing)}; pass rows of table trades.")
    order = [(c, "ascending") for c in (*_MOMENT, "sequence")]
    ordered = trades.select(_COLUMNS).sort_by(order)
    ordered = ordered.append_column("row", pa.array(np.arange(ordered.num_rows)))
    last = ordered.group_by(_MOMENT, use_threads=False).aggregate([("row", "max"), ("count_contracts", "sum")])
    n = last.num_rows
    price = ordered["yes_price_usd"].take(last["row_max"]).cast(PRICE)
    columns = {
        "ticker": last["ticker"].cast(TEXT),
        "source": pa.repeat(TRADE, n),
        "period_s": pa.repeat(pa.scalar(0, INT), n),
        "ts": last["ts"].cast(TIME),
        "known_at": last["known_at"].cast(TIME),
        "yes_bid_close_usd": price,
        "yes_ask_close_usd": price,
        "volume_contracts": pc.cast(last["count_contracts_sum"], COUNT),
        "open_interest_contracts": pa.nulls(n, COUNT),
    }
    return pa.table(columns)
