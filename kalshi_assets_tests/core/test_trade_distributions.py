"""Distributions from trades: last prices, weighted by recency, bounded by nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.bases import distributions_from_trades
from kalshi_assets.core.distribution import DistributionConfig, DistributionTables, build_distributions
from kalshi_assets.core.tables import TABLES
from kalshi_assets.core.trade_prices import trade_prices
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.ladder_oracles import unbounded_decreasing
from kalshi_assets_tests.core.ladder_rows import (
    AS_OF,
    EVENT,
    EVENT_DATE,
    LISTED,
    SERIES,
    contract,
    snapshots_table,
    specs_of,
    thresholds,
)

TRADES = DistributionConfig(basis="trades")
DAY = timedelta(days=1)


def trade(
    ticker: str, cents: int, *, age: timedelta = timedelta(hours=1), known: datetime | None = None, n: int = 0
) -> dict[str, Any]:
    return {
        "event_ticker": EVENT, "series_ticker": SERIES, "event_date": EVENT_DATE, "ticker": ticker,
        "trade_id": f"{ticker}-{age}-{n}", "sequence": n, "ts": AS_OF - age, "known_at": known or AS_OF - age,
        "yes_price_usd": Decimal(cents) / 100, "count_contracts": Decimal(3),
    }  # fmt: skip


def table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=TABLES["trades"].schema)


def built(
    rows: Sequence[dict[str, Any]], contracts: Sequence[dict[str, Any]], config: DistributionConfig = TRADES
) -> DistributionTables:
    return build_distributions(specs_of(contracts), table(rows), snapshots_table(), config)


def curve(tables: DistributionTables) -> list[float]:
    return [r["repaired_prob"] for r in tables.rungs.to_pylist()]


STRIKES = (0.0, 0.1, 0.2, 0.3)
LADDER = thresholds(STRIKES)
NAMES = [c["ticker"] for c in LADDER]


def test_a_coherent_ladder_keeps_its_last_prices() -> None:
    tables = built([trade(t, p) for t, p in zip(NAMES, (90, 60, 30, 10), strict=True)], LADDER)
    found = tables.distributions.to_pylist()[0]
    assert curve(tables) == pytest.approx([0.9, 0.6, 0.3, 0.1])
    # E[X] = 0.0 + 0.1 * sum of survival, the lower tail on the lowest strike
    assert found["mean"] == pytest.approx(0.1 * (0.9 + 0.6 + 0.3 + 0.1))
    assert found["basis"] == "trades"
    assert (found["n_live"], found["n_two_sided"]) == (4, 0)
    assert found["mean_low"] is found["median_spread_usd"] is None
    assert found["gate_reason"] is None


def test_an_event_has_its_rows_whether_or_not_it_ever_trades() -> None:
    """Else a trade ten minutes before the release would make rows appear that are as of an hour before it."""
    times = [AS_OF - timedelta(days=1), AS_OF - timedelta(hours=1), AS_OF]
    snapshots = pa.concat_tables([snapshots_table(times), snapshots_table(times[:1], horizon="daily")])
    late = trade(NAMES[1], 60, age=timedelta(minutes=5))
    never, at_last = (
        distributions_from_trades(specs_of(LADDER), table(rows), snapshots, DistributionConfig())
        for rows in ([], [late])
    )
    assert never["as_of"].to_pylist() == at_last["as_of"].to_pylist() == times
    assert never["mean"].null_count == 3
    assert never.slice(0, 2).equals(at_last.slice(0, 2))
    assert at_last["n_live"].to_pylist() == [0, 0, 1]


def test_an_upside_down_ladder_is_flagged() -> None:
    found = built([trade(t, p) for t, p in zip(NAMES, (5, 30, 60, 95), strict=True)], LADDER).distributions.to_pylist()[
        0
    ]
    # pooled to 0.475 throughout: 42.5, 17.5, 12.5 and 47.5 cents away from the four prices
    assert found["repair_cost_usd"] == pytest.approx(1.2)
    assert found["mean"] is not None
    assert "non_monotone" in found["quality_flags"]
    small = built([trade(t, p) for t, p in zip(NAMES, (90, 60, 63, 10), strict=True)], LADDER)
    assert "non_monotone" not in small.distributions.to_pylist()[0]["quality_flags"]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -0.2, 1.7])
def test_a_price_that_is_none_is_flagged(wrong: float) -> None:
    rows = table([trade(t, p) for t, p in zip(NAMES, (90, 60, 30, 10), strict=True)])
    place = rows.column_names.index("yes_price_usd")
    rows = rows.set_column(place, "yes_price_usd", pa.array([0.9, wrong, 0.3, 0.1]))
    found = build_distributions(specs_of(LADDER), rows, snapshots_table(), TRADES).distributions.to_pylist()[0]
    assert (found["n_live"], "invalid_price" in found["quality_flags"]) == (3, True)


def test_a_rise_is_pooled_by_recency() -> None:
    # 0.5 is an hour old, 0.7 is a day old: weights 1/(0.25 + 1/24) and 1/(0.25 + 1).
    rows = [trade(NAMES[0], 90), trade(NAMES[1], 50), trade(NAMES[2], 70, age=DAY), trade(NAMES[3], 10)]
    fresh, old = 1 / (0.25 + 1 / 24), 1 / 1.25
    pooled = (fresh * 0.5 + old * 0.7) / (fresh + old)
    tables = built(rows, LADDER)
    assert curve(tables) == pytest.approx([0.9, pooled, pooled, 0.1])
    assert [r["weight"] for r in tables.rungs.to_pylist()] == pytest.approx([fresh, fresh, old, fresh])
    assert [r["yes_bid_prob"] for r in tables.rungs.to_pylist()] == [None] * 4
    found = tables.distributions.to_pylist()[0]
    assert (found["violations_pre"], found["violations_post"], found["executable_arbitrage"]) == (1, 0, False)
    alike = built(rows, LADDER, replace(TRADES, trade_fresh_days=1e9))
    assert curve(alike) == pytest.approx([0.9, 0.6, 0.6, 0.1])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 99), st.integers(0, 20 * 24)), min_size=3, max_size=9))
def test_it_is_weighted_isotonic_regression(prices: list[tuple[int, int]]) -> None:
    contracts = thresholds([0.1 * k for k in range(len(prices))])
    rows = [
        trade(c["ticker"], p, age=timedelta(hours=h))
        for c, (p, h) in zip(contracts, prices, strict=True)
        if timedelta(hours=h) < AS_OF - LISTED
    ]
    if len(rows) < 3:
        return
    tables = built(rows, contracts)
    kept = [r for r in tables.rungs.to_pylist() if r["mid_prob"] is not None]
    target, weight = (np.array([r[c] for r in kept]) for c in ("mid_prob", "weight"))
    assert [r["repaired_prob"] for r in kept] == pytest.approx(unbounded_decreasing(target, weight), abs=1e-9)


def test_of_trades_of_one_instant_the_last_counts_and_all_volume() -> None:
    rows = [trade(NAMES[0], 90, n=2), trade(NAMES[0], 80, n=1), trade(NAMES[0], 70, age=DAY)]
    found = trade_prices(table(rows)).to_pylist()
    assert [(r["yes_bid_close_usd"], r["volume_contracts"]) for r in found] == [
        (Decimal("0.7"), Decimal(3)),
        (Decimal("0.9"), Decimal(6)),
    ]


def test_a_trade_that_is_corrected_changes_its_instant_from_then_on() -> None:
    then, last = AS_OF + timedelta(minutes=2), AS_OF + timedelta(minutes=7)
    first, second = trade(NAMES[0], 80, n=1), trade(NAMES[0], 90, n=2)
    rows = [
        first,
        second,
        {**first, "known_at": then, "yes_price_usd": Decimal("0.10"), "count_contracts": Decimal(5)},
        {**second, "known_at": last, "yes_price_usd": Decimal("0.20")},
        trade(NAMES[1], 50),
    ]
    found = [r for r in trade_prices(table(rows)).to_pylist() if r["ticker"] == NAMES[0]]
    # What was last in the instant stays last: only the volume changes with the trade before it.
    assert [(r["known_at"], r["yes_bid_close_usd"], r["volume_contracts"]) for r in found] == [
        (first["known_at"], Decimal("0.9"), Decimal(6)),
        (then, Decimal("0.9"), Decimal(8)),
        (last, Decimal("0.2"), Decimal(8)),
    ]
    assert {r["ts"] for r in found} == {first["ts"]}


def test_a_trade_that_was_not_known_yet_is_not_seen() -> None:
    rows = [trade(t, p) for t, p in zip(NAMES, (90, 60, 30, 10), strict=True)]
    late = trade(NAMES[1], 85, age=timedelta(minutes=5), known=AS_OF + timedelta(microseconds=1))
    assert built([*rows, late], LADDER).distributions.equals(built(rows, LADDER).distributions)
    in_time = {**late, "known_at": AS_OF}
    assert not built([*rows, in_time], LADDER).distributions.equals(built(rows, LADDER).distributions)


def test_bins_of_trades_sum_to_one() -> None:
    bins = [
        contract("A", "less", cap=0.1),
        contract("B", "between", floor=0.1, cap=0.1),
        contract("C", "between", floor=0.2, cap=0.2),
        contract("D", "greater", floor=0.2),
    ]
    tables = built([trade(t, p) for t, p in zip("ABCD", (20, 30, 40, 30), strict=True)], bins)
    found = tables.distributions.to_pylist()[0]
    assert sum(found["probability"]) == pytest.approx(1.0)
    assert sum(curve(tables)) == pytest.approx(1.0)
    assert found["renormalization_delta"] == pytest.approx(0.2)


def test_less_and_greater_are_one_law() -> None:
    greater = built([trade(t, p) for t, p in zip(NAMES, (90, 60, 30, 10), strict=True)], LADDER)
    less = [contract(f"L{i}", "less_or_equal", cap=s) for i, s in enumerate(STRIKES)]
    falling = built([trade(f"L{i}", p) for i, p in enumerate((10, 40, 70, 90))], less)
    assert falling.distributions["mean"].to_pylist() == pytest.approx(greater.distributions["mean"].to_pylist())


def test_no_trades_and_old_trades_withhold_the_law() -> None:
    assert built([], LADDER).distributions["gate_reason"].to_pylist() == ["no_quotes"]
    old = [trade(t, 50, age=timedelta(days=31)) for t in NAMES]
    assert built(old, LADDER).distributions["gate_reason"].to_pylist() == ["stale_quotes"]


def test_what_is_not_a_basis_or_not_a_trade_is_refused() -> None:
    with pytest.raises(DomainError, match="basis 'books'"):
        built([], LADDER, DistributionConfig(basis="books"))
    with pytest.raises(DomainError, match="no column yes_price_usd"):
        trade_prices(table([]).drop(["yes_price_usd"]))
