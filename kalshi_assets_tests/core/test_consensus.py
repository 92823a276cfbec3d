"""Consensus forecasts beside the events that they are about."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from kalshi_assets.core.columns import MISSING_TIME, micros_of
from kalshi_assets.core.consensus import consensus_known, consensus_of_events, consensus_then
from kalshi_assets_tests.core.event_rows import RELEASE, event_row, table

DAY = timedelta(days=1)


def forecast(
    value: float, days_ahead: int, period: date = date(2024, 6, 1), series: str = "KXCPIYOY"
) -> dict[str, Any]:
    known = RELEASE - days_ahead * DAY
    return {"series_ticker": series, "period": period, "consensus": value, "ts": known, "known_at": known}


def test_each_event_of_the_series_and_period_gets_every_version() -> None:
    events = [event_row(), event_row("KXCPIYOY-24JUL", period=date(2024, 7, 1)), event_row("KXU3-24JUN"),
              event_row("KXCPIYOY-X", period=None)]  # fmt: skip
    said = [forecast(3.1, 3), forecast(3.2, 9), forecast(9.9, 3, date(2030, 1, 1))]
    got = consensus_of_events(table("consensus", said), table("events", events))
    assert [(r["event_ticker"], r["consensus"]) for r in got.to_pylist()] == [
        ("KXCPIYOY-24JUN", 3.2), ("KXCPIYOY-24JUN", 3.1),
    ]  # fmt: skip


def test_the_newest_known_and_not_too_old() -> None:
    said = consensus_of_events(table("consensus", [forecast(3.1, 3), forecast(3.2, 9)]), table("events", [event_row()]))
    asked = [10, 9, 4, 3, 0, -57, -58]
    as_of = np.array([micros_of(RELEASE - d * DAY) for d in asked])
    value, known = consensus_known(said, pa.array(["KXCPIYOY-24JUN"] * 7), as_of, max_age=60 * DAY)
    np.testing.assert_array_equal(value, [np.nan, 3.2, 3.2, 3.1, 3.1, 3.1, np.nan])
    assert (known == MISSING_TIME).tolist() == [True, False, False, False, False, False, True]
    value, _ = consensus_known(said, pa.array(["OTHER"] * 7), as_of, max_age=60 * DAY)
    assert np.isnan(value).all()
    none = consensus_of_events(table("consensus", []), table("events", [event_row()]))
    assert np.isnan(consensus_known(none, pa.array(["KXCPIYOY-24JUN"] * 7), as_of, max_age=DAY)[0]).all()


def test_a_period_that_is_corrected_later_is_not_the_one_of_before() -> None:
    wrong, right = date(2024, 5, 1), date(2024, 6, 1)
    events = [event_row(period=wrong), event_row(period=right, known_at=RELEASE - 2 * DAY), event_row("KXU3-24JUN")]
    said = [forecast(9.9, 30, wrong), forecast(3.1, 9, right), forecast(3.0, 1, right)]
    asked = [70, 40, 3, 2, 0]
    as_of = np.array([micros_of(RELEASE - d * DAY) for d in asked])
    tables = table("consensus", said), table("events", events)
    value, known = consensus_then(*tables, pa.array(["KXCPIYOY-24JUN"] * 5), as_of, max_age=60 * DAY)
    np.testing.assert_array_equal(value, [np.nan, np.nan, 9.9, 3.1, 3.0])
    assert known.tolist()[2:] == [micros_of(RELEASE - d * DAY) for d in (30, 9, 1)]
    nothing, _ = consensus_then(*tables, pa.array(["KXU3-24JUN", "OTHER"]), as_of[:2], max_age=60 * DAY)
    assert np.isnan(nothing).all()
