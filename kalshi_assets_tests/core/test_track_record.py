"""Performance, stability and forecast scores on cases worked by hand."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from kalshi_assets.core.columns import micros_of
from kalshi_assets.core.forecast_record import ForecastRecord
from kalshi_assets.core.promotion_gates import at_least, at_most, ranking_score, word_of
from kalshi_assets.core.regime_record import RegimeRecord
from kalshi_assets.core.track_record import (
    block_means,
    capacity_utilization,
    event_type_stability,
    performance,
    track_record,
)
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.promotion_case_files import case, day_of, pnl_table
from kalshi_assets_tests.core.synthetic_events import released, rows_of


def test_performance_by_hand() -> None:
    # 2 % of the bankroll at risk an event, ten days apart.
    result = performance(track_record(pnl_table(np.array([0.5, -1.0, 1.0, 0.0]))))
    values = np.array([0.01, -0.02, 0.02, 0.0])
    assert result.n_trades == 4
    assert result.win_rate == 0.5
    assert result.profit_factor == pytest.approx(1.5)
    assert result.max_drawdown == pytest.approx(-0.02)
    assert result.worst_event_loss == pytest.approx(-0.02)
    per_year = 3 / (30 / 365.25)
    assert result.dates_per_year == pytest.approx(per_year)
    assert result.sharpe == pytest.approx(values.mean() / values.std(ddof=1) * math.sqrt(per_year))
    assert result.annual_return == pytest.approx((1.01 * 0.98 * 1.02) ** (per_year / 4) - 1)


def test_abstentions_are_events_but_not_trades() -> None:
    rows = pnl_table(np.array([0.5, 0.5, -0.2])).to_pylist()
    rows[1] |= {"n_trades": 0, "return": None}
    record = track_record(pa.Table.from_pylist(rows, schema=pnl_table(np.zeros(1)).schema))
    result = performance(record)
    assert (result.n_events, result.n_trades, len(result.dates)) == (3, 2, 2)


def test_a_missing_return_of_a_traded_event_spoils_everything() -> None:
    result = performance(track_record(pnl_table(np.array([0.5, np.nan, 0.1]))))
    assert result.n_trades == 3
    assert all(math.isnan(v) for v in (result.sharpe, result.win_rate, result.max_drawdown, result.sample.sharpe))


def test_lossless_and_ruined_records() -> None:
    assert performance(track_record(pnl_table(np.array([0.1, 0.2])))).profit_factor == 99.0
    ruined = pnl_table(np.array([-1.0, 0.1]), capital_fraction=1.0)
    assert performance(track_record(ruined)).annual_return == -1.0
    assert performance(track_record(ruined)).max_drawdown == -1.0


def test_blocks_join_a_short_tail() -> None:
    record = track_record(pnl_table(np.arange(45) / 45))
    assert len(block_means(record, 20)) == 2
    assert len(block_means(track_record(pnl_table(np.zeros(0))), 20)) == 0
    assert block_means(track_record(pnl_table(np.array([1.0] * 20 + [-1.0] * 20))), 20) == pytest.approx([0.02, -0.02])


def test_event_type_stability_by_hand() -> None:
    record = track_record(pnl_table(np.array([1.0, -1.0, 1.0, -1.0])))
    # Types alternate, so their means are +-0.02 and all returns have standard deviation 0.02.
    assert event_type_stability(record) == pytest.approx(math.exp(-1))
    assert event_type_stability(track_record(pnl_table(np.array([1.0, 0.2]), event_type="CPI"))) == 1.0


def test_capacity_is_capital_over_absorbable_dollars() -> None:
    record = track_record(pnl_table(np.zeros(3), capacity_usd=400.0))
    assert capacity_utilization(record, 10_000) == pytest.approx(0.5)
    assert math.isnan(capacity_utilization(track_record(pnl_table(np.zeros(3), capacity_usd=None)), 10_000))


def test_duplicate_events_are_refused() -> None:
    with pytest.raises(DomainError, match="occurs twice"):
        track_record(pa.concat_tables([pnl_table(np.zeros(2))] * 2))


def test_regimes_by_hand() -> None:
    tickers = np.array([f"E{i}" for i in range(8)], dtype=object)
    at = released(day_of(0))
    key = {"series_ticker": "S", "event_date": day_of(0), "horizon": "1d", "as_of": at, "release_time": at}
    rows = [
        {**key, "ts": at, "known_at": at, "inputs_known_at": at, "event_ticker": t}
        | {"inflation_regime": "high" if i < 4 else "low", "policy_regime": "neutral", "volatility_regime": "unknown"}
        for i, t in enumerate(tickers)
    ]
    # Laid anew after the release moved: what was decided before keeps the tag of its own time.
    moved = {"as_of": at + timedelta(days=9), "mapping_version": "v2", "inflation_regime": "moderate"}
    rows += [{**rows[0], **moved}]
    decided = np.full(8, micros_of(at))
    record = RegimeRecord(rows_of("feature_panel", rows), tickers, decided, "1d")
    everything = np.ones(8, dtype=bool)
    scores = record.scores(everything, everything, np.array([3.0] * 4 + [-1.0] * 4), 3)
    # Means 3 and -1: standard deviation 2, mean absolute value 2. Positive: high and neutral, not low.
    assert scores.stability == pytest.approx(math.exp(-1))
    assert scores.positive_fraction == pytest.approx(2 / 3)
    assert math.isnan(record.scores(~everything, everything, np.zeros(8), 3).stability)


def test_forecast_scores_by_hand_and_their_cut() -> None:
    made = case(0.1, n=30)
    rows = made.predictions.to_pylist()
    prints = [r["first_print"] for r in made.labels.to_pylist()]
    for row, value in zip(rows, prints, strict=True):
        row["prediction"] = 3 + 0.5 * (value - 3)
    record = ForecastRecord(rows_of("predictions", rows), made.labels, model="ridge", horizon="1d")
    scores = record.scores(micros_of(released(day_of(29)) + timedelta(days=1)))
    assert scores.n == 30
    assert scores.correlation == pytest.approx(1.0)
    assert scores.hit_rate == 1.0
    assert scores.skill == pytest.approx(0.75)
    learned = released(day_of(9)) + timedelta(seconds=1)
    assert record.scores(micros_of(learned)).n == 10
    assert record.scores(micros_of(learned) - 1).n == 9
    assert math.isnan(record.scores(0).correlation)


def test_a_print_learned_before_the_forecast_is_an_error() -> None:
    made = case(0.1, n=5)
    early = released(day_of(0)) - timedelta(days=2)
    rows = made.labels.to_pylist()
    rows[0] |= {"known_at": early, "first_print_learned_at": early}
    record = ForecastRecord(made.predictions, rows_of("labels", rows), model="ridge", horizon="1d")
    with pytest.raises(DomainError, match="before the forecast"):
        record.scores(micros_of(released(day_of(4))))


def test_gates_fail_on_nan_and_pass_on_the_threshold() -> None:
    assert at_least("x", "performance", 1.0, 1.0).passed
    assert at_most("x", "performance", 1.0, 1.0).passed
    for gate in (at_least("x", "performance", math.nan, 0.0), at_most("x", "performance", math.nan, 0.0)):
        assert (gate.passed, gate.reason) == (False, "x_unavailable")
    assert at_least("x", "performance", 0.0, 1.0, reason="why").reason == "why"
    assert word_of([]) == "insufficient_evidence"


def test_score_weights() -> None:
    gates = [at_least(name, "performance", 1.0, 0.0) for name in ("dsr_pvalue", "mc_pvalue", "pbo", "spa_pvalue")]
    metrics = {
        "sharpe": 1.0, "annual_return": 0.1, "win_rate": 0.6, "profit_factor": 9.0, "trades": 500.0,
        "max_drawdown": -0.9, "wf_oos_corr": 0.2, "regime_positive_fraction": 0.5, "fold_consistency": math.nan,
    }  # fmt: skip
    expected = 1.3 + 0.08 + 0.21 + 1.0 + 0.025 - 0.4 + 0.15 + 0.2 + 0.5 + 0.45 + 0.35 + 0.4
    assert ranking_score(metrics, gates) == pytest.approx(expected)
