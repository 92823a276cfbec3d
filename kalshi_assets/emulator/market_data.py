"""Routes of market data: candlesticks on four endpoints, trades on two tiers, order books."""

from __future__ import annotations

import json

from kalshi_assets.emulator.candles import HISTORICAL, LIVE
from kalshi_assets.emulator.catalog import Market
from kalshi_assets.emulator.market_body import ACTIVE, complement
from kalshi_assets.emulator.query import Query, page
from kalshi_assets.emulator.replies import (
    Refused,
    Reply,
    bad_request,
    historical_not_found,
    invalid_parameter,
    json_reply,
    not_found,
    text_reply,
)
from kalshi_assets.emulator.served import ServedArchive

MAX_CANDLES = 5_000
MAX_BATCH_CANDLES = 10_000
MAX_BATCH_TICKERS = 100
_PERIODS = (1, 60, 1440)
_TRADES_PAGE = (100, 1000)
# An archive has no depth: the best level of each side stands alone, with this many contracts.
_BOOK_SIZE = "1.00"


def market_candlesticks(served: ServedArchive, query: Query, series_ticker: str, ticker: str) -> Reply:
    """Candles of a live market; the series in the path is not looked at, as on the exchange."""
    found = served.catalog.markets.get(ticker)
    if found is None or not found.live:
        return not_found()
    start, end, period = _range(query)
    _refuse_long(start, end, period)
    return _candles(served, query, ticker, start, end, period, LIVE)


def historical_candlesticks(served: ServedArchive, query: Query, ticker: str) -> Reply:
    """Candles of a market on the historical tier."""
    found = served.catalog.markets.get(ticker)
    if found is None or not found.historical:
        return historical_not_found()
    start, end, period = _range(query)
    _refuse_long(start, end, period)
    return _candles(served, query, ticker, start, end, period, HISTORICAL)


def batch_candlesticks(served: ServedArchive, query: Query) -> Reply:
    """Candles of many live markets; a ticker that nobody knows is left out without a word."""
    tickers = query.listed("market_tickers")
    if not tickers:
        return invalid_parameter(query.operation, "MarketTickers", "required")
    if len(tickers) > MAX_BATCH_TICKERS:
        return invalid_parameter(query.operation, "MarketTickers", "max")
    start, end, period = _range(query)
    requested = len(tickers) * ((end - start) // (60 * period))
    if requested > MAX_BATCH_CANDLES:
        return bad_request(
            f"requested candlesticks across all markets: {requested}, max candlesticks: {MAX_BATCH_CANDLES}"
        )
    known = [t for t in dict.fromkeys(tickers) if (m := served.catalog.markets.get(t)) is not None and m.live]
    texts = _texts(served, query, known, start, end, period, LIVE)
    bodies = ",".join(
        f'{{"market_ticker":{json.dumps(t)},"candlesticks":[{text}]}}' for t, text in zip(known, texts, strict=True)
    )
    return text_reply(f'{{"markets":[{bodies}]}}')


def event_candlesticks(served: ServedArchive, query: Query, series_ticker: str, event_ticker: str) -> Reply:
    """Candles of an event's live markets, cut where the cap is reached; ``adjusted_end_ts`` says where."""
    if event_ticker not in served.catalog.events:
        return not_found()
    start, end, period = _range(query)
    tickers = [m.ticker for m in served.catalog.live_markets_of(event_ticker, served.now())]
    reach = start + MAX_CANDLES // max(len(tickers), 1) * 60 * period
    end = min(end, reach)
    texts = _texts(served, query, tickers, start, end, period, LIVE)
    rows = ",".join(f"[{text}]" for text in texts)
    return text_reply(
        f'{{"market_tickers":{json.dumps(tickers)},"market_candlesticks":[{rows}],"adjusted_end_ts":{end}}}'
    )


def trades(served: ServedArchive, query: Query) -> Reply:
    """Trades since the cutoff."""
    return _trades(served, query, historical=False)


def historical_trades(served: ServedArchive, query: Query) -> Reply:
    """Trades before the cutoff."""
    return _trades(served, query, historical=True)


def orderbook(served: ServedArchive, query: Query, ticker: str) -> Reply:
    """The book of one market; a settled or unknown one answers 200 with nothing in it."""
    depth = query.integer("depth")
    if depth is not None and not 0 <= depth <= 100:
        return invalid_parameter(query.operation, "Depth", "lte" if depth > 100 else "gte")
    return json_reply({"orderbook_fp": _book(served, ticker)})


def orderbooks(served: ServedArchive, query: Query) -> Reply:
    """The books of several markets; ``tickers`` is repeated, and a comma list reads as one ticker."""
    tickers = query.texts("tickers")
    if not tickers:
        return invalid_parameter(query.operation, "Tickers", "required")
    if len(tickers) > MAX_BATCH_TICKERS:
        return invalid_parameter(query.operation, "Tickers", "max")
    return json_reply({"orderbooks": [{"ticker": t, "orderbook_fp": _book(served, t)} for t in tickers]})


def _range(query: Query) -> tuple[int, int, int]:
    start, end, period = (query.required(n) for n in ("start_ts", "end_ts", "period_interval"))
    if period not in _PERIODS:
        raise Refused(invalid_parameter(query.operation, "PeriodInterval", "oneof"))
    if end < start:
        raise Refused(bad_request("end_ts is before start_ts"))
    return start, end, period


def _refuse_long(start: int, end: int, period: int) -> None:
    requested = (end - start) / (60 * period)
    if requested > MAX_CANDLES:
        raise Refused(
            bad_request(f"requested time range with candlesticks: {requested:.6f}, max candlesticks: {MAX_CANDLES}")
        )


def _candles(served: ServedArchive, query: Query, ticker: str, start: int, end: int, period: int, tier: str) -> Reply:
    (text,) = _texts(served, query, [ticker], start, end, period, tier)
    return text_reply(f'{{"ticker":{json.dumps(ticker)},"candlesticks":[{text}]}}')


def _texts(
    served: ServedArchive, query: Query, tickers: list[str], start: int, end: int, period: int, tier: str
) -> list[str]:
    now = served.now()
    if now is not None:
        end = min(end, int(now))
    texts = served.candles.texts([served.candles.window(t, period, start, end) for t in tickers], tier)
    if tier == HISTORICAL or not query.flag("include_latest_before_start"):
        return texts
    first = [served.candles.projected(t, period, start) for t in tickers]
    return [",".join(part for part in pair if part) for pair in zip(first, texts, strict=True)]


def _trades(served: ServedArchive, query: Query, *, historical: bool) -> Reply:
    rows = served.trades.rows(
        historical=historical,
        ticker=query.text("ticker"),
        min_ts=query.integer("min_ts"),
        max_ts=query.integer("max_ts"),
        block=None if query.text("is_block_trade") is None else query.flag("is_block_trade"),
        now=served.now(),
    )
    chosen, cursor = page(len(rows), query, *_TRADES_PAGE)
    return text_reply(f'{{"trades":[{served.trades.text(rows[chosen])}],"cursor":"{cursor}"}}')


def _book(served: ServedArchive, ticker: str) -> dict[str, list[list[str]]]:
    market: Market | None = served.catalog.markets.get(ticker)
    last = served.candles.latest(ticker, served.now())
    if market is None or last is None or served.catalog.status(market, served.now()) != ACTIVE:
        return {"yes_dollars": [], "no_dollars": []}
    no_bid = complement(last.yes_ask)
    return {
        "yes_dollars": [] if float(last.yes_bid) == 0 else [[last.yes_bid, _BOOK_SIZE]],
        "no_dollars": [] if float(no_bid) == 0 else [[no_bid, _BOOK_SIZE]],
    }
