"""Asset responses round a release."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from kalshi_assets.core.columns import MISSING_TIME, micros_of, moment_of
from kalshi_assets.core.responses import DAILY_CLOSE, INTRADAY, AssetResponses, ResponseWindow, asset_responses
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.event_rows import RELEASE, price_row, table

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
