"""Scoring what a lake holds: both tables as one transaction, done over when the data change, cut at a time."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from kalshi_assets.core.forecast_scores import LEAST_DATES
from kalshi_assets.errors import StoreError, UsageError
from kalshi_assets.stages import forecast_scores as stage
from kalshi_assets.stages.forecast_scores import (
    last_horizons,
    published_scores,
    score_forecasts,
    scores_of,
    short_scores,
)
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.snapshots import newest_snapshot, published, record_snapshot
from kalshi_assets_tests.core.event_rows import table
from kalshi_assets_tests.core.forecast_rows import HOUR, contract, label, law, printed, release, rung
from kalshi_assets_tests.stages.test_whole_stages import context

N = LEAST_DATES + 2
OUTPUTS = ("forecast_errors", "forecast_scores")


@pytest.fixture
def lake(tmp_path):
    rng, lake = np.random.default_rng(2), Lake(tmp_path)
    laws, rungs = [], []
    for i in range(N):
        mass = rng.dirichlet(np.ones(3)).tolist()
        for horizon in ("1d", "5min"):
            laws.append(law(i, [3.0, 3.1, 3.2], mass, horizon=horizon))
            rungs.append(rung(i, "T3.0", mass[1] + mass[2], horizon=horizon))
    prints = [3.0 + 0.1 * int(rng.integers(0, 3)) for _ in range(N)]
    given = {
        "series": [{"series_ticker": "KXCPIYOY", "ts": release(0), "known_at": release(0)}],
        "macro_observations": [printed(release(i), value, release(i)) for i, value in enumerate(prints)],
        "labels": [label(i, value) for i, value in enumerate(prints)],
        "contracts": [contract(i, "T3.0", "yes" if value > 3.05 else "no") for i, value in enumerate(prints)],
        "distributions": laws,
        "distribution_rungs": rungs,
    }
    for name, rows in given.items():
        lake.upsert(name, table(name, rows), run_id="seed")
    return lake


def versions(lake):
    return {name: lake.version(name) for name in OUTPUTS}


def test_both_tables_hold_what_was_scored_and_readers_see_them(lake):
    scored = score_forecasts(context(lake))
    seen = published(lake)
    assert newest_snapshot(lake).stage == "forecast_scores"
    assert seen.read("forecast_errors").num_rows == scored.errors.num_rows == 2 * N
    day, five = seen.read("forecast_scores").sort_by("horizon").to_pylist()
    assert (day["horizon"], five["horizon"]) == ("1d", "5min")
    assert (day["n"], day["n_rungs"], day["last_print_n"]) == (N, N, N - 1)
    assert day["crps_low"] < day["crps"] < day["crps_high"]
    assert day["crps"] == pytest.approx(pc.mean(scored.errors["crps"]).as_py())
    # What a table says can be had from the rows behind it.
    rows = seen.read("forecast_errors").filter(pc.equal(seen.read("forecast_errors")["horizon"], "1d")).to_pylist()
    assert day["mae_median"] == pytest.approx(sum(abs(r["median"] - r["outcome"]) for r in rows) / N)


def test_a_traded_series_has_its_contracts_scored_too(lake):
    laws = lake.read("distributions")
    traded = laws.set_column(laws.column_names.index("basis"), "basis", pa.array(["trades"] * laws.num_rows))
    for name in ("distributions", "trade_distributions"):
        lake.upsert(name, traded, run_id="traded")
    day = next(r for r in scores_of(lake).scores.to_pylist() if r["horizon"] == "1d")
    assert (day["basis"], day["n"], day["n_rungs"]) == ("trades", N, N)
    assert day["brier"] is not None


def test_one_outcome_that_came_early_leaves_the_others_their_scores(lake):
    assert scores_of(lake).known_beforehand == 0
    early = {"settled_lo": 3.1, "settled_hi": 3.1, "settlement_learned_at": release(4) - 2 * 24 * HOUR}
    lake.upsert("labels", table("labels", [label(4, None, **early)]), run_id="early")
    scored = score_forecasts(context(lake))
    assert scored.known_beforehand == 2
    assert {r["horizon"]: r["n"] for r in scored.scores.to_pylist()} == {"1d": N - 1, "5min": N - 1}


def test_the_same_data_score_the_same_and_write_nothing(lake):
    score_forecasts(context(lake))
    before = versions(lake)
    score_forecasts(context(lake, "again"))
    assert versions(lake) == before


def test_what_is_withdrawn_is_scored_no_more(lake):
    score_forecasts(context(lake))
    last = release(N - 1).date()
    empty = table("labels", [])
    lake.replace("labels", empty, scope=Scope([last]), run_id="withdrawn")
    score_forecasts(context(lake, "again"))
    assert last not in lake.event_dates("forecast_errors")
    assert lake.event_dates("forecast_scores") == [release(N - 2).date()]
    assert lake.read("forecast_scores")["n"].to_pylist() == [N - 1, N - 1]


def test_a_scoring_that_breaks_off_leaves_nothing(lake, monkeypatch):
    score_forecasts(context(lake))
    before = {name: lake.read(name) for name in OUTPUTS}
    lake.upsert("labels", table("labels", [label(0, 3.9, learned_at=release(0) + HOUR)]), run_id="seed")

    def broken(*_, **__):
        raise StoreError("no room")

    monkeypatch.setattr(stage, "record_snapshot", broken)
    with pytest.raises(StoreError):
        score_forecasts(context(lake, "broken"))
    assert {name: lake.read(name) for name in OUTPUTS} == before


def test_as_of_a_time_nothing_later_counts(lake):
    (row,) = (
        scores_of(lake, as_of=release(5)).scores.filter(pc.equal(scores_of(lake).scores["horizon"], "1d")).to_pylist()
    )
    assert (row["n"], row["event_date"], row["known_at"]) == (6, release(5).date(), release(5))
    # Contracts settle an hour after the release.
    assert row["n_rungs"] == 5
    # A later change of what was known leaves the earlier answer alone.
    before = scores_of(lake, as_of=release(5)).scores
    lake.upsert("labels", table("labels", [label(0, 3.9, learned_at=release(5) + HOUR)]), run_id="later")
    lake.upsert(
        "macro_observations", table("macro_observations", [printed(release(3), 9.9, release(6))]), run_id="later"
    )
    assert scores_of(lake, as_of=release(5)).scores == before
    assert scores_of(lake).scores != scores_of(lake, as_of=release(5)).scores


def test_a_consensus_that_is_handed_in_is_compared(lake):
    rows = [
        {"event_ticker": f"KXCPIYOY-{i:03d}", "consensus": 3.1, "known_at": release(i) - 40 * HOUR} for i in range(8)
    ]
    found = scores_of(lake, consensus=pa.Table.from_pylist(rows)).scores.to_pylist()
    assert [r["consensus_n"] for r in found] == [8, 8]
    assert all(r["consensus_dm_crps"] is not None for r in found)


def test_what_a_person_is_shown(lake):
    rows = published_scores(lake)
    assert short_scores(rows).column_names[:4] == ["series_ticker", "basis", "horizon", "n"]
    (last,) = last_horizons(rows)
    assert last["horizon"] == "5min"
    assert published_scores(lake, series=("KXCPIYOY",)) == rows
    record = {"stage": "s", "run_id": "r", "code_version": "1", "config_hash": "c"}
    then = record_snapshot(lake, **record)
    lake.upsert("labels", table("labels", [label(0, 9.9, learned_at=release(N))]), run_id="later")
    record_snapshot(lake, **record)
    assert published_scores(lake) != published_scores(lake, snapshot=then) == rows
    with pytest.raises(UsageError, match="holds no series KXNONE; it has KXCPIYOY"):
        published_scores(lake, series=("KXNONE",))
