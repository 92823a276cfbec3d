"""Contracts that the exchange deleted: which they are, and what is held of them; writing rows does not belong here.

A provisional market without activity may be deleted once it is determined. What was seen of it
stays, or a ladder would be rewritten by what happened later.
"""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.exchange.client import Exchange
from kalshi_assets.store.lake import Lake, Scope


def deleted_contracts(exchange: Exchange, contracts: pa.Table) -> pa.Array:
    """The tickers of provisional contracts that no tier knows any more, sorted; where none is provisional, no request.

    Args:
        exchange: the client.
        contracts: newest rows of table ``contracts``.
    """
    named = zip(contracts["ticker"].to_pylist(), contracts["raw_json"].to_pylist(), strict=True)
    provisional = {ticker for ticker, body in named if json.loads(body or "{}").get("is_provisional") is True}
    known = {m.ticker for m in exchange.markets_by_ticker(sorted(provisional))} if provisional else set()
    return pa.array(sorted(provisional - known), pa.string())


def held_rows(lake: Lake, name: str, scope: Scope, tickers: pa.Array, *, source: str | None = None) -> pa.Table:
    """The rows that the lake holds of some contracts, in the columns of the table; of one source where it is named."""
    rows = lake.read(name, event_dates=scope.event_dates, series=scope.series, history=True)
    mine = pc.is_in(rows["ticker"], tickers)
    return rows.filter(mine if source is None else pc.and_(mine, pc.equal(rows["source"], source)))
