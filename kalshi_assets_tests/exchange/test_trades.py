from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import MalformedResponse
from kalshi_assets.exchange import Findings
from kalshi_assets.exchange.trades import TRADES, merge_trades, trade_table
from kalshi_assets_tests.exchange.bodies import trade

AT = "2026-11-20T12:18:04.434321Z"


def test_a_trade_value_by_value() -> None:
    (row,) = trade_table([trade("a", AT)]).to_pylist()
    moment = datetime(2026, 11, 20, 12, 18, 4, 434321, tzinfo=UTC)
    assert row == {
        "trade_id": "a", "ticker": "KXZZZ-26DEC-T0.3", "sequence": 1795177084434321 * 1000, "ts": moment,
        "yes_price_usd": Decimal("0.42"), "no_price_usd": Decimal("0.58"), "count_contracts": Decimal("10"),
        "taker_side": "no", "is_block_trade": False,
    }  # fmt: skip
    assert trade_table([]).schema == TRADES
    lake = TABLES["trades"].schema
    assert all(lake.field(f.name).type == f.type for f in TRADES)


def test_oldest_first_and_a_canonical_order_inside_a_tie() -> None:
    def at(trade_id: str, side: Any, price: str) -> dict[str, Any]:
        sides = {"taker_side": ..., "taker_book_side": ..., "taker_outcome_side": side}
        return trade(trade_id, AT, yes_price_dollars=price, no_price_dollars=..., **sides)

    expected = [
        trade("z", "2026-11-20T12:18:04.4Z"),
        at("y1", "yes", "0.4000"), at("y2", "yes", "0.4100"), at("y3", "yes", "0.4100"), at("y0", "yes", "0.4200"),
        at("n0", "no", "0.3900"), at("n2", "no", "0.3800"), at("n1", "no", "0.3700"),
        at("u1", ..., "0.9000"), at("u2", ..., "0.1000"),
        trade("a", "2026-11-20T12:18:04.5Z"),
    ]  # fmt: skip
    ids = [t["trade_id"] for t in expected]
    for seed in range(30):
        table = trade_table(random.Random(seed).sample(expected, len(expected)))
        assert table["trade_id"].to_pylist() == ids
    ranks = [s % 1000 for s in table["sequence"].to_pylist()]
    assert ranks == [0, *range(9), 0]


@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 3), st.sampled_from(["yes", "no", "maybe"]), st.sampled_from(["0.4000", "0.4100", "0.4200"])
        ),
        min_size=1, max_size=20,
    ),
    data=st.data(),
)  # fmt: skip
def test_reordered_and_repeated_pages_give_the_same_rows(rows: list[tuple[int, str, str]], data: st.DataObject) -> None:
    bodies = [
        trade(f"t{i}", f"2026-11-20T12:18:0{s}Z", taker_outcome_side=side, yes_price_dollars=price)
        for i, (s, side, price) in enumerate(rows)
    ]
    repeated = bodies + data.draw(st.lists(st.sampled_from(bodies), max_size=10))
    shuffled = data.draw(st.permutations(repeated))
    table = trade_table(bodies)
    assert trade_table(shuffled).equals(table)
    cut = data.draw(st.integers(0, len(shuffled)))
    assert merge_trades([trade_table(shuffled[:cut]), trade_table(shuffled[cut:])]).equals(table)

    def walked(row: dict[str, Any]) -> tuple[Any, ...]:
        side, price = row["taker_side"], row["yes_price_usd"]
        steps = {"yes": (0, price), "no": (1, -price)}
        return (row["ts"], *steps.get(side, (2, 0)), row["trade_id"])

    found = table.to_pylist()
    assert [walked(r) for r in found] == sorted(map(walked, found))


def test_twins_count_once() -> None:
    table = trade_table([trade("b", AT), trade("a", AT), trade("b", AT)])
    assert table["trade_id"].to_pylist() == ["a", "b"]
    assert merge_trades([]).equals(TRADES.empty_table())


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"yes_price_dollars": "0.4300"}, "yes_price_usd"),
        ({"count_fp": "11.00"}, "count_contracts"),
        ({"ticker": "OTHER"}, "ticker"),
        ({"created_time": "2026-11-20T12:18:04.434322Z"}, "ts"),
    ],
)
def test_one_id_with_two_contents_is_refused_by_name(changes: dict[str, Any], column: str) -> None:
    rows = [trade("a", AT), trade("two-faced", AT), trade("two-faced", AT, **changes), trade("z", AT)]
    for bodies in (rows, rows[::-1]):
        with pytest.raises(MalformedResponse, match=f"two-faced came twice and its {column} differs"):
            trade_table(bodies)
    with pytest.raises(MalformedResponse, match="two-faced"):
        merge_trades([trade_table([r]) for r in rows])


def test_of_twins_the_one_that_says_more_stays() -> None:
    silent = trade("a", AT, taker_side=..., taker_outcome_side=..., taker_book_side=..., is_block_trade=...)
    for bodies in ([silent, trade("a", AT)], [trade("a", AT), silent]):
        (row,) = trade_table(bodies).to_pylist()
        assert (row["taker_side"], row["is_block_trade"]) == ("no", False)


@pytest.mark.parametrize("digits", range(7))
def test_times_have_up_to_six_decimals(digits: int) -> None:
    fraction = f".{'123456'[:digits]}" if digits else ""
    (at,) = trade_table([trade("a", f"2026-11-20T12:18:04{fraction}Z")])["ts"].to_pylist()
    assert at.microsecond == int("123456"[:digits].ljust(6, "0"))


@settings(deadline=None, max_examples=40)
@given(
    moments=st.lists(st.integers(0, 6), min_size=1, max_size=25).map(sorted),
    data=st.data(),
)
def test_a_sequence_does_not_depend_on_where_the_window_begins(moments: list[int], data: st.DataObject) -> None:
    rows = [trade(f"t{i:02}", f"2026-11-20T12:18:0{s}Z") for i, s in enumerate(moments)][::-1]
    whole = dict(zip(*(trade_table(rows)[c].to_pylist() for c in ("trade_id", "sequence")), strict=True))
    assert [whole[f"t{i:02}"] for i in range(len(moments))] == sorted(whole.values())
    begin = data.draw(st.integers(0, 6))
    part = [r for r in rows if int(r["created_time"][18]) >= begin]
    for row in trade_table(part).to_pylist():
        assert row["sequence"] == whole[row["trade_id"]]


@pytest.mark.parametrize(
    ("changes", "side"),
    [
        ({}, "no"),
        ({"taker_side": ...}, "no"),
        ({"taker_outcome_side": ...}, "no"),
        ({"taker_outcome_side": ..., "taker_side": ..., "taker_book_side": "bid"}, "yes"),
        ({"taker_outcome_side": ..., "taker_book_side": ..., "taker_side": "yes"}, "yes"),
        ({"taker_outcome_side": ..., "taker_book_side": ..., "taker_side": ...}, None),
        ({"taker_outcome_side": "maybe"}, None),
        ({"taker_outcome_side": ["yes"]}, None),
    ],
)
def test_the_takers_side(changes: dict[str, Any], side: str | None) -> None:
    findings = Findings()
    assert trade_table([trade("a", AT, **changes)], findings)["taker_side"].to_pylist() == [side]
    assert (len(findings) == 1) is (side is None)


def test_prices_that_do_not_sum_to_one_are_found_and_kept() -> None:
    findings = Findings()
    trade_table(
        [trade("a", AT, no_price_dollars="0.6000"), trade("b", AT), trade("c", AT, no_price_dollars=...)], findings
    )
    assert [(f.kind, f.count) for f in findings.summary()] == [("prices_do_not_sum_to_one", 1)]


@pytest.mark.parametrize(
    "changes",
    [
        {"ticker": None}, {"created_time": ...}, {"created_time": "yesterday"},
        {"created_time": "2026-11-20T12:18:04"}, {"created_time": 1795177084}, {"yes_price_dollars": ...},
        {"yes_price_dollars": "1.5"}, {"yes_price_dollars": 42}, {"count_fp": None}, {"count_fp": "-1.00"},
    ],
)  # fmt: skip
def test_a_changed_shape_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedResponse):
        trade_table([trade("z", AT), trade("a", AT, **changes)])


@pytest.mark.parametrize("row", ["not a trade", trade(..., AT), trade(5, AT), trade(None, AT), trade("\ud800", AT)])
def test_a_trade_must_be_an_object_with_an_id(row: Any) -> None:
    with pytest.raises(MalformedResponse):
        trade_table([trade("z", AT), row])


def test_markets_must_not_mix() -> None:
    with pytest.raises(MalformedResponse, match="mixed"):
        trade_table([trade("a", AT), trade("b", AT, ticker="OTHER")])


def test_more_ties_than_the_sequence_can_rank_are_refused() -> None:
    rows = [trade(str(i), AT) for i in range(1001)]
    with pytest.raises(MalformedResponse, match="1000"):
        trade_table(rows)
    assert len(set(itertools.chain(trade_table(rows[1:])["sequence"].to_pylist()))) == 1000
