"""Order books of the contracts that still trade, stamped with the moment they arrived.

There is no history of books to ask for, so what was seen is kept: a new pull
adds snapshots and never replaces any. Candles and trades are ``stages.quotes``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.order_books import top_of_book
from kalshi_assets.core.tables import TABLES
from kalshi_assets.exchange.client import Exchange


def trading(contracts: pa.Table, now: datetime) -> pa.Table:
    """The contracts that can be traded now: opened, not closed, not determined."""
    moment = pa.scalar(now, contracts["open_time"].type)
    opened = pc.less_equal(contracts["open_time"], moment)
    closes = pc.greater(contracts["close_time"], moment)
    return contracts.filter(pc.and_(pc.and_(opened, closes), pc.is_null(contracts["result"])))


def pull_books(exchange: Exchange, contracts: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Books of some contracts, as rows of ``orderbooks`` and as rows of ``quotes``.

    Args:
        exchange: the client, which stamps each book on receipt.
        contracts: rows of table ``contracts``.
    """
    owners = {
        r["ticker"]: r for r in contracts.select(["ticker", "event_ticker", "series_ticker", "event_date"]).to_pylist()
    }
    books = exchange.orderbooks(sorted(owners)) if owners else TABLES["orderbooks"].schema.empty_table()
    return (
        _owned("orderbooks", books, owners, {}),
        _owned("quotes", top_of_book(books), owners, {"source": "book", "period_s": 0}),
    )


def _owned(
    name: str, rows: pa.Table, owners: Mapping[str, Mapping[str, Any]], constants: Mapping[str, Any]
) -> pa.Table:
    """Rows under the keys of their ladder; a snapshot is known when it is received."""
    tickers: Sequence[str] = rows["ticker"].to_pylist()
    columns = []
    for field in TABLES[name].schema:
        if field.name in rows.column_names:
            columns.append(rows[field.name].cast(field.type))
        elif field.name == "known_at":
            columns.append(rows["ts"].cast(field.type))
        elif field.name in ("event_ticker", "series_ticker", "event_date"):
            columns.append(pa.array([owners[t][field.name] for t in tickers], field.type))
        else:
            columns.append(pa.repeat(pa.scalar(constants.get(field.name), field.type), rows.num_rows))
    return pa.table(columns, schema=TABLES[name].schema)
