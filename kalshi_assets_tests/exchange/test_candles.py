from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import MalformedResponse
from kalshi_assets.exchange.candles import CANDLES, batch_candles, candle_table, merge_candles, single_candles
from kalshi_assets_tests.exchange.bodies import historical_candle, live_candle

END = 1789963200  # 2026-09-21T04:00:00Z
T = "KXZZZ-26DEC-T0.3"


def test_a_live_candle_value_by_value() -> None:
    price = {
        "open_dollars": "0.1600", "high_dollars": "0.1700", "low_dollars": "0.0700", "close_dollars": "0.0800",
        "mean_dollars": "0.1138", "previous_dollars": "0.150000",
    }  # fmt: skip
    candle = live_candle(END, price=price, volume_fp="801.25")
    candle["yes_bid"] = {
        "open_dollars": "0.1600", "high_dollars": "0.1800", "low_dollars": "0.0600", "close_dollars": "0.0725",
    }  # fmt: skip
    table = candle_table(T, [candle], 86400)
    assert table.schema == CANDLES
    (row,) = table.to_pylist()
    assert row == {
        "ticker": T, "period_s": 86400, "ts": datetime(2026, 9, 21, 4, tzinfo=UTC),
        "yes_bid_open_usd": Decimal("0.16"), "yes_bid_high_usd": Decimal("0.18"),
        "yes_bid_low_usd": Decimal("0.06"), "yes_bid_close_usd": Decimal("0.0725"),
        "yes_ask_open_usd": Decimal("0.2"), "yes_ask_high_usd": Decimal("0.2"),
        "yes_ask_low_usd": Decimal("0.2"), "yes_ask_close_usd": Decimal("0.2"),
        "price_open_usd": Decimal("0.16"), "price_high_usd": Decimal("0.17"), "price_low_usd": Decimal("0.07"),
        "price_close_usd": Decimal("0.08"), "price_mean_usd": Decimal("0.1138"),
        "price_previous_usd": Decimal("0.15"), "volume_contracts": Decimal("801.25"),
        "open_interest_contracts": Decimal("663"),
    }  # fmt: skip


def test_both_tiers_say_the_same() -> None:
    live = candle_table(T, [live_candle(END, price={"previous_dollars": "0.1700"})], 60)
    assert candle_table(T, [historical_candle(END)], 60).equals(live)


def test_the_columns_are_those_of_the_lake() -> None:
    lake = TABLES["quotes"].schema
    assert all(lake.field(f.name).type == f.type for f in CANDLES)


@pytest.mark.parametrize("make", [live_candle, historical_candle])
def test_an_empty_side_is_null_at_each_point_and_real_prices_at_the_edge_stay(make: Any) -> None:
    candle = make(END)
    names = list(candle["yes_bid"])
    candle["yes_bid"] = dict(zip(names, ("0.0000", "0.0100", "0.0000", "1.0000"), strict=True))
    candle["yes_ask"] = dict(zip(names, ("1.0000", "1.0000", "0.0000", "0.9999"), strict=True))
    (row,) = candle_table(T, [candle], 60).to_pylist()
    bids = [row[f"yes_bid_{p}_usd"] for p in ("open", "high", "low", "close")]
    asks = [row[f"yes_ask_{p}_usd"] for p in ("open", "high", "low", "close")]
    assert bids == [None, Decimal("0.01"), None, Decimal(1)]
    assert asks == [None, None, Decimal(0), Decimal("0.9999")]


def test_absent_and_null_trade_prices_are_null_never_zero() -> None:
    rows = [live_candle(END, price=p) for p in ({}, None, {"close_dollars": None}, {"previous_dollars": "0.5000"})]
    rows.append(live_candle(END, price=...))
    table = candle_table(T, rows, 60)
    assert table["price_close_usd"].null_count == 5
    assert table["price_previous_usd"].to_pylist() == [None, None, None, Decimal("0.5"), None]


def test_a_zero_trade_price_is_a_price() -> None:
    (row,) = candle_table(T, [live_candle(END, price={"close_dollars": "0.0000"})], 60).to_pylist()
    assert row["price_close_usd"] == 0


def test_quotes_that_are_null_are_null() -> None:
    (row,) = candle_table(
        T, [historical_candle(END, yes_bid=dict.fromkeys(("open", "high", "low", "close")))], 60
    ).to_pylist()
    assert row["yes_bid_close_usd"] is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"yes_bid": ...}, "yes_bid"),
        ({"yes_bid": None}, "yes_bid"),
        ({"yes_bid": {}}, "yes_bid.open"),
        ({"yes_bid": {"open": "0.1", "high": "0.1", "low": "0.1", "close": "0.1"}}, "yes_bid.open_dollars"),
        ({"yes_ask": {f"{p}_cents": "1" for p in ("open", "high", "low", "close")}}, "yes_ask"),
        ({"price": {"close": "0.1"}}, "both tiers"),
        ({"price": "0.1"}, "price"),
        ({"price": {"close_dollars": "free"}}, "close_dollars"),
        ({"price": {"close_dollars": "1.2"}}, "outside"),
        ({"price": {"close_dollars": "-0.1"}}, "outside"),
        ({"price": {"close_dollars": "0.1234567"}}, "close_dollars"),
        ({"price": {"close_dollars": ""}}, "close_dollars"),
        ({"price": {"close_dollars": 0.25}}, "close_dollars"),
        ({"price": {"close_dollars": 12}}, "close_dollars"),
        ({"end_period_ts": ...}, "end_period_ts"),
        ({"end_period_ts": None}, "end_period_ts"),
        ({"end_period_ts": "1789963200"}, "end_period_ts"),
        ({"end_period_ts": 1789963200.5}, "end_period_ts"),
        ({"end_period_ts": True}, "end_period_ts"),
        ({"end_period_ts": 1789963200000}, "end_period_ts"),
        ({"end_period_ts": 2**70}, "end_period_ts"),
        ({"open_interest_fp": ...}, "open_interest"),
        ({"volume_fp": "-1.00"}, "volume_fp"),
        ({"volume_fp": "1.001"}, "volume_fp"),
    ],
)
def test_a_changed_shape_is_refused_by_name(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(MalformedResponse) as caught:
        candle_table(T, [live_candle(END - 60), live_candle(END, **changes)], 60)
    assert said in str(caught.value)
    assert T in str(caught.value)


def test_a_renamed_volume_is_not_read_as_the_other_tier() -> None:
    with pytest.raises(MalformedResponse):
        candle_table(T, [live_candle(END, volume_fp=..., volume_contracts="1.00")], 60)


@pytest.mark.parametrize("candles", [None, {}, "x", [None], [[]]])
def test_what_is_no_list_of_candles_is_refused(candles: Any) -> None:
    with pytest.raises(MalformedResponse):
        candle_table(T, candles, 60)


def test_the_single_body() -> None:
    assert single_candles({"ticker": T, "candlesticks": []}, T, 60).num_rows == 0
    assert single_candles({"ticker": T, "candlesticks": None}, T, 60).num_rows == 0
    with pytest.raises(MalformedResponse, match="candlesticks"):
        single_candles({"ticker": T}, T, 60)


def test_the_batch_body_tells_quiet_from_left_out() -> None:
    body = {
        "markets": [
            {"market_ticker": "A", "candlesticks": [live_candle(END)]},
            {"market_ticker": "B", "candlesticks": []},
        ]
    }
    tables = batch_candles(body, 60)
    assert {t: x.num_rows for t, x in tables.items()} == {"A": 1, "B": 0}
    assert "C" not in tables
    for broken in ({}, {"markets": [3]}, {"markets": [{"candlesticks": []}]}, {"markets": [{"market_ticker": "A"}]}):
        with pytest.raises(MalformedResponse):
            batch_candles(broken, 60)


def test_boundary_twins_are_merged_and_the_earlier_table_wins() -> None:
    first = candle_table("B", [live_candle(END, bid="0.1000"), live_candle(END + 60)], 60)
    second = candle_table("B", [live_candle(END + 60, bid="0.3000"), live_candle(END + 120)], 60)
    other = candle_table("A", [live_candle(END)], 60)
    merged = merge_candles([first, second, other])
    seconds = [int(t.timestamp()) for t in merged["ts"].to_pylist()]
    assert list(zip(merged["ticker"].to_pylist(), seconds, strict=True)) == [
        ("A", END), ("B", END), ("B", END + 60), ("B", END + 120),
    ]  # fmt: skip
    assert merged["yes_bid_close_usd"][2].as_py() == Decimal("0.16")
    assert merge_candles([]).schema == CANDLES


keys = st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 8)), max_size=30)


@settings(deadline=None, max_examples=50)
@given(st.lists(keys, max_size=4))
def test_merging_agrees_with_a_dictionary(parts: list[list[tuple[str, int]]]) -> None:
    tables, expected, stamp = [], {}, 0
    for part in parts:
        by_ticker: dict[str, list[Any]] = {}
        for ticker, minute in part:
            stamp += 1
            bid = f"0.{stamp:04d}"
            by_ticker.setdefault(ticker, []).append(live_candle(60 * (minute + 1), bid=bid))
            expected.setdefault((ticker, 60 * (minute + 1)), Decimal(bid))
        tables += [candle_table(t, candles, 60) for t, candles in by_ticker.items()]
    merged = merge_candles(tables)
    got = {
        (r["ticker"], int(r["ts"].timestamp())): r["yes_bid_close_usd"]
        for r in merged.select(["ticker", "ts", "yes_bid_close_usd"]).to_pylist()
    }
    assert got == expected
    assert merged.num_rows == len(expected)
    assert list(got) == sorted(got)


def test_a_large_body_is_parsed_column_wise() -> None:
    n = 20_000
    table = candle_table(T, [live_candle(END + 60 * i) for i in range(n)], 60)
    assert table.num_rows == n
    assert isinstance(table["yes_bid_close_usd"].type, pa.Decimal128Type)
