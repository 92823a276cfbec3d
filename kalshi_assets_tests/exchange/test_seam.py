from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.exchange.candles import CANDLES, candle_table, merge_candles
from kalshi_assets.exchange.seam import Seam, candle_seam, trade_seam
from kalshi_assets.exchange.trades import TRADES, trade_table
from kalshi_assets_tests.exchange.bodies import historical_candle, live_candle, trade

END = 1789963200  # 2026-09-21T04:00:00Z
POINTS = ("open", "high", "low", "close")
PRICE = dict.fromkeys(POINTS, "0.1700") | {"mean": "0.1700", "previous": "0.1600"}


def live(*candles: Any, ticker: str = "A") -> pa.Table:
    return candle_table(ticker, [live_candle(END + 60 * i, **c) for i, c in enumerate(candles) if c is not None], 60)


def past(*candles: Any, ticker: str = "A") -> pa.Table:
    rows = [historical_candle(END + 60 * i, **c) for i, c in enumerate(candles) if c is not None]
    return candle_table(ticker, rows, 60)


def dollars(price: dict[str, Any]) -> dict[str, Any]:
    return {f"{k}_dollars": v for k, v in price.items()}


def test_tiers_that_say_the_same() -> None:
    seam = candle_seam(live({}, {"price": dollars(PRICE)}), past({}, {"price": PRICE}))
    assert seam == Seam(compared=2, different=0, only_live=0, only_historical=0, first=None)
    assert seam.whole


def test_what_is_absent_live_and_null_in_history_is_the_same() -> None:
    assert candle_seam(live({"price": {}}, {"price": None}), past({}, {})).different == 0
    # An empty side is quoted at the edge on both tiers.
    assert candle_seam(live({"bid": "0.0000"}), past({"bid": "0.0000"})).different == 0
    # But a price of nought is a price.
    seam = candle_seam(live({}), past({"price": PRICE | {"close": "0.0000"}}))
    assert seam.different == 1
    assert seam.first is not None
    assert "price_open_usd is None on the live tier and 0.170000 on the historical one" in seam.first


def test_mean_and_previous_may_differ() -> None:
    other = PRICE | {"mean": "0.1699", "previous": None}
    assert candle_seam(live({"price": dollars(PRICE)}), past({"price": other})).whole


CHANGES: list[tuple[str, dict[str, Any]]] = [
    *((f"price_{p}_usd", {"price": PRICE | {p: "0.1800"}}) for p in POINTS),
    *((f"price_{p}_usd", {"price": PRICE | {p: None}}) for p in POINTS),
    *((f"{s}_{p}_usd", {s: dict.fromkeys(POINTS, q) | {p: "0.5000"}})
      for s, q in (("yes_bid", "0.1600"), ("yes_ask", "0.2000")) for p in POINTS),
    ("volume_contracts", {"volume": "0.01"}),
    ("open_interest_contracts", {"open_interest": "663.01"}),
]  # fmt: skip


@pytest.mark.parametrize(("column", "changes"), CHANGES)
def test_each_compared_value_is_seen_when_it_differs(column: str, changes: dict[str, Any]) -> None:
    same: dict[str, Any] = {"price": PRICE}
    seam = candle_seam(live({"price": dollars(PRICE)}, {"price": dollars(PRICE)}), past(same, same | changes))
    assert (seam.compared, seam.different) == (2, 1)
    assert not seam.whole
    assert seam.first is not None
    assert seam.first.startswith(f"A at 2026-09-21T04:01:00+00:00: {column} is ")


def test_rows_of_one_tier_only_are_counted_and_the_first_is_named() -> None:
    seam = candle_seam(live({}, {}, {}, None), past({}, None, None, {}))
    assert (seam.compared, seam.different, seam.only_live, seam.only_historical) == (1, 0, 2, 1)
    assert seam.first == "A at 2026-09-21T04:01:00+00:00 is on the live tier only"
    other = candle_seam(live({}), merge_candles([past({}), past({}, ticker="B")]), skipped=3)
    assert (other.only_historical, other.skipped) == (1, 3)
    assert other.first == "B at 2026-09-21T04:00:00+00:00 is on the historical tier only"


def test_nothing_to_compare() -> None:
    empty = CANDLES.empty_table()
    assert candle_seam(empty, empty) == Seam(0, 0, 0, 0, None)
    assert candle_seam(live({}), empty).only_live == 1
    assert trade_seam(TRADES.empty_table(), TRADES.empty_table()) == Seam(0, 0, 0, 0, None)


maybe_price = st.none() | st.sampled_from(["0.1000", "0.1100"])
cells = st.dictionaries(st.tuples(st.sampled_from("AB"), st.integers(0, 5)), maybe_price, max_size=10)


@settings(deadline=None, max_examples=60)
@given(cells, cells)
def test_counts_agree_with_dictionaries(left: dict[Any, Any], right: dict[Any, Any]) -> None:
    def table(found: dict[Any, Any]) -> pa.Table:
        return merge_candles(
            candle_table(t, [live_candle(END + 60 * i, price={"close_dollars": p})], 60) for (t, i), p in found.items()
        )

    seam = candle_seam(table(left), table(right))
    both = left.keys() & right.keys()
    assert seam.compared == len(both)
    assert seam.different == sum(left[k] != right[k] for k in both)
    assert seam.only_live == len(left.keys() - right.keys())
    assert seam.only_historical == len(right.keys() - left.keys())
    odd = sorted(k for k in left.keys() | right.keys() if left.get(k, "absent") != right.get(k, "absent"))
    assert (seam.first is None) == (not odd)
    if odd:
        assert seam.first is not None
        assert seam.first.startswith(f"{odd[0][0]} at 2026-09-21T04:0{odd[0][1]}:00")


def trades(*rows: tuple[str, int], **changes: Any) -> pa.Table:
    return trade_table([trade(i, f"2026-09-23T00:00:{s:02}Z", **changes) for i, s in rows])


def test_trades_are_compared_where_both_tiers_hold_them() -> None:
    older, newer = [("a", 0), ("b", 10)], [("e", 40), ("f", 50)]
    both = [("c", 20), ("d", 30)]
    assert trade_seam(trades(*both, *newer), trades(*older, *both)) == Seam(2, 0, 0, 0, None)
    hole = trade_seam(trades(*both, *newer), trades(*older, both[0], ("x", 25), both[1]))
    assert (hole.compared, hole.only_historical, hole.first) == (2, 1, "x is on the historical tier only")
    hole = trade_seam(trades(*both, ("y", 22), *newer), trades(*older, *both))
    assert (hole.only_live, hole.first) == (1, "y is on the live tier only")


def test_tiers_that_part_sharply_have_no_seam_to_compare() -> None:
    assert trade_seam(trades(("b", 30)), trades(("a", 10))) == Seam(0, 0, 0, 0, None)
    assert trade_seam(trades(("b", 30)), TRADES.empty_table()) == Seam(0, 0, 0, 0, None)


@pytest.mark.parametrize(
    "changes",
    [{"count_fp": "11.00"}, {"yes_price_dollars": "0.4300"}, {"ticker": "B"}, {"taker_outcome_side": "yes"}],
)
def test_trades_that_differ(changes: dict[str, Any]) -> None:
    seam = trade_seam(trades(("a", 10)), trades(("a", 10), **changes))
    assert (seam.compared, seam.different) == (1, 1)
    assert seam.first is not None
    assert seam.first.startswith("a: ")
