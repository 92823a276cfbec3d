"""Damaged bodies give typed errors or records, never anything else."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from kalshi_assets.errors import ExchangeError
from kalshi_assets.exchange import EventRecord, Findings, MarketRecord, SeriesRecord
from kalshi_assets.exchange.candles import batch_candles, single_candles
from kalshi_assets.exchange.forecasts import forecast_table
from kalshi_assets.exchange.models import AccountLimits, Cutoff, EndpointCosts, Schedule
from kalshi_assets.exchange.orderbooks import orderbook_table
from kalshi_assets.exchange.paging import pages
from kalshi_assets.exchange.trades import trade_table
from kalshi_assets.http.attempt import parse_object
from kalshi_assets_tests.exchange import bodies

NOW = datetime(2026, 11, 22, tzinfo=UTC)
AT = "2026-11-20T12:18:04.434321Z"
END = 1789963200
JUNK: list[Any] = [
    None, True, 0, -1, 2**70, Decimal("0.5"), Decimal("1e999"), Decimal("-1e-30"), "", "x", "0.5000", "NaN", "1e5",
    "-0.1", "0x10", "\u0660.5", "2026-02-30T00:00:00Z", "\ud800", "\x00", "a" * 3000, [], [[]], {}, {"open": None},
    [1, 2], {"a": {"b": []}}, ["0.4", "1.00"],
]  # fmt: skip

PARSERS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "market": (bodies.market(), lambda b: MarketRecord.parse(b, "/m", Findings()).raw_json),
    "settled": (bodies.settled(), lambda b: MarketRecord.parse(b, "/m", Findings()).raw_json),
    "event": (bodies.event(), lambda b: EventRecord.parse(b, "/e", Findings()).raw_json),
    "series": (bodies.series(), lambda b: SeriesRecord.parse(b, "/s", Findings()).raw_json),
    "cutoff": (bodies.CUTOFF, lambda b: Cutoff.parse(b, "/c")),
    "limits": (
        {"usage_tier": "basic", "read": {"refill_rate": 200, "bucket_capacity": 600}},
        lambda b: AccountLimits.parse(b, "/l"),
    ),
    "costs": (
        {"default_cost": 10, "endpoint_costs": [{"method": "GET", "path": "/x", "cost": 2}]},
        lambda b: EndpointCosts.parse(b, "/l"),
    ),
    "schedule": (
        {"standard_hours": [{"monday": []}], "maintenance_windows": [{"start_datetime": AT, "end_datetime": AT}]},
        lambda b: Schedule.parse(b, "/x"),
    ),
    "live candles": (
        {"ticker": "T", "candlesticks": [bodies.live_candle(END), bodies.live_candle(END + 60)]},
        lambda b: single_candles(b, "T", 60),
    ),
    "historical candles": (
        {"ticker": "T", "candlesticks": [bodies.historical_candle(END), bodies.historical_candle(END + 60)]},
        lambda b: single_candles(b, "T", 60),
    ),
    "batch": (
        {"markets": [{"market_ticker": "T", "candlesticks": [bodies.live_candle(END)]}]},
        lambda b: batch_candles(b, 60),
    ),
    "trades": ([bodies.trade("b", AT), bodies.trade("a", AT)], lambda b: trade_table(b, Findings())),
    "books": (
        {"orderbooks": [{"ticker": "T", "orderbook_fp": {"yes_dollars": [["0.4", "1.00"]], "no_dollars": []}}]},
        lambda b: orderbook_table(b, NOW),
    ),
    "forecast": (
        {"forecast_history": [{"event_ticker": "E", "end_period_ts": END, "period_interval": 60,
                               "percentile_points": [{"percentile": 5000, "raw_numerical_forecast": 1}]}]},
        forecast_table,
    ),
    "page": (
        {"rows": [bodies.market()], "cursor": ""},
        lambda b: list(pages(lambda cursor: b, "rows", endpoint="/x")),
    ),
}  # fmt: skip


def spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(s for key, item in inner for s in spots(item, (*path, key)))]


def damaged(body: Any, rng: random.Random) -> Any:
    """The body with one to three places removed, renamed, swapped for junk, or doubled."""
    body = copy.deepcopy(body)
    for _ in range(rng.randint(1, 3)):
        paths = [p for p in spots(body) if p]
        if not paths:
            break
        *way, last = rng.choice(paths)
        parent = body
        for key in way:
            parent = parent[key]
        act = rng.random()
        if act < 0.6:
            parent[last] = copy.deepcopy(rng.choice(JUNK))
        elif act < 0.8:
            del parent[last]
        elif isinstance(parent, dict):
            parent[f"{last}_v2"] = parent.pop(last)
        else:
            parent.append(copy.deepcopy(parent[last]))
    return body


@pytest.mark.parametrize("name", PARSERS)
def test_a_damaged_body_gives_a_typed_error_or_a_value(name: str) -> None:
    body, parse = PARSERS[name]
    parse(copy.deepcopy(body))
    messages = []
    for seed in range(300):
        broken = damaged(body, random.Random(f"{name}-{seed}"))
        # A list parser gets lists and an object parser objects: the client sees to the outermost shape.
        if type(broken) is not type(body):
            continue
        try:
            parse(broken)
        except ExchangeError as error:
            messages.append(str(error))
    # The damage must bite, or the test proves nothing; most fields of an event and a series are optional.
    assert len(messages) > 10
    assert max(map(len, messages)) < 600


def test_damaged_bytes_are_no_object_or_an_object() -> None:
    whole = json.dumps({"markets": [bodies.market()]}, default=float).encode()
    rng = random.Random(5)
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            act = rng.random()
            if act < 0.5:
                data[at] = rng.randrange(256)
            elif act < 0.8:
                del data[at : at + rng.randrange(40)]
            else:
                data[at:at] = rng.randbytes(rng.randrange(5))
        result = parse_object(bytes(data))
        assert isinstance(result, dict | str)
        if isinstance(result, dict):
            json.dumps(result, default=str, ensure_ascii=False).encode()
