"""The counts of the health report, by hand."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from kalshi_assets.core.health import health_rows
from kalshi_assets.core.tables import TABLES

NOW = datetime(2024, 10, 20, 12, tzinfo=UTC)
TODAY = date(2024, 10, 20)


def table(name, rows, **constants):
    fields = TABLES[name].schema
    filled = [{"ts": NOW, "known_at": NOW, "run_id": "r", **constants, **r} for r in rows]
    return pa.Table.from_pylist(filled, schema=fields)


def event(name, days, series="S"):
    at = NOW + timedelta(days=days)
    return {
        "event_ticker": name, "series_ticker": series, "event_date": at.date(), "release_time": at,
        "release_time_source": "calendar",
    }  # fmt: skip


def key(row):
    return {k: row[k] for k in ("event_ticker", "series_ticker", "event_date")}


def report(events, labels=(), coverage=(), rejected=(), evidence=(), series=("S",), quotes=None):
    rows = health_rows(
        TODAY,
        NOW,
        series=series,
        events=table("events", events),
        labels=table("labels", labels),
        coverage=table("coverage", coverage),
        rejected=table("rejected_rows", rejected),
        evidence=table("gate_evidence", evidence),
        newest_quotes=quotes or {},
    )
    return rows.to_pylist()


def label(row, **values):
    return {**key(row), "release_time": row["release_time"], **values}


PAST, NEW, AHEAD = event("A", -30), event("B", -0.5), event("C", 12)


def test_a_whole_series_has_no_problem():
    (row,) = report(
        [PAST, AHEAD],
        labels=[label(PAST, first_print=2.4)],
        coverage=[{**key(PAST), "endpoint": "markets", "expected": 9, "received": 9, "complete": True}],
        quotes={"S": NOW},
    )
    assert (row["n_events"], row["n_released"], row["n_labelled"], row["n_overdue"]) == (2, 1, 1, 0)
    assert (row["contracts_expected"], row["contracts_received"], row["n_incomplete"]) == (9, 9, 0)
    assert (row["newest_quote"], row["next_release"]) == (NOW, AHEAD["release_time"])
    assert row["problems"] == []
    assert row["report_date"] == TODAY


def test_a_release_is_overdue_only_after_a_day_and_never_where_a_reason_is_given():
    (row,) = report([PAST, NEW])
    assert (row["n_overdue"], row["n_released"]) == (1, 2)
    assert row["problems"] == ["1 released events have no label a day later, the first is A."]
    (row,) = report([PAST], labels=[label(PAST, unlabelled_reason="never published")])
    assert (row["n_overdue"], row["n_labelled"]) == (0, 0)
    (row,) = report([PAST], labels=[label(PAST, settled_lo=2.0)])
    assert (row["n_overdue"], row["n_labelled"]) == (0, 1)


def test_an_incomplete_event_is_named_with_its_reason():
    gap = {**key(NEW), "endpoint": "trades.volume", "expected": 3, "received": 2, "complete": False, "reason": "why"}
    (row,) = report([NEW], coverage=[gap])
    assert row["n_incomplete"] == 1
    assert row["problems"] == ["1 events are incomplete: B: why."]
    (row,) = report([NEW], coverage=[{**gap, "complete": None}])
    assert row["n_incomplete"] == 0


def gate(passed, hour, check="quotes_ordered"):
    return {
        "asset": "quotes", "check_name": check, "event_date": PAST["event_date"], "passed": passed,
        "data_hash": str(hour), "code_version": "1", "known_at": NOW + timedelta(hours=hour),
    }  # fmt: skip


def test_only_the_newest_result_of_a_gate_counts():
    (row,) = report([NEW, PAST], labels=[label(PAST, first_print=1.0)], evidence=[gate(False, 1), gate(True, 2)])
    assert row["n_failed_gates"] == 0
    (row,) = report([PAST], labels=[label(PAST, first_print=1.0)], evidence=[gate(True, 1), gate(False, 2)])
    assert row["problems"] == ["1 gate results failed on its dates (table gate_evidence)."]


def test_rows_put_aside_are_counted_by_series():
    aside = {**key(PAST), "table_name": "quotes", "row_id": "1", "reason": "r"}
    other = event("X", -3, series="T")
    rows = report(
        [PAST, other], labels=[label(PAST, first_print=1.0), label(other, first_print=1.0)], rejected=[aside],
        series=("S", "T"),
    )  # fmt: skip
    assert [(r["series_ticker"], r["n_rejected_rows"], len(r["problems"])) for r in rows] == [("S", 1, 1), ("T", 0, 0)]
