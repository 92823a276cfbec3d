"""Every body against the exchange's published schema, and the rules that the schema cannot say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from kalshi_assets.emulator.archive import Archive
from kalshi_assets.emulator.server import serve
from kalshi_assets_tests.emulator.conftest import Client
from kalshi_assets_tests.emulator.test_signatures import ed25519_headers, ed25519_pair

pytestmark = pytest.mark.shared
PRICE, COUNT = re.compile(r"\d\.\d{4,6}"), re.compile(r"\d+\.\d{2}")


def texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for k, v in value.items():
            yield from texts(v, k)
    elif isinstance(value, list):
        for v in value:
            yield from texts(v, key)
    elif isinstance(value, str):
        yield key, value


@pytest.fixture(params=["tiny", "recorded"])
def archive(request: pytest.FixtureRequest) -> Archive:
    found: Archive = request.getfixturevalue(request.param)
    return found


def test_every_endpoint(archive: Archive, schema: dict[str, Any]) -> None:
    private, pem = ed25519_pair()
    with serve(archive, public_keys={"key": pem}) as server:
        c = Client(server)

        def check(path: str, name: str, signed: bool = False, **params: Any) -> Any:
            body = c.get(path, headers=ed25519_headers(private, "key", path) if signed else None, **params)
            validator = jsonschema.Draft202012Validator({**schema, "$ref": f"#/$defs/{name}"})
            problems = [f"{path} {list(e.path)}: {e.message[:200]}" for e in validator.iter_errors(body)]
            assert not problems, problems[:3]
            for key, text in texts(body):
                if key.endswith("_dollars"):
                    assert PRICE.fullmatch(text), (path, key, text)
                if key.endswith("_fp"):
                    assert COUNT.fullmatch(text), (path, key, text)
            return body

        live = check("/markets", "GetMarketsResponse", limit=120)["markets"]
        historical = check("/historical/markets", "GetMarketsResponse", limit=120)["markets"]
        assert live
        assert historical
        for m in live + historical:
            assert float(m["yes_bid_dollars"]) <= float(m["yes_ask_dollars"])
            assert float(m["yes_bid_dollars"]) + float(m["no_ask_dollars"]) == pytest.approx(1)
        m, h = live[-1], historical[0]
        check(f"/markets/{m['ticker']}", "GetMarketResponse")
        check(f"/historical/markets/{h['ticker']}", "GetMarketResponse")
        check("/series", "GetSeriesListResponse")
        ticker = archive.tables["series"]["ticker"][0].as_py()
        check(f"/series/{ticker}", "GetSeriesResponse")
        for nested in ("true", "false"):
            check("/events", "GetEventsResponse", with_nested_markets=nested, limit=12, status="settled")
            check(f"/events/{m['event_ticker']}", "GetEventResponse", with_nested_markets=nested)
        candles = archive.tables["candlesticks"].to_pylist()
        for tickers, path, name in (
            ({x["ticker"] for x in live}, "/series/S/markets/{}/candlesticks", "GetMarketCandlesticksResponse"),
            (
                {x["ticker"] for x in historical},
                "/historical/markets/{}/candlesticks",
                "GetMarketCandlesticksHistoricalResponse",
            ),
        ):
            row = next(r for r in candles if r["ticker"] in tickers and r["price_close"] is not None)
            period, end = row["period_interval"], row["end_period_ts"]
            window = {"start_ts": end - 100 * period * 60, "end_ts": end, "period_interval": period}
            body = check(path.format(row["ticker"]), name, **window)
            assert body["candlesticks"][-1]["end_period_ts"] == end
        window |= {"include_latest_before_start": "true"}
        names = ",".join(x["ticker"] for x in live[:50])
        check("/markets/candlesticks", "BatchGetMarketCandlesticksResponse", market_tickers=names, **window)
        check(f"/series/S/events/{m['event_ticker']}/candlesticks", "GetEventCandlesticksResponse", **window)
        for path in ("/markets/trades", "/historical/trades"):
            trades = check(path, "GetTradesResponse", limit=500)["trades"]
            assert trades
            assert all(float(t["yes_price_dollars"]) + float(t["no_price_dollars"]) == pytest.approx(1) for t in trades)
        check(f"/markets/{m['ticker']}/orderbook", "GetMarketOrderbookResponse")
        check("/markets/orderbooks", "GetMarketOrderbooksResponse", tickers=[m["ticker"], "NONE"])
        for path, name in (
            ("/historical/cutoff", "GetHistoricalCutoffResponse"),
            ("/exchange/status", "ExchangeStatus"),
            ("/exchange/schedule", "GetExchangeScheduleResponse"),
            ("/account/endpoint_costs", "GetAccountEndpointCostsResponse"),
            ("/series/fee_changes", "GetSeriesFeeChangesResponse"),
            ("/events/fee_changes", "GetEventFeeChangesResponse"),
            ("/search/tags_by_categories", "GetTagsForSeriesCategoriesResponse"),
        ):
            check(path, name)
        check("/milestones", "GetMilestonesResponse", limit=500)
        check("/account/limits", "GetAccountApiLimitsResponse", signed=True)
        check("/portfolio/balance", "GetBalanceResponse", signed=True)
        path = f"/series/{ticker}/events/{m['event_ticker']}/forecast_percentile_history"
        check(path, "GetEventForecastPercentilesHistoryResponse", signed=True, percentiles=[2500, 5000])
        c.session.close()
