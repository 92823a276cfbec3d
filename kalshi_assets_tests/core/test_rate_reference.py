"""What the futures market said of a meeting, as known at a time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kalshi_assets.core.columns import MISSING_TIME, day_number, micros_of, moment_of
from kalshi_assets.core.rate_reference import RateReference, rate_reference
from kalshi_assets_tests.core.event_rows import price_row, table

MEETING = date(2015, 9, 17)
MEETINGS = (date(2015, 7, 29), MEETING, date(2015, 10, 28))
NOON = datetime(2015, 8, 25, 12, tzinfo=UTC)
Rows = list[dict[str, Any]]


def future(month: int, price: float, known_at: datetime = NOON, day: date | None = None) -> dict[str, Any]:
    at = known_at.date() if day is None else day
    return {
        "contract_month": date(2015, month, 1), "date": at, "price": price, "ts": known_at, "known_at": known_at,
    }  # fmt: skip


def said(target: float, p: float, known_at: datetime = NOON, meeting: date = MEETING) -> dict[str, Any]:
    return {
        "meeting_date": meeting, "date": known_at.date(), "target_mid_pct": target, "probability": p,
        "target_tenths_bp": round(target * 1000),
        "ts": known_at, "known_at": known_at,
    }  # fmt: skip


def ask(as_of: datetime, futures: Rows = (), probabilities: Rows = (), rates: Rows = (), **more: Any) -> RateReference:  # type: ignore[assignment]
    target = table("asset_prices", list(rates)).select(["date", "close", "ts", "known_at"])
    return rate_reference(
        np.array([day_number(more.get("meeting", MEETING))]), np.array([micros_of(as_of)]),
        np.array([more.get("threshold", 0.5)]), probabilities=table("fomc_probabilities", list(probabilities)),
        futures=table("fed_funds_futures", list(futures)), target=target, meetings=MEETINGS,
        max_age=timedelta(days=7),
    )  # fmt: skip


CURVE = [future(8, 99.8675), future(9, 99.805)]
TARGET = [price_row("DFEDTARU", date(2015, 8, 24), 0.25)]


def test_a_curve_from_the_target_known_then() -> None:
    got = ask(NOON, CURVE, rates=TARGET)
    p = 0.5357142857
    assert got.mean[0] == pytest.approx(0.25 + 0.25 * p)
    assert got.variance[0] == pytest.approx(0.0625 * p * (1 - p))
    assert got.tail[0] == pytest.approx(p), "an upper end of half a per cent is at the threshold"
    assert moment_of(got.known_at[0]) == NOON
    assert np.isnan(ask(NOON, CURVE, rates=TARGET, threshold=float("nan")).tail[0])


def test_published_probabilities_come_first_and_name_the_middle_of_the_range() -> None:
    got = ask(NOON, CURVE, [said(0.125, 0.25), said(0.375, 0.75)], TARGET)
    assert got.mean[0] == pytest.approx(0.25 * 0.25 + 0.5 * 0.75)
    assert got.tail[0] == pytest.approx(0.75)
    other = ask(NOON, CURVE, [said(0.125, 1.0, meeting=date(2015, 10, 28))], TARGET)
    assert other.mean[0] == pytest.approx(0.25 + 0.25 * 0.5357142857), "they speak of another meeting"


@pytest.mark.parametrize(
    ("futures", "probabilities", "rates", "as_of"),
    [
        (CURVE, [], TARGET, NOON - timedelta(microseconds=1)),
        (CURVE, [], TARGET, NOON + timedelta(days=7, microseconds=1)),
        (CURVE, [], [], NOON),
        (CURVE, [], [price_row("DFEDTARU", date(2015, 8, 1), 0.25)], NOON),
        ([], [said(0.125, 0.25), said(0.375, 0.70)], TARGET, NOON),
        ([future(9, 99.805)], [], TARGET, NOON),
        ([], [], TARGET, NOON),
    ],
)
def test_nothing_known_is_missing(futures: Rows, probabilities: Rows, rates: Rows, as_of: datetime) -> None:
    got = ask(as_of, futures, probabilities, rates)
    assert np.isnan([got.mean[0], got.variance[0], got.tail[0]]).all()
    assert got.known_at[0] == MISSING_TIME


def test_rows_that_come_later_change_nothing() -> None:
    later = NOON + timedelta(hours=5)
    more = [future(8, 90.0, later), future(9, 90.0, later), future(9, 90.0, later, NOON.date())]
    probabilities = [said(5.0, 1.0, later)]
    before, after = ask(NOON, CURVE, rates=TARGET), ask(NOON, CURVE + more, probabilities, TARGET)
    assert (before.mean[0], before.known_at[0]) == (after.mean[0], after.known_at[0])
    assert ask(later, CURVE, probabilities, TARGET).mean[0] == pytest.approx(5.125)


def test_an_empty_question() -> None:
    nothing = np.zeros(0, np.int64)
    got = rate_reference(
        nothing, nothing, np.zeros(0), probabilities=table("fomc_probabilities", []),
        futures=table("fed_funds_futures", []),
        target=pa.table({"date": [], "close": [], "ts": [], "known_at": []}, schema=pa.schema([
            ("date", pa.date32()), ("close", pa.float64()),
            ("ts", pa.timestamp("us", "UTC")), ("known_at", pa.timestamp("us", "UTC")),
        ])),
        meetings=MEETINGS, max_age=timedelta(days=7),
    )  # fmt: skip
    assert got.mean.size == 0
