"""Candlestick bodies of both tiers as one Arrow table; which endpoint to ask does not belong here.

The tiers name the same values differently: live bodies say ``open_dollars`` and
``volume_fp``, historical ones ``open`` and ``volume``. Live bodies leave trade prices
out where nothing traded, historical ones send null.

An empty side is quoted as a bid of 0 or an ask of 1. Neither is a price anybody
offered, so both become null.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.tables import COUNT, INT, PRICE, TEXT, TIME
from kalshi_assets.errors import MalformedResponse
from kalshi_assets.exchange.columns import count_column, price_column, text_column, unix_column, without
from kalshi_assets.exchange.routing import Window

_QUOTE_POINTS = ("open", "high", "low", "close")
_TRADE_POINTS = ("open", "high", "low", "close", "mean", "previous")
_LONGEST_TICKER = 200
_NO_BID = Decimal(0)
_NO_ASK = Decimal(1)

CANDLES = pa.schema(
    [
        ("ticker", TEXT),
        ("period_s", INT),
        ("ts", TIME),
        *((f"yes_bid_{p}_usd", PRICE) for p in _QUOTE_POINTS),
        *((f"yes_ask_{p}_usd", PRICE) for p in _QUOTE_POINTS),
        *((f"price_{p}_usd", PRICE) for p in _TRADE_POINTS),
        ("volume_contracts", COUNT),
        ("open_interest_contracts", COUNT),
    ]
)


@dataclass(frozen=True, slots=True)
class _Dialect:
    price_suffix: str
    count_suffix: str
    quote_keys: tuple[str, ...] = field(init=False)
    trade_keys: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "quote_keys", tuple(p + self.price_suffix for p in _QUOTE_POINTS))
        object.__setattr__(self, "trade_keys", tuple(p + self.price_suffix for p in _TRADE_POINTS))


_LIVE = _Dialect("_dollars", "_fp")
_HISTORICAL = _Dialect("", "")


def candle_table(ticker: str, candles: Any, period_s: int) -> pa.Table:
    """The candles of one market.

    Args:
        ticker: the market.
        candles: the list under ``candlesticks``, of either tier.
        period_s: length of a candle in seconds.

    Returns:
        One row per candle in the order received, columns of ``CANDLES``; ``ts`` is the
        inclusive end of the period. A missing price is null.

    Raises:
        MalformedResponse: naming the ticker, where a candle lacks a field that is always sent
            (so a renamed field is never read as "no quote") or holds something that is no decimal.
    """
    if not isinstance(candles, list):
        raise MalformedResponse(f"The candlesticks of {ticker} are not a list.")
    if not candles:
        return CANDLES.empty_table()
    if not all(isinstance(c, dict) for c in candles):
        raise MalformedResponse(f"A candlestick of {ticker} is not an object.")
    dialect = _LIVE if "volume_fp" in candles[0] else _HISTORICAL
    columns: dict[str, Any] = {
        "ticker": pa.repeat(text_column([ticker], "ticker")[0], len(candles)),
        "period_s": pa.repeat(pa.scalar(period_s, INT), len(candles)),
        "ts": unix_column(_required(candles, "end_period_ts", ticker), f"end_period_ts of {ticker}"),
    }
    prices = []
    for side in ("yes_bid", "yes_ask"):
        quotes = _objects(_required(candles, side, ticker), side, ticker)
        prices += [
            _Prices(f"{side}_{point}_usd", f"{side}.{key} of {ticker}", _required(quotes, key, ticker, inside=side))
            for point, key in zip(_QUOTE_POINTS, dialect.quote_keys, strict=True)
        ]
    trades = _objects([c.get("price") or {} for c in candles], "price", ticker)
    _refuse_other_dialect(trades, dialect, ticker)
    prices += [
        _Prices(f"price_{point}_usd", f"price.{key} of {ticker}", [t.get(key) for t in trades])
        for point, key in zip(_TRADE_POINTS, dialect.trade_keys, strict=True)
    ]
    columns |= _price_columns(prices, len(candles))
    for name in ("volume", "open_interest"):
        key = name + dialect.count_suffix
        columns[f"{name}_contracts"] = count_column(_required(candles, key, ticker), f"{key} of {ticker}")
    return pa.table(columns, schema=CANDLES)


@dataclass(frozen=True, slots=True)
class _Prices:
    name: str
    what: str
    texts: list[Any]


def _price_columns(prices: Sequence[_Prices], n: int) -> dict[str, Any]:
    """All price columns of one body, converted in one piece: a body holds few candles and many columns.

    Args:
        prices: the bids first, then the asks, then trade prices.
        n: candles in the body.
    """
    try:
        column = price_column([text for p in prices for text in p.texts], "prices")
    except MalformedResponse:
        for p in prices:
            price_column(p.texts, p.what)  # Raises again, naming the field.
        raise
    quoted = n * len(_QUOTE_POINTS)
    bids = without(column.slice(0, quoted), _NO_BID)
    asks = without(column.slice(quoted, quoted), _NO_ASK)
    whole = pa.concat_arrays([bids, asks, column.slice(2 * quoted)])
    return {p.name: whole.slice(i * n, n) for i, p in enumerate(prices)}


def single_candles(body: dict[str, Any], ticker: str, period_s: int) -> pa.Table:
    """The body of a one-market endpoint, live or historical."""
    return candle_table(ticker, _listed(body, "candlesticks", ticker), period_s)


def batch_candles(body: dict[str, Any], period_s: int) -> dict[str, pa.Table]:
    """The body of the batch endpoint by ticker; tickers unknown to it are absent from the result."""
    tables: dict[str, pa.Table] = {}
    for market in _objects(_listed(body, "markets", "the batch"), "markets", "the batch"):
        ticker = market.get("market_ticker")
        if not isinstance(ticker, str) or len(ticker) > _LONGEST_TICKER:
            raise MalformedResponse("A market of the batch of candlesticks has no market_ticker.")
        tables[ticker] = candle_table(ticker, _listed(market, "candlesticks", ticker), period_s)
    return tables


@dataclass(frozen=True, slots=True)
class EventCandles:
    """One answer of the event endpoint.

    Attributes:
        tables: the candles by ticker.
        reached_s: Unix second up to which the answer is whole; the rest is asked for from there.
    """

    tables: dict[str, pa.Table]
    reached_s: int


def event_candles(body: dict[str, Any], event_ticker: str, asked: Window, period_s: int) -> EventCandles:
    """The body of the event endpoint, which has tickers and candles in two lists side by side.

    Args:
        body: the response.
        event_ticker: named in errors.
        asked: the range as asked.
        period_s: length of a candle in seconds.

    Raises:
        MalformedResponse: no such body, or one that was cut before a single period was whole.
    """
    tickers = _listed(body, "market_tickers", event_ticker)
    candles = _listed(body, "market_candlesticks", event_ticker)
    reached_s = body.get("adjusted_end_ts")
    if not isinstance(tickers, list) or not all(isinstance(t, str) and len(t) <= _LONGEST_TICKER for t in tickers):
        raise MalformedResponse(f"The market_tickers of {event_ticker} are not tickers.")
    if not isinstance(candles, list) or len(candles) != len(tickers) or len(set(tickers)) != len(tickers):
        raise MalformedResponse(f"The market_candlesticks of {event_ticker} do not match its market_tickers.")
    if type(reached_s) is not int:
        raise MalformedResponse(f"The candlesticks of {event_ticker} have no adjusted_end_ts in whole seconds.")
    if reached_s < min(asked.start_s + period_s, asked.end_s):
        raise MalformedResponse(
            f"The candlesticks of {event_ticker} from {asked.start_s} on were cut at {reached_s}, before one period "
            "was whole; ask for its markets instead of the event."
        )
    pairs = zip(tickers, candles, strict=True)
    return EventCandles({t: candle_table(t, found, period_s) for t, found in pairs}, reached_s)


def inside(table: pa.Table, start: datetime, end: datetime) -> pa.Table:
    """The rows of a table with ``ts`` in [start, end)."""
    first, bound = pa.scalar(start, TIME), pa.scalar(end, TIME)
    return table.filter(pc.and_(pc.greater_equal(table["ts"], first), pc.less(table["ts"], bound)))


def merge_candles(tables: Iterable[pa.Table]) -> pa.Table:
    """All rows sorted by ticker and time, one row per (ticker, ts); of twins the earlier table's row stays.

    Windows are inclusive at both ends, so a boundary candle arrives twice.
    """
    merged = pa.concat_tables([CANDLES.empty_table(), *tables])
    if merged.num_rows == 0:
        return merged
    # The row number makes the order total, so that "earlier table wins" does not rest on a stable sort.
    numbered = merged.append_column("row", pa.array(np.arange(merged.num_rows, dtype=np.int64)))
    merged = numbered.sort_by([("ticker", "ascending"), ("ts", "ascending"), ("row", "ascending")]).drop(["row"])
    ticker = merged["ticker"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    ts = merged["ts"].combine_chunks().cast(INT).to_numpy(zero_copy_only=False)
    first = np.ones(merged.num_rows, dtype=bool)
    first[1:] = (ticker[1:] != ticker[:-1]) | (ts[1:] != ts[:-1])
    return merged.filter(pa.array(first)).combine_chunks()


def _listed(body: dict[str, Any], key: str, ticker: str) -> Any:
    if key not in body:
        raise MalformedResponse(f"The response for {ticker} has no {key!r}.")
    return body[key] if body[key] is not None else []


def _required(rows: Sequence[dict[str, Any]], key: str, ticker: str, inside: str = "") -> list[Any]:
    try:
        return list(map(itemgetter(key), rows))
    except KeyError:
        pass
    where = f"{inside}.{key}" if inside else key
    raise MalformedResponse(f"A candlestick of {ticker} has no {where!r}; the response's shape has changed.")


def _objects(rows: Any, name: str, ticker: str) -> list[dict[str, Any]]:
    if isinstance(rows, list) and all(isinstance(r, dict) for r in rows):
        return rows
    raise MalformedResponse(f"{name!r} of {ticker} is not made of objects.")


def _refuse_other_dialect(trades: Sequence[dict[str, Any]], dialect: _Dialect, ticker: str) -> None:
    other = _HISTORICAL if dialect is _LIVE else _LIVE
    strangers = frozenset(other.trade_keys)
    if any(not strangers.isdisjoint(t) for t in trades):
        raise MalformedResponse(f"The candlesticks of {ticker} mix the field names of both tiers.")
