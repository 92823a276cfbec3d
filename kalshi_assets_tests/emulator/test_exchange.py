from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from kalshi_assets.emulator.archive import Archive
from kalshi_assets.emulator.server import serve
from kalshi_assets_tests.emulator.conftest import Client

NOT_FOUND = {"error": {"code": "not_found", "message": "not found"}}
NOT_HISTORICAL = {
    "error": {
        "code": "failed_to_get_market_by_ticker:_not_found",
        "message": "failed to get market by ticker: not found",
    }
}


def bad(details: str) -> dict[str, Any]:
    return {"error": {"code": "bad_request", "message": "bad request", "details": details}}


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.fixture(scope="module")
def live(client: Client) -> list[dict[str, Any]]:
    return client.pages("/markets", "markets", limit=7)


@pytest.fixture(scope="module")
def historical(client: Client) -> list[dict[str, Any]]:
    return client.pages("/historical/markets", "markets", limit=7)


def test_tiers_split_at_the_cutoff(
    client: Client, tiny: Archive, live: list[dict[str, Any]], historical: list[dict[str, Any]]
) -> None:
    cutoff = client.get("/historical/cutoff")
    assert cutoff == dict(tiny.historical_cutoff)
    assert live
    assert historical
    assert all(m["settlement_ts"] >= cutoff["market_settled_ts"] for m in live)
    assert all(m["settlement_ts"] < cutoff["market_settled_ts"] for m in historical)
    everything = {t.as_py() for t in tiny.tables["markets"]["ticker"]}
    assert {m["ticker"] for m in live} | {m["ticker"] for m in historical} == everything
    assert len(live) + len(historical) == len(everything)
    created = [m["created_time"] for m in historical]
    assert created == sorted(created, reverse=True)


def test_overlap_serves_a_market_on_both_tiers(tiny: Archive, historical: list[dict[str, Any]]) -> None:
    newest = max(historical, key=lambda m: m["settlement_ts"])
    gap = seconds(tiny.historical_cutoff["market_settled_ts"]) - seconds(newest["settlement_ts"])
    with serve(tiny, overlap_s=gap) as server:
        both = Client(server)
        assert both.get(f"/markets/{newest['ticker']}") == both.get(f"/historical/markets/{newest['ticker']}")
        both.session.close()


def test_a_final_market_without_settlement_time_stays_live(tiny: Archive) -> None:
    table = tiny.tables["markets"]
    i = table.schema.get_field_index("settlement_ts")
    unset = table.set_column(i, table.schema.field(i), pa.nulls(table.num_rows, table.schema.field(i).type))
    changed = Archive(tiny.name, True, tiny.historical_cutoff, {**tiny.tables, "markets": unset}, tiny.about)
    with serve(changed) as server:
        c = Client(server)
        assert c.get("/historical/markets")["markets"] == []
        rows = c.pages("/markets", "markets", status="settled", limit=1000)
        assert len(rows) == table.num_rows
        assert all("settlement_ts" not in m for m in rows)
        c.session.close()


def test_settled_market_body(historical: list[dict[str, Any]]) -> None:
    for m in historical:
        assert m["status"] == "finalized"
        assert m["result"] in ("yes", "no")
        assert m["settlement_value_dollars"] == ("1.0000" if m["result"] == "yes" else "0.0000")
        assert (m["yes_bid_dollars"], m["yes_ask_dollars"]) == (
            ("1.0000", "1.0000") if m["result"] == "yes" else ("0.0000", "1.0000")
        )
        assert m["updated_time"] == m["settlement_ts"]
        assert "simulated" in m["title"].lower()
        assert "simulated" in m["rules_secondary"]
    payroll = next(m for m in historical if m["event_ticker"].startswith("KXPAYROLLS"))
    assert isinstance(payroll["floor_strike"], int)


def test_last_page_has_an_empty_cursor_and_garbage_reads_as_page_one(client: Client) -> None:
    first = client.get("/markets", limit=2)
    assert first["cursor"]
    assert client.get("/markets", limit=1000)["cursor"] == ""
    assert client.get("/markets", limit=2, cursor="garbage!") == first
    assert client.get("/markets", limit=2, cursor="b2Zmc2V0Ojk5OTk5") == first


@pytest.mark.parametrize(
    ("path", "operation", "limit"),
    [
        ("/markets", "GetMarkets", 1001),
        ("/historical/markets", "GetHistoricalMarkets", 1001),
        ("/markets/trades", "GetTrades", 1001),
        ("/events", "GetEvents", 201),
        ("/milestones", "GetMilestones", 501),
    ],
)
def test_limit_above_the_maximum(client: Client, path: str, operation: str, limit: int) -> None:
    assert client.get(path, 400, limit=limit) == {
        "msg": f"Parameter validation failed for {operation}: Key: '{operation}Params.Limit' "
        "Error:Field validation for 'Limit' failed on the 'lte' tag"
    }


def test_status_vocabulary(client: Client) -> None:
    assert client.get("/markets", status="open")["markets"] == []
    assert client.get("/markets", status="settled", limit=1)["markets"][0]["status"] == "finalized"
    assert client.get("/markets", 400, status="all") == bad("invalid status filter")
    assert client.get("/markets", 400, status="finalized") == bad("invalid status filter")
    assert client.get("/markets", 400, status="open,closed") == bad("only one status filter may be supplied")
    assert client.get("/events", 400, status="all") == {"error": {"code": "bad_request", "message": "bad request"}}
    assert len(client.get("/events", status="settled")["events"]) == 8
    assert client.get("/events", status="open")["events"] == []


def test_series_filter_goes_through_the_events_table(tiny: Archive) -> None:
    events, markets = tiny.tables["events"].to_pylist(), tiny.tables["markets"].to_pylist()
    old = events[0]["event_ticker"]
    for row in (*events, *markets):
        if row["event_ticker"] == old:
            row["event_ticker"] = "CPIYOY-26JAN"
    tables = {
        **tiny.tables,
        "events": pa.Table.from_pylist(events, tiny.tables["events"].schema),
        "markets": pa.Table.from_pylist(markets, tiny.tables["markets"].schema),
    }
    with serve(Archive("renamed", True, tiny.historical_cutoff, tables, tiny.about)) as server:
        c = Client(server)
        found = c.pages("/historical/markets", "markets", series_ticker="KXCPIYOY")
        assert "CPIYOY-26JAN" in {m["event_ticker"] for m in found}
        assert all(m["event_ticker"].startswith(("CPIYOY", "KXCPIYOY")) for m in found)
        assert c.get("/historical/markets", series_ticker="CPIYOY") == {"markets": [], "cursor": ""}
        c.session.close()


def test_event_with_and_without_nesting(
    client: Client, live: list[dict[str, Any]], historical: list[dict[str, Any]]
) -> None:
    event = live[0]["event_ticker"]
    plain = client.get(f"/events/{event}")
    assert "markets" not in plain["event"]
    nested = client.get(f"/events/{event}", with_nested_markets="true")
    assert nested["markets"] == []
    assert nested["event"]["markets"] == plain["markets"] == [m for m in live if m["event_ticker"] == event]
    assert client.get(f"/events/{event}", exclude_markets="true")["markets"] == []
    client.get(f"/events/{event}", 400, exclude_markets="true", with_nested_markets="true")
    gone = client.get(f"/events/{historical[0]['event_ticker']}", with_nested_markets="true")
    assert "markets" not in gone["event"]
    assert client.get("/events/NONE", 404) == NOT_FOUND


def test_not_found_bodies_per_tier(
    client: Client, live: list[dict[str, Any]], historical: list[dict[str, Any]]
) -> None:
    window = {"start_ts": 0, "end_ts": 3600, "period_interval": 60}
    on_live, on_historical = live[0]["ticker"], historical[0]["ticker"]
    assert client.get(f"/markets/{on_historical}", 404) == NOT_FOUND
    assert client.get(f"/historical/markets/{on_live}", 404) == NOT_HISTORICAL
    assert client.get(f"/series/X/markets/{on_historical}/candlesticks", 404, **window) == NOT_FOUND
    assert client.get(f"/historical/markets/{on_live}/candlesticks", 404, **window) == NOT_HISTORICAL
    assert client.get("/series/NONE", 404) == NOT_FOUND
    assert client.get("/nothing/here", 404) == NOT_FOUND


def test_candle_caps_count_the_requested_range(client: Client, live: list[dict[str, Any]]) -> None:
    ticker = live[0]["ticker"]
    path = f"/series/any/markets/{ticker}/candlesticks"
    day = {"start_ts": 0, "period_interval": 1}
    client.get(path, end_ts=5000 * 60, **day)
    assert client.get(path, 400, end_ts=5000 * 60 + 30, **day) == bad(
        "requested time range with candlesticks: 5000.500000, max candlesticks: 5000"
    )
    batch = {"market_tickers": f"{ticker},X,Y", **day}
    assert client.get("/markets/candlesticks", end_ts=3333 * 60, **batch)["markets"] == [
        {"market_ticker": ticker, "candlesticks": []}
    ]
    assert client.get("/markets/candlesticks", 400, end_ts=12000 * 60, **batch) == bad(
        "requested candlesticks across all markets: 36000, max candlesticks: 10000"
    )
    assert "PeriodInterval" in client.get(path, 400, start_ts=0, end_ts=60, period_interval=5)["msg"]
    assert "StartTs" in client.get(path, 400, end_ts=60, period_interval=1)["msg"]
    assert client.get(path, 400, start_ts=60, end_ts=0, period_interval=1) == bad("end_ts is before start_ts")


def test_all_live_endpoints_give_the_same_candles(client: Client, live: list[dict[str, Any]]) -> None:
    m = next(m for m in live if m["volume_fp"] != "0.00")
    start = seconds(m["open_time"])
    window = {"start_ts": start, "end_ts": start + 350 * 3600, "period_interval": 60}
    single = client.get(f"/series/S/markets/{m['ticker']}/candlesticks", **window)["candlesticks"]
    batch = client.get("/markets/candlesticks", market_tickers=m["ticker"], **window)["markets"][0]["candlesticks"]
    of_event = client.get(f"/series/S/events/{m['event_ticker']}/candlesticks", **window)
    i = of_event["market_tickers"].index(m["ticker"])
    assert single == batch == of_event["market_candlesticks"][i]
    assert len(single) > 20
    ends = [c["end_period_ts"] for c in single]
    assert ends == sorted(set(ends))
    edge = client.get(
        f"/series/S/markets/{m['ticker']}/candlesticks", start_ts=ends[3], end_ts=ends[5], period_interval=60
    )
    assert [c["end_period_ts"] for c in edge["candlesticks"]] == ends[3:6]


def test_event_candles_are_cut_and_say_where(client: Client, live: list[dict[str, Any]]) -> None:
    event = live[0]["event_ticker"]
    path = f"/series/S/events/{event}/candlesticks"
    markets = sum(m["event_ticker"] == event for m in live)
    start = seconds(live[0]["close_time"]) - 2880 * 60
    cut = client.get(path, start_ts=start, end_ts=start + 2880 * 60, period_interval=1)
    assert cut["adjusted_end_ts"] == start + 5000 // markets * 60 < start + 2880 * 60
    assert all(c["end_period_ts"] <= cut["adjusted_end_ts"] for rows in cut["market_candlesticks"] for c in rows)
    whole = client.get(path, start_ts=start, end_ts=start + 60 * 60, period_interval=1)
    assert whole["adjusted_end_ts"] == start + 3600


def test_include_latest_before_start(client: Client, live: list[dict[str, Any]]) -> None:
    path = f"/series/S/markets/{live[0]['ticker']}/candlesticks"
    close = seconds(live[0]["close_time"])
    window = {"start_ts": close + 30, "end_ts": close + 3600, "period_interval": 1}
    assert client.get(path, **window)["candlesticks"] == []
    (made,) = client.get(path, include_latest_before_start="true", **window)["candlesticks"]
    assert made["end_period_ts"] == close + 60
    assert set(made["price"]) <= {"previous_dollars"}
    assert made["volume_fp"] == "0.00"


def test_trades_newest_first_split_by_time(client: Client, tiny: Archive) -> None:
    cutoff = tiny.historical_cutoff["trades_created_ts"]
    new, old = (client.pages(p, "trades", limit=1000) for p in ("/markets/trades", "/historical/trades"))
    assert len(new) + len(old) == tiny.tables["trades"].num_rows
    assert all(t["created_time"] >= cutoff for t in new)
    assert all(t["created_time"] < cutoff for t in old)
    for rows in (new, old):
        times = [datetime.fromisoformat(t["created_time"]) for t in rows]
        assert times == sorted(times, reverse=True)
        assert len({t["trade_id"] for t in rows}) == len(rows)
        assert len(set(times)) < len(times)  # twins
    assert all((t["taker_outcome_side"] == "yes") == (t["taker_book_side"] == "bid") for t in new)
    ticker = new[0]["ticker"]
    at = seconds(new[0]["created_time"])
    assert new[0] in client.get("/markets/trades", ticker=ticker, min_ts=at, max_ts=at)["trades"]
    assert client.get("/markets/trades", is_block_trade="true")["trades"] == []


def test_twins_differ_in_nothing_but_their_id(tiny: Archive) -> None:
    trades = tiny.tables["trades"].slice(0, 1).to_pylist()
    twins = [{**trades[0], "trade_id": name} for name in ("first", "second", "third")]
    table = pa.Table.from_pylist(twins, tiny.tables["trades"].schema)
    with serve(Archive("twins", True, tiny.historical_cutoff, {**tiny.tables, "trades": table}, {})) as server:
        c = Client(server)
        rows = [*c.pages("/markets/trades", "trades", limit=1), *c.pages("/historical/trades", "trades", limit=1)]
        c.session.close()
    # The archive's order among trades of one instant is the exchange's, and pages of one row lose none.
    assert [r.pop("trade_id") for r in rows] == ["first", "second", "third"]
    assert rows[0] == rows[1] == rows[2]


def test_settled_and_unknown_books_are_empty(client: Client, live: list[dict[str, Any]]) -> None:
    empty = {"yes_dollars": [], "no_dollars": []}
    assert client.get(f"/markets/{live[0]['ticker']}/orderbook") == {"orderbook_fp": empty}
    assert client.get("/markets/NONE/orderbook") == {"orderbook_fp": empty}
    books = client.get("/markets/orderbooks", tickers=["A", "B,C"])["orderbooks"]
    assert [b["ticker"] for b in books] == ["A", "B,C"]
    client.get("/markets/NONE/orderbook", 400, depth=101)


def test_filters_of_the_historical_listing_exclude_each_other(client: Client) -> None:
    client.get("/historical/markets", 400, series_ticker="KXCPIYOY", tickers="A")
    assert client.get("/historical/markets", tickers="A,B")["markets"] == []


def test_replay_hides_what_comes_later(tiny: Archive, live: list[dict[str, Any]]) -> None:
    m = live[0]
    close = datetime.fromisoformat(m["close_time"])
    now = close.timestamp() - 3600
    with serve(tiny, now=lambda: now) as server:
        c = Client(server)
        then = c.get(f"/markets/{m['ticker']}")["market"]
        assert (then["status"], then["result"], then["expiration_value"]) == ("active", "", "")
        assert "settlement_value_dollars" not in then
        assert then["updated_time"] == then["created_time"]
        window = {"start_ts": int(now) - 7200, "end_ts": int(now) + 7200, "period_interval": 1}
        rows = c.get(f"/series/S/markets/{m['ticker']}/candlesticks", **window)["candlesticks"]
        assert all(r["end_period_ts"] <= now for r in rows)
        assert all(
            datetime.fromisoformat(t["created_time"]).timestamp() <= now for t in c.get("/markets/trades")["trades"]
        )
        assert m["ticker"] in {x["ticker"] for x in c.pages("/markets", "markets", status="open")}
        book = c.get(f"/markets/{m['ticker']}/orderbook")["orderbook_fp"]
        assert [level[0] for level in book["yes_dollars"]] == [then["yes_bid_dollars"]] * (
            then["yes_bid_dollars"] != "0.0000"
        )
        c.session.close()


def test_maintenance_on_thursday_morning(tiny: Archive) -> None:
    for hour, trading in ((7, True), (8, False), (10, True)):  # 03:00 New York is 08:00 UTC in winter
        now = datetime(2026, 1, 8, hour, 30, tzinfo=UTC).timestamp()
        with serve(tiny, now=lambda now=now: now) as server:  # type: ignore[misc]
            c = Client(server)
            assert c.get("/exchange/status")["trading_active"] is trading
            c.session.close()


def test_bodies_are_a_function_of_the_archive(tiny: Archive, client: Client) -> None:
    with serve(tiny) as server:
        again = Client(server)
        for path in ("/markets", "/historical/markets", "/events", "/series", "/markets/trades", "/exchange/schedule"):
            assert again.get(path) == client.get(path)
        again.session.close()


def test_trailing_slash_redirects(client: Client) -> None:
    reply = client.session.get(f"{client.server.base_url}/exchange/status/", allow_redirects=False, timeout=5)
    assert (reply.status_code, reply.headers["Location"]) == (301, "/trade-api/v2/exchange/status")
