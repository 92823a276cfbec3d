"""Sessions from the kept library: the odd days by their dates, and the arithmetic on them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from kalshi_assets.core.columns import day_number, micros_of, moment_of
from kalshi_assets.core.trading_sessions import BONDS, CALENDAR_OF, EQUITY_FUTURES, RATE_FUTURES, STOCKS, Sessions
from kalshi_assets.errors import UsageError
from kalshi_assets.macro import trading_days
from kalshi_assets.macro.trading_days import trading_sessions


@pytest.fixture(scope="module")
def stocks() -> Sessions:
    return trading_sessions(STOCKS, date(2023, 1, 20), date(2025, 1, 10))


def close_of(sessions: Sessions, day: date) -> datetime | None:
    at = np.flatnonzero(sessions.day == day_number(day))
    return moment_of(sessions.close[at[0]]) if at.size else None


def test_holidays_early_closes_and_both_clocks(stocks: Sessions) -> None:
    assert close_of(stocks, date(2023, 4, 7)) is None, "Good Friday, on which payrolls came out"
    assert close_of(stocks, date(2025, 1, 9)) is None, "a day of mourning"
    assert close_of(stocks, date(2024, 7, 3)) == datetime(2024, 7, 3, 17, tzinfo=UTC)
    assert close_of(stocks, date(2024, 7, 5)) == datetime(2024, 7, 5, 20, tzinfo=UTC)
    assert close_of(stocks, date(2024, 1, 5)) == datetime(2024, 1, 5, 21, tzinfo=UTC)
    bonds = trading_sessions(BONDS, date(2023, 4, 1), date(2023, 4, 10))
    assert close_of(bonds, date(2023, 4, 7)) == datetime(2023, 4, 7, 16, tzinfo=UTC), "half a day"


def test_every_calendar_in_use_exists_and_ascends() -> None:
    assert set(CALENDAR_OF.values()) == {STOCKS, BONDS, EQUITY_FUTURES, RATE_FUTURES}
    for name in set(CALENDAR_OF.values()):
        sessions = trading_sessions(name, date(2024, 2, 1), date(2024, 3, 1))
        assert sessions.day.size > 240
        assert (np.diff(sessions.day) > 0).all()
        assert (sessions.open < sessions.close).all()
        assert (sessions.close[:-1] <= sessions.open[1:]).all()


def test_what_is_open_when(stocks: Sessions) -> None:
    friday, hour = datetime(2023, 4, 7, 12, 30, tzinfo=UTC), timedelta(hours=1)
    thursday = datetime(2023, 4, 6, 12, 30, tzinfo=UTC)
    moments = np.array([micros_of(t) for t in (friday, thursday, thursday + hour, thursday + 2 * hour)])
    assert stocks.holds(moments).tolist() == [False, False, True, True]
    wait = 3600 * 1_000_000
    assert stocks.opens_within(moments, wait).tolist() == [False, True, True, True]
    assert stocks.opens_within(moments, wait - 1).tolist() == [False, False, True, True]
    edge = np.array([micros_of(datetime(2023, 4, 6, 20, tzinfo=UTC))])
    assert stocks.holds(edge).all()
    assert not stocks.holds(edge + 1).any()


def test_missing_sessions(stocks: Sessions) -> None:
    week = [date(2023, 4, d) for d in (3, 4, 6, 10)]
    missing = stocks.missing(np.array([day_number(d) for d in week]))
    assert missing.tolist() == [day_number(date(2023, 4, 5))], "Good Friday is not missing"
    assert stocks.missing(np.zeros(0, np.int64)).size == 0


def test_no_such_calendar_and_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for first, last in (
        (date.min, date(2024, 1, 1)),
        (date(2024, 1, 1), date.max),
        (date(2024, 1, 2), date(2023, 1, 1)),
    ):
        with pytest.raises(UsageError, match="ask for days in order, between 1900 and 2199"):
            trading_sessions(STOCKS, first, last)
    with pytest.raises(UsageError, match="no trading calendar 'MOON'"):
        trading_sessions("MOON", date(2024, 1, 1), date(2024, 1, 2))
    monkeypatch.setattr(trading_days, "_LIBRARY", "a_library_that_nobody_wrote")
    assert not trading_days.calendars_installed()
    with pytest.raises(UsageError, match=r"pip install 'kalshi_assets\[calendars\]'"):
        trading_sessions(STOCKS, date(1999, 1, 1), date(1999, 1, 2))
