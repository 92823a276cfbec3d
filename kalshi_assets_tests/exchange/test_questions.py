"""Event candles, single books, chosen and updated markets, seams and request counts, over real HTTP on loopback."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.errors import MalformedResponse, NotFound, RequestRefused, Unreachable, UsageError
from kalshi_assets.exchange import Exchange, connect
from kalshi_assets.exchange.routing import batch_sizes
from kalshi_assets.http import RetryPolicy
from kalshi_assets_tests.exchange.bodies import (
    event,
    historical_candle,
    live_candle,
    market,
    settled,
    trade,
)
from kalshi_assets_tests.exchange.fake_exchange import NOT_FOUND, PREFIX, FakeExchange
from kalshi_assets_tests.exchange.memory_journal import MemoryJournal
from kalshi_assets_tests.exchange.test_client import BOUNDARY, CUT, DAY, exchange, ref, seconds
from kalshi_assets_tests.http.scripted_server import Reply, ScriptedServer

AT = int(BOUNDARY.timestamp())
HOUR = timedelta(hours=1)


# Candles of an event


def an_event(markets: int, candles: int) -> FakeExchange:
    tickers = [f"E-{i}" for i in range(markets)]
    return FakeExchange(
        live_markets=[market(t, event_ticker="E") for t in tickers],
        live_candles={t: [live_candle(AT + 3600 * i, bid=f"0.{n + 1:02}00") for i in range(candles)]
                      for n, t in enumerate(tickers)},
        event_candles_cap=20,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("markets", "candles", "requests"), [(1, 19, 1), (1, 20, 1), (1, 21, 2), (3, 12, 2), (3, 13, 3)]
)
def test_candles_of_an_event_follow_the_cut_to_the_end(markets: int, candles: int, requests: int) -> None:
    fake = an_event(markets, candles)
    with exchange(fake) as client:
        table = client.event_candlesticks(
            "KXZZZ", "E", period_minutes=60, start=BOUNDARY, end=BOUNDARY + candles * HOUR
        )
        refs = [ref(f"E-{i}") for i in range(markets)]
        alone = client.candlesticks(refs, period_minutes=60, start=BOUNDARY, end=BOUNDARY + candles * HOUR, cutoff=CUT)
    assert table.equals(alone)
    assert table.num_rows == markets * candles
    paths = [p for p, _ in fake.asked[:-1]]
    assert paths == ["/series/KXZZZ/events/E/candlesticks"] * requests
    starts = [int(q["start_ts"][0]) for _, q in fake.asked[:-1]]
    assert starts == [AT + i * (20 // markets) * 3600 for i in range(requests)]


def test_an_event_that_makes_no_progress_is_an_error() -> None:
    body: dict[str, Any] = {"market_tickers": ["E-0"], "market_candlesticks": [[]], "adjusted_end_ts": AT}
    span: dict[str, Any] = {"period_minutes": 60, "start": BOUNDARY, "end": BOUNDARY + DAY}
    with exchange([Reply(200, body)]) as client, pytest.raises(MalformedResponse, match="cut at"):
        client.event_candlesticks("KXZZZ", "E", **span)
    for broken in (
        {"adjusted_end_ts": None}, {"adjusted_end_ts": "1790136000"}, {"market_tickers": ["E-0", "E-1"]},
        {"market_tickers": [3]}, {"market_candlesticks": [None]}, {"market_candlesticks": {"E-0": []}},
        {"market_tickers": ["E-0", "E-0"], "market_candlesticks": [[], []]},
    ):  # fmt: skip
        whole = {**body, "adjusted_end_ts": AT + 86400}
        with exchange([Reply(200, {**whole, **broken})]) as client, pytest.raises(MalformedResponse, match="E"):
            client.event_candlesticks("KXZZZ", "E", **span)
    with exchange(FakeExchange()) as client:
        with pytest.raises(NotFound):
            client.event_candlesticks("KXZZZ", "E", **span)
        with pytest.raises(UsageError, match="1, 60 or 1440"):
            client.event_candlesticks("KXZZZ", "E", **{**span, "period_minutes": 5})


def test_candles_of_an_event_are_resumed() -> None:
    journal, fake = MemoryJournal(), an_event(3, 13)
    span: dict[str, Any] = {"period_minutes": 60, "start": BOUNDARY, "end": BOUNDARY + 13 * HOUR}

    def die(path: str) -> None:
        if len(fake.asked) == 3:
            fake.fixed[path] = Reply(400, {"msg": "stop"})

    fake.before = die
    with exchange(fake, journal=journal) as client, pytest.raises(RequestRefused):
        client.event_candlesticks("KXZZZ", "E", **span)
    again = an_event(3, 13)
    with exchange(again, journal=journal) as client:
        assert client.event_candlesticks("KXZZZ", "E", **span).num_rows == 39
    assert len(again.asked) == 1
    assert {(d.endpoint, d.key) for d in journal.kept} == {("/series/events/candlesticks", "E@60")}


# Books


def test_a_single_book_and_its_depth() -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    book = {"orderbook_fp": {"yes_dollars": [["0.0100", "5.00"], ["0.4100", "1.50"]], "no_dollars": None}}
    fake = FakeExchange(fixed={"/markets/A%2CB/orderbook": Reply(200, book)})
    with exchange(fake, now=lambda: now) as client:
        table = client.orderbook("A,B", depth=2)
        client.orderbook("A,B")
        for depth in (-1, 101):
            with pytest.raises(UsageError, match="depth"):
                client.orderbook("A,B", depth=depth)
    assert [q["depth"] for _, q in fake.asked] == [["2"], ["0"]]
    rows = [
        (r["ticker"], r["side"], r["level"], r["price_usd"], r["size_contracts"], r["ts"]) for r in table.to_pylist()
    ]
    assert rows == [
        ("A,B", "yes", 0, Decimal("0.41"), Decimal("1.5"), now), ("A,B", "yes", 1, Decimal("0.01"), Decimal(5), now),
    ]  # fmt: skip
    with exchange([Reply(200, {"orderbook": {}})]) as client, pytest.raises(MalformedResponse, match="orderbook_fp"):
        client.orderbook("A")


# Chosen and updated markets


def test_markets_by_ticker_come_from_whichever_tier_holds_each() -> None:
    many = [f"M-{i:03}" for i in range(150)]
    fake = FakeExchange(
        live_markets=[market(t) for t in many] + [settled("BOTH-1", title="fresh"), market("O,1"), market("OTHER-1")],
        historical_markets=[settled("BOTH-1", title="old"), settled("P-1"), settled("GDP-232022 Q4-T0.0")],
    )
    wanted = ["P-1", "GDP-232022 Q4-T0.0", "O,1", "BOTH-1", "GONE-1", "GONE,2", *many, "P-1"]
    with exchange(fake) as client:
        found = client.markets_by_ticker(wanted)
        assert client.markets_by_ticker([]) == ()
    assert [m.ticker for m in found] == sorted(["P-1", "GDP-232022 Q4-T0.0", "O,1", "BOTH-1", *many])
    by_ticker = {m.ticker: m for m in found}
    assert by_ticker["BOTH-1"].title == "fresh"
    assert [by_ticker[t].tier for t in ("P-1", "O,1", "GDP-232022 Q4-T0.0")] == ["historical", "live", "historical"]
    lists = [(p, len(q["tickers"][0].split(","))) for p, q in fake.asked if "tickers" in q]
    assert lists == [("/markets", 100), ("/markets", 53), ("/historical/markets", 2)]
    assert sorted(p for p, q in fake.asked if "tickers" not in q) == [
        "/historical/markets/GDP-232022%20Q4-T0.0", "/historical/markets/GONE%2C2",
        "/markets/GDP-232022%20Q4-T0.0", "/markets/GONE%2C2", "/markets/O%2C1",
    ]  # fmt: skip


def test_updated_markets_ask_with_the_only_filters_that_go_together() -> None:
    fake = FakeExchange(
        live_markets=[
            market("B-1", updated_time="2026-11-18T15:02:11Z"), market("A-1", updated_time="2026-11-19T00:00:00Z"),
            market("C-1", updated_time="2026-11-18T15:02:10Z"),
        ],
        page_rows=1,
    )  # fmt: skip
    since = datetime(2026, 11, 18, 15, 2, 11, 400_000, tzinfo=UTC)
    with exchange(fake) as client:
        assert [m.ticker for m in client.updated_markets("KXZZZ", since)] == ["A-1", "B-1"]
    query = fake.asked[0][1]
    assert query == {
        "series_ticker": ["KXZZZ"], "min_updated_ts": [str(int(since.timestamp()))], "mve_filter": ["exclude"],
        "limit": ["1000"],
    }  # fmt: skip


# Both tiers, and the four shapes of a refusal

LIVE_404 = NOT_FOUND
HISTORICAL_404 = Reply(
    404,
    {
        "error": {
            "code": "failed_to_get_market_by_ticker:_not_found",
            "message": "failed to get market by ticker: not found",
        }
    },
)
FLAT_404 = Reply(404, {"code": "not_found", "message": "not found", "details": "no such market"})
BARE_404 = Reply(404, b"<html>not here</html>")


@pytest.mark.parametrize("absence", [LIVE_404, HISTORICAL_404, FLAT_404, BARE_404])
def test_a_404_of_any_shape_leads_to_the_other_tier_both_ways(absence: Reply) -> None:
    live_path, past_path = "/series/KXZZZ/markets/A%2C1/candlesticks", "/historical/markets/A%2C1/candlesticks"
    candles = {live_path: Reply(200, {"candlesticks": [live_candle(AT)]}),
               past_path: Reply(200, {"candlesticks": [historical_candle(AT)]})}  # fmt: skip
    span: dict[str, Any] = {"period_minutes": 60, "start": BOUNDARY, "end": BOUNDARY + DAY, "cutoff": CUT}
    for settled_at, first, second in ((None, live_path, past_path), (BOUNDARY - DAY, past_path, live_path)):
        fake = FakeExchange(fixed={**candles, first: absence})
        with exchange(fake) as client:
            assert seconds(client.candlesticks([ref("A,1", settled_at)], **span)) == [("A,1", AT)]
        assert [p for p, _ in fake.asked] == [first, second]
        with exchange(FakeExchange(fixed={first: absence, second: absence})) as client, pytest.raises(NotFound):
            client.candlesticks([ref("A,1", settled_at)], **span)
    fake = FakeExchange(fixed={"/markets/A-1": absence}, historical_markets=[settled("A-1")])
    with exchange(fake) as client:
        assert client.market("A-1").tier == "historical"


REFUSALS = [
    (
        {"error": {"code": "bad_request", "message": "bad request", "details": "invalid status filter"}},
        "invalid status filter",
    ),
    ({"code": "bad_request", "message": "bad request", "details": "cannot decode"}, "cannot decode"),
    ({"msg": "Parameter validation failed for GetMarkets"}, "Parameter validation failed for GetMarkets"),
    ({"error": "too many requests"}, "too many requests"),
]


@pytest.mark.parametrize(("body", "words"), REFUSALS)
def test_each_shape_of_a_refusal_reaches_the_reader_in_its_words(body: Any, words: str) -> None:
    asks: list[Any] = [
        lambda c: c.markets("KXZZZ"),
        lambda c: c.candlesticks([ref("A-1")], period_minutes=60, start=BOUNDARY, end=BOUNDARY + DAY, cutoff=CUT),
        lambda c: c.trades(ref("A-1"), start=BOUNDARY, end=BOUNDARY + DAY, cutoff=CUT),
        lambda c: c.event_candlesticks("S", "E", period_minutes=60, start=BOUNDARY, end=BOUNDARY + DAY),
        lambda c: c.orderbook("A-1"),
    ]
    for ask in asks:
        with exchange([Reply(400, body)]) as client, pytest.raises(RequestRefused, match=words):
            ask(client)
        with exchange([Reply(429, body)]) as client, pytest.raises(Unreachable, match=words):
            ask(client)


def test_a_429_with_a_text_for_an_error_is_asked_again() -> None:
    answers = [Reply(429, {"error": "too many requests"}), Reply(200, {"events": [event()], "cursor": ""})]
    with ScriptedServer(answers) as server:
        client = connect(server.url + PREFIX, retry=RetryPolicy(attempts=3, base_s=0.001))
        with client.transport:
            assert len(client.events("KXZZZ")) == 1
        assert len(server.seen) == 2


# The seam


def test_the_seam_compares_what_both_tiers_hold_and_counts_the_rest() -> None:
    quotes = [live_candle(AT + 3600 * i) for i in range(3)]
    past = [historical_candle(AT + 3600 * i) for i in range(3)]
    fake = FakeExchange(
        live_candles={"SAME-1": quotes, "OPEN-1": quotes, "HOLE-1": quotes},
        historical_candles={"SAME-1": past, "PAST-1": past, "HOLE-1": past[:2]},
    )
    refs = [ref("SAME-1", BOUNDARY + DAY), ref("OPEN-1"), ref("PAST-1", BOUNDARY - DAY), ref("SAME-1", BOUNDARY + DAY)]
    span: dict[str, Any] = {"period_minutes": 60, "start": BOUNDARY, "end": BOUNDARY + DAY, "cutoff": CUT}
    journal = MemoryJournal()
    with exchange(fake, journal=journal) as client:
        seam = client.seam(refs, **span)
        assert (seam.compared, seam.skipped, seam.whole, seam.first) == (3, 2, True, None)
        # What should not be there is asked for first, and its absence spares the second request.
        assert [p for p, _ in fake.asked] == [
            "/historical/markets/SAME-1/candlesticks", "/series/KXZZZ/markets/SAME-1/candlesticks",
            "/historical/markets/OPEN-1/candlesticks", "/series/KXZZZ/markets/PAST-1/candlesticks",
        ]  # fmt: skip
        hole = client.seam([*refs, ref("HOLE-1", BOUNDARY - HOUR)], **span)
        assert (hole.compared, hole.only_live, hole.whole) == (5, 1, False)
        assert hole.first == "HOLE-1 at 2026-09-23T02:00:00+00:00 is on the live tier only"
        assert client.seam([], **span).compared == 0
    assert journal.kept == {}


def test_the_seam_of_trades_asks_both_tiers_for_the_same_two_minutes() -> None:
    ticker = "KXZZZ-26DEC-T0.3"
    a, b, c = "2026-09-22T23:59:10Z", "2026-09-22T23:59:40Z", "2026-09-23T00:00:30Z"
    far = trade("far", "2026-09-22T23:58:00Z")
    fake = FakeExchange(
        live_trades=[trade("c", c), trade("b", b)], historical_trades=[trade("b", b), trade("a", a), far], page_rows=1
    )
    with exchange(fake) as client:
        seam = client.trade_seam(ref(ticker), cutoff=CUT)
        assert (seam.compared, seam.whole) == (1, True)
        fake.historical_trades[0] = trade("b", b, count_fp="9.00")
        assert client.trade_seam(ref(ticker), cutoff=CUT).different == 1
    asked = Counter((p, q["min_ts"][0], q["max_ts"][0]) for p, q in fake.asked)
    assert set(asked) == {(p, str(AT - 60), str(AT + 60)) for p in ("/markets/trades", "/historical/trades")}


# The number of requests


class Counting:
    """A transport that answers candle requests and counts them, refusing what is over a cap."""

    can_sign = False

    def __init__(self) -> None:
        self.batches = 0
        self.singles = 0

    def get_json(self, path: str, params: Any = None, *, signed: bool = False, keep: Any = None) -> dict[str, Any]:
        periods = (params["end_ts"] - params["start_ts"]) / (60 * params["period_interval"])
        if path == "/markets/candlesticks":
            self.batches += 1
            tickers = params["market_tickers"].split(",")
            assert len(tickers) <= 100
            assert len(tickers) * periods <= 10_000
            return {"markets": [{"market_ticker": t, "candlesticks": []} for t in tickers]}
        assert path.startswith("/historical/markets/")
        self.singles += 1
        assert periods <= 5_000
        return {"candlesticks": []}


def requests(live: int, historical: int, minutes: int, length: timedelta) -> Counting:
    transport = Counting()
    refs = [ref(f"L-{i}") for i in range(live)] + [ref(f"P-{i}", BOUNDARY - DAY) for i in range(historical)]
    Exchange(transport).candlesticks(  # type: ignore[arg-type]
        refs, period_minutes=minutes, start=BOUNDARY, end=BOUNDARY + length, cutoff=CUT
    )
    return transport


@pytest.mark.parametrize(
    ("live", "minutes", "periods", "batches"),
    [
        (1, 1, 10_000, 1), (10, 60, 1_000, 1), (100, 60, 100, 1), (101, 60, 100, 2), (250, 1440, 40, 3),
        (12, 60, 842, 2), (12, 1, 2_882, 4), (100, 60, 101, 2), (3, 1, 3_333, 1), (120, 60, 150, 2),
    ],
)  # fmt: skip
def test_batch_requests_of_known_pulls(live: int, minutes: int, periods: int, batches: int) -> None:
    assert requests(live, 0, minutes, periods * timedelta(minutes=minutes)).batches == batches


@settings(deadline=None, max_examples=40)
@given(live=st.integers(0, 120), historical=st.integers(0, 3), periods=st.integers(1, 6_000))
def test_requests_are_never_more_than_needed(live: int, historical: int, periods: int) -> None:
    counted = requests(live, historical, 60, periods * HOUR)
    # There is no batch on the historical tier: one request a contract and window.
    assert counted.singles == historical * ceil(periods / 5_000)
    if min(live, 100) * periods <= 10_000:
        assert counted.batches == ceil(live / 100)
    elif live:
        # No plan can carry more than 10,000 candles a request, and splitting by hundreds is one plan.
        sizes = batch_sizes(live, BOUNDARY, BOUNDARY + periods * HOUR, 60)
        assert counted.batches == sum(ceil(periods / (10_000 // n)) for n in sizes)
        assert counted.batches >= ceil(live * periods / 10_000)
        assert counted.batches <= ceil(live / 100) * ceil(periods / (10_000 // min(live, 100)))
