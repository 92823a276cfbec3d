"""Every recorded-shape example beside the project goes through the client's own parsing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kalshi_assets.exchange import (
    AccountLimits,
    Cutoff,
    EventFeeChange,
    EventRecord,
    ExchangeStatus,
    Findings,
    MarketRecord,
    SeriesFeeChange,
    SeriesRecord,
)
from kalshi_assets.exchange.candles import batch_candles, candle_table, single_candles
from kalshi_assets.exchange.forecasts import forecast_table
from kalshi_assets.exchange.models import EndpointCosts, Schedule
from kalshi_assets.exchange.orderbooks import orderbook_table
from kalshi_assets.exchange.paging import pages
from kalshi_assets.exchange.trades import trade_table
from kalshi_assets.http.attempt import parse_object
from kalshi_assets.http.refusal import parse_refusal

pytestmark = pytest.mark.shared

EXAMPLES = Path(__file__).resolve().parents[3] / "shared" / "reference" / "kalshi" / "examples"
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def rows(body: Any, key: str) -> list[Any]:
    return [row for page in pages(lambda cursor: {**body, "cursor": ""}, key, endpoint=key) for row in page.rows]


def each(record: Any, items: list[Any], findings: Findings) -> int:
    return len([record.parse(item, "x", findings) for item in items])


def read(kind: str, body: Any, findings: Findings) -> int:
    """The number of records or rows that a body of a kind holds."""
    match kind:
        case "GetMarketsResponse":
            return each(MarketRecord, rows(body, "markets"), findings)
        case "GetMarketResponse":
            return each(MarketRecord, [body["market"]], findings)
        case "GetEventsResponse":
            return each(EventRecord, rows(body, "events"), findings)
        case "GetEventResponse":
            nested = body["event"].get("markets", []) + body["markets"]
            return each(EventRecord, [body["event"]], findings) + each(MarketRecord, nested, findings)
        case "GetSeriesListResponse":
            return each(SeriesRecord, body["series"], findings)
        case "GetSeriesResponse":
            return each(SeriesRecord, [body["series"]], findings)
        case "GetTradesResponse":
            trades = rows(body, "trades")
            return sum(
                trade_table([t for t in trades if t["ticker"] == ticker], findings).num_rows
                for ticker in {t["ticker"] for t in trades}
            )
        case "GetMarketOrderbookResponse":
            wrapped = {"orderbooks": [{"ticker": "T", "orderbook_fp": body["orderbook_fp"]}]}
            return 1 + orderbook_table(wrapped, NOW).num_rows
        case "GetMarketOrderbooksResponse":
            return orderbook_table(body, NOW).num_rows
        case "GetMarketCandlesticksResponse" | "GetMarketCandlesticksHistoricalResponse":
            return single_candles(body, body["ticker"], 86400).num_rows
        case "BatchGetMarketCandlesticksResponse":
            return len(batch_candles(body, 86400))
        case "GetEventCandlesticksResponse":
            pairs = zip(body["market_tickers"], body["market_candlesticks"], strict=True)
            return sum(candle_table(ticker, candles, 86400).num_rows for ticker, candles in pairs)
        case "GetHistoricalCutoffResponse":
            return each(Cutoff, [body], findings)
        case "GetEventForecastPercentilesHistoryResponse":
            return forecast_table(body).num_rows
        case "ExchangeStatus":
            return each(ExchangeStatus, [body], findings)
        case "GetExchangeScheduleResponse":
            return each(Schedule, [body["schedule"]], findings)
        case "GetAccountApiLimitsResponse":
            return each(AccountLimits, [body], findings)
        case "GetAccountEndpointCostsResponse":
            return each(EndpointCosts, [body], findings)
        case "GetSeriesFeeChangesResponse":
            return 1 + each(SeriesFeeChange, body["series_fee_change_arr"], findings)
        case "GetEventFeeChangesResponse":
            return each(EventFeeChange, rows(body, "event_fee_changes"), findings)
    raise AssertionError(f"no reader for {kind}")


# Not read by the platform: trading balances and the site's tags.
UNREAD = {"GetBalanceResponse", "GetTagsForSeriesCategoriesResponse"}


def test_every_example_parses_without_a_finding() -> None:
    if not EXAMPLES.is_dir():
        pytest.skip("the shared examples are not beside the project")
    index = json.loads((EXAMPLES / "INDEX.json").read_text())
    assert len(index) >= 30
    findings = Findings()
    for name, kind in index.items():
        body = parse_object((EXAMPLES / name).read_bytes())
        assert isinstance(body, dict), name
        if kind not in UNREAD:
            assert read(kind, body, findings) >= 1 or name == "get_markets_last_page.json", name
    assert findings.summary() == []


def test_live_and_historical_examples_keep_missing_missing() -> None:
    if not EXAMPLES.is_dir():
        pytest.skip("the shared examples are not beside the project")
    live = parse_object((EXAMPLES / "get_candlesticks_live.json").read_bytes())
    assert isinstance(live, dict)
    first = single_candles(live, live["ticker"], 86400).to_pylist()[0]
    assert first["yes_ask_open_usd"] is None
    assert first["yes_ask_close_usd"] == Decimal("0.2")
    assert first["price_close_usd"] is None
    historical = parse_object((EXAMPLES / "get_candlesticks_historical.json").read_bytes())
    assert isinstance(historical, dict)
    last = single_candles(historical, historical["ticker"], 86400).to_pylist()[-1]
    assert last["yes_bid_close_usd"] is None
    assert last["price_close_usd"] is None
    assert last["price_previous_usd"] == Decimal("0.01")


def test_every_error_example_has_words() -> None:
    if not EXAMPLES.is_dir():
        pytest.skip("the shared examples are not beside the project")
    for name, body in json.loads((EXAMPLES / "errors.json").read_text()).items():
        assert parse_refusal(body).words, name
