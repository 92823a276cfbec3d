from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from kalshi_assets.core import gates
from kalshi_assets.core.features import feature_panel
from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.labels import label_table
from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.event_rows import (
    RELEASE,
    contract_row,
    empty,
    event_row,
    print_row,
    quote_row,
    snapshot_row,
    spec_row,
    table,
)

Rows = list[dict[str, Any]]
DAY = RELEASE.date()
OTHER = date(2024, 7, 12)
HOUR = timedelta(hours=1)


def only(results: tuple[GateResult, ...]) -> GateResult:
    (result,) = results
    return result


def panel_row(**more: Any) -> dict[str, Any]:
    row = snapshot_row("1h")
    for column in ("hard_gate_failed", "direction_resolved"):
        del row[column]
    return row | more


def lawful(**more: Any) -> dict[str, Any]:
    return snapshot_row("1h", mean=3.1, support=[3.0, 3.1, 3.2], probability=[0.25, 0.5, 0.25], **more)


def fold_row(ticker: str, role: str, start: datetime, end: datetime | None, **more: Any) -> dict[str, Any]:
    row = {
        "strategy_id": "ridge", "event_date": DAY, "event_ticker": ticker, "role": role, "ts": start,
        "known_at": start, "label_start": start, "label_end": end,
    }  # fmt: skip
    return row | more


CATALOG = {
    "events": [event_row()],
    "contracts": [contract_row("T3", "")],
    "coverage": [{
        "event_ticker": "KXCPIYOY-24JUN", "series_ticker": "KXCPIYOY", "event_date": DAY, "endpoint": "/markets",
        "ts": RELEASE, "known_at": RELEASE, "expected": 1, "received": 1, "complete": True,
    }],
}  # fmt: skip


def catalog(**changes: Rows) -> GateResult:
    parts = CATALOG | changes
    events, contracts, coverage = (table(n, parts[n]) for n in ("events", "contracts", "coverage"))
    return only(gates.check_catalog_complete(events, contracts, coverage, [DAY]))


def test_order_of_times_holds_fails_and_names_the_first_offender() -> None:
    good = panel_row(inputs_known_at=RELEASE - HOUR)
    assert only(gates.check_order_of_times(table("feature_panel", [good]), [DAY])) == GateResult(
        "order_of_times", DAY, True, 1, "1 rows checked"
    )
    bad = panel_row(horizon="4h", inputs_known_at=RELEASE - HOUR + timedelta(microseconds=1))
    result = only(gates.check_order_of_times(table("feature_panel", [good, bad]), [DAY]))
    assert (result.passed, result.n_rows) == (False, 2)
    assert result.detail == "1 of 2 rows break the rule: inputs_known_at <= as_of < release_time"
    assert result.first_offender is not None
    assert result.first_offender.startswith(
        "event_ticker=KXCPIYOY-24JUN, horizon=4h, inputs_known_at=2024-07-11T11:30:00.000001+00:00"
    )


@pytest.mark.parametrize(
    "fault",
    [
        {"as_of": RELEASE, "inputs_known_at": RELEASE - HOUR},
        {"inputs_known_at": None},
        {"release_time": None},
        {"inputs_known_at": RELEASE + HOUR},
    ],
)
def test_order_of_times_fails(fault: dict[str, Any]) -> None:
    assert not only(gates.check_order_of_times(table("feature_panel", [panel_row(**fault)]), [DAY])).passed


def test_each_date_is_judged_by_its_own_rows() -> None:
    bad = panel_row(event_date=OTHER, inputs_known_at=RELEASE)
    dates = [OTHER, DAY, date(2024, 7, 13)]
    results = gates.check_order_of_times(table("feature_panel", [panel_row(), bad]), dates)
    assert [(r.event_date, r.passed, r.n_rows) for r in results] == [
        (OTHER, False, 1), (DAY, True, 1), (date(2024, 7, 13), False, 0)
    ]  # fmt: skip


CHECKS: list[Callable[..., tuple[GateResult, ...]]] = [
    lambda dates, **k: gates.check_schema_and_keys(TABLES["labels"], empty("labels"), dates, **k),
    lambda dates, **k: gates.check_schema_and_keys(TABLES["series"], empty("series"), dates, **k),
    lambda dates, **k: gates.check_catalog_complete(empty("events"), empty("contracts"), empty("coverage"), dates, **k),
    lambda dates, **k: gates.check_specs_resolved(empty("events"), empty("contract_specs"), dates, **k),
    lambda dates, **k: gates.check_quotes_ordered(empty("quotes"), dates, **k),
    lambda dates, **k: gates.check_distribution_laws(empty("distributions"), dates, **k),
    lambda dates, **k: gates.check_order_of_times(empty("feature_panel"), dates, **k),
    lambda dates, **k: gates.check_labels_learned_after_release(empty("labels"), dates, **k),
    lambda dates, **k: gates.check_no_label_after_test(
        empty("folds"), empty("labels"), empty("predictions"), dates, **k
    ),
]  # fmt: skip


@pytest.mark.parametrize("check", CHECKS)
def test_nothing_to_check_is_a_failure_unless_a_reason_is_given(check: Callable[..., tuple[GateResult, ...]]) -> None:
    result = only(check([DAY]))
    assert (result.passed, result.n_rows, result.detail) == (False, 0, "no rows to check")
    excused = only(check([DAY], allow_empty="the ladder never traded"))
    assert (excused.passed, excused.detail) == (True, "no rows to check: the ladder never traded")
    with pytest.raises(DomainError, match="stated reason"):
        check([DAY], allow_empty=" ")
    with pytest.raises(DomainError, match="no event date"):
        check([])


def test_schema_and_keys() -> None:
    spec = TABLES["labels"]
    row = {n: event_row()[n] for n in ("event_ticker", "series_ticker", "event_date", "release_time", "ts", "known_at")}
    good = table("labels", [row, row | {"known_at": RELEASE}])
    assert only(gates.check_schema_and_keys(spec, good, [DAY])).passed
    stored = good.append_column("run_id", pa.array(["r", "r"]))
    assert only(gates.check_schema_and_keys(spec, stored, [DAY])).passed

    twice = only(gates.check_schema_and_keys(spec, table("labels", [row, row]), [DAY]))
    assert (twice.passed, twice.detail.split(" rows")[0]) == (False, "1 of 2")
    assert not only(gates.check_schema_and_keys(spec, table("labels", [row | {"ts": None}]), [DAY])).passed
    assert not only(gates.check_schema_and_keys(spec, table("labels", [row | {"event_date": None}]), [DAY])).passed
    lacking = only(gates.check_schema_and_keys(spec, good.drop_columns(["revised"]), [DAY]))
    assert (lacking.passed, lacking.first_offender) == (False, "no column revised")
    text = good.set_column(good.schema.get_field_index("revised"), "revised", pa.array(["3.1", None]))
    assert "revised is string, not double" in only(gates.check_schema_and_keys(spec, text, [DAY])).detail
    extra = good.append_column("tomorrow", pa.array([1.0, 2.0]))
    assert "unknown column tomorrow" in only(gates.check_schema_and_keys(spec, extra, [DAY])).detail
    nan = table("macro_observations", [print_row(float("nan"), RELEASE)])
    assert not only(gates.check_schema_and_keys(TABLES["macro_observations"], nan, [DAY])).passed


def test_catalog_complete() -> None:
    coverage = CATALOG["coverage"][0]
    assert catalog().passed
    assert not catalog(contracts=[]).passed
    assert not catalog(contracts=[contract_row("T3", "", event="KXU3-24JUN")]).passed
    assert not catalog(coverage=[]).passed
    assert not catalog(events=[event_row(release_time=None)]).passed
    for fault in ({"received": 0}, {"complete": False}, {"complete": None}, {"expected": None}, {"received": None}):
        result = catalog(coverage=[coverage, coverage | {"endpoint": "/events"} | fault])
        assert not result.passed, fault
        assert result.first_offender == "event_ticker=KXCPIYOY-24JUN"
    assert not catalog(coverage=[coverage | {"expected": None, "received": None}]).passed


def test_specs_resolved_fails_only_where_nothing_resolves() -> None:
    good, open_ended, no_tick = spec_row("A", 30, None), spec_row("B", None, None), spec_row("C", 30, None, None)
    events = table("events", [event_row()])
    some = only(gates.check_specs_resolved(events, table("contract_specs", [open_ended, good, no_tick]), [DAY]))
    assert (some.passed, some.detail) == (True, "1 rows checked; 2 of 3 contracts are unresolved")
    none = only(gates.check_specs_resolved(events, table("contract_specs", [open_ended, no_tick]), [DAY]))
    assert (none.passed, none.first_offender) == (False, "event_ticker=KXCPIYOY-24JUN")
    later = open_ended | {"ticker": good["ticker"], "known_at": RELEASE}
    assert not only(gates.check_specs_resolved(events, table("contract_specs", [good, later]), [DAY])).passed


@pytest.mark.parametrize(
    ("fault", "passes"),
    [
        ({}, True),
        ({"yes_bid_close_usd": None}, True),
        ({"yes_ask_close_usd": Decimal("0.10")}, True),
        ({"yes_ask_close_usd": Decimal("0.099999")}, False),
        ({"price_high_usd": Decimal("1.000001")}, False),
        ({"yes_bid_low_usd": Decimal("-0.000001")}, False),
        ({"known_at": RELEASE - HOUR - timedelta(microseconds=1)}, False),
        ({"ts": None}, False),
    ],
)
def test_quotes_ordered(fault: dict[str, Any], passes: bool) -> None:
    row = quote_row("A", RELEASE - HOUR, "0.10", "0.12") | fault
    result = only(gates.check_quotes_ordered(table("quotes", [row]), [DAY]))
    assert result.passed is passes


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        ({}, True),
        ({"probability": [0.25, 0.5, 0.25 + 2e-9]}, False),
        ({"probability": [0.25, 0.5, 0.25 + 5e-10]}, True),
        ({"probability": [-0.1, 0.6, 0.5]}, False),
        ({"probability": [float("nan"), 0.5, 0.5]}, False),
        ({"probability": [0.5, 0.5]}, False),
        ({"probability": None, "support": None}, False),
        ({"probability": [0.5, None, 0.5]}, False),
        ({"support": [3.0, 3.0, 3.2]}, False),
        ({"q25": 3.0, "q50": 3.1, "q75": 3.05}, False),
        ({"q25": 3.0, "q50": 3.1, "q75": 3.1}, True),
        ({"mean": None}, False),
        ({"mean": None, "probability": None, "support": None, "direction_resolved": False}, True),
        ({"hard_gate_failed": None}, False),
        ({"hard_gate_failed": True, "gate_reason": "coverage"}, False),
        ({"hard_gate_failed": True, "gate_reason": "coverage", "mean": None}, True),
        ({"hard_gate_failed": True, "gate_reason": "", "mean": None}, False),
        ({"hard_gate_failed": True, "mean": None}, False),
    ],
)
def test_distribution_laws(change: dict[str, Any], passes: bool) -> None:
    rows = [lawful(), snapshot_row("1d", mean=None, hard_gate_failed=True, gate_reason="age"), lawful() | change]
    result = only(gates.check_distribution_laws(table("distributions", rows), [DAY]))
    assert result.passed is passes
    assert (result.first_offender is None) is passes


def label(**more: Any) -> dict[str, Any]:
    (row,) = label_table(
        table("events", [event_row()]), table("macro_observations", [print_row(3.2, RELEASE)]), empty("contracts"),
        empty("distributions"), empty("contract_specs"),
    ).to_pylist()  # fmt: skip
    return {**row, **more}


@pytest.mark.parametrize(
    ("fault", "passes"),
    [
        ({}, True),
        ({"first_print_learned_at": RELEASE - timedelta(seconds=1), "known_at": RELEASE - timedelta(seconds=1)}, True),
        ({"first_print_learned_at": RELEASE - HOUR, "known_at": RELEASE - HOUR}, False),
        ({"first_print_learned_at": RELEASE - HOUR}, False),
        ({"first_print_learned_at": None}, False),
        ({"first_print": float("nan")}, False),
        ({"revised": 3.3}, False),
        ({"revised": 3.3, "revised_learned_at": RELEASE - timedelta(seconds=1)}, False),
        ({"revised": 3.3, "revised_learned_at": RELEASE + HOUR}, False),  # the row was known before it
        ({"revised": 3.3, "revised_learned_at": RELEASE + HOUR, "known_at": RELEASE + HOUR}, True),
        ({"settlement_learned_at": RELEASE + HOUR}, False),
        ({"known_at": None}, False),
    ],
)
def test_labels_learned_after_release(fault: dict[str, Any], passes: bool) -> None:
    result = only(gates.check_labels_learned_after_release(table("labels", [label(**fault)]), [DAY]))
    assert result.passed is passes


TEST_START = RELEASE - timedelta(days=1)
PAST = RELEASE - timedelta(days=30)


def no_label_after_test(
    train: dict[str, Any] | None = None,
    labels: Rows | None = None,
    predictions: Rows | None = None,
    tested: bool = True,
) -> GateResult:
    folds = [fold_row("KXCPIYOY-24MAY", "train", PAST, PAST) | (train or {})]
    if tested:
        folds.append(fold_row("KXCPIYOY-24JUN", "test", TEST_START, RELEASE))
    may = label(event_ticker="KXCPIYOY-24MAY", release_time=PAST, known_at=PAST, first_print_learned_at=PAST)
    return only(gates.check_no_label_after_test(
        table("folds", folds), table("labels", [may] if labels is None else labels),
        table("predictions", predictions or []), [DAY],
    ))  # fmt: skip


def test_no_label_after_the_test_begins() -> None:
    micro = timedelta(microseconds=1)
    may = label(event_ticker="KXCPIYOY-24MAY", release_time=PAST, known_at=PAST, first_print_learned_at=PAST)
    assert no_label_after_test().passed
    assert no_label_after_test({"label_end": TEST_START}).passed
    assert not no_label_after_test({"label_end": TEST_START + micro}).passed
    assert not no_label_after_test({"label_end": None}).passed
    assert not no_label_after_test(labels=[]).passed
    assert not no_label_after_test(labels=[may | {"unlabelled_reason": "not_published", "first_print": None}]).passed
    assert not no_label_after_test(labels=[may | {"known_at": TEST_START + micro}]).passed
    assert no_label_after_test(labels=[may | {"known_at": RELEASE + HOUR, "revised": 3.4}, may]).passed
    assert not no_label_after_test(tested=False).passed
    assert no_label_after_test({"role": "purged", "label_end": RELEASE}).detail == "no rows to check"


def test_a_prediction_made_earlier_moves_the_start_of_the_test() -> None:
    late = {"label_end": PAST + HOUR}
    prediction = {
        "event_ticker": "KXCPIYOY-24JUN", "series_ticker": "KXCPIYOY", "event_date": DAY, "strategy_id": "ridge",
        "model": "ridge", "horizon": "30d", "as_of": PAST, "release_time": RELEASE, "ts": PAST, "known_at": PAST,
    }  # fmt: skip
    assert no_label_after_test(late).passed
    assert not no_label_after_test(late, predictions=[prediction]).passed
    assert no_label_after_test(late, predictions=[prediction | {"strategy_id": "other"}]).passed
    assert no_label_after_test(late, predictions=[prediction | {"event_date": OTHER}]).passed


def test_the_clean_pipeline_raises_no_alarm() -> None:
    snapshots = table(
        "distributions", [lawful(), snapshot_row("4h", mean=None, hard_gate_failed=True, gate_reason="age")]
    )
    quotes = table("quotes", [quote_row("A", RELEASE - 2 * HOUR, "0.10", "0.12", "1")])
    may = print_row(3.0, datetime(2024, 6, 12, tzinfo=UTC), date(2024, 5, 1))
    june = [print_row(3.2, RELEASE), print_row(3.3, RELEASE + 30 * 24 * HOUR)]
    macro = table("macro_observations", [may, *june])
    panel = feature_panel(snapshots, quotes, macro, empty("asset_prices"))
    contracts = table("contracts", [contract_row("A", "yes")])
    specs = table("contract_specs", [spec_row("A", 30, None)])
    labels = label_table(table("events", [event_row()]), macro, contracts, snapshots, specs)
    results = (
        *gates.check_schema_and_keys(TABLES["feature_panel"], panel, [DAY]),
        *gates.check_schema_and_keys(TABLES["labels"], labels, [DAY]),
        *gates.check_quotes_ordered(quotes, [DAY]),
        *gates.check_distribution_laws(snapshots, [DAY]),
        *gates.check_order_of_times(panel, [DAY]),
        *gates.check_labels_learned_after_release(labels, [DAY]),
    )
    assert [r for r in results if not r.passed] == []


def test_a_planted_future_quote_time_is_caught_in_the_panel() -> None:
    leaking = table("distributions", [lawful(inputs_known_at=RELEASE - timedelta(minutes=59))])
    panel = feature_panel(leaking, empty("quotes"), empty("macro_observations"), empty("asset_prices"))
    assert not only(gates.check_order_of_times(panel, [DAY])).passed
