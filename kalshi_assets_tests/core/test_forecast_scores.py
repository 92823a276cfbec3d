"""Averages, intervals and tests over forecasts, against sums by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import bootstrap, ttest_1samp

from kalshi_assets.core.forecast_benchmarks import CONSENSUS
from kalshi_assets.core.forecast_errors import forecast_errors, named_forecasts
from kalshi_assets.core.forecast_outcomes import outcomes_of
from kalshi_assets.core.forecast_scores import LEAST_DATES, forecast_scores
from kalshi_assets.core.rung_forecasts import RUNG_FORECASTS, rung_forecasts
from kalshi_assets.core.tables import TABLES
from kalshi_assets_tests.core.event_rows import table
from kalshi_assets_tests.core.forecast_rows import HOUR, contract, label, law, no_prints, release, rung

N = 24


def made(n: int = N, series: str = "KXCPIYOY", horizon: str = "1d") -> tuple[pa.Table, pa.Table]:
    """n events of one series with random laws on five tenths, and their outcomes; a consensus for the first ten."""
    rng = np.random.default_rng(12)
    forecasts, labels, consensus = [], [], []
    for i in range(n):
        start = int(rng.integers(20, 40))
        mass = rng.dirichlet(np.ones(5))
        forecasts.append(law(i, [(start + k) / 10 for k in range(5)], mass.tolist(), series=series, horizon=horizon))
        labels.append(label(i, (start + int(rng.integers(-1, 6))) / 10, series=series))
        if i < 10:
            at = release(i) - 40 * HOUR
            consensus.append(
                {"event_ticker": labels[-1]["event_ticker"], "consensus": (start + 2) / 10, "known_at": at}
            )
    known = table("labels", labels)
    named = named_forecasts(table("distributions", forecasts), known)
    said = pa.Table.from_pylist(consensus, schema=CONSENSUS)
    return forecast_errors(named, outcomes_of(known), no_prints(), consensus=said), named


def scores(errors: pa.Table, rungs: pa.Table | None = None) -> list[dict[str, Any]]:
    found = forecast_scores(errors, RUNG_FORECASTS.empty_table() if rungs is None else rungs, pit_seed=0)
    assert found.schema.equals(TABLES["forecast_scores"].schema)
    return list(found.to_pylist())


def column(errors: pa.Table, name: str) -> Any:
    return errors[name].to_numpy().astype(float)


def test_averages_equal_those_by_hand() -> None:
    errors, _ = made()
    (row,) = scores(errors)
    y = column(errors, "outcome")
    for point in ("mean", "median", "mode"):
        e = column(errors, point) - y
        assert row[f"mae_{point}"] == pytest.approx(np.abs(e).mean())
        assert row[f"rmse_{point}"] == pytest.approx(np.sqrt((e**2).mean()))
    assert row["crps"] == pytest.approx(column(errors, "crps").mean())
    assert row["crps_to_mae"] == pytest.approx(row["crps"] / row["mae_mean"])
    assert row["log_score"] == pytest.approx(column(errors, "log_score").mean())
    assert (row["pit_mean"], row["pit_std"]) == pytest.approx(
        (column(errors, "pit").mean(), column(errors, "pit").std(ddof=1))
    )
    assert (row["n_events"], row["n"], row["pit_seed"]) == (N, N, 0)
    assert (row["first_event_date"], row["event_date"]) == (release(0).date(), release(N - 1).date())
    assert row["known_at"] == row["ts"] == release(N - 1)


def test_intervals_are_those_of_the_bca_bootstrap() -> None:
    errors, _ = made()
    (row,) = scores(errors)
    crps, e = column(errors, "crps"), column(errors, "mean") - column(errors, "outcome")
    given = {
        "crps": ((crps,), lambda a, axis: a.mean(axis=axis)),
        "mae_mean": ((np.abs(e),), lambda a, axis: a.mean(axis=axis)),
        "rmse_mean": ((e**2,), lambda a, axis: np.sqrt(a.mean(axis=axis))),
        "crps_to_mae": ((crps, np.abs(e)), lambda a, b, axis: a.mean(axis=axis) / b.mean(axis=axis)),
    }
    for name, (data, statistic) in given.items():
        theirs = bootstrap(
            data, statistic, paired=len(data) > 1, vectorized=True, n_resamples=20_000, method="BCa",
            rng=np.random.default_rng(1),
        ).confidence_interval  # fmt: skip
        width = theirs.high - theirs.low
        assert row[f"{name}_low"] == pytest.approx(theirs.low, abs=0.08 * width), name
        assert row[f"{name}_high"] == pytest.approx(theirs.high, abs=0.08 * width), name


def test_too_few_releases_have_averages_but_no_interval() -> None:
    (few,), (enough,) = scores(made(LEAST_DATES - 1)[0]), scores(made(LEAST_DATES)[0])
    assert few["crps"] is not None
    assert few["crps_low"] is few["mae_median_high"] is few["crps_to_mae_low"] is None
    assert enough["crps_low"] < enough["crps"] < enough["crps_high"]


def test_events_of_one_date_are_one_observation() -> None:
    errors, _ = made()
    twins = errors.set_column(
        errors.schema.get_field_index("event_ticker"), errors.schema.field("event_ticker"),
        pa.array([f"{t}B" for t in errors["event_ticker"].to_pylist()]),
    )  # fmt: skip
    (alone,), (both,) = scores(errors), scores(pa.concat_tables([errors, twins]))
    assert both["n"] == 2 * alone["n"]
    for name in ("crps", "crps_low", "crps_high", "rmse_mode_low", "consensus_dm_absolute_p"):
        assert both[name] == pytest.approx(alone[name]), name


def test_gated_forecasts_count_as_events_only() -> None:
    errors, _ = made(3)
    blank = dict.fromkeys(("mean", "median", "mode", "crps", "log_score", "pit_low", "pit_high", "pit"))
    rows = errors.to_pylist()
    (row,) = scores(pa.Table.from_pylist([rows[0], rows[1], rows[2] | blank], schema=errors.schema))
    (two,) = scores(errors.slice(0, 2))
    assert (row["n_events"], row["n"]) == (3, 2)
    assert (row["crps"], row["mae_mean"]) == (two["crps"], two["mae_mean"])


def test_the_market_is_compared_on_the_events_that_both_know() -> None:
    errors, _ = made()
    (row,) = scores(errors)
    ten = errors.slice(0, 10)
    y, other = column(ten, "outcome"), np.abs(column(ten, "consensus") - column(ten, "outcome"))
    median, mean = np.abs(column(ten, "median") - y), column(ten, "mean") - y
    assert row["consensus_n"] == 10
    assert row["consensus_mae"] == pytest.approx(other.mean())
    assert row["consensus_market_mae_median"] == pytest.approx(median.mean())
    assert row["consensus_market_crps"] == pytest.approx(column(ten, "crps").mean())
    losses = {"absolute": median - other, "squared": mean**2 - other**2, "crps": column(ten, "crps") - other}
    for name, difference in losses.items():
        plain = ttest_1samp(difference, 0.0)
        assert row[f"consensus_dm_{name}"] == pytest.approx(plain.statistic)
        assert row[f"consensus_dm_{name}_p"] == pytest.approx(plain.pvalue)
    assert row["last_print_n"] == N - 1
    assert row["print_mean_12_n"] == N - 12


def test_series_and_horizons_are_apart_and_in_order() -> None:
    parts = [made(3, horizon=h)[0] for h in ("5min", "30d", "1d")] + [made(3, series="KXAAA", horizon="4h")[0]]
    found = scores(pa.concat_tables(parts))
    assert [(r["series_ticker"], r["horizon"]) for r in found] == [
        ("KXAAA", "4h"), ("KXCPIYOY", "30d"), ("KXCPIYOY", "1d"), ("KXCPIYOY", "5min"),
    ]  # fmt: skip


def test_contracts_are_scored_with_their_parts_even_where_no_outcome_is_a_point() -> None:
    _, named = made(2)
    rungs = table("distribution_rungs", [rung(0, "A", 0.8), rung(0, "B", 0.3), rung(1, "A", 0.6)])
    contracts = table("contracts", [contract(0, "A", "yes"), contract(0, "B", "no"), contract(1, "A", "no")])
    pairs = rung_forecasts(named, rungs, contracts, basis="quotes")
    (row,) = scores(TABLES["forecast_errors"].schema.empty_table(), pairs)
    assert (row["n_rungs"], row["n_events"], row["n"], row["crps"]) == (3, 0, 0, None)
    assert row["brier"] == pytest.approx((0.04 + 0.09 + 0.36) / 3)
    assert row["brier_uncertainty"] == pytest.approx(2 / 9)
    # Pooling leaves no error: the share of yes rises with the forecast.
    assert row["brier_discrimination"] == pytest.approx(2 / 9)
    assert row["brier_miscalibration"] == pytest.approx(row["brier"])
    assert row["known_at"] == release(1) + HOUR


def test_nothing_scored_is_an_empty_table() -> None:
    assert scores(TABLES["forecast_errors"].schema.empty_table()) == []
