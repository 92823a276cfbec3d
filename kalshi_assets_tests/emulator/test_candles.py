from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.emulator.archive import SCHEMAS
from kalshi_assets.emulator.candles import DAY_MINUTES, HISTORICAL, LIVE, CandleBook, next_boundary
from kalshi_assets.emulator.fixed_point import count_text, price_text

QUOTE = ("open", "high", "low", "close")
PRICE = (*QUOTE, "mean", "previous")


def candle(
    ticker: str, end: int, *, period: int = 60, bid: str = "0.41", ask: str = "0.43", **values: Any
) -> dict[str, Any]:
    row: dict[str, Any] = {"ticker": ticker, "period_interval": period, "end_period_ts": end}
    row |= {f"yes_bid_{p}": Decimal(bid) for p in QUOTE} | {f"yes_ask_{p}": Decimal(ask) for p in QUOTE}
    row |= {f"price_{p}": None for p in PRICE} | {"volume": Decimal("0.00"), "open_interest": Decimal("12.50")}
    return row | values


def book(*rows: dict[str, Any]) -> CandleBook:
    return CandleBook(pa.Table.from_pylist(list(rows), SCHEMAS["candlesticks"]))


def obvious(row: dict[str, Any], tier: str) -> dict[str, Any]:
    """One candle as the exchange would write it, field by field."""
    money, count = ("_dollars", "_fp") if tier == LIVE else ("", "")
    body: dict[str, Any] = {"end_period_ts": row["end_period_ts"]}
    for side in ("yes_bid", "yes_ask"):
        body[side] = {f"{p}{money}": price_text(row[f"{side}_{p}"]) for p in QUOTE}
    prices = {f"{p}{money}": row[f"price_{p}"] for p in PRICE}
    body["price"] = {
        k: None if v is None else price_text(v) for k, v in prices.items() if v is not None or tier == HISTORICAL
    }
    body[f"volume{count}"] = count_text(row["volume"])
    body[f"open_interest{count}"] = count_text(row["open_interest"])
    return body


def test_live_text_leaves_absent_prices_out() -> None:
    (text,) = book(candle("A", 3600)).texts([(0, 1)], LIVE)
    assert json.loads(text) == {
        "end_period_ts": 3600,
        "yes_bid": {f"{p}_dollars": "0.4100" for p in QUOTE},
        "yes_ask": {f"{p}_dollars": "0.4300" for p in QUOTE},
        "price": {},
        "volume_fp": "0.00",
        "open_interest_fp": "12.50",
    }


def test_historical_text_says_null() -> None:
    (text,) = book(candle("A", 3600, price_previous=Decimal("0.1138"))).texts([(0, 1)], HISTORICAL)
    body = json.loads(text)
    assert body["price"] == {**dict.fromkeys((*QUOTE, "mean")), "previous": "0.1138"}
    assert (body["volume"], body["open_interest"]) == ("0.00", "12.50")


prices = st.decimals(0, 1, places=6)
rows = st.builds(
    lambda ticker, end, quotes, traded, volume: {
        **candle(ticker, end),
        **{
            f"yes_{s}_{p}": v for (s, p), v in zip([(s, p) for s in ("bid", "ask") for p in QUOTE], quotes, strict=True)
        },
        **{f"price_{p}": v for p, v in zip(PRICE, traded, strict=True)},
        "volume": volume,
    },
    st.sampled_from("AB"),
    st.integers(0, 10**10),
    st.lists(prices, min_size=8, max_size=8),
    st.lists(st.none() | prices, min_size=6, max_size=6),
    st.decimals(0, 10**9, places=2),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(rows, max_size=6, unique_by=lambda r: (r["ticker"], r["end_period_ts"])),
    st.sampled_from([LIVE, HISTORICAL]),
)
def test_text_equals_the_obvious_json(candles: list[dict[str, Any]], tier: str) -> None:
    made = book(*candles)
    for ticker in "AB":
        (text,) = made.texts([made.window(ticker, 60, 0, 10**10)], tier)
        expected = [
            obvious(r, tier) for r in sorted(candles, key=lambda r: int(r["end_period_ts"])) if r["ticker"] == ticker
        ]
        assert json.loads(f"[{text}]") == expected


def test_windows_include_both_ends_and_keep_periods_apart() -> None:
    made = book(*[candle("A", t) for t in (3600, 7200, 10800)], candle("A", 7260, period=1), candle("B", 7200))
    assert made.window("A", 60, 3600, 7200) == (1, 3)
    assert made.window("A", 60, 3601, 7199) == (2, 2)
    assert made.window("A", 1, 0, 10**9) == (0, 1)
    assert made.window("NOBODY", 60, 0, 10**9) == (0, 0)
    assert [len(json.loads(f"[{t}]")) for t in made.texts([(1, 3), (0, 0), (4, 5)], LIVE)] == [2, 0, 1]


def test_latest_takes_the_newest_of_all_periods_and_respects_time() -> None:
    made = book(candle("A", 7200, bid="0.10"), candle("A", 7260, period=1, bid="0.20"))
    latest = made.latest("A")
    assert latest is not None
    assert (latest.end, latest.yes_bid, latest.price) == (7260, "0.2000", None)
    earlier = made.latest("A", 7259)
    assert earlier is not None
    assert earlier.yes_bid == "0.1000"
    assert made.latest("A", 7199) is None


def test_projected_candle_carries_the_close_forward() -> None:
    made = book(candle("A", 3600, price_close=Decimal("0.42")), candle("A", 14400))
    text = made.projected("A", 60, 7201)
    assert text is not None
    body = json.loads(text)
    assert body["end_period_ts"] == 10800
    assert body["price"] == {"previous_dollars": "0.4200"}
    assert body["yes_bid"]["open_dollars"] == body["yes_bid"]["close_dollars"] == "0.4100"
    assert made.projected("A", 60, 3600) is None  # nothing earlier
    assert made.projected("A", 60, 14000) is None  # a real candle ends there


@pytest.mark.parametrize(
    ("moment", "midnight"),
    [
        ("2026-03-07T10:00", "2026-03-08T00:00"),
        ("2026-03-08T10:00", "2026-03-09T00:00"),  # 23 hours: clocks go forward
        ("2026-11-01T10:00", "2026-11-02T00:00"),  # 25 hours: clocks go back
        ("2026-07-01T00:00", "2026-07-01T00:00"),
    ],
)
def test_days_end_at_midnight_new_york(moment: str, midnight: str) -> None:
    zone = ZoneInfo("America/New_York")
    start, end = (int(datetime.fromisoformat(t).replace(tzinfo=zone).timestamp()) for t in (moment, midnight))
    assert next_boundary(start, DAY_MINUTES) == end
