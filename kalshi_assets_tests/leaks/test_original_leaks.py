"""The look-ahead faults and time errors of the system that this one replaces, each planted again and caught."""

from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from kalshi_assets.core.columns import codes, day_number, micros_of, time_column, times, vocabulary
from kalshi_assets.core.decision_panel import decision_panel
from kalshi_assets.core.distribution import build_distributions
from kalshi_assets.core.features import feature_panel
from kalshi_assets.core.folds import assign_roles, decisions_at
from kalshi_assets.core.gates import check_labels_learned_after_release, check_order_of_times
from kalshi_assets.core.horizons import snapshot_grid
from kalshi_assets.core.label_sets import first_print_labels, revised_labels
from kalshi_assets.core.labels import label_table
from kalshi_assets.core.leak_probes import ORDER, probe
from kalshi_assets.core.leak_verdicts import FUTURE_BLIND, ORDER_INDEPENDENT, leak_results
from kalshi_assets.core.responses import INTRADAY, asset_responses
from kalshi_assets.core.strategy import StrategyConfig
from kalshi_assets.core.tables import DISTANCES, TABLES
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.event_rows import RELEASE, empty, event_row, price_row, print_row, snapshot_row, table
from kalshi_assets_tests.leaks.market import (
    Market,
    distributions_pipeline,
    honest_distributions,
    honest_panel,
    panel_pipeline,
)

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(3, n_events=3)


def failing(market: Market, pipeline) -> set[str]:
    dates = sorted(set(market.events["event_date"].to_pylist()))
    return {r.check_name for r in leak_results(probe(pipeline, seed=2), dates, code="t") if not r.passed}


def labels_of(*prints: dict) -> pa.Table:
    return label_table(
        table("events", [event_row()]), table("macro_observations", list(prints)),
        empty("contracts"), empty("distributions"), empty("contract_specs"),
    )  # fmt: skip


def test_1_a_revision_learned_a_year_later_is_no_label_of_its_release():
    labels = labels_of(print_row(3.0, RELEASE), print_row(3.4, RELEASE + 365 * DAY))
    assert first_print_labels(labels).table["first_print"].to_pylist() == [3.0]
    assert revised_labels(labels, RELEASE + 30 * DAY).table.num_rows == 0
    early = labels.set_column(
        labels.schema.get_field_index("known_at"), labels.schema.field("known_at"),
        time_column(times(labels["release_time"])),
    )  # fmt: skip
    assert not check_labels_learned_after_release(early, [RELEASE.date()])[0].passed


@pytest.mark.parametrize(("early_us", "passed"), [(-1, True), (0, False)])
def test_a_print_that_the_last_snapshot_could_hold_is_no_label(early_us, passed):
    """Exactly five minutes early: the last snapshot reads what is known at its time."""
    labels = labels_of(print_row(3.0, RELEASE))
    limit = times(labels["release_time"]) - 5 * 60_000_000 - early_us
    at = labels.schema.get_field_index("first_print_learned_at")
    early = labels.set_column(at, labels.schema.field(at), time_column(limit))
    (result,) = check_labels_learned_after_release(early, [RELEASE.date()])
    assert result.passed is passed


def test_2_two_versions_of_the_mapping_never_meet_in_a_panel():
    again = RELEASE + 10 * DAY
    rows = [snapshot_row("7d", mean=1.0), snapshot_row("1d", mean=3.0)]
    rows += [snapshot_row(h, release=again, mapping_version="v2", mean=9.0) for h in ("7d", "1d")]
    panel = feature_panel(
        table("distributions", rows), empty("quotes"), empty("macro_observations"), empty("asset_prices")
    )
    deltas = {(r["mapping_version"], r["horizon"]): r["delta_mean"] for r in panel.to_pylist()}
    assert deltas == {("v1", "7d"): None, ("v1", "1d"): 2.0, ("v2", "7d"): None, ("v2", "1d"): 0.0}
    decided = decision_panel(panel, StrategyConfig())
    for day in (RELEASE.date(), again.date()):
        counts = decisions_at(decided.event, decided.event_day, decided.as_of, day_number(day))
        assert counts.tolist() == [day == RELEASE.date(), day == again.date()]


def test_3_contracts_of_another_event_show_in_isolation(market):
    honest = honest_distributions()

    def every_market_of_the_type(inputs, snapshots):
        """Each event gets the quotes of the event before it as well."""
        quotes = inputs["quotes"]
        words = vocabulary(quotes["ticker"])
        other = pa.array(np.roll(np.array(words.to_pylist()), 5))
        lent = quotes.set_column(quotes.schema.get_field_index("ticker"), quotes.schema.field("ticker"),
                                 other.take(pa.array(codes(quotes["ticker"], words))))  # fmt: skip
        return honest({**inputs, "quotes": pa.concat_tables([quotes, lent])}, snapshots)

    pipeline = distributions_pipeline(market, every_market_of_the_type)
    found = probe(pipeline, seed=2).tallies
    assert any(found[name].found for name in ORDER)
    assert ORDER_INDEPENDENT in failing(market, pipeline)


def test_4_a_distribution_of_two_years_ago_is_no_value():
    old = snapshot_row("1d", mean=3.0, inputs_known_at=RELEASE - 730 * DAY)
    panel = feature_panel(
        table("distributions", [old]), empty("quotes"), empty("macro_observations"), empty("asset_prices")
    )
    assert panel.num_rows == 0


def test_5_the_latest_specs_for_all_history_are_caught(market):
    honest = honest_distributions()

    def latest_specs(inputs, snapshots):
        specs = inputs["contract_specs"].sort_by("known_at")
        words = vocabulary(specs["ticker"])
        last = dict(enumerate(codes(specs["ticker"], words).tolist()))
        rows = {contract: row for row, contract in last.items()}
        newest = specs.take(pa.array(sorted(rows.values())))
        always = time_column(np.full(newest.num_rows, int(times(specs["known_at"]).min())))
        place = newest.schema.get_field_index("known_at")
        return honest(
            {**inputs, "contract_specs": newest.set_column(place, newest.schema.field(place), always)}, snapshots
        )

    assert FUTURE_BLIND in failing(market, distributions_pipeline(market, latest_specs))


def test_6_no_snapshot_before_the_listing_or_after_the_release(market):
    grid = snapshot_grid(market.events)
    assert all(r["as_of"] < r["release_time"] for r in grid.to_pylist())
    early = build_distributions(
        market.inputs["contract_specs"], market.inputs["quotes"],
        snapshot_grid(market.events, horizons={"60d": 60 * 86_400}, daily_grid=False),
    ).distributions  # fmt: skip
    assert early["mean"].null_count == early.num_rows
    columns = TABLES["feature_panel"].schema.names
    row = {k: v for k, v in snapshot_row("1d", as_of=RELEASE + DAY).items() if k in columns}
    late = table("feature_panel", [row])
    assert not check_order_of_times(late, [RELEASE.date()])[0].passed


def test_7_a_window_that_reaches_beyond_the_as_of_time_is_caught(market):
    honest = honest_panel()

    def reaches(inputs, snapshots):
        panel = dict(honest(inputs, snapshots))
        rows, known = panel["feature_panel"], times(inputs["quotes"]["known_at"])
        counts = [int(((known > t) & (known < t + 3_600_000_000)).sum()) for t in times(rows["as_of"]).tolist()]
        panel["feature_panel"] = rows.append_column("updates", pa.array(counts))
        return panel

    assert FUTURE_BLIND in failing(market, panel_pipeline(market, reaches))


def test_8_the_settlement_of_a_market_is_not_the_release():
    close = RELEASE + 5 * DAY
    row = snapshot_row("5min", as_of=close - timedelta(minutes=5))
    with pytest.raises(DomainError, match="not before its release"):
        feature_panel(
            table("distributions", [row]), empty("quotes"), empty("macro_observations"), empty("asset_prices")
        )


def test_9_a_label_learned_after_the_test_began_cannot_train():
    day = np.array([10, 20])
    us = 86_400_000_000
    with pytest.raises(DomainError, match="learned at or after the test start"):
        assign_roles(day, (day - 1) * us, np.array([19 * us, 20 * us]), np.array([True, False]), np.zeros(2, np.int64),
                     test_day=20)  # fmt: skip


def test_10_a_print_a_second_before_the_nominal_release_counts():
    labels = labels_of(print_row(3.0, RELEASE - timedelta(seconds=1)))
    assert labels["first_print"].to_pylist() == [3.0]


def test_11_one_bar_twelve_days_later_is_no_response():
    prices = table("asset_prices", [price_row("ES", date(2024, 7, 23), 100.0)])
    got = asset_responses(np.array([micros_of(RELEASE)]), prices, "ES", INTRADAY)
    assert np.isnan(got.simple_return[0])


def test_12_the_distance_of_a_day_has_one_name_and_a_value(market):
    assert {name.rsplit("_", 1)[1] for name in DISTANCES} == {"1h", "1d"}
    built = build_distributions(market.inputs["contract_specs"], market.inputs["quotes"], market.grid).distributions
    assert set(DISTANCES) <= set(built.column_names)
    assert built["distance_wasserstein_1d"].null_count < built.num_rows
    assert isinstance(built["as_of"][0].as_py(), datetime)
