"""Asset responses round a release."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from kalshi_assets.core.columns import MISSING_TIME, day_number, micros_of, moment_of
from kalshi_assets.core.response_table import response_table
from kalshi_assets.core.responses import (
    DAILY_CLOSE,
    INTRADAY,
    MARKET_CLOSED,
    NO_PRICE,
    ONE_BAR,
    PRICE_NOT_POSITIVE,
    PRICES_END_EARLIER,
    AssetResponses,
    ResponseWindow,
    asset_responses,
)
from kalshi_assets.core.tables import TABLES
from kalshi_assets.core.trading_sessions import Sessions
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.event_rows import RELEASE, event_row, price_row, table

MINUTE = timedelta(minutes=1)


def bars(*minutes_and_prices: tuple[float, float]) -> pa.Table:
    rows = []
    for minutes, price in minutes_and_prices:
        at = RELEASE + minutes * MINUTE
        rows.append({"symbol": "ES", "date": at.date(), "close": price, "ts": at, "known_at": at + MINUTE / 2})
    return table("asset_prices", rows)


def respond(prices: pa.Table, window: ResponseWindow = INTRADAY, symbol: str = "ES") -> AssetResponses:
    return asset_responses(np.array([micros_of(RELEASE)]), prices, symbol, window)


def test_first_price_at_or_after_each_target() -> None:
    got = respond(bars((0, 90.0), (0.5, 95.0), (1, 100.0), (2, 101.0), (59.9, 108.0), (61, 110.0), (62, 120.0)))
    assert got.simple_return[0] == pytest.approx(0.10)
    assert moment_of(got.entry_time[0]) == RELEASE + MINUTE
    assert moment_of(got.exit_time[0]) == RELEASE + 61 * MINUTE
    assert moment_of(got.learned_at[0]) == RELEASE + 61.5 * MINUTE


@pytest.mark.parametrize(
    "prices",
    [
        bars(),
        bars((1, 100.0)),
        bars((12 * 1440, 100.0)),  # one bar twelve days later is no response
        bars((31.1, 100.0), (60, 110.0)),  # the entry came too late
        bars((1, 100.0), (90.1, 110.0)),  # the exit came too late
        bars((1, 0.0), (60, 110.0)),
        bars((1, 100.0), (60, 0.0)),
    ],
)
def test_no_response_is_missing(prices: pa.Table) -> None:
    got = respond(prices)
    assert np.isnan(got.simple_return[0])
    assert (got.entry_time[0], got.exit_time[0], got.learned_at[0]) == (MISSING_TIME,) * 3


def test_entry_and_exit_are_two_bars() -> None:
    window = ResponseWindow(MINUTE, 2 * MINUTE, 60 * MINUTE)
    assert np.isnan(respond(bars((30, 100.0)), window).simple_return[0])
    assert np.isnan(respond(bars((30, 100.0), (31, 105.0)), window).simple_return[0]), "both targets meet the same bar"


def test_the_waiting_time_is_inclusive() -> None:
    assert respond(bars((31, 100.0), (90, 105.0))).simple_return[0] == pytest.approx(0.05)


def test_daily_closes_over_a_weekend() -> None:
    friday = datetime(2024, 7, 5, 12, 30, tzinfo=UTC)
    closes = {4: 99.0, 5: 100.0, 8: 102.0, 9: 103.0}
    prices = table("asset_prices", [price_row("SP500", date(2024, 7, d), c) for d, c in closes.items()])
    releases = np.array([micros_of(friday), micros_of(friday - timedelta(days=60))])
    got = asset_responses(releases, prices, "SP500", DAILY_CLOSE)
    np.testing.assert_allclose(got.simple_return, [0.02, np.nan])
    assert np.isnan(asset_responses(releases, prices, "DGS10", DAILY_CLOSE).simple_return).all()


def test_a_later_correction_is_not_what_was_traded() -> None:
    corrected = bars((1, 100.0), (60, 110.0)).to_pylist()
    corrected.insert(0, corrected[1] | {"close": 500.0, "known_at": RELEASE + timedelta(days=3)})
    assert respond(table("asset_prices", corrected)).simple_return[0] == pytest.approx(0.10)


def test_a_window_must_be_one() -> None:
    for start, end, wait in ((2, 1, 1), (1, 1, 1), (-1, 1, 1), (0, 1, 0)):
        with pytest.raises(DomainError, match="is not one"):
            ResponseWindow(start * MINUTE, end * MINUTE, wait * MINUTE)


# --- by the asset's own calendar ----------------------------------------------------------------


def sessions(*days: tuple[date, tuple[int, int], tuple[int, int]]) -> Sessions:
    """Sessions by their UTC hours and minutes."""

    def at(day: date, clock: tuple[int, int]) -> int:
        return micros_of(datetime(day.year, day.month, day.day, *clock, tzinfo=UTC))

    return Sessions(
        "TEST", np.array([day_number(d) for d, _, _ in days]), np.array([at(d, o) for d, o, _ in days]),
        np.array([at(d, c) for d, _, c in days]),
    )  # fmt: skip


def july(*days: int, early: int = 0) -> Sessions:
    hours = ((13, 30), (20, 0))
    return sessions(*((date(2024, 7, d), hours[0], (17, 0) if d == early else hours[1]) for d in days))


def closes(prices: dict[int, float], release: datetime, calendar: Sessions) -> AssetResponses:
    rows = table("asset_prices", [price_row("SP500", date(2024, 7, d), c) for d, c in prices.items()])
    return asset_responses(np.array([micros_of(release)]), rows, "SP500", DAILY_CLOSE, calendar)


def test_an_early_close_before_the_release_is_not_its_entry() -> None:
    release = datetime(2024, 7, 3, 18, tzinfo=UTC)  # 14:00 New York; the market had closed at 13:00
    prices = {3: 100.0, 5: 102.0, 8: 104.04}
    got = closes(prices, release, july(3, 5, 8, early=3))
    assert got.simple_return[0] == pytest.approx(0.02), "from the fifth to the eighth: 3 July closed before it"
    assert moment_of(got.entry_time[0]) == datetime(2024, 7, 5, 20, tzinfo=UTC)
    good_friday = closes({8: 100.0, 9: 103.0}, datetime(2024, 7, 5, 12, 30, tzinfo=UTC), july(3, 8, 9))
    assert good_friday.simple_return[0] == pytest.approx(0.03), "a release on a holiday: two sessions all the same"
    before = closes(prices, release - timedelta(hours=5, minutes=30), july(3, 5, 8, early=3))
    assert moment_of(before.entry_time[0]) == datetime(2024, 7, 3, 17, tzinfo=UTC), "the close that it really was"
    assert (before.entry_price[0], before.exit_price[0]) == (100.0, 102.0)


def test_a_close_that_is_missing_is_not_replaced_by_the_next_days() -> None:
    release = datetime(2024, 7, 9, 12, 30, tzinfo=UTC)
    got = closes({9: 100.0, 11: 110.0}, release, july(9, 10, 11))
    assert (np.isnan(got.simple_return[0]), got.reason[0]) == (True, NO_PRICE)
    holiday = closes({9: 100.0, 11: 110.0}, release, july(9, 11))
    assert holiday.simple_return[0] == pytest.approx(0.10), "no session on the tenth"
    filler = closes({9: 100.0, 10: 100.0, 11: 110.0}, release, july(9, 11))
    assert filler.simple_return[0] == pytest.approx(0.10), "a price on a day without a session is none"


def test_each_reason() -> None:
    release = datetime(2024, 7, 9, 12, 30, tzinfo=UTC)
    days = july(9, 10)
    assert closes({9: 100.0, 10: 101.0}, release, days).reason[0] is None
    assert closes({9: 100.0, 10: 0.0}, release, days).reason[0] == PRICE_NOT_POSITIVE
    assert closes({9: 100.0}, release, days).reason[0] == PRICES_END_EARLIER
    assert closes({9: 100.0, 20: 1.0}, release, july(9, 20)).reason[0] == MARKET_CLOSED
    assert respond(bars((30, 100.0), (31, 105.0)), ResponseWindow(MINUTE, 2 * MINUTE, 60 * MINUTE)).reason[0] == ONE_BAR


def test_bars_outside_the_session_do_not_count() -> None:
    prices = bars((1, 100.0), (60, 110.0), (61, 120.0))  # 08:31, 09:30 and 09:31 New York
    release = np.array([micros_of(RELEASE)])
    shut = asset_responses(release, prices, "ES", INTRADAY, july(11))
    assert shut.reason[0] == MARKET_CLOSED, "stocks open at 09:30, half an hour after the wait has ended"
    around = sessions((date(2024, 7, 11), (12, 0), (20, 0)))
    assert asset_responses(release, prices, "ES", INTRADAY, around).simple_return[0] == pytest.approx(0.10)
    night = ResponseWindow(MINUTE, 60 * MINUTE, 60 * MINUTE)
    opened = asset_responses(release, prices, "ES", night, july(11))
    assert opened.reason[0] == ONE_BAR, "the first bar of the session serves both targets"


def test_the_table_over_assets_and_windows() -> None:
    closing = [price_row(s, date(2024, 7, d), float(d)) for s in ("SP500", "BTC", "DFEDTARU") for d in (11, 12)]
    intraday = bars((1, 100.0), (61, 110.0)).to_pylist()
    prices = {
        "asset_prices": table("asset_prices", closing),
        "asset_bars": table("asset_bars", [{k: v for k, v in r.items() if k != "date"} for r in intraday]),
    }
    events = table("events", [event_row(), event_row("KXU3-24JUN", RELEASE - timedelta(days=30))])
    got = response_table(events, prices, {"XNYS": july(11, 12)})
    assert got.schema.equals(TABLES["asset_responses"].schema)
    rows = {(r["event_ticker"], r["symbol"], r["window"]): r for r in got.to_pylist()}
    assert sorted({(s, w) for _, s, w in rows}) == [("BTC", "daily_close"), ("SP500", "daily_close")], (
        "the target rate is no asset, and the sessions of ES are not known"
    )
    one = rows["KXCPIYOY-24JUN", "SP500", "daily_close"]
    assert one["simple_return"] == pytest.approx(1 / 11)
    assert one["known_at"] == one["learned_at"] == one["exit_time"] == datetime(2024, 7, 12, 20, tzinfo=UTC)
    assert (one["calendar"], one["reason"]) == ("XNYS", None)
    none = rows["KXU3-24JUN", "BTC", "daily_close"]
    assert (none["simple_return"], none["reason"], none["calendar"]) == (None, NO_PRICE, None)
    assert none["known_at"] == RELEASE - timedelta(days=30) + timedelta(days=9), "when none could come any more"
    futures = sessions((date(2024, 7, 11), (0, 0), (21, 0)))
    both = response_table(events, prices, {"XNYS": july(11, 12), "CME_Equity": futures})
    intra = [r for r in both.to_pylist() if r["window"] == "intraday" and r["reason"] is None]
    assert [r["simple_return"] for r in intra] == [pytest.approx(0.10)]
