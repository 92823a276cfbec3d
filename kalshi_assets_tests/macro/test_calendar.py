from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from kalshi_assets.core.series import Statistic, facts_for
from kalshi_assets.core.tables import TABLES
from kalshi_assets.macro.calendar import (
    calendar_from_dates,
    calendar_from_facts,
    observation_rows,
    period_before,
    statistics_of,
)
from kalshi_assets.macro.facts import CALENDAR_FACTS

D = date.fromisoformat
MONTHLY = Statistic("AAA", "pc1", 10)
QUARTERLY = Statistic("GGG", "lin", 53)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def fact(
    period: str, day: str | None, announced: str | None, flag: str | None = None, release_id: int = 10
) -> dict[str, Any]:
    return {
        "release_id": release_id,
        "period": D(period),
        "release_date": D(day) if day else None,
        "release_time": utc(f"{day}T13:30") if day else None,
        "announced_at": utc(f"{announced}T05:00") if announced else None,
        "release_name": "Office",
        "flag": flag,
    }


def facts(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=CALENDAR_FACTS)


def brief(table: pa.Table) -> list[tuple[str, str, str | None]]:
    return [(r["period"].isoformat(), r["event_date"].isoformat(), r["flag"]) for r in table.to_pylist()]


@pytest.mark.parametrize(
    ("day", "month", "quarter"),
    [
        ("2026-02-13", "2026-01-01", "2025-10-01"),
        ("2026-01-13", "2025-12-01", "2025-10-01"),
        ("2026-04-29", "2026-03-01", "2026-01-01"),
        ("2026-12-31", "2026-11-01", "2026-07-01"),
    ],
)
def test_the_period_before(day: str, month: str, quarter: str) -> None:
    assert period_before(D(day)) == D(month)
    assert period_before(D(day), quarterly=True) == D(quarter)


def test_facts_become_versioned_rows_of_each_series_on_the_release() -> None:
    table = calendar_from_facts(
        facts(
            fact("2026-01-01", "2026-02-13", "2026-02-05", "rescheduled"),
            fact("2026-01-01", "2026-02-11", "2026-01-02", "superseded"),
            fact("2026-02-01", "2026-03-11", None),
            fact("2025-10-01", None, "2025-11-22", "not_published"),
            fact("2026-01-01", "2026-02-06", "2026-01-02", release_id=50),
        ),
        ["KXCPIYOY", "KXCPI", "KXFED", "UNKNOWN"],
    )
    assert table.schema.equals(TABLES["release_calendar"].schema)
    assert set(table["series_ticker"].to_pylist()) == {"KXCPI", "KXCPIYOY"}
    rows = [r for r in table.to_pylist() if r["series_ticker"] == "KXCPI"]
    assert brief(pa.Table.from_pylist(rows, schema=table.schema)) == [
        ("2026-01-01", "2026-02-11", "superseded"),
        ("2026-01-01", "2026-02-13", "rescheduled"),
        ("2026-02-01", "2026-03-11", "announcement_assumed"),
    ]
    assert rows[0] == {
        "series_ticker": "KXCPI", "period": D("2026-01-01"), "release_time": utc("2026-02-11T13:30"),
        "event_date": D("2026-02-11"), "ts": utc("2026-02-11T13:30"), "known_at": utc("2026-01-02T05:00"),
        "release_name": "Office", "source": "packaged_facts", "flag": "superseded",
    }  # fmt: skip
    assert rows[2]["known_at"] == utc("2025-12-02T05:00")


def test_bare_days_get_clock_period_and_an_assumed_announcement() -> None:
    table = calendar_from_dates("KXCPI", MONTHLY, [D("2026-07-14"), D("2026-02-13")])
    first, second = table.to_pylist()
    assert (first["period"], first["release_time"]) == (D("2026-01-01"), utc("2026-02-13T13:30"))
    assert (second["period"], second["release_time"]) == (D("2026-06-01"), utc("2026-07-14T12:30"))
    assert first["known_at"] == utc("2025-12-02T05:00")
    assert (first["source"], first["flag"]) == ("fred", "announcement_assumed")


def test_an_observation_corrects_the_inferred_period() -> None:
    days = [D("2025-11-20"), D("2025-12-16"), D("2026-01-09")]
    first = {D("2025-11-20"): D("2025-09-01"), D("2025-12-16"): D("2025-11-01")}
    table = calendar_from_dates("KXU3", MONTHLY, days, first_published=first)
    assert [(p, d) for p, d, _ in brief(table)] == [
        ("2025-09-01", "2025-11-20"), ("2025-11-01", "2025-12-16"), ("2025-12-01", "2026-01-09"),
    ]  # fmt: skip


def test_a_technical_revision_in_the_release_month_is_not_the_release() -> None:
    days = [D("2026-02-09"), D("2026-02-13")]
    assert [d for _, d, _ in brief(calendar_from_dates("KXCPI", MONTHLY, days))] == ["2026-02-13"]
    seen = {D("2026-02-13"): D("2026-01-01")}
    assert [d for _, d, _ in brief(calendar_from_dates("KXCPI", MONTHLY, days, first_published=seen))] == ["2026-02-13"]


def test_a_quarters_first_estimate_is_the_release() -> None:
    days = [D("2026-04-29"), D("2026-05-28"), D("2026-06-25"), D("2026-07-30")]
    table = calendar_from_dates("KXGDP", QUARTERLY, days)
    assert [(p, d) for p, d, _ in brief(table)] == [("2026-01-01", "2026-04-29"), ("2026-04-01", "2026-07-30")]


def test_facts_that_agree_bring_the_history_of_planned_dates() -> None:
    known = facts(
        fact("2026-01-01", "2026-02-11", "2026-01-02", "superseded"),
        fact("2026-01-01", "2026-02-13", "2026-02-05", "rescheduled"),
        fact("2026-03-01", "2026-04-10", "2026-01-02"),
    )
    days = [D("2026-02-13"), D("2026-03-11"), D("2026-04-14")]
    table = calendar_from_dates("KXCPI", MONTHLY, days, facts=known)
    assert brief(table) == [
        ("2026-01-01", "2026-02-11", "superseded"),
        ("2026-01-01", "2026-02-13", "rescheduled"),
        ("2026-02-01", "2026-03-11", "announcement_assumed"),
        ("2026-03-01", "2026-04-14", "announcement_assumed"),  # the facts disagree: FRED's day stands alone
    ]


def test_a_cancelled_release_in_between_comes_from_the_facts() -> None:
    known = facts(
        fact("2025-10-01", "2025-11-13", "2025-01-02", "superseded"),
        fact("2025-10-01", "2025-11-13", "2025-11-22", "not_published"),
        fact("2027-10-01", "2027-11-13", "2027-11-22", "not_published"),
    )
    days = [D("2025-10-24"), D("2025-12-18")]
    first = {D("2025-10-24"): D("2025-09-01"), D("2025-12-18"): D("2025-11-01")}
    table = calendar_from_dates("KXCPI", MONTHLY, days, first_published=first, facts=known)
    assert [p for p, _, _ in brief(table)] == ["2025-09-01", "2025-10-01", "2025-10-01", "2025-11-01"]


def test_no_days_no_rows() -> None:
    table = calendar_from_dates("KXCPI", MONTHLY, [])
    assert table.num_rows == 0
    assert table.schema.equals(TABLES["release_calendar"].schema)


CPI = facts_for("KXCPIYOY")
PAYROLLS = facts_for("KXPAYROLLS")


def test_vintages_are_known_at_the_release_clock_or_at_the_end_of_their_day() -> None:
    assert CPI is not None
    assert CPI.statistic is not None
    table = observation_rows(
        CPI,
        CPI.statistic,
        [(D("2026-01-01"), D("2026-02-13"), 2.449), (D("2026-01-01"), D("2026-07-09"), 2.45)],
        release_times={D("2026-02-13"): utc("2026-02-13T13:30")},
        source="fred",
    )
    assert table.schema.equals(TABLES["macro_observations"].schema)
    first, revised = table.to_pylist()
    assert first == {
        "series_id": "CPIAUCNS", "units": "pc1", "observation_date": D("2026-01-01"), "vintage_date": D("2026-02-13"),
        "value": 2.4, "ts": utc("2026-02-01T05:00"), "known_at": utc("2026-02-13T13:30"), "precision": 0.1,
        "source": "fred",
    }  # fmt: skip
    assert revised["value"] == 2.5
    assert revised["known_at"] == utc("2026-07-10T04:00")


@pytest.mark.parametrize(
    ("published", "expected"),
    [(256, 256_000.0), (-92.4, -92_000.0), (0.5, 1000.0), (-0.5, -1000.0), (12.0, 12_000.0)],
)
def test_thousands_become_persons_rounded_as_published(published: float, expected: float) -> None:
    assert PAYROLLS is not None
    assert PAYROLLS.statistic is not None
    row = (D("2026-01-01"), D("2026-02-06"), published)
    table = observation_rows(PAYROLLS, PAYROLLS.statistic, [row], release_times={}, source="x", precision=1.0)
    assert table["value"].to_pylist() == [expected]
    assert table["precision"].to_pylist() == [1000.0]


@pytest.mark.parametrize(("raw", "rounded"), [(0.25, 0.3), (0.05, 0.1), (2.349999, 2.3), (-0.05, -0.1), (3.0, 3.0)])
def test_halves_round_away_from_zero_in_decimal(raw: float, rounded: float) -> None:
    assert CPI is not None
    assert CPI.statistic is not None
    table = observation_rows(
        CPI, CPI.statistic, [(D("2026-01-01"), D("2026-02-13"), raw)], release_times={}, source="x"
    )
    assert table["value"].to_pylist() == [rounded]


def test_a_quarters_observation_ends_with_the_quarter() -> None:
    gdp = facts_for("KXGDP")
    assert gdp is not None
    assert gdp.statistic is not None
    table = observation_rows(
        gdp, gdp.statistic, [(D("2026-01-01"), D("2026-04-29"), 2.0)], release_times={}, source="x"
    )
    assert table["ts"].to_pylist() == [utc("2026-04-01T04:00")]


def test_only_series_with_a_statistic_count() -> None:
    assert list(statistics_of(["KXU3", "KXFED", "NOPE", "KXCPI", "KXU3"])) == ["KXCPI", "KXU3"]
