"""Answers the questions with the platform's own client, in the same measures as ``sdk_reader``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from kalshi_assets.exchange.client import Exchange
from kalshi_assets.exchange.connect import connect
from kalshi_assets.exchange.credentials import load_credentials
from kalshi_assets.exchange.models import Cutoff, MarketRecord
from kalshi_assets.exchange.routing import MarketRef

_LONG_AGO, _LONG_AFTER = datetime(2015, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)


def answers(asked: dict[str, Any]) -> dict[str, list[str]]:
    """By measure, a list of texts."""
    exchange = connect(asked["base_url"])
    cutoff, status, schedule = exchange.cutoff(), exchange.status(), exchange.schedule()
    listed = exchange.series_list()
    found: dict[str, list[Any]] = {
        "cutoff": [_seconds(t) for t in (cutoff.market_settled_ts, cutoff.trades_created_ts, cutoff.orders_updated_ts)],
        "status": [status.exchange_active, status.trading_active],
        "schedule": [len(schedule.standard_hours), _seconds(schedule.maintenance_windows[0].start_datetime)],
        "endpoint costs": [exchange.endpoint_costs().default_cost],
        "milestones": [len(exchange.milestones())],
        "series listed": [len(listed), *sorted(s.ticker for s in listed)],
    }
    refs: dict[str, MarketRef] = {}
    for ticker in asked["series"]:
        series = exchange.series(ticker)
        found[f"series {ticker}"] = [series.title, series.category, series.fee_type, series.fee_multiplier]
        events = [e.event_ticker for e in exchange.events(ticker)]
        found[f"events {ticker}"] = [len(events), *events[:1], *events[-1:]]
        records = exchange.markets(ticker).markets
        found[f"markets {ticker} live"] = _markets([m for m in records if m.tier == "live"])
        found[f"markets {ticker} both tiers"] = _markets(records)
        refs |= {m.ticker: MarketRef(m.ticker, m.event_ticker, ticker, m.settlement_ts) for m in records}
    live, historical = asked["live"], asked["historical"]
    of_one = _candles(_pulled(exchange, cutoff, [refs[live["ticker"]]], live))
    found |= dict.fromkeys(("candles live, single", "candles live, batch"), of_one)
    of_event = exchange.event_candlesticks(
        live["series"], live["event"], period_minutes=live["period"], start=_time(live["start"]), end=_end(live)
    )
    rungs = sum(r.event_ticker == live["event"] for r in refs.values())
    found["candles live, event"] = [rungs, *_candles(of_event)[3:]]
    found["candles historical"] = _candles(_pulled(exchange, cutoff, [refs[historical["ticker"]]], historical))
    for ticker in asked["trades"]:
        table = exchange.trades(refs[ticker], start=_LONG_AGO, end=_LONG_AFTER, cutoff=cutoff)
        found[f"trades {ticker}"] = _trades(table, cutoff)
    books = exchange.orderbooks(asked["books"])
    found["order book"] = _book(exchange.orderbook(asked["books"][0]), asked["books"][0])
    found["order books"] = [value for t in asked["books"] for value in _book(books, t)]
    for kind, key in asked["keys"].items():
        signed = connect(asked["base_url"], load_credentials(key["id"], private_key_path=Path(key["pem"])))
        limits = signed.account_limits()
        found[f"account limits, {kind} key"] = [
            limits.usage_tier,
            limits.read.refill_rate,
            limits.read.bucket_capacity,
        ]
        forecasts = signed.forecast_percentiles(
            live["series"], live["event"], percentiles=[25, 50], start=_time(live["start"]), end=_time(live["end"])
        )
        found[f"forecast percentiles, {kind} key"] = [forecasts.num_rows]
    return {name: [_text(v) for v in values] for name, values in found.items()}


def _pulled(exchange: Exchange, cutoff: Cutoff, refs: Sequence[MarketRef], at: dict[str, Any]) -> pa.Table:
    start = _time(at["start"])
    return exchange.candlesticks(refs, period_minutes=at["period"], start=start, end=_end(at), cutoff=cutoff)


def _candles(table: pa.Table) -> list[Any]:
    ends, closes = table["ts"].to_pylist(), table["price_close_usd"].to_pylist()
    return [
        len(ends),
        *([_seconds(ends[0]), _seconds(ends[-1])] if ends else []),
        _total(table["volume_contracts"].to_pylist()),
        _total(table["open_interest_contracts"].to_pylist()),
        # An empty side has no price here, where the exchange writes 0 for a bid and 1 for an ask.
        _total(table["yes_bid_close_usd"].to_pylist()),
        _total(1 if ask is None else ask for ask in table["yes_ask_high_usd"].to_pylist()),
        sum(c is not None for c in closes),
        _total(closes),
    ]


def _markets(records: Sequence[MarketRecord]) -> list[Any]:
    tickers = sorted(m.ticker for m in records)
    return [
        len(records),
        *tickers[:1],
        *tickers[-1:],
        _total(m.volume_fp for m in records),
        _total(m.settlement_value_dollars for m in records),
        _total(m.floor_strike for m in records),
    ]


def _trades(table: pa.Table, cutoff: Cutoff) -> list[Any]:
    rows = sorted(table.to_pylist(), key=lambda t: (t["ts"], t["trade_id"]))
    old = [t["ts"] < cutoff.trades_created_ts for t in rows]
    return [
        not all(old),
        any(old),
        len(rows),
        *([rows[0]["trade_id"], rows[-1]["trade_id"]] if rows else []),
        _total(t["count_contracts"] for t in rows),
        _total(t["yes_price_usd"] for t in rows),
        sum(t["taker_side"] == "yes" for t in rows),
    ]


def _book(table: pa.Table, ticker: str) -> list[Any]:
    found: list[Any] = []
    for side in ("yes", "no"):
        levels = [r for r in table.to_pylist() if (r["ticker"], r["side"]) == (ticker, side)]
        best = [r for r in levels if r["level"] == 0]
        found += [len(levels), *(value for r in best for value in (r["price_usd"], r["size_contracts"]))]
    return found


def _total(values: Iterable[Any]) -> Decimal:
    return sum((Decimal(v) for v in values if v is not None), Decimal(0))


def _end(at: dict[str, Any]) -> datetime:
    """Our windows end before their bound, the exchange's on it."""
    return _time(at["end"]) + timedelta(seconds=1)


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


def _text(value: Any) -> str:
    return format(value.normalize(), "f") if isinstance(value, Decimal) else str(value)
