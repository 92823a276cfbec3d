"""The walk-forward: purge as asserted by the original, independence of the future, trial counting, baselines."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from kalshi_assets.core.decision_panel import causal_scale, last_decisions, unit_power
from kalshi_assets.core.strategy import StrategyConfig
from kalshi_assets.core.tables import TABLES
from kalshi_assets.core.walk_forward import WalkForward, alpha_model, walk_forward
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.synthetic_events import FEATURES, Sample, rows_of, sample

CONFIG = StrategyConfig(features=FEATURES, alphas=(1.0, 10.0, 100.0))


@pytest.fixture(scope="module")
def data() -> Sample:
    return sample(30, edge=0.6, seed=3)


@pytest.fixture(scope="module")
def result(data: Sample) -> WalkForward:
    return walk_forward(data.panel, data.labels, test_dates=data.dates, config=CONFIG)


def only(table: pa.Table, **equal: object) -> pa.Table:
    for name, value in equal.items():
        table = table.filter(pc.equal(table[name], value))
    return table


def on(table: pa.Table, day: object) -> pa.Table:
    return only(table, event_date=pa.scalar(day, pa.date32()))


def test_tables_have_their_schemas_and_unique_keys(result: WalkForward) -> None:
    for name in ("folds", "predictions", "trials"):
        table = getattr(result, name)
        assert table.schema.equals(TABLES[name].schema)
        table.validate(full=True)
        keys = list(zip(*(table[c].to_pylist() for c in TABLES[name].key), strict=True))
        assert len(set(keys)) == len(keys) > 0


def test_no_train_event_inside_the_purge_window(result: WalkForward, data: Sample) -> None:
    kinds = {r["event_ticker"]: r["event_type"] for r in data.panel.to_pylist()}
    seen = {"train": 0, "purged": 0}
    tested: dict = {}
    for row in only(result.folds, role="test").to_pylist():
        tested.setdefault(row["event_date"], []).append(CONFIG.purge_days(kinds[row["event_ticker"]]))
    for row in result.folds.to_pylist():
        if row["role"] in seen:
            seen[row["role"]] += 1
            longest = max([*tested[row["event_date"]], CONFIG.purge_days(kinds[row["event_ticker"]])])
            clear = row["label_end"] <= row["ts"] - timedelta(days=longest)
            assert clear == (row["role"] == "train")
            assert row["label_end"] < row["ts"]
    assert min(seen.values()) > 0


def test_longer_purge_for_an_event_type_removes_training_events(data: Sample, result: WalkForward) -> None:
    longer = StrategyConfig(features=FEATURES, alphas=CONFIG.alphas, purge_days_by_event_type={"CPI": 14, "GDP": 21})
    folds = walk_forward(data.panel, data.labels, test_dates=data.dates[-20:], config=longer).folds
    days = pa.array(data.dates[-20:], pa.date32())
    before = result.folds.filter(pc.is_in(result.folds["event_date"], value_set=days))
    assert 0 < only(folds, role="train").num_rows < only(before, role="train").num_rows


def test_embargo_removes_the_newest_training_dates(data: Sample, result: WalkForward) -> None:
    config = StrategyConfig(features=FEATURES, alphas=CONFIG.alphas, embargo_events=3)
    day = data.dates[-1]
    with_embargo = walk_forward(data.panel, data.labels, test_dates=[day], config=config).folds
    kept = set(only(with_embargo, role="train")["event_ticker"].to_pylist())
    before = set(only(on(result.folds, day), role="train")["event_ticker"].to_pylist())
    gone = set(only(with_embargo, role="embargoed")["event_ticker"].to_pylist())
    assert kept | gone == before
    assert len(gone) >= 3


def test_same_release_date_never_trains(result: WalkForward, data: Sample) -> None:
    days = {r["event_ticker"]: r["event_date"] for r in data.panel.to_pylist()}
    for row in result.folds.to_pylist():
        assert (days[row["event_ticker"]] == row["event_date"]) == (row["role"] == "test")


def test_one_date_alone_equals_the_whole_run(data: Sample, result: WalkForward) -> None:
    for day in (data.dates[0], data.dates[45], data.dates[-1]):
        alone = walk_forward(data.panel, data.labels, test_dates=[day], config=CONFIG)
        for name in ("folds", "predictions", "trials"):
            assert getattr(alone, name).equals(on(getattr(result, name), day).combine_chunks())


def test_later_events_and_row_order_change_nothing(data: Sample, result: WalkForward) -> None:
    cut = data.dates[60]
    day = pa.scalar(cut, pa.date32())
    early_panel = data.panel.filter(pc.less_equal(data.panel["event_date"], day))
    early_labels = data.labels.filter(pc.less(data.labels["event_date"], day))
    order = pa.array(np.random.default_rng(0).permutation(early_panel.num_rows))
    alone = walk_forward(early_panel.take(order), early_labels, test_dates=[cut], config=CONFIG)
    for name in ("folds", "predictions", "trials"):
        assert getattr(alone, name).equals(on(getattr(result, name), cut).combine_chunks())


def test_scrambled_future_changes_nothing(data: Sample, result: WalkForward) -> None:
    cut = data.dates[60]
    rows = data.panel.to_pylist()
    noise = np.random.default_rng(1)
    for row in rows:
        if row["event_date"] > cut:
            row |= {name: noise.normal() * 1e3 for name in (*FEATURES, "mean", "std")}
    labels = data.labels.to_pylist()
    for row in labels:
        if row["event_date"] >= cut and row["first_print"] is not None:
            row["first_print"] += 50.0
    scrambled = walk_forward(rows_of("feature_panel", rows), rows_of("labels", labels), test_dates=[cut], config=CONFIG)
    assert scrambled.predictions.equals(on(result.predictions, cut).combine_chunks())
    assert scrambled.trials.equals(on(result.trials, cut).combine_chunks())


def test_a_release_that_moves_leaves_what_was_decided_before_and_counts_once(data: Sample, result: WalkForward) -> None:
    """The event of a date is put off after it was decided: that fold stays, and a later one tests it again."""
    due = data.dates[60]
    rows, labels = data.panel.to_pylist(), data.labels.to_pylist()
    (before,) = (r for r in rows if r["event_date"] == due)
    event, again, late = before["event_ticker"], due + timedelta(days=17), timedelta(days=17)
    times = {n: before[n] + late for n in ("as_of", "release_time", "ts", "known_at", "inputs_known_at")}
    rows.append(before | times | {"mapping_version": "v2", "mean": before["mean"] + 0.1})
    for row in rows:
        row["event_date"] = again if row["event_ticker"] == event else row["event_date"]
    for row in labels:
        if row["event_ticker"] == event and row["first_print"] is not None:
            row |= {n: row[n] + late for n in ("known_at", "first_print_learned_at")}
    moved = walk_forward(
        rows_of("feature_panel", rows), rows_of("labels", labels), test_dates=[*data.dates, again], config=CONFIG
    )
    told = before["as_of"] + timedelta(hours=3)
    for name in ("folds", "predictions"):
        then = pc.less(getattr(moved, name)["known_at"], told)
        expected = getattr(result, name)
        assert getattr(moved, name).filter(then).equals(expected.filter(pc.less(expected["known_at"], told)))
    mine = only(moved.folds, event_ticker=event)
    assert only(mine, role="test")["event_date"].to_pylist() == [due, again]
    assert len(set(mine["event_date"].to_pylist())) == mine.num_rows
    trained = only(mine, role="train")
    assert trained.num_rows > 3
    assert set(trained["label_start"].to_pylist()) == {before["as_of"] + late}
    decided = only(moved.predictions, event_ticker=event, model="ridge")
    assert decided["event_date"].to_pylist() == [due, again]
    last = last_decisions(moved.predictions)
    assert only(last, event_ticker=event, model="ridge")["as_of"].to_pylist() == [before["as_of"] + late]
    assert last.num_rows < moved.predictions.num_rows


def test_every_fit_is_a_trial_and_one_is_selected(result: WalkForward) -> None:
    fits = only(result.trials, model="ridge")
    folds = len(set(fits["event_date"].to_pylist()))
    assert fits.num_rows == folds * len(CONFIG.alphas)
    assert only(result.trials, model="shuffled_labels").num_rows == fits.num_rows
    assert only(fits, selected=True).num_rows == folds
    assert len(set(result.trials["trial_id"].to_pylist())) == result.trials.num_rows
    best = {}
    for row in fits.to_pylist():
        best.setdefault(row["event_date"], []).append((row["inner_score"], row["selected"]))
    assert all(max(scores)[1] for scores in best.values())
    used = set(only(result.predictions, model="ridge")["trial_id"].to_pylist())
    assert used == set(only(fits, selected=True)["trial_id"].to_pylist())


def test_selected_model_repeats_the_prediction_of_its_penalty(result: WalkForward) -> None:
    chosen = {r["trial_id"]: alpha_model(r["alpha"]) for r in only(result.trials, selected=True).to_pylist()}
    rows = {(r["model"], r["event_ticker"]): r for r in result.predictions.to_pylist()}
    for (model, ticker), row in rows.items():
        if model == "ridge":
            assert row["prediction"] == rows[chosen[row["trial_id"]], ticker]["prediction"]


def test_too_few_training_events_leave_only_untrained_baselines(data: Sample, result: WalkForward) -> None:
    first = on(result.predictions, data.dates[5])
    assert set(first["model"].to_pylist()) == {"market", "last_print", "climatology", "random"}
    assert first["trial_id"].null_count == first.num_rows
    reason = only(on(result.folds, data.dates[5]), role="test")["reason"].to_pylist()
    assert all(r.startswith("train_events_") and r.endswith("_below_40") for r in reason)


def test_baselines_say_what_they_are(data: Sample, result: WalkForward) -> None:
    panel = {r["event_ticker"]: r for r in data.panel.to_pylist()}
    for row in result.predictions.to_pylist():
        source = panel[row["event_ticker"]]
        expected = {"market": "mean", "last_print": "last_print", "climatology": "print_mean_12"}.get(row["model"])
        if expected:
            assert row["prediction"] == source[expected]
        assert row["implied_mean"] == source["mean"]
        assert row["known_at"] <= row["as_of"] < row["release_time"]


def surprise_correlation(result: WalkForward, data: Sample, model: str) -> float:
    prints = {r["event_ticker"]: r["first_print"] for r in data.labels.to_pylist() if r["first_print"] is not None}
    rows = only(result.predictions, model=model).to_pylist()
    forecast = [r["prediction"] - r["implied_mean"] for r in rows]
    return float(np.corrcoef(forecast, [prints[r["event_ticker"]] - r["implied_mean"] for r in rows])[0, 1])


def test_ridge_learns_the_planted_edge_and_nulls_do_not(result: WalkForward, data: Sample) -> None:
    assert surprise_correlation(result, data, "ridge") > 0.4
    for null in ("random", "shuffled_labels"):
        assert abs(surprise_correlation(result, data, null)) < 0.35


def test_a_label_without_learning_time_or_known_too_early_is_an_error(data: Sample) -> None:
    for change in ({"first_print_learned_at": None}, {"known_at": data.labels["known_at"][0].as_py()}):
        rows = data.labels.to_pylist()
        rows[1] |= change
        with pytest.raises(DomainError, match=r"KXCPIYOY-1501"):
            walk_forward(data.panel, rows_of("labels", rows), test_dates=data.dates[-1:], config=CONFIG)


def test_a_label_not_yet_known_does_not_train(data: Sample, result: WalkForward) -> None:
    rows = data.labels.to_pylist()
    late = next(r for r in rows if r["event_ticker"] == "KXU3-1505" and r["first_print"] is not None)
    late |= {"known_at": late["known_at"] + timedelta(days=5000)}
    again = walk_forward(data.panel, rows_of("labels", rows), test_dates=data.dates[-1:], config=CONFIG)
    row = only(again.folds, event_ticker="KXU3-1505").to_pylist()[0]
    assert (row["role"], row["reason"], row["label_end"]) == ("unlabelled", "label_not_known_at_test_start", None)
    assert only(on(result.folds, data.dates[-1]), event_ticker="KXU3-1505")["role"].to_pylist() == ["train"]


def test_gated_distributions_neither_train_nor_are_forecast(data: Sample) -> None:
    rows = data.panel.to_pylist()
    for row in rows:
        if row["event_ticker"] in ("KXU3-1505", "KXGDP-1706"):
            row |= {"mean": None, "std": None}
    day = next(r["event_date"] for r in rows if r["event_ticker"] == "KXGDP-1706")
    again = walk_forward(rows_of("feature_panel", rows), data.labels, test_dates=[day], config=CONFIG)
    reasons = {r["event_ticker"]: (r["role"], r["reason"]) for r in again.folds.to_pylist()}
    assert reasons["KXU3-1505"] == ("unlabelled", "no_implied_mean")
    assert reasons["KXGDP-1706"] == ("test", "no_implied_mean")
    assert set(again.predictions["model"].to_pylist()) == {"last_print", "climatology"}


def test_other_horizons_are_not_read_and_duplicates_are_refused(data: Sample, result: WalkForward) -> None:
    other = data.panel.set_column(
        data.panel.schema.get_field_index("horizon"), data.panel.schema.field("horizon"),
        pa.array(["1h"] * data.panel.num_rows),
    )  # fmt: skip
    both = pa.concat_tables([data.panel, other])
    day = data.dates[-1]
    again = walk_forward(both, data.labels, test_dates=[day], config=CONFIG)
    assert again.predictions.equals(on(result.predictions, day).combine_chunks())
    with pytest.raises(DomainError, match="two panel rows"):
        walk_forward(pa.concat_tables([data.panel, data.panel]), data.labels, test_dates=[day], config=CONFIG)


def test_dates_without_panel_rows_and_no_dates_give_empty_tables(data: Sample) -> None:
    for dates in ([], [data.dates[0] - timedelta(days=400)]):
        empty = walk_forward(data.panel, data.labels, test_dates=dates, config=CONFIG)
        assert [empty.folds.num_rows, empty.predictions.num_rows, empty.trials.num_rows] == [0, 0, 0]


def test_declared_regimes_become_indicators(data: Sample) -> None:
    config = StrategyConfig(features=("last_print_gap", "inflation_regime", "policy_regime"), alphas=(1.0,))
    trials = walk_forward(data.panel, data.labels, test_dates=data.dates[-1:], config=config).trials
    # One level of policy is constant and leaves; two levels of inflation stay.
    assert trials["n_features"].to_pylist() == [3, 3]


def test_units_and_scale() -> None:
    powers = [unit_power(c) for c in ("mean", "delta_variance", "speed_mean_per_hour", "skewness", "distance_js_1d")]
    assert powers == [1, 2, 1, 0, 0]
    std = np.array([np.nan, 2.0, 1.0, 0.0, 4.0, 3.0])
    scale = causal_scale(std, np.array([0, 0, 1, 0, 0, 0]))
    assert np.isnan(scale[0])
    assert scale[1:].tolist() == [2.0, 1.0, 2.0, 3.0, 3.0]


def test_results_do_not_depend_on_the_unit_of_a_series(data: Sample, result: WalkForward) -> None:
    rows = data.panel.to_pylist()
    labels = data.labels.to_pylist()
    columns = ("mean", "std", "last_print", "print_mean_12", "last_print_gap", "delta_mean")
    for row in rows:
        if row["series_ticker"] == "KXU3":
            row |= {name: row[name] * 1024.0 for name in columns}
    for row in labels:
        if row["series_ticker"] == "KXU3" and row["first_print"] is not None:
            row["first_print"] *= 1024.0
    day = data.dates[-1]
    scaled = walk_forward(rows_of("feature_panel", rows), rows_of("labels", labels), test_dates=[day], config=CONFIG)
    assert np.allclose(
        only(scaled.predictions, model="ridge")["prediction"].to_numpy(),
        only(on(result.predictions, day), model="ridge")["prediction"].to_numpy(),
    )
