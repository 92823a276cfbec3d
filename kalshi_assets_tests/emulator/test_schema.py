"""Every route's body against the exchange's published schema, and the rules that the schema cannot say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jsonschema
import pytest

from kalshi_assets.emulator.archive import Archive
from kalshi_assets.emulator.exchange import ROUTES, Route
from kalshi_assets.emulator.server import serve
from kalshi_assets_tests.emulator.conftest import Client
from kalshi_assets_tests.emulator.test_signatures import ed25519_headers, ed25519_pair

pytestmark = pytest.mark.shared
PRICE, COUNT = re.compile(r"\d\.\d{4,6}"), re.compile(r"\d+\.\d{2}")


@dataclass(frozen=True)
class Known:
    """A served archive and what its requests need: rows of either tier, and windows that hold candles."""

    client: Client
    key: Any
    series: str
    live: list[dict[str, Any]]
    historical: list[dict[str, Any]]
    windows: dict[str, tuple[str, dict[str, int]]]

    def window(self, tier: str) -> dict[str, int]:
        return self.windows[tier][1]


Request = tuple[str, dict[str, Any]]


def requests_of(operation: str, known: Known) -> tuple[str, list[Request]]:
    """(schema's name, requests as (path, parameters)) of an operation. A new route needs a line here."""
    live, old, series = known.live[-1], known.historical[0], known.series
    event = live["event_ticker"]
    window = known.window("live") | {"include_latest_before_start": "true"}
    nested = [{"with_nested_markets": flag} for flag in ("true", "false")]
    traded, settled = known.windows["live"][0], known.windows["historical"][0]
    answers: dict[str, tuple[str, list[Request]]] = {
        "GetSeriesList": ("GetSeriesListResponse", [("/series", {})]),
        "GetSeriesFeeChanges": ("GetSeriesFeeChangesResponse", [("/series/fee_changes", {})]),
        "GetSeries": ("GetSeriesResponse", [(f"/series/{series}", {})]),
        "GetMarketCandlesticks": (
            "GetMarketCandlesticksResponse",
            [(f"/series/S/markets/{traded}/candlesticks", w) for w in (window, known.window("live"))],
        ),
        "GetEventCandlesticks": (
            "GetEventCandlesticksResponse",
            [(f"/series/S/events/{event}/candlesticks", window)],
        ),
        "GetEventForecastPercentilesHistory": (
            "GetEventForecastPercentilesHistoryResponse",
            [(f"/series/{series}/events/{event}/forecast_percentile_history", {"percentiles": [2500, 5000]})],
        ),
        "GetEvents": ("GetEventsResponse", [("/events", {"limit": 12, "status": "settled", **n}) for n in nested]),
        "GetEventFeeChanges": ("GetEventFeeChangesResponse", [("/events/fee_changes", {})]),
        "GetEvent": ("GetEventResponse", [(f"/events/{event}", n) for n in nested]),
        "GetMarkets": ("GetMarketsResponse", [("/markets", {"limit": 120})]),
        "BatchGetMarketCandlesticks": (
            "BatchGetMarketCandlesticksResponse",
            [("/markets/candlesticks", {"market_tickers": ",".join(m["ticker"] for m in known.live[:50]), **window})],
        ),
        "GetTrades": ("GetTradesResponse", [("/markets/trades", {"limit": 500})]),
        "GetMarketOrderbooks": ("GetMarketOrderbooksResponse", [("/markets/orderbooks", {"tickers": [traded, "N"]})]),
        "GetMarket": ("GetMarketResponse", [(f"/markets/{live['ticker']}", {})]),
        "GetMarketOrderbook": ("GetMarketOrderbookResponse", [(f"/markets/{live['ticker']}/orderbook", {})]),
        "GetHistoricalCutoff": ("GetHistoricalCutoffResponse", [("/historical/cutoff", {})]),
        "GetHistoricalMarkets": ("GetMarketsResponse", [("/historical/markets", {"limit": 120})]),
        "GetHistoricalTrades": ("GetTradesResponse", [("/historical/trades", {"limit": 500})]),
        "GetHistoricalMarket": ("GetMarketResponse", [(f"/historical/markets/{old['ticker']}", {})]),
        "GetMarketCandlesticksHistorical": (
            "GetMarketCandlesticksHistoricalResponse",
            [(f"/historical/markets/{settled}/candlesticks", known.window("historical"))],
        ),
        "GetExchangeStatus": ("ExchangeStatus", [("/exchange/status", {})]),
        "GetExchangeSchedule": ("GetExchangeScheduleResponse", [("/exchange/schedule", {})]),
        "GetAccountApiLimits": ("GetAccountApiLimitsResponse", [("/account/limits", {})]),
        "GetAccountEndpointCosts": ("GetAccountEndpointCostsResponse", [("/account/endpoint_costs", {})]),
        "GetMilestones": ("GetMilestonesResponse", [("/milestones", {"limit": 500})]),
        "GetTagsForSeriesCategories": (
            "GetTagsForSeriesCategoriesResponse",
            [("/search/tags_by_categories", {})],
        ),
        "GetBalance": ("GetBalanceResponse", [("/portfolio/balance", {})]),
    }
    return answers[operation]


@pytest.fixture(scope="module", params=["tiny", "recorded"])
def known(request: pytest.FixtureRequest) -> Iterator[Known]:
    archive: Archive = request.getfixturevalue(request.param)
    private, pem = ed25519_pair()
    with serve(archive, public_keys={"key": pem}) as server:
        c = Client(server)
        live, historical = (
            c.get(path, limit=120, status="settled" if path == "/markets" else None)["markets"]
            for path in ("/markets", "/historical/markets")
        )
        candles = archive.tables["candlesticks"].to_pylist()
        windows = {}
        for tier, rows in (("live", live), ("historical", historical)):
            tickers = {m["ticker"] for m in rows}
            row = next(r for r in candles if r["ticker"] in tickers and r["price_close"] is not None)
            period, end = row["period_interval"], row["end_period_ts"]
            start = end - 100 * period * 60
            windows[tier] = (row["ticker"], {"start_ts": start, "end_ts": end, "period_interval": period})
        yield Known(c, private, archive.tables["series"]["ticker"][0].as_py(), live, historical, windows)
        c.session.close()


def texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for k, v in value.items():
            yield from texts(v, k)
    elif isinstance(value, list):
        for v in value:
            yield from texts(v, key)
    elif isinstance(value, str):
        yield key, value


def objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(item)


def check_beyond_the_schema(path: str, body: Any) -> None:
    for key, text in texts(body):
        if key.endswith("_dollars"):
            assert PRICE.fullmatch(text), (path, key, text)
        if key.endswith("_fp"):
            assert COUNT.fullmatch(text), (path, key, text)
    for found in objects(body):
        if "yes_bid_dollars" in found:
            assert float(found["yes_bid_dollars"]) <= float(found["yes_ask_dollars"])
            assert float(found["yes_bid_dollars"]) + float(found["no_ask_dollars"]) == pytest.approx(1)
        if "trade_id" in found:
            assert float(found["yes_price_dollars"]) + float(found["no_price_dollars"]) == pytest.approx(1)


@pytest.mark.parametrize("route", ROUTES, ids=[route.operation for route in ROUTES])
def test_every_route(route: Route, known: Known, schema: dict[str, Any]) -> None:
    name, asked = requests_of(route.operation, known)
    validator = jsonschema.Draft202012Validator({**schema, "$ref": f"#/$defs/{name}"})
    for path, parameters in asked:
        segments = path.strip("/").split("/")
        assert len(segments) == len(route.pattern)
        assert all(p in ("*", s) for p, s in zip(route.pattern, segments, strict=True)), "this asks another route"
        body = known.client.get(path, headers=ed25519_headers(known.key, "key", path), **parameters)
        problems = [f"{path} {list(e.path)}: {e.message[:200]}" for e in validator.iter_errors(body)]
        assert not problems, problems[:3]
        check_beyond_the_schema(path, body)


def test_listings_and_windows_are_not_empty(known: Known) -> None:
    for operation, rows in (
        ("GetMarkets", "markets"),
        ("GetHistoricalMarkets", "markets"),
        ("GetTrades", "trades"),
        ("GetHistoricalTrades", "trades"),
        ("GetMarketCandlesticks", "candlesticks"),
        ("GetMarketCandlesticksHistorical", "candlesticks"),
    ):
        for path, parameters in requests_of(operation, known)[1]:
            body = known.client.get(path, **parameters)
            assert body[rows], path
            if rows == "candlesticks":
                assert body[rows][-1]["end_period_ts"] == parameters["end_ts"]


def test_a_forgotten_route_is_noticed(known: Known) -> None:
    with pytest.raises(KeyError):
        requests_of("GetSomethingNew", known)
