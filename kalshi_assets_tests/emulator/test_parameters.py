"""How the exchange reads parameters: lists by comma or by repetition, windows of time, what excludes what."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from kalshi_assets_tests.emulator.conftest import Client

LIVE_TIMES = {"created": "created_time", "close": "close_time", "settled": "settlement_ts", "updated": "updated_time"}


@pytest.fixture(scope="module")
def live(client: Client) -> list[dict[str, Any]]:
    return client.pages("/markets", "markets", limit=1000)


def tickers(body: dict[str, Any]) -> list[str]:
    return [m["ticker"] for m in body["markets"]]


def test_market_lists_take_commas(client: Client, live: list[dict[str, Any]]) -> None:
    a, b = live[0]["ticker"], live[1]["ticker"]
    assert tickers(client.get("/markets", tickers=f"{a},{b}")) == [a, b]
    old = tickers(client.get("/historical/markets", limit=2))
    assert tickers(client.get("/historical/markets", tickers=",".join(old))) == old
    window = {"start_ts": 0, "end_ts": 3600, "period_interval": 60}
    batch = client.get("/markets/candlesticks", market_tickers=f"{a},NONE,{b}", **window)
    assert [m["market_ticker"] for m in batch["markets"]] == [a, b]
    events = [live[0]["event_ticker"], live[-1]["event_ticker"]]
    assert {e["event_ticker"] for e in client.get("/events", tickers=",".join(events))["events"]} == set(events)


def test_market_lists_do_not_take_repetition(client: Client, live: list[dict[str, Any]]) -> None:
    a, b = live[0]["ticker"], live[1]["ticker"]
    assert tickers(client.get("/markets", tickers=[a, b])) == [b]


def test_books_take_repetition_and_no_commas(client: Client) -> None:
    books = client.get("/markets/orderbooks", tickers=["A", "B,C"])["orderbooks"]
    assert [b["ticker"] for b in books] == ["A", "B,C"]
    assert "'max' tag" in client.get("/markets/orderbooks", 400, tickers=[f"T{i}" for i in range(101)])["msg"]
    assert "'required' tag" in client.get("/markets/orderbooks", 400)["msg"]


@pytest.mark.parametrize("name", LIVE_TIMES)
def test_time_filters_include_both_ends(client: Client, live: list[dict[str, Any]], name: str) -> None:
    times = {m["ticker"]: datetime.fromisoformat(m[LIVE_TIMES[name]]).timestamp() for m in live}
    edges = sorted({int(t) for t in times.values()})
    low, high = edges[0], edges[len(edges) // 2] + 1
    found = client.get("/markets", limit=1000, **{f"min_{name}_ts": low, f"max_{name}_ts": high})
    assert set(tickers(found)) == {t for t, at in times.items() if low <= at <= high}


@pytest.mark.parametrize(
    "query",
    [
        {"min_close_ts": 0, "max_settled_ts": 1},
        {"min_close_ts": 0, "status": "settled"},
        {"min_settled_ts": 0, "status": "closed"},
        {"min_created_ts": 0, "status": "settled"},
        {"min_updated_ts": 0, "status": "open"},
        {"min_updated_ts": 0, "tickers": "A"},
        {"min_updated_ts": 0, "series_ticker": "KXCPIYOY"},
    ],
)
def test_time_filters_exclude_each_other_and_other_statuses(client: Client, query: dict[str, Any]) -> None:
    assert client.get("/markets", 400, **query)["error"]["code"] == "bad_request"


def test_changes_of_a_series_are_asked_for_without_combos(client: Client, live: list[dict[str, Any]]) -> None:
    query = {"min_updated_ts": 0, "series_ticker": "KXCPIYOY", "mve_filter": "exclude", "limit": 1000}
    found = tickers(client.get("/markets", **query))
    assert found == [m["ticker"] for m in live if m["event_ticker"].startswith(("CPIYOY", "KXCPIYOY"))] != []
    assert client.get("/markets", mve_filter="only") == {"markets": [], "cursor": ""}


def test_time_filters_go_with_their_own_status(client: Client, live: list[dict[str, Any]]) -> None:
    assert len(client.get("/markets", limit=1000, min_settled_ts=0, status="settled")["markets"]) == len(live)


@pytest.mark.parametrize(("name", "value"), [("limit", "many"), ("min_close_ts", "1.5"), ("limit", "0")])
def test_values_that_do_not_fit_are_refused(client: Client, name: str, value: str) -> None:
    assert client.get("/markets", 400, **{name: value})["msg"].startswith("Parameter validation failed for GetMarkets")


def test_the_category_of_series_is_case_sensitive(client: Client) -> None:
    assert len(client.get("/series", category="Economics")["series"]) == 2
    assert client.get("/series", category="economics") == {"series": []}


def test_milestones_want_a_limit(client: Client) -> None:
    assert "'required' tag" in client.get("/milestones", 400)["msg"]
