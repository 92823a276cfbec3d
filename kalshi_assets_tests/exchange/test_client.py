"""The client against a small exchange over real HTTP on loopback."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from kalshi_assets.errors import AuthenticationFailed, MalformedResponse, NotFound, RequestRefused, Unreachable
from kalshi_assets.exchange import Credentials, Cutoff, Exchange, Findings, MarketRef, connect
from kalshi_assets.http import RetryPolicy, TokenBucket
from kalshi_assets_tests.exchange.bodies import (
    CUTOFF,
    event,
    historical_candle,
    live_candle,
    market,
    series,
    settled,
    trade,
)
from kalshi_assets_tests.exchange.fake_exchange import PREFIX, FakeExchange
from kalshi_assets_tests.http.scripted_server import Reply, ScriptedServer

CUT = Cutoff.parse(CUTOFF, "cutoff")
BOUNDARY = CUT.market_settled_ts
DAY = timedelta(days=1)
QUICK = RetryPolicy(attempts=2, base_s=0.001)
KEY = ed25519.Ed25519PrivateKey.generate()


@contextmanager
def exchange(fake: Any, **options: Any) -> Iterator[Exchange]:
    options.setdefault("retry", QUICK)
    with ScriptedServer(fake) as server:
        client = connect(server.url + PREFIX, **options)
        with client.transport:
            yield client


def ref(ticker: str, settled_at: datetime | None = None) -> MarketRef:
    return MarketRef(ticker, ticker.rpartition("-")[0], "KXZZZ", settled_at)


def seconds(table: Any) -> list[tuple[str, int]]:
    return [(r["ticker"], int(r["ts"].timestamp())) for r in table.select(["ticker", "ts"]).to_pylist()]


# Catalog


def test_the_catalog_unites_both_tiers_and_the_live_record_wins() -> None:
    shared = "KXZZZ-26AUG-T0.3"
    fake = FakeExchange(
        live_markets=[market("KXZZZ-26DEC-T0.3"), settled(shared, title="fresh")],
        historical_markets=[settled("ZZZ-22AUG-TN0.1"), settled(shared, title="old"), settled("KXZZZ-25AUG-T1")],
        page_rows=2,
    )
    with exchange(fake) as client:
        catalog = client.markets("KXZZZ")
    assert [(m.ticker, m.tier) for m in catalog.markets] == [
        ("KXZZZ-25AUG-T1", "historical"),
        (shared, "live"),
        ("KXZZZ-26DEC-T0.3", "live"),
        ("ZZZ-22AUG-TN0.1", "historical"),
    ]
    assert next(m for m in catalog.markets if m.ticker == shared).title == "fresh"
    assert (catalog.live_pages, catalog.live_rows, catalog.historical_pages, catalog.historical_rows) == (1, 2, 2, 3)
    assert (catalog.pages, catalog.rows, len(catalog)) == (3, 5, 4)
    assert all(q["series_ticker"] == ["KXZZZ"] for _, q in fake.asked)


def test_a_lost_cursor_that_restarts_the_listing_is_an_error() -> None:
    first = {"markets": [market("A-1"), market("A-2")], "cursor": "expired"}
    with exchange([Reply(200, first)]) as client, pytest.raises(MalformedResponse, match="loops"):
        client.markets("KXZZZ")


def test_events_are_paged_and_sorted() -> None:
    names = [f"KXZZZ-26{m}" for m in ("MAR", "JAN", "FEB")]
    fake = FakeExchange(events=[event(n) for n in names] + [event("OTHER-1", series_ticker="OTHER")], page_rows=2)
    seen: list[tuple[str, int]] = []
    with ScriptedServer(fake) as server:
        inner = connect(server.url + PREFIX).transport
        client = Exchange(inner, on_page=lambda endpoint, page: seen.append((endpoint, page.number)))
        assert [e.event_ticker for e in client.events("KXZZZ")] == sorted(names)
        inner.close()
    assert seen == [("/events", 1), ("/events", 2)]


def test_a_market_is_looked_for_on_both_tiers() -> None:
    fake = FakeExchange(live_markets=[market("A-1")], historical_markets=[settled("GDP-232022 Q4-T0.0")])
    with exchange(fake) as client:
        assert client.market("A-1").tier == "live"
        assert client.market("GDP-232022 Q4-T0.0").tier == "historical"
        with pytest.raises(NotFound, match="Neither the live nor the historical tier knows the market 'A-9'"):
            client.market("A-9")


@pytest.mark.parametrize("status", [404, 400])
def test_an_unknown_series_is_not_found(status: int) -> None:
    body = {"error": {"code": "x", "message": "no"}}
    with exchange([Reply(status, body)]) as client, pytest.raises(NotFound, match="no series 'ZZZ'"):
        client.series("ZZZ")


def test_series_and_single_event() -> None:
    fake = FakeExchange(
        fixed={
            "/series/KXZZZ": Reply(200, {"series": series()}),
            "/series": Reply(200, {"series": [series(), series("KXYYY")]}),
            "/events/KXZZZ-26DEC": Reply(200, {"event": event(), "markets": []}),
            "/events/BROKEN": Reply(200, {"events": []}),
        }
    )
    with exchange(fake) as client:
        assert client.series("KXZZZ").fee_multiplier == 1
        assert [s.ticker for s in client.series_list("Economics")] == ["KXZZZ", "KXYYY"]
        assert fake.asked[-1][1] == {"category": ["Economics"]}
        assert client.event("KXZZZ-26DEC").series_ticker == "KXZZZ"
        with pytest.raises(MalformedResponse, match="no object 'event'"):
            client.event("BROKEN")


# Candles


def test_candles_are_routed_by_settlement_and_not_by_their_own_time() -> None:
    old = int((BOUNDARY - 100 * DAY).timestamp())
    fake = FakeExchange(
        live_candles={"OPEN-1": [live_candle(old)], "LATE-1": [live_candle(old)], "BOTH-1": [live_candle(old)]},
        historical_candles={"PAST-1": [historical_candle(old)], "BOTH-1": [historical_candle(old, bid="0.0100")]},
    )
    markets = [
        ref("OPEN-1"),
        ref("LATE-1", BOUNDARY),
        ref("PAST-1", BOUNDARY - DAY),
        ref("BOTH-1", BOUNDARY + DAY),
    ]
    span = {"start": BOUNDARY - 101 * DAY, "end": BOUNDARY - 99 * DAY}
    with exchange(fake) as client:
        table = client.candlesticks(markets, period_minutes=60, cutoff=CUT, **span)
    assert seconds(table) == [("BOTH-1", old), ("LATE-1", old), ("OPEN-1", old), ("PAST-1", old)]
    assert table["yes_bid_close_usd"][0].as_py() == Decimal("0.16")
    paths = [path for path, _ in fake.asked]
    assert paths == ["/markets/candlesticks", "/historical/markets/PAST-1/candlesticks"]


def test_a_market_on_the_other_tier_is_found_there() -> None:
    at = int(BOUNDARY.timestamp())
    fake = FakeExchange(
        live_candles={"B-1": [live_candle(at)]},
        historical_candles={"A-1": [historical_candle(at)], "A,2": [historical_candle(at)]},
    )
    markets = [ref("A-1"), ref("A,2"), ref("B-1", BOUNDARY - DAY)]  # each is where routing does not look first
    with exchange(fake) as client:
        table = client.candlesticks(markets, period_minutes=60, start=BOUNDARY - DAY, end=BOUNDARY + DAY, cutoff=CUT)
    assert seconds(table) == [("A,2", at), ("A-1", at), ("B-1", at)]
    assert [p for p, _ in fake.asked] == [
        "/markets/candlesticks",
        "/series/KXZZZ/markets/A%2C2/candlesticks",
        "/historical/markets/A%2C2/candlesticks",
        "/historical/markets/A-1/candlesticks",
        "/historical/markets/B-1/candlesticks",
        "/series/KXZZZ/markets/B-1/candlesticks",
    ]


def test_a_market_unknown_to_both_tiers_is_not_a_quiet_one() -> None:
    fake = FakeExchange(live_candles={"QUIET-1": []})
    span: dict[str, Any] = {"period_minutes": 60, "start": BOUNDARY, "end": BOUNDARY + DAY, "cutoff": CUT}
    with exchange(fake) as client:
        assert client.candlesticks([ref("QUIET-1")], **span).num_rows == 0
        with pytest.raises(NotFound, match=r"1 of 2 markets.*GONE-1"):
            client.candlesticks([ref("QUIET-1"), ref("GONE-1")], **span)
        assert client.candlesticks([], **span).num_rows == 0


def test_long_ranges_are_split_within_the_caps_and_boundary_twins_dropped() -> None:
    start = BOUNDARY
    minutes = 6_000
    first = int(start.timestamp())
    candles = [live_candle(first + 60 * i) for i in range(minutes)]
    fake = FakeExchange(
        live_candles={"A-1": candles, "A,2": candles},
        historical_candles={"P-1": [historical_candle(first + 60 * i) for i in range(minutes)]},
    )
    markets = [ref("A-1"), ref("A,2"), ref("P-1", BOUNDARY - DAY)]
    with exchange(fake) as client:
        table = client.candlesticks(
            markets, period_minutes=1, start=start, end=start + timedelta(minutes=minutes), cutoff=CUT
        )
    assert table.num_rows == 3 * minutes
    assert seconds(table) == sorted(set(seconds(table)))
    assert len(fake.asked) == 1 + 2 + 2


def test_many_markets_go_in_batches_of_a_hundred() -> None:
    at = int(BOUNDARY.timestamp())
    fake = FakeExchange(live_candles={f"M-{i}": [live_candle(at)] for i in range(250)})
    with exchange(fake) as client:
        table = client.candlesticks(
            [ref(f"M-{i}") for i in range(250)] * 2,
            period_minutes=1440,
            start=BOUNDARY,
            end=BOUNDARY + 30 * DAY,
            cutoff=CUT,
        )
    assert table.num_rows == 250
    assert len(fake.asked) == 3


def test_the_range_is_half_open_in_ends_of_periods() -> None:
    at = int(BOUNDARY.timestamp())
    fake = FakeExchange(live_candles={"A-1": [live_candle(at + 60 * i) for i in range(-2, 5)]})
    with exchange(fake) as client:
        table = client.candlesticks(
            [ref("A-1")], period_minutes=1, start=BOUNDARY, end=BOUNDARY + timedelta(minutes=3), cutoff=CUT
        )
    assert seconds(table) == [("A-1", at + 60 * i) for i in range(3)]


def test_a_market_that_moves_tier_between_two_windows_is_whole() -> None:
    first = int(BOUNDARY.timestamp())
    ends = [first + 60 * i for i in range(10_500)]
    fake = FakeExchange(live_candles={"A-1": [live_candle(s) for s in ends]})

    def move(path: str) -> None:
        if len(fake.asked) == 2:
            fake.historical_candles["A-1"] = [historical_candle(s) for s in ends]
            del fake.live_candles["A-1"]

    fake.before = move
    with exchange(fake) as client:
        table = client.candlesticks(
            [ref("A-1")], period_minutes=1, start=BOUNDARY, end=BOUNDARY + timedelta(minutes=10_500), cutoff=CUT
        )
    assert [s for _, s in seconds(table)] == ends


def test_a_refusal_of_the_exchange_is_not_an_empty_answer() -> None:
    with exchange([Reply(400, {"msg": "Parameter validation failed"})]) as client, pytest.raises(RequestRefused):
        client.candlesticks([ref("A-1")], period_minutes=60, start=BOUNDARY, end=BOUNDARY + DAY, cutoff=CUT)
    with exchange([Reply(500, {})]) as client, pytest.raises(Unreachable):
        client.candlesticks([ref("A-1")], period_minutes=60, start=BOUNDARY, end=BOUNDARY + DAY, cutoff=CUT)


# Trades, books, forecasts, fees


def test_trades_of_both_tiers_join_without_twins_and_in_order() -> None:
    ticker = "KXZZZ-26DEC-T0.3"
    before, seam, after = "2026-09-22T10:00:00Z", "2026-09-22T23:59:30.5Z", "2026-09-23T10:00:00Z"
    fake = FakeExchange(
        live_trades=[trade("e", after), trade("d", after), trade("c", seam), trade("x", after, ticker="OTHER")],
        historical_trades=[trade("c", seam), trade("b", before), trade("a", before)],
        page_rows=2,
    )
    with exchange(fake) as client:
        table = client.trades(ref(ticker), start=BOUNDARY - DAY, end=BOUNDARY + DAY, cutoff=CUT)
        assert table["trade_id"].to_pylist() == ["a", "b", "c", "d", "e"]
        assert table["sequence"].to_pylist() == sorted(set(table["sequence"].to_pylist()))
        later = client.trades(ref(ticker), start=BOUNDARY + timedelta(hours=1), end=BOUNDARY + DAY, cutoff=CUT)
    assert later["trade_id"].to_pylist() == ["d", "e"]
    assert later["sequence"].to_pylist() == table["sequence"].to_pylist()[3:]


def test_the_range_of_trades_is_half_open() -> None:
    ticker = "KXZZZ-26DEC-T0.3"
    fake = FakeExchange(live_trades=[trade("end", "2026-10-01T00:00:01Z"), trade("start", "2026-10-01T00:00:00Z")])
    start = datetime(2026, 10, 1, tzinfo=UTC)
    with exchange(fake) as client:
        table = client.trades(ref(ticker), start=start, end=start + timedelta(seconds=1), cutoff=CUT)
    assert table["trade_id"].to_pylist() == ["start"]


def test_orderbooks_repeat_the_parameter_and_carry_our_clock() -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    asked: list[list[str]] = []

    def answer(seen: Any) -> Reply:
        asked.append(seen.query["tickers"])
        book = {"yes_dollars": [["0.4000", "1.00"]], "no_dollars": []}
        return Reply(200, {"orderbooks": [{"ticker": t, "orderbook_fp": book} for t in seen.query["tickers"]]})

    tickers = [f"M-{i},x" for i in range(130)]
    with exchange(answer, now=lambda: now) as client:
        table = client.orderbooks(tickers)
    assert [len(a) for a in asked] == [100, 30]
    assert table["ticker"].to_pylist() == tickers
    assert set(table["ts"].to_pylist()) == {now}


FORECAST = {
    "forecast_history": [
        {
            "event_ticker": "KXZZZ-26DEC", "end_period_ts": 1795330800, "period_interval": 60,
            "percentile_points": [
                {"percentile": 2500, "raw_numerical_forecast": 0.2137, "numerical_forecast": 0.2},
                {"percentile": 5000, "raw_numerical_forecast": 1, "numerical_forecast": 1},
            ],
        }
    ]
}  # fmt: skip


def test_forecasts_are_signed_and_typed() -> None:
    path = "/series/KXZZZ/events/KXZZZ-26DEC/forecast_percentile_history"
    fake = FakeExchange(fixed={path: Reply(200, FORECAST)})
    arguments: dict[str, Any] = {"percentiles": [25, 50], "start": BOUNDARY, "end": BOUNDARY + DAY}
    with exchange(fake, credentials=Credentials("id", KEY)) as client:
        table = client.forecast_percentiles("KXZZZ", "KXZZZ-26DEC", **arguments)
    assert fake.asked[0][1]["percentiles"] == ["2500", "5000"]
    assert table["percentile"].to_pylist() == [25.0, 50.0]
    assert table["forecast"].to_pylist() == [0.2137, 1.0]
    with exchange(fake) as client, pytest.raises(AuthenticationFailed):
        client.forecast_percentiles("KXZZZ", "KXZZZ-26DEC", **arguments)


def test_fees_and_milestones() -> None:
    at = "2026-11-30T00:00:00Z"
    change = {"series_ticker": "KXZZZ", "fee_type": "flat", "fee_multiplier": 0.5, "scheduled_ts": at}
    override = {
        "event_ticker": "E", "series_ticker": "S", "fee_type_override": None, "fee_multiplier_override": None,
        "scheduled_ts": "2026-11-30T00:00:00Z",
    }  # fmt: skip
    fake = FakeExchange(
        fixed={
            "/series/fee_changes": Reply(200, {"series_fee_change_arr": [change]}),
            "/events/fee_changes": Reply(200, {"event_fee_changes": [override], "cursor": ""}),
            "/milestones": Reply(200, {"milestones": [{"id": "m", "start_date": "2026-11-30T00:00:00Z"}]}),
        }
    )
    with exchange(fake) as client:
        assert client.series_fee_changes("KXZZZ")[0].fee_multiplier == Decimal("0.5")
        assert client.event_fee_changes()[0].fee_type_override is None
        assert client.milestones(related_event_ticker="E")[0].id == "m"
    queries = dict(fake.asked)
    assert queries["/series/fee_changes"] == {"series_ticker": ["KXZZZ"], "show_historical": ["true"]}
    assert queries["/milestones"] == {"limit": ["500"], "related_event_ticker": ["E"]}


# The exchange itself


@pytest.mark.parametrize("status", [200, 500, 503, 504])
def test_status_counts_whatever_comes_with_it(status: int) -> None:
    body = {"exchange_active": False, "trading_active": False, "exchange_estimated_resume_time": None}
    with exchange([Reply(status, body)]) as client:
        assert client.status().exchange_active is False


def test_status_from_a_gateway_is_not_a_status() -> None:
    with exchange([Reply(503, {"error": "down"})]) as client, pytest.raises(Unreachable):
        client.status()


def test_schedule_and_cutoff() -> None:
    window = {"start_datetime": "2026-11-26T08:00:00Z", "end_datetime": "2026-11-26T10:00:00Z"}
    schedule = {"schedule": {"standard_hours": [{"monday": []}], "maintenance_windows": [window]}}
    with exchange(FakeExchange(fixed={"/exchange/schedule": Reply(200, schedule)})) as client:
        (planned,) = client.schedule().maintenance_windows
        assert planned.end_datetime - planned.start_datetime == timedelta(hours=2)
        assert client.cutoff().market_settled_ts == BOUNDARY


LIMITS = {"usage_tier": "basic", "read": {"refill_rate": 300, "bucket_capacity": 900}, "grants": []}
COSTS = {
    "default_cost": 10,
    "endpoint_costs": [
        {"method": "GET", "path": "/trade-api/v2/markets/:ticker/orderbook", "cost": 2},
        {"method": "DELETE", "path": "/trade-api/v2/markets", "cost": 99},
    ],
}


def test_the_accounts_own_budget_is_learnt_and_spent() -> None:
    fixed = {"/account/limits": Reply(200, LIMITS), "/account/endpoint_costs": Reply(200, COSTS)}
    bucket = TokenBucket(200.0, 200.0)
    with exchange(FakeExchange(fixed=fixed), credentials=Credentials("id", KEY), limiter=bucket) as client:
        limits = client.learn_limits()
        assert limits is not None
        assert limits.usage_tier == "basic"
        assert (bucket.rate_per_s, bucket.capacity) == (300.0, 900.0)
        cost_of = client.transport.cost_of
        assert cost_of is not None
        assert [cost_of(p) for p in ("/markets/X/orderbook", "/markets", "/markets/X/y/orderbook")] == [2, 10, 10]


def test_nothing_is_learnt_without_a_key() -> None:
    fake = FakeExchange()
    with exchange(fake, limiter=TokenBucket(100.0, 100.0)) as client:
        assert client.learn_limits() is None
    with exchange(fake, credentials=Credentials("id", KEY)) as client:
        assert client.learn_limits() is None  # a server on this machine has no limiter
    assert fake.asked == []


def test_an_absurd_budget_is_refused() -> None:
    limits = {"read": {"refill_rate": 0, "bucket_capacity": 0}}
    fixed = {"/account/limits": Reply(200, limits), "/account/endpoint_costs": Reply(200, COSTS)}
    options: dict[str, Any] = {"credentials": Credentials("id", KEY), "limiter": TokenBucket(1000.0, 100.0)}
    with exchange(FakeExchange(fixed=fixed), **options) as client:
        with pytest.raises(MalformedResponse, match="read budget"):
            client.learn_limits()
        assert options["limiter"].rate_per_s == 1000.0


def test_a_configured_key_signs_every_call_and_none_signs_without() -> None:
    fake = FakeExchange(events=[event()])
    with ScriptedServer(fake) as server:
        with connect(server.url + PREFIX, Credentials("id", KEY)).transport as t:
            Exchange(t).events("KXZZZ")
        with connect(server.url + PREFIX).transport as t:
            Exchange(t).events("KXZZZ")
        signed, unsigned = server.seen
    assert signed.headers["KALSHI-ACCESS-KEY"] == "id"
    text = f"{signed.headers['KALSHI-ACCESS-TIMESTAMP']}GET{PREFIX}/events"
    KEY.public_key().verify(base64.b64decode(signed.headers["KALSHI-ACCESS-SIGNATURE"]), text.encode())
    assert not any(h.upper().startswith("KALSHI") for h in unsigned.headers)


def test_hosts_get_the_limiter_that_suits_them() -> None:
    with connect("https://example.org/trade-api/v2").transport as t:
        assert t.limiter is not None
        assert (t.limiter.rate_per_s, t.limiter.capacity) == (40.0, 20.0)
    with connect("https://example.org/trade-api/v2", Credentials("id", KEY)).transport as t:
        assert t.limiter is not None
        assert t.limiter.rate_per_s == 200.0
    with connect("http://127.0.0.1:9/trade-api/v2").transport as t:
        assert t.limiter is None


def test_findings_are_collected_across_calls() -> None:
    findings = Findings()
    fake = FakeExchange(live_markets=[market("A-1", novelty=1)], historical_markets=[settled("B-1", novelty=1)])
    with exchange(fake, findings=findings) as client:
        client.markets("KXZZZ")
    assert [(f.endpoint, f.field) for f in findings.summary()] == [
        ("/historical/markets", "novelty"),
        ("/markets", "novelty"),
    ]
