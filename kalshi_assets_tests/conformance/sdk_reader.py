"""Answers the questions with the exchange's official SDK, under the SDK's interpreter; imports nothing of ours.

Reads a JSON object from standard input and writes one: by measure, a list of texts.
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path

import kalshi_python_sync as kalshi

PAGE = 50  # small, so that listings have several pages


def client(base_url, key=None):
    configuration = kalshi.Configuration(host=base_url)
    if key is not None:
        configuration.api_key_id = key["id"]
        configuration.private_key_pem = Path(key["pem"]).read_text()
    return kalshi.KalshiClient(configuration)


def pages(call, rows, **query):
    found, cursor = [], None
    while True:
        answer = call(**query, **({"cursor": cursor} if cursor else {}))
        found += getattr(answer, rows)
        cursor = answer.cursor
        if not cursor:
            return found


def total(values):
    return sum((Decimal(v) for v in values if v is not None), Decimal(0))


def candles(rows, live):
    money, count = ("_dollars", "_fp") if live else ("", "")
    closes = [getattr(r.price, f"close{money}") for r in rows]
    return [
        len(rows),
        *([rows[0].end_period_ts, rows[-1].end_period_ts] if rows else []),
        total(getattr(r, f"volume{count}") for r in rows),
        total(getattr(r, f"open_interest{count}") for r in rows),
        total(getattr(r.yes_bid, f"close{money}") for r in rows),
        total(getattr(r.yes_ask, f"high{money}") for r in rows),
        sum(c is not None for c in closes),
        total(closes),
    ]


def markets(rows):
    tickers = sorted(m.ticker for m in rows)
    return [
        len(rows),
        *tickers[:1],
        *tickers[-1:],
        total(m.volume_fp for m in rows),
        total(m.settlement_value_dollars for m in rows),
        total(str(m.floor_strike) for m in rows if m.floor_strike is not None),
    ]


def trades(rows):
    rows = sorted({t.trade_id: t for t in rows}.values(), key=lambda t: (t.created_time, t.trade_id))
    return [
        len(rows),
        *([rows[0].trade_id, rows[-1].trade_id] if rows else []),
        total(t.count_fp for t in rows),
        total(t.yes_price_dollars for t in rows),
        sum(t.taker_outcome_side == "yes" for t in rows),
    ]


def book(body):
    levels = []
    for side in (body.yes_dollars, body.no_dollars):
        best = sorted(side, key=lambda level: Decimal(level[0]))[-1:]
        levels += [len(side), *(Decimal(text) for level in best for text in level)]
    return levels


def seconds(at):
    return int(at.timestamp())


def answers(asked):
    api = client(asked["base_url"])
    found = {}
    cutoff = api.get_historical_cutoff()
    found["cutoff"] = [
        seconds(getattr(cutoff, f"{n}_ts")) for n in ("market_settled", "trades_created", "orders_updated")
    ]
    status = api.get_exchange_status()
    found["status"] = [status.exchange_active, status.trading_active]
    schedule = api.get_exchange_schedule().schedule
    found["schedule"] = [len(schedule.standard_hours), seconds(schedule.maintenance_windows[0].start_datetime)]
    found["endpoint costs"] = [api.get_account_endpoint_costs().default_cost]
    found["milestones"] = [len(pages(api.get_milestones, "milestones", limit=PAGE))]
    listed = api.get_series_list().series
    found["series listed"] = [len(listed), *sorted(s.ticker for s in listed)]
    for ticker in asked["series"]:
        series = api.get_series(series_ticker=ticker).series
        found[f"series {ticker}"] = [
            series.title,
            series.category,
            series.fee_type.value,
            Decimal(str(series.fee_multiplier)),
        ]
        events = sorted(e.event_ticker for e in pages(api.get_events, "events", series_ticker=ticker, limit=PAGE))
        found[f"events {ticker}"] = [len(events), *events[:1], *events[-1:]]
        live = pages(api.get_markets, "markets", series_ticker=ticker, limit=PAGE)
        old = pages(api.get_historical_markets, "markets", series_ticker=ticker, limit=PAGE)
        found[f"markets {ticker} live"] = markets(live)
        found[f"markets {ticker} both tiers"] = markets(list({m.ticker: m for m in [*old, *live]}.values()))
    at = asked["live"]
    window = {"start_ts": at["start"], "end_ts": at["end"], "period_interval": at["period"]}
    one = api.get_market_candlesticks(series_ticker=at["series"], ticker=at["ticker"], **window)
    found["candles live, single"] = candles(one.candlesticks, True)
    batch = api.batch_get_market_candlesticks(market_tickers=at["ticker"], **window)
    found["candles live, batch"] = candles(batch.markets[0].candlesticks, True)
    event = api.get_market_candlesticks_by_event(ticker=at["event"], series_ticker=at["series"], **window)
    found["candles live, event"] = [
        len(event.market_tickers),
        *candles([row for rows in event.market_candlesticks for row in rows], True)[3:],
    ]
    at = asked["historical"]
    window = {"start_ts": at["start"], "end_ts": at["end"], "period_interval": at["period"]}
    old = api.get_market_candlesticks_historical(ticker=at["ticker"], **window)
    found["candles historical"] = candles(old.candlesticks, False)
    for ticker in asked["trades"]:
        live = pages(api.get_trades, "trades", ticker=ticker, limit=PAGE)
        old = pages(api.get_trades_historical, "trades", ticker=ticker, limit=PAGE)
        found[f"trades {ticker}"] = [len(live) > 0, len(old) > 0, *trades([*live, *old])]
    found["order book"] = book(api.get_market_orderbook(ticker=asked["books"][0]).orderbook_fp)
    books = api.get_market_orderbooks(tickers=asked["books"]).orderbooks
    found["order books"] = [value for b in books for value in book(b.orderbook_fp)]
    for kind, key in asked["keys"].items():
        signed = client(asked["base_url"], key)
        limits = signed.get_account_api_limits()
        found[f"account limits, {kind} key"] = [
            limits.usage_tier,
            Decimal(str(limits.read.refill_rate)),
            Decimal(str(limits.read.bucket_capacity)),
        ]
        forecasts = signed.get_event_forecast_percentiles_history(
            ticker=asked["live"]["event"], series_ticker=asked["live"]["series"], percentiles=[2500, 5000], **window
        )
        found[f"forecast percentiles, {kind} key"] = [len(forecasts.forecast_history)]
    return found


def text(value):
    return format(value.normalize(), "f") if isinstance(value, Decimal) else str(value)


if __name__ == "__main__":
    read = answers(json.load(sys.stdin))
    json.dump({name: [text(v) for v in values] for name, values in read.items()}, sys.stdout)
