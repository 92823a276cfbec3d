"""Damaged bodies give typed errors or sound values, never anything else.

Every response that the client reads is asked for through the client, from a transport that hands out
damaged copies of a good one. Classes share the work out among processes.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from kalshi_assets.errors import ExchangeError, NotFound
from kalshi_assets.exchange import Cutoff, Exchange, MarketRef
from kalshi_assets.exchange.candles import CANDLES, single_candles
from kalshi_assets.exchange.forecasts import FORECASTS
from kalshi_assets.exchange.models import MarketRecord
from kalshi_assets.exchange.orderbooks import ORDERBOOKS
from kalshi_assets.exchange.record import Record
from kalshi_assets.exchange.trades import TRADES
from kalshi_assets.http import TokenBucket
from kalshi_assets.http.attempt import parse_object
from kalshi_assets.http.refusal import parse_refusal, typed_error
from kalshi_assets_tests.exchange import bodies
from kalshi_assets_tests.exchange.damage import JUNK, Damage, damaged_bytes

AT = "2026-11-20T12:18:04.434321Z"
END = 1789963200
START = datetime.fromtimestamp(END, UTC)
SPAN = {"start": START - timedelta(hours=1), "end": START + timedelta(hours=2)}
LONG = {"start": START - timedelta(days=90), "end": START + timedelta(days=90)}
LATER = {"start": START + timedelta(days=9), "end": START + timedelta(days=90)}
CUTOFF = Cutoff.parse(bodies.CUTOFF, "/historical/cutoff")
TICKER = "KXZZZ-26DEC-T0.3"
OPEN = MarketRef(TICKER, "KXZZZ-26DEC", "KXZZZ")
ODD = MarketRef("KXZZZ-26DEC-C>25", "KXZZZ-26DEC", "KXZZZ")
SETTLED = MarketRef(TICKER, "KXZZZ-26DEC", "KXZZZ", settlement_time=START - timedelta(days=900))
BUDGET = {"refill_rate": 200, "bucket_capacity": 600}
FEE = {"id": "f", "series_ticker": "KXZZZ", "fee_type": "flat", "fee_multiplier": Decimal("0.5"), "scheduled_ts": AT}
CHARGE = {
    "id": "f", "event_ticker": "KXZZZ-26DEC", "series_ticker": "KXZZZ", "fee_type_override": "flat",
    "fee_multiplier_override": 1, "scheduled_ts": AT,
}  # fmt: skip
MILESTONE = {
    "id": "m", "title": "Print", "category": "Economics", "type": "one_off", "start_date": AT, "end_date": AT,
    "related_event_tickers": ["KXZZZ-26DEC"], "primary_event_tickers": [], "details": {"a": 1}, "last_updated_ts": AT,
}  # fmt: skip
HOURS = {"start_time": AT, "monday": [{"open_time": "00:00", "close_time": "24:00"}]}
FORECAST = {
    "event_ticker": "KXZZZ-26DEC", "end_period_ts": END, "period_interval": 60,
    "percentile_points": [{"percentile": 5000, "raw_numerical_forecast": Decimal("0.3"), "formatted_forecast": "0.3%"}],
}  # fmt: skip


class Handed:
    """Stands for the transport: one body by the end of a path, whatever the cursor."""

    base_url = "https://example.org/trade-api/v2"
    can_sign = True
    cost_of: Any = None

    def __init__(self) -> None:
        self.limiter = TokenBucket(1.0, 1.0)
        self.bodies: Mapping[str, Any] = {}

    def get_json(self, path: str, params: Any = None, **_: Any) -> Any:
        ends = [end for end in self.bodies if path.endswith(end)]
        if not ends:
            raise NotFound(path)
        return self.bodies[max(ends, key=len)]


@dataclass(frozen=True)
class Question:
    """A call of the client, a good body for it, how many damaged ones to try, and the least share refused."""

    path: str
    body: Any
    ask: Callable[[Exchange], Any]
    times: int
    refused: float
    beside: Mapping[str, Any] | None = None


RECORDS = {
    "market": Question("/markets/X", {"market": bodies.market()}, lambda x: x.market("X"), 6000, 0.3),
    "historical market": Question(
        "/historical/markets/X", {"market": bodies.settled()}, lambda x: x.market("X"), 6000, 0.3
    ),
    "live markets": Question(
        "/markets", {"markets": [bodies.market()], "cursor": ""}, lambda x: x.markets("KXZZZ"), 4000, 0.3
    ),
    "both tiers": Question(
        "/markets", {"markets": [bodies.settled(), bodies.settled("B")], "cursor": ""},
        lambda x: x.markets("KXZZZ"), 4000, 0.3,
        beside={"/historical/markets": {"markets": [bodies.market()], "cursor": ""}},
    ),
    "markets by ticker": Question(
        "/markets", {"markets": [bodies.market()], "cursor": ""},
        lambda x: x.markets_by_ticker([TICKER]), 4000, 0.3,
        beside={"/historical/markets": {"markets": [], "cursor": ""}},
    ),
    "updated markets": Question(
        "/markets", {"markets": [bodies.market()], "cursor": ""},
        lambda x: x.updated_markets("KXZZZ", START), 4000, 0.3,
    ),
    "event": Question("/events/X", {"event": bodies.event()}, lambda x: x.event("X"), 6000, 0.3),
    "events": Question("/events", {"events": [bodies.event()], "cursor": ""}, lambda x: x.events("X"), 5000, 0.3),
    "series": Question("/series/X", {"series": bodies.series()}, lambda x: x.series("X"), 6000, 0.2),
    "series list": Question("/series", {"series": [bodies.series()]}, lambda x: x.series_list(), 5000, 0.2),
    "cutoff": Question("/historical/cutoff", bodies.CUTOFF, lambda x: x.cutoff(), 5000, 0.5),
    "status": Question(
        "/exchange/status",
        {"exchange_active": True, "trading_active": False, "exchange_estimated_resume_time": AT},
        lambda x: x.status(), 5000, 0.5,
    ),
    "schedule": Question(
        "/exchange/schedule",
        {"schedule": {"standard_hours": [HOURS], "maintenance_windows": [{"start_datetime": AT, "end_datetime": AT}]}},
        lambda x: x.schedule(), 5000, 0.3,
    ),
    "limits": Question(
        "/account/limits", {"usage_tier": "basic", "read": BUDGET, "write": BUDGET, "grants": []},
        lambda x: x.learn_limits(), 5000, 0.4,
        beside={"/account/endpoint_costs": {"default_cost": 10, "endpoint_costs": []}},
    ),
    "costs": Question(
        "/account/endpoint_costs",
        {"default_cost": 10, "endpoint_costs": [{"method": "GET", "path": "/trade-api/v2/x/:id", "cost": 2}]},
        lambda x: (x.learn_limits(), x.transport.cost_of("/x/1")), 5000, 0.3,
        beside={"/account/limits": {"read": BUDGET}},
    ),
    "series fees": Question(
        "/series/fee_changes", {"series_fee_change_arr": [FEE]}, lambda x: x.series_fee_changes(), 4000, 0.4
    ),
    "event fees": Question(
        "/events/fee_changes", {"event_fee_changes": [CHARGE], "cursor": ""}, lambda x: x.event_fee_changes(), 4000, 0.4
    ),
    "milestones": Question(
        "/milestones", {"milestones": [MILESTONE], "cursor": ""}, lambda x: x.milestones(), 4000, 0.3
    ),
}  # fmt: skip

CANDLE_TABLES = {
    "batch": Question(
        "/markets/candlesticks",
        {"markets": [{"market_ticker": TICKER, "candlesticks": [bodies.live_candle(END + s) for s in (0, 60)]}]},
        lambda x: x.candlesticks([OPEN], period_minutes=1, cutoff=CUTOFF, **SPAN), 2500, 0.5,
    ),
    "live single": Question(
        "/candlesticks",
        {"ticker": "T", "candlesticks": [bodies.live_candle(END, price={"close_dollars": "0.1800"})]},
        lambda x: x.candlesticks([ODD], period_minutes=60, cutoff=CUTOFF, **SPAN), 2500, 0.5,
    ),
    "event": Question(
        "/series/KXZZZ/events/KXZZZ-26DEC/candlesticks",
        {
            "market_tickers": ["A", TICKER], "adjusted_end_ts": END + 7200,
            "market_candlesticks": [[], [bodies.live_candle(END), bodies.live_candle(END + 3600)]],
        },
        lambda x: x.event_candlesticks("KXZZZ", "KXZZZ-26DEC", period_minutes=60, **SPAN), 2500, 0.5,
    ),
    "historical single": Question(
        "/candlesticks", {"ticker": "T", "candlesticks": [bodies.historical_candle(END)]},
        lambda x: x.candlesticks([SETTLED], period_minutes=1440, cutoff=CUTOFF, **SPAN), 2500, 0.5,
    ),
}  # fmt: skip

OTHER_TABLES = {
    "live trades": Question(
        "/markets/trades", {"trades": [bodies.trade("b", AT), bodies.trade("a", AT)], "cursor": ""},
        lambda x: x.trades(OPEN, cutoff=CUTOFF, **LATER), 2000, 0.4,
    ),
    "historical trades": Question(
        "/historical/trades", {"trades": [bodies.trade("b", AT), bodies.trade("a", AT)], "cursor": ""},
        lambda x: x.trades(SETTLED, cutoff=CUTOFF, **LONG), 2000, 0.4,
        beside={"/markets/trades": {"trades": [bodies.trade("c", AT)], "cursor": ""}},
    ),
    "books": Question(
        "/markets/orderbooks",
        {"orderbooks": [{"ticker": "T", "orderbook_fp": {"yes_dollars": [["0.4", "1.00"]], "no_dollars": []}}]},
        lambda x: x.orderbooks(["T"]), 2500, 0.5,
    ),
    "book": Question(
        "/markets/T/orderbook",
        {"orderbook_fp": {"yes_dollars": [["0.01", "2.00"], ["0.4", "1.00"]], "no_dollars": [["0.5", "1.00"]]}},
        lambda x: x.orderbook("T"), 2500, 0.5,
    ),
    "forecast": Question(
        "/forecast_percentile_history", {"forecast_history": [FORECAST]},
        lambda x: x.forecast_percentiles("S", "E", percentiles=[50.0], **SPAN), 5000, 0.4,
    ),
}  # fmt: skip

REFUSALS = {
    "nested": {"error": {"code": "bad_request", "message": "bad request", "details": "invalid status filter"}},
    "flat": {"code": "bad_request", "message": "bad request", "details": "no JSON"},
    "msg": {"msg": "Parameter validation failed for GetMarkets"},
    "text": {"error": "too many requests"},
    "FRED": {"error_code": 400, "error_message": "Bad Request. The series does not exist."},
}
REFUSALS_EACH = 2500
BYTES_EACH = 10_000
SCHEMAS = (CANDLES, TRADES, ORDERBOOKS, FORECASTS)
STATUSES = (300, 302, 400, 401, 403, 404, 405, 409, 418, 422, 451)


def test_a_hundred_thousand_bodies() -> None:
    questions = [*RECORDS.values(), *CANDLE_TABLES.values(), *OTHER_TABLES.values()]
    assert sum(q.times for q in questions) + REFUSALS_EACH * len(REFUSALS) + BYTES_EACH * len(WHOLE) >= 100_000


def check(name: str, question: Question) -> None:
    """Ask with the good body, then with damaged ones; only typed errors may come out, and often enough."""
    transport, damage = Handed(), Damage(question.body)
    before, junk = copy.deepcopy(question.body), copy.deepcopy(JUNK)
    rng = random.Random(name)

    def ask(body: Any) -> Any:
        transport.bodies = {question.path: body, **(question.beside or {})}
        return question.ask(Exchange(transport, now=lambda: START))  # type: ignore[arg-type]

    sound(ask(question.body))
    said = []
    for _ in range(question.times):
        broken = damage(rng)
        # The transport hands on objects only; anything else it has refused already.
        if not isinstance(broken, dict):
            continue
        try:
            sound(ask(broken))
        except ExchangeError as error:
            said.append(str(error))
    assert len(said) > question.refused * question.times, f"{len(said)} of {question.times} were refused"
    assert max(map(len, said)) < 700
    for sentence in said:
        sentence.encode()
    # Nobody writes into what it was given: the copies share their parts.
    assert question.body == before
    assert repr(JUNK) == repr(junk)


def sound(answer: Any) -> None:
    """What is not refused can be kept: valid columns of the promised types, or a record that is JSON again."""
    if isinstance(answer, pa.Table):
        answer.validate(full=True)
        assert answer.schema in SCHEMAS
        for name in answer.column_names:
            if name.endswith("_usd") and (column := answer[name].drop_null()).length():
                assert 0 <= pc.min(column).as_py() <= pc.max(column).as_py() <= 1
            elif name.endswith("_contracts") and (column := answer[name].drop_null()).length():
                assert pc.min(column).as_py() >= 0
    elif isinstance(answer, MarketRecord):
        assert answer.created_time.tzinfo is answer.open_time.tzinfo is answer.close_time.tzinfo is UTC
        json.loads(answer.raw_json)
    elif isinstance(answer, Record):
        answer.model_dump_json()
    elif isinstance(answer, list | tuple):
        for item in answer:
            sound(item)


class TestRecords:
    @pytest.mark.parametrize("name", RECORDS)
    def test_damaged(self, name: str) -> None:
        check(name, RECORDS[name])


class TestCandles:
    @pytest.mark.parametrize("name", CANDLE_TABLES)
    def test_damaged(self, name: str) -> None:
        check(name, CANDLE_TABLES[name])


class TestOtherTables:
    @pytest.mark.parametrize("name", OTHER_TABLES)
    def test_damaged(self, name: str) -> None:
        check(name, OTHER_TABLES[name])


WHOLE: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "market": (bodies.market(), lambda b: MarketRecord.parse(b, "/markets").raw_json),
    "candles": (
        {"ticker": "é", "candlesticks": [bodies.historical_candle(END)]}, lambda b: single_candles(b, "é", 60)
    ),
    "refusal": (REFUSALS["nested"], lambda b: typed_error(404, parse_refusal(b), "GET /x")),
}  # fmt: skip


class TestBytes:
    @pytest.mark.parametrize("name", WHOLE)
    def test_damaged_bytes_are_no_object_or_an_object_that_can_be_read_or_refused(self, name: str) -> None:
        body, read = WHOLE[name]
        whole = json.dumps(body, default=float, ensure_ascii=False).encode()
        rng = random.Random(name)
        outcomes = {"no object": 0, "refused": 0, "read": 0}
        for _ in range(BYTES_EACH):
            result = parse_object(damaged_bytes(whole, rng))
            if isinstance(result, str):
                assert len(result) < 60
                outcomes["no object"] += 1
                continue
            json.dumps(result, default=str, ensure_ascii=False).encode()
            try:
                read(result)
                outcomes["read"] += 1
            except ExchangeError:
                outcomes["refused"] += 1
        assert outcomes["no object"] > 0.4 * BYTES_EACH
        assert outcomes["read"] > 0.02 * BYTES_EACH
        assert outcomes["refused"] > 0.02 * BYTES_EACH or name == "refusal"

    @pytest.mark.parametrize("shape", REFUSALS)
    def test_damaged_error_bodies_still_give_the_typed_error(self, shape: str) -> None:
        damage, rng = Damage(REFUSALS[shape]), random.Random(shape)
        wordless = 0
        for _ in range(REFUSALS_EACH):
            refusal = parse_refusal(damage(rng), ["a" * 40])
            assert "a" * 40 not in refusal.words
            assert len(refusal.code) <= 300 >= len(refusal.words)
            error = typed_error(rng.choice(STATUSES), refusal, "GET /markets at example.org")
            assert isinstance(error, ExchangeError)
            assert str(error).startswith("GET /markets at example.org")
            wordless += not refusal.words
        assert 0 < wordless < REFUSALS_EACH
