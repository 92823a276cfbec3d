"""Contracts that the exchange deleted: which they are; what is held of them stays, as do all rows.

A provisional market without activity may be deleted once it is determined.
"""

from __future__ import annotations

import json

import pyarrow as pa

from kalshi_assets.exchange.client import Exchange


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
