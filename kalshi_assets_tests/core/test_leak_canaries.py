"""No canary misses by bad luck, however little there is of the future."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from kalshi_assets.core.columns import micros_of
from kalshi_assets.core.leak_canaries import row_order, tomorrows_outcome
from kalshi_assets.core.leak_perturbations import Cut, scrambled, shuffled
from kalshi_assets.core.leak_values import made_up
from kalshi_assets.core.tables import TABLES

NOW = datetime(2024, 6, 12, 12, tzinfo=UTC)
CUT = Cut(pa.array(["KXFED-24JUN"]), np.array([micros_of(NOW)]))
SEEDS = range(1500)


def quotes(n_known: int, n_future: int) -> pa.Table:
    rows = [
        {"event_ticker": "KXFED-24JUN", "series_ticker": "KXFED", "event_date": NOW.date(), "ticker": f"K-T{i}",
         "source": "candle", "period_s": 3600, "ts": at, "known_at": at, "yes_bid_close_usd": Decimal("0.42"),
         "yes_ask_close_usd": Decimal("0.45")}
        for i, at in enumerate(NOW + timedelta(hours=h) for h in range(-n_known, n_future) if h or n_known == 0)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=TABLES["quotes"].schema)


@pytest.mark.parametrize("n_future", [1, 2])
def test_a_future_with_other_values_always_changes_its_canary(n_future):
    inputs = {"quotes": quotes(3, n_future + 1).select(
        ["event_ticker", "series_ticker", "event_date", "ticker", "source", "period_s", "ts", "known_at",
         "yes_bid_close_usd"])}  # fmt: skip
    before = tomorrows_outcome(inputs, CUT)
    missed = 0
    for seed in SEEDS:
        changed = scrambled(inputs, CUT, np.random.default_rng(seed))
        assert changed.touched.all()
        missed += int((tomorrows_outcome(changed.inputs, CUT) == before).sum())
    assert missed == 0


def test_a_made_up_number_is_never_the_one_that_was_there():
    table = pa.table(
        {
            "price_usd": pa.array([Decimal("0.99"), Decimal("0.01"), Decimal("0.304"), None], pa.decimal128(7, 6)),
            "odds_prob": pa.array([0.29, 0.57, 1.0, None]),
            "whole": pa.array([-40, 39, 0, None]),
            "strict": pa.array([True, False, True, None]),
        }
    )
    for seed in SEEDS:
        made = made_up("a user's own", table, np.random.default_rng(seed))
        for name in table.column_names:
            was, now = table[name].to_pylist(), made[name].to_pylist()
            assert not any(a == b for a, b in zip(was, now, strict=True)), name
        assert all(0 < p < 1 for p in [*made["price_usd"].to_pylist(), *made["odds_prob"].to_pylist()])


@pytest.mark.parametrize("n_rows", [2, 3])
def test_another_order_of_few_rows_always_changes_its_canary(n_rows):
    inputs = {"quotes": quotes(0, n_rows)}
    before = row_order(inputs, CUT)
    for seed in SEEDS[:100]:
        changed = shuffled(inputs, CUT, np.random.default_rng(seed)).inputs
        assert row_order(changed, CUT) != before
        assert sorted(changed["quotes"]["ticker"].to_pylist()) == sorted(inputs["quotes"]["ticker"].to_pylist())
