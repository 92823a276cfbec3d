"""Trades in the shape in which distributions take prices; how old a trade may be is ``staleness``'s business."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.ordering import last_of_each
from kalshi_assets.core.tables import COUNT, INT, TEXT, TIME
from kalshi_assets.errors import DomainError

TRADE = "trade"
_COLUMNS = ("ticker", "trade_id", "ts", "known_at", "sequence", "yes_price_usd", "count_contracts")
_MOMENT = ["ticker", "ts", "known_at"]


def trade_prices(trades: pa.Table) -> pa.Table:
    """One row a contract and instant with trades: the price of the last one as bid and ask, and what was traded.

    Where trades of an instant became known at several times, there is a row for each of these: what was
    known of the instant by then, corrections included.

    Args:
        trades: rows of table ``trades``, all versions, any order. Of trades of one instant the greatest
            ``sequence`` is the last.

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
    ordered = _as_known(trades.select(_COLUMNS)).sort_by(order)
    ordered = ordered.append_column("row", pa.array(np.arange(ordered.num_rows)))
    last = ordered.group_by(_MOMENT, use_threads=False).aggregate([("row", "max"), ("count_contracts", "sum")])
    n = last.num_rows
    price = ordered["yes_price_usd"].take(last["row_max"])
    columns = {
        "ticker": last["ticker"].cast(TEXT),
        "source": pa.repeat(TRADE, n),
        "period_s": pa.repeat(pa.scalar(0, INT), n),
        "ts": last["ts"].cast(TIME),
        "known_at": last["known_at"].cast(TIME),
        "yes_bid_close_usd": price,
        "yes_ask_close_usd": price,
        "volume_contracts": last["count_contracts_sum"],
        "open_interest_contracts": pa.nulls(n, COUNT),
    }
    return pa.table(columns)


def _as_known(trades: pa.Table) -> pa.Table:
    """The trades of every instant at each time at which one of them became known after it."""
    late = pc.not_equal(trades["ts"], trades["known_at"])
    if not pc.any(late).as_py():
        return trades
    moments = trades.filter(late).group_by(_MOMENT).aggregate([]).rename_columns(["ticker", "ts", "then"])
    seen = trades.join(moments, ["ticker", "ts"], join_type="inner")
    seen = seen.filter(pc.less_equal(seen["known_at"], seen["then"]))
    newest = seen.filter(pa.array(last_of_each(seen, ["ticker", "ts", "then", "trade_id"], ["known_at"])))
    then = newest.drop_columns(["known_at"]).rename_columns({"then": "known_at"}).select(_COLUMNS)
    return pa.concat_tables([trades.filter(pc.invert(late)), then.cast(trades.schema)])
