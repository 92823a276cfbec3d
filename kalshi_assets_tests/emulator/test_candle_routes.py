"""Candles over HTTP, of a market whose closing day and gaps are those of a recorded one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from kalshi_assets.emulator.archive import SCHEMAS, Archive
from kalshi_assets.emulator.fault_plan import FaultPlan
from kalshi_assets.emulator.server import serve
from kalshi_assets_tests.emulator.conftest import Client
from kalshi_assets_tests.emulator.test_candles import candle

NEW_YORK = ZoneInfo("America/New_York")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp())


OPEN, CLOSE = at("2026-10-29T10:00"), at("2026-11-05T08:25")
# Clocks go back on 1 November: that day has 25 hours. The closing day's candle ends after trading stopped.
DAYS = [at(f"2026-{day}T00:00") for day in ("10-30", "11-01", "11-02", "11-06")]
CLOSING_MINUTE, CLOSING_HOUR = CLOSE, at("2026-11-05T09:00")


def market(ticker: str, settled: str) -> dict[str, Any]:
    return {
        "ticker": ticker,
        "event_ticker": "E",
        "market_type": "binary",
        "open_time": datetime.fromtimestamp(OPEN, UTC),
        "created_time": datetime.fromtimestamp(OPEN, UTC),
        "close_time": datetime.fromtimestamp(CLOSE, UTC),
        "latest_expiration_time": datetime.fromtimestamp(CLOSE, UTC),
        "settlement_ts": datetime.fromisoformat(settled),
        "status": "finalized",
        "result": "no",
    }


def candles(ticker: str) -> list[dict[str, Any]]:
    traded = {f"price_{p}": Decimal("0.42") for p in ("open", "high", "low", "close", "mean", "previous")}
    return [
        *(candle(ticker, end, period=1440) for end in DAYS),
        candle(ticker, CLOSING_HOUR, volume=Decimal(3), **traded),
        candle(ticker, CLOSING_MINUTE - 600, period=1),
        candle(ticker, CLOSING_MINUTE, period=1, bid="0.00", ask="1.00"),
    ]


@pytest.fixture(scope="module")
def made() -> Archive:
    rows: dict[str, list[dict[str, Any]]] = {
        "series": [{"ticker": "S", "title": "S", "category": "C", "frequency": "monthly", "fee_type": "quadratic"}],
        "events": [{"event_ticker": "E", "series_ticker": "S", "title": "E"}],
        "markets": [market("LIVE", "2026-11-05T14:00:00Z"), market("OLD", "2026-11-05T13:00:00Z")],
        "candlesticks": [*candles("LIVE"), *candles("OLD")],
    }
    tables = {name: pa.Table.from_pylist(rows.get(name, []), schema) for name, schema in SCHEMAS.items()}
    boundary = dict.fromkeys(("market_settled_ts", "trades_created_ts", "orders_updated_ts"), "2026-11-05T13:30:00Z")
    return Archive("made", True, boundary, tables, {})


@pytest.fixture(scope="module")
def c(made: Archive) -> Iterator[Client]:
    with serve(made) as server:
        client = Client(server)
        yield client
        client.session.close()


PATHS = ["/series/S/markets/LIVE/candlesticks", "/historical/markets/OLD/candlesticks"]


def ends(c: Client, path: str, start: int, end: int, period: int) -> list[int]:
    body = c.get(path, start_ts=start, end_ts=end, period_interval=period)
    return [row["end_period_ts"] for row in body["candlesticks"]]


@pytest.mark.parametrize("path", PATHS)
def test_days_end_at_midnight_new_york_and_quiet_ones_are_absent(c: Client, path: str) -> None:
    assert ends(c, path, OPEN, CLOSE + 2 * 86_400, 1440) == DAYS
    assert [(b - a) // 3600 for a, b in pairwise(DAYS)] == [48, 25, 96]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("period", "last"), [(60, CLOSING_HOUR), (1440, DAYS[-1])])
def test_the_closing_candle_is_stamped_after_the_close(c: Client, path: str, period: int, last: int) -> None:
    assert last > CLOSE
    assert last not in ends(c, path, OPEN, CLOSE, period)
    assert ends(c, path, OPEN, CLOSE + 2 * period * 60, period)[-1] == last


@pytest.mark.parametrize("path", PATHS)
def test_windows_that_touch_give_the_boundary_twice(c: Client, path: str) -> None:
    assert ends(c, path, DAYS[0], DAYS[1], 1440)[-1] == ends(c, path, DAYS[1], DAYS[2], 1440)[0] == DAYS[1]
    assert ends(c, path, DAYS[1] + 1, DAYS[2] - 1, 1440) == []


@pytest.mark.parametrize("path", PATHS)
def test_minutes_without_change_are_absent(c: Client, path: str) -> None:
    assert ends(c, path, CLOSE - 3600, CLOSE + 120, 1) == [CLOSING_MINUTE - 600, CLOSING_MINUTE]


def test_the_tiers_spell_the_same_candle_differently(c: Client) -> None:
    window = {"start_ts": CLOSE - 3600, "end_ts": CLOSING_HOUR, "period_interval": 1}
    live, old = (c.get(path, **window)["candlesticks"][-1] for path in PATHS)
    assert live["price"] == {}
    assert old["price"] == dict.fromkeys(("open", "high", "low", "close", "mean", "previous"))
    assert live["yes_bid"]["close_dollars"] == old["yes_bid"]["close"] == "0.0000"
    assert live["yes_ask"]["close_dollars"] == old["yes_ask"]["close"] == "1.0000"
    assert (live["volume_fp"], live["open_interest_fp"]) == (old["volume"], old["open_interest"]) == ("0.00", "12.50")


def test_only_the_live_tier_makes_up_a_first_candle(c: Client) -> None:
    window = {
        "start_ts": DAYS[0] + 1,
        "end_ts": DAYS[1],
        "period_interval": 1440,
        "include_latest_before_start": "true",
    }
    made_up = at("2026-10-31T00:00")
    live, old = ([r["end_period_ts"] for r in c.get(path, **window)["candlesticks"]] for path in PATHS)
    assert (live, old) == ([made_up, DAYS[1]], [DAYS[1]])
    batch = c.get("/markets/candlesticks", market_tickers="LIVE,OLD", **window)["markets"]
    assert [(m["market_ticker"], len(m["candlesticks"])) for m in batch] == [("LIVE", 2)]


def test_a_replay_serves_completed_periods_only(made: Archive) -> None:
    now = datetime.fromtimestamp(CLOSING_HOUR - 1, UTC)
    with serve(made, plan=FaultPlan(now=now)) as server:
        client = Client(server)
        for period in (60, 1440):
            found = ends(client, "/series/S/markets/LIVE/candlesticks", OPEN, CLOSE + 86_400, period)
            assert found == [end for end in DAYS[:-1] if period == 1440]
        client.session.close()
