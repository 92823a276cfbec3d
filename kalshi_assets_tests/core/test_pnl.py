"""Executable P&L: literal trades, settlement kinds, sizing, one row an event."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.ladder_survival import model_probabilities
from kalshi_assets.core.pnl import PNL_SCHEMA, event_pnl
from kalshi_assets.core.strategy import StrategyConfig
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.synthetic_events import FEATURES, released, rows_of, sample

DAY = date(2024, 6, 12)
RELEASE = released(DAY)
AS_OF = RELEASE - timedelta(days=1)
CONFIG = StrategyConfig(features=FEATURES, edge_threshold_usd=0.0)
KEY = {"event_ticker": "KXCPI-24JUN", "series_ticker": "KXCPI", "event_date": DAY}
SNAPSHOT = {**KEY, "horizon": "1d", "as_of": AS_OF, "release_time": RELEASE, "ts": AS_OF, "known_at": AS_OF}
# P(CPI > 0.1), > 0.2, > 0.3: masses .1 at 0.1 or less, .3 at 0.2, .4 at 0.3, .2 above.
LADDER = ((0.1, 2, 0.9), (0.2, 3, 0.6), (0.3, 4, 0.2))


def prediction(shift: float, **change: object) -> pa.Table:
    row = {**SNAPSHOT, "strategy_id": "s", "model": "ridge", "prediction": 0.27 + shift, "implied_mean": 0.27}
    return rows_of("predictions", [row | change])


def ladder(spread: float = 0.02, **change: object) -> pa.Table:
    return rows_of(
        "distribution_rungs",
        [
            {**SNAPSHOT, "ticker": f"T{strike}", "strike": strike, "lo_index": lo, "repaired_prob": p}
            | {"yes_bid_prob": p - spread / 2, "yes_ask_prob": p + spread / 2}
            | change
            for strike, lo, p in LADDER
        ],
    )


def outcomes(**by_ticker: dict) -> pa.Table:
    """Settlement an hour after the release; the print was 0.3 unless said otherwise."""
    default = {"T0.1": "yes", "T0.2": "yes", "T0.3": "no"}
    rows = []
    for ticker, result in default.items():
        listed = {**KEY, "ticker": ticker, "status": "active", "ts": AS_OF, "known_at": AS_OF - timedelta(days=9)}
        settled = {"status": "finalized", "known_at": RELEASE + timedelta(hours=1), "result": result}
        rows += [listed, {**listed, **settled, "volume_contracts": 1000} | by_ticker.get(ticker, {})]
    return rows_of("contracts", rows)


def series(fee_type: str | None = "quadratic", multiplier: float | None = 1.0) -> pa.Table:
    known = datetime.combine(DAY, datetime.min.time(), RELEASE.tzinfo) - timedelta(days=900)
    row = {"series_ticker": "KXCPI", "ts": known, "known_at": known, "event_type": "CPI"}
    return rows_of("series", [row | {"fee_type": fee_type, "fee_multiplier": multiplier}])


def trade(shift: float, *, config: StrategyConfig = CONFIG, **tables: pa.Table) -> dict:
    made = {"predictions": prediction(shift), "rungs": ladder(), "contracts": outcomes(), "series": series()} | tables
    table = event_pnl(**made, config=config)
    assert table.schema.equals(PNL_SCHEMA)
    return table.to_pylist()[0] if table.num_rows else {}


def fee(price: float, contracts: float = 1.0) -> float:
    return 0.07 * contracts * price * (1 - price)


def test_a_shift_of_one_tick_buys_each_rung_at_the_probability_of_the_one_below() -> None:
    moved = model_probabilities(
        np.zeros(3, dtype=np.int64), ladder(), shift=np.array([0.1]), series_ticker=np.array(["KXCPI"], dtype=object)
    )
    assert moved == pytest.approx([1.0, 0.9, 0.6])
    down = model_probabilities(
        np.zeros(3, dtype=np.int64), ladder(), shift=np.array([-0.1]), series_ticker=np.array(["KXCPI"], dtype=object)
    )
    assert down == pytest.approx([0.6, 0.2, 0.0])


def test_literal_trade_on_yes() -> None:
    row = trade(0.1)
    prices = [0.91, 0.61, 0.21]
    fees = sum(fee(p) for p in prices)
    assert row["n_trades"] == 3
    assert row["stake_usd"] == pytest.approx(sum(prices))
    assert row["fees_usd"] == pytest.approx(fees)
    assert row["pnl_usd"] == pytest.approx(2 - sum(prices) - fees)
    assert row["return"] == pytest.approx((2 - sum(prices) - fees) / (sum(prices) + fees))
    assert row["capital_fraction"] == 0.02
    assert row["capacity_usd"] == pytest.approx(0.05 * 1000 * sum(prices))
    assert (row["n_synthetic_no"], row["n_backdated_fees"], row["event_type"]) == (0, 0, "CPI")
    assert row["decided_at"] == AS_OF
    assert row["learned_at"] == RELEASE + timedelta(hours=1)


def test_literal_trade_on_no_pays_one_minus_the_bid() -> None:
    row = trade(-0.1)
    prices = [1 - 0.89, 1 - 0.59, 1 - 0.19]
    assert row["n_synthetic_no"] == row["n_trades"] == 3
    assert row["stake_usd"] == pytest.approx(sum(prices))
    assert row["pnl_usd"] == pytest.approx(1 - sum(prices) - sum(fee(p) for p in prices))


def test_without_a_view_nothing_is_bought_and_the_event_still_counts() -> None:
    row = trade(0.0)
    assert (row["n_trades"], row["stake_usd"], row["pnl_usd"], row["return"]) == (0, 0.0, 0.0, None)


def test_threshold_is_on_the_edge_after_fees() -> None:
    # A shift of 0.02 lifts the middle rung by 0.06: edge 0.06 - 0.01 - fee(0.61) = 0.033347.
    edge = 0.06 - 0.01 - fee(0.61)
    just_below = StrategyConfig(features=FEATURES, edge_threshold_usd=edge - 1e-6)
    just_above = StrategyConfig(features=FEATURES, edge_threshold_usd=edge + 1e-6)
    lone = ladder().slice(1, 1)
    whole = ladder().to_pylist()
    for row in (whole[0], whole[2]):
        row |= {"yes_bid_prob": None, "yes_ask_prob": None}
    quoted = rows_of("distribution_rungs", whole)
    assert trade(0.02, config=just_below, rungs=quoted)["n_trades"] == 1
    assert trade(0.02, config=just_above, rungs=quoted)["n_trades"] == 0
    # One rung alone is no distribution to shift.
    assert trade(0.02, config=just_below, rungs=lone)["n_trades"] == 0


@pytest.mark.parametrize(("bid", "ask"), [(0.0, 1.0), (None, None), (float("nan"), float("nan"))])
def test_missing_and_degenerate_quotes_are_not_tradable(bid: float | None, ask: float | None) -> None:
    for shift in (-0.2, 0.2):
        assert trade(shift, rungs=ladder(yes_bid_prob=bid, yes_ask_prob=ask))["n_trades"] == 0


def test_scalar_void_and_binary_settlement() -> None:
    prices, fees = [0.91, 0.61, 0.21], sum(fee(p) for p in (0.91, 0.61, 0.21))
    scalar = outcomes(
        **{"T0.2": {"result": "scalar", "outcome_type": "scalar", "settlement_value_usd": Decimal("0.25")}}
    )
    scalar_row = trade(0.1, contracts=scalar)
    assert scalar_row["pnl_usd"] == pytest.approx(1 + 0.25 - sum(prices) - fees)
    void = outcomes(**{"T0.2": {"result": "", "outcome_type": "void"}})
    assert trade(0.1, contracts=void)["pnl_usd"] == pytest.approx(1 + 0.61 - sum(prices) - fees)
    no_side = trade(-0.1, contracts=scalar)
    assert no_side["pnl_usd"] == pytest.approx(0 + 0.75 + 1 - (0.11 + 0.41 + 0.81) - fee(0.11) - fee(0.41) - fee(0.81))


@pytest.mark.parametrize("gap", [{"result": "", "outcome_type": None}, {"result": "scalar", "outcome_type": "scalar"}])
def test_an_unsettled_rung_leaves_the_event_out(gap: dict) -> None:
    assert trade(0.1, contracts=outcomes(**{"T0.1": gap})) == {}


def test_an_event_without_a_ladder_at_that_time_is_left_out() -> None:
    assert trade(0.1, rungs=ladder(as_of=AS_OF - timedelta(hours=1))) == {}
    assert trade(0.1, rungs=ladder(horizon="4h")) == {}


def test_a_later_edit_neither_postpones_nor_changes_the_outcome() -> None:
    edited = outcomes().to_pylist()
    edited += [
        {**row, "known_at": row["known_at"] + timedelta(days=400), "tier": "historical"}
        for row in edited
        if row["result"]
    ]
    assert trade(0.1, contracts=rows_of("contracts", edited)) == trade(0.1)


def test_a_ladder_settled_before_the_decision_is_an_error() -> None:
    early = outcomes(**{t: {"known_at": AS_OF - timedelta(hours=1)} for t in ("T0.1", "T0.2", "T0.3")})
    with pytest.raises(DomainError, match="settled before"):
        trade(0.1, contracts=early)


def test_unknown_fees_make_a_contract_untradable() -> None:
    assert trade(0.1, series=series(None))["n_trades"] == 0
    assert trade(0.1, series=series("quadratic", None))["n_trades"] == 0


def test_fee_rounding_follows_the_configuration() -> None:
    config = StrategyConfig(features=FEATURES, edge_threshold_usd=0.0, fee_rounding="cent_ceil")
    assert trade(0.1, config=config)["fees_usd"] == pytest.approx(0.01 + 0.02 + 0.02)


def test_kelly_stakes_the_fraction_of_the_edge_over_the_odds() -> None:
    config = StrategyConfig(features=FEATURES, edge_threshold_usd=0.0, kelly_fraction=0.1, capital_fraction=1.0)
    row = trade(0.1, config=config)
    stake = 0.0
    for price, p in zip((0.91, 0.61, 0.21), (1.0, 0.9, 0.6), strict=True):
        cost = price + fee(price)
        stake += 0.1 * (p - cost) / (1 - cost) * config.bankroll_usd
    assert row["stake_usd"] + row["fees_usd"] == pytest.approx(stake)
    assert row["capital_fraction"] == pytest.approx(stake / config.bankroll_usd)
    capped = StrategyConfig(features=FEATURES, edge_threshold_usd=0.0, kelly_fraction=0.1, capital_fraction=0.01)
    assert trade(0.1, config=capped)["capital_fraction"] == pytest.approx(0.01)


def test_bins_are_a_partition_of_the_same_distribution() -> None:
    shape = ((None, 1, 0.1, 0.1), (2, 2, 0.3, 0.2), (3, 3, 0.4, 0.3), (4, None, 0.2, 0.4))
    rows = [
        {**SNAPSHOT, "ticker": f"B{i}", "strike": strike, "lo_index": lo, "hi_index": hi, "repaired_prob": p}
        for i, (lo, hi, p, strike) in enumerate(shape)
    ]
    event, tickers = np.zeros(4, dtype=np.int64), np.array(["KXCPI"], dtype=object)
    for shift, masses in ((0.0, [0.1, 0.3, 0.4, 0.2]), (0.1, [0.0, 0.1, 0.3, 0.6]), (0.05, [0.05, 0.2, 0.35, 0.4])):
        moved = model_probabilities(
            event, rows_of("distribution_rungs", rows), shift=np.array([shift]), series_ticker=tickers
        )
        assert moved == pytest.approx(masses)
    rows[1]["hi_index"] = 3
    overlapping = model_probabilities(
        event, rows_of("distribution_rungs", rows), shift=np.array([0.0]), series_ticker=tickers
    )
    assert np.isnan(overlapping).all()


def test_less_than_ladders_are_the_mirror_image() -> None:
    rows = [
        {**SNAPSHOT, "ticker": f"L{lo}", "strike": strike, "lo_index": None, "hi_index": lo - 1, "repaired_prob": 1 - p}
        for strike, lo, p in LADDER
    ]
    moved = model_probabilities(
        np.zeros(3, dtype=np.int64),
        rows_of("distribution_rungs", rows),
        shift=np.array([0.1]),
        series_ticker=np.array(["KXCPI"], dtype=object),
    )
    assert moved == pytest.approx([0.0, 0.1, 0.4])


def test_tick_of_an_undescribed_series_comes_from_its_strikes() -> None:
    moved = model_probabilities(
        np.zeros(3, dtype=np.int64), ladder(), shift=np.array([0.1]), series_ticker=np.array(["KXNEW"], dtype=object)
    )
    assert moved == pytest.approx([1.0, 0.9, 0.6])


@settings(max_examples=60, deadline=None)
@given(shift=st.floats(-0.5, 0.5), bigger=st.floats(0, 0.3))
def test_a_larger_shift_never_lowers_a_survival_probability(shift: float, bigger: float) -> None:
    two = pa.concat_tables([ladder(), ladder()])
    moved = model_probabilities(
        np.repeat([0, 1], 3),
        two,
        shift=np.array([shift, shift + bigger]),
        series_ticker=np.array(["KXCPI"] * 2, object),
    )
    assert ((moved >= -1e-12) & (moved <= 1 + 1e-12)).all()
    assert (moved[3:] >= moved[:3] - 1e-9).all()
    assert (np.diff(moved[:3]) <= 1e-9).all()


def test_many_events_equal_each_event_alone() -> None:
    data = sample(6, edge=0.5, seed=1)
    rng = np.random.default_rng(0)
    rows = [
        {name: r[name] for name in SNAPSHOT}
        | {
            "strategy_id": "s",
            "model": "ridge",
            "prediction": r["mean"] + rng.normal(0, 0.1),
            "implied_mean": r["mean"],
        }
        for r in data.panel.to_pylist()
    ]
    together = event_pnl(
        rows_of("predictions", rows), data.rungs, data.contracts, data.series, config=CONFIG
    ).to_pylist()
    assert len(together) == 24
    for row in rows:
        alone = event_pnl(rows_of("predictions", [row]), data.rungs, data.contracts, data.series, config=CONFIG)
        match = next(r for r in together if r["event_ticker"] == row["event_ticker"])
        for name, value in alone.to_pylist()[0].items():
            assert match[name] == (pytest.approx(value) if isinstance(value, float) else value)


def test_horizon_rows_are_one_event() -> None:
    horizons = ("1d", "7d", "4h", "1h", "15min", "5min")
    data = sample(3, seed=2, horizons=horizons)
    rows = [
        {name: r[name] for name in SNAPSHOT}
        | {"strategy_id": "s", "model": "ridge", "prediction": r["mean"] + 0.1, "implied_mean": r["mean"]}
        for r in data.panel.to_pylist()
    ]
    assert len(rows) == 12 * 6
    table = event_pnl(rows_of("predictions", rows), data.rungs, data.contracts, data.series, config=CONFIG)
    assert table.num_rows == 12
    with pytest.raises(DomainError, match="Two predictions"):
        event_pnl(rows_of("predictions", rows[:1] * 2), data.rungs, data.contracts, data.series, config=CONFIG)


def test_no_predictions_give_an_empty_table() -> None:
    assert trade(0.1, predictions=prediction(0.1, model="market")) == {}
