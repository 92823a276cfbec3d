"""Quotes that no exchange can have meant, taken out before they are stored; mending them does not belong here.

One impossible row must neither stop the release that it belongs to nor pass for a quote. It is
kept beside the table with its reason.
"""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import MICRO_USD, MISSING_TIME, micro_usd, times
from kalshi_assets.core.hashing import hash_json
from kalshi_assets.core.tables import PRICE, TABLES

_MISSING = np.iinfo(np.int64).min
_SIDES = ("yes_bid", "yes_ask", "price")

Bools = npt.NDArray[np.bool_]


def reject_quotes(quotes: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Part possible from impossible rows.

    Impossible is: no time, a price outside [0, 1], a high below or a low above another price of the same side,
    a closing bid above the closing ask, a negative volume or open interest. A missing price is no fault.

    Args:
        quotes: rows of table ``quotes``.

    Returns:
        The rows that stay, in their order, and one row of table ``rejected_rows`` for each other one; its reason
        names the first of the rules above that is broken.
    """
    price = {f.name: _micros(quotes[f.name]) for f in quotes.schema if f.type == PRICE}
    broken: list[tuple[str, Bools]] = [("it has no time", times(quotes["ts"]) == MISSING_TIME)]
    for name, values in price.items():
        outside = (values != _MISSING) & ((values < 0) | (values > MICRO_USD))
        broken.append((f"{name} lies outside 0 and 1", outside))
    for side in _SIDES:
        high, low = price[f"{side}_high_usd"], price[f"{side}_low_usd"]
        broken += [
            (f"{side}_high_usd is below {side}_{point}_usd", _below(high, price[f"{side}_{point}_usd"]))
            for point in ("open", "close", "low")
        ]
        broken += [
            (f"{side}_low_usd is above {side}_{point}_usd", _below(price[f"{side}_{point}_usd"], low))
            for point in ("open", "close")
        ]
    crossed = _below(price["yes_ask_close_usd"], price["yes_bid_close_usd"])
    broken.append(("the closing bid is above the closing ask", crossed))
    for name in ("volume_contracts", "open_interest_contracts"):
        negative = np.asarray(pc.fill_null(pc.less(quotes[name], 0), False), bool)
        broken.append((f"{name} is negative", negative))
    first = np.full(quotes.num_rows, -1)
    for i in range(len(broken) - 1, -1, -1):
        first[broken[i][1]] = i
    bad = np.flatnonzero(first >= 0)
    if not len(bad):
        return quotes, TABLES["rejected_rows"].schema.empty_table()
    rows = quotes.take(pa.array(bad)).to_pylist()
    rejected = []
    for place, row in zip(bad.tolist(), rows, strict=True):
        text = json.dumps(row, sort_keys=True, default=str)
        kept = {k: row[k] for k in ("event_ticker", "series_ticker", "event_date", "ticker", "ts", "known_at")}
        rejected.append(
            {
                **kept,
                "table_name": "quotes",
                "row_id": hash_json(text)[:32],
                "reason": broken[first[place]][0],
                "row_json": text,
            }
        )
    return (
        quotes.filter(pa.array(first < 0)),
        pa.Table.from_pylist(rejected, schema=TABLES["rejected_rows"].schema),
    )


def rejected_quotes(rejected: pa.Table) -> pa.Table:
    """The rows of table ``quotes`` that were put aside, as they came.

    Args:
        rejected: rows of table ``rejected_rows``.
    """
    schema = TABLES["quotes"].schema
    texts = rejected["row_json"].filter(pc.equal(rejected["table_name"], "quotes")).to_pylist()
    rows = [json.loads(text) for text in texts]
    # Times, days and prices were written as texts, which Arrow reads back.
    columns = [pa.array([row.get(f.name) for row in rows], _written(f.type)).cast(f.type) for f in schema]
    return pa.table(columns, schema=schema)


def _written(kind: pa.DataType) -> pa.DataType:
    return kind if pa.types.is_integer(kind) else pa.string()


def _micros(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Micro-dollars, with the null apart from every price that a body could hold."""
    return np.where(np.asarray(pc.is_valid(column), bool), micro_usd(column), _MISSING)


def _below(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> Bools:
    return np.asarray((one != _MISSING) & (other != _MISSING) & (one < other), bool)
