"""What a reference file lacks: days, bars inside a session, periods."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from kalshi_assets.errors import UsageError
from kalshi_assets_tests.macro.test_reference_checks import CONSENSUS, check

FED = "fomc_date,date,target_mid_pct,probability\n"


def bars(symbol: str, *minutes: int, period: int | None = 60, hour: int = 14) -> str:
    base = datetime(2024, 7, 11, hour, tzinfo=UTC)
    lines = [f"{symbol},{base + timedelta(minutes=m):%Y-%m-%dT%H:%M:%SZ},1,{period or ''}" for m in minutes]
    return "symbol,ts,close,period_s\n" + "\n".join(lines)


@pytest.mark.parametrize("symbol", ["ES", "BTC"])
def test_bars_that_are_missing_inside_a_session(symbol: str, tmp_path: Path) -> None:
    got = check("asset_bars", bars(symbol, 1, 2, 7, 8, 14), tmp_path)
    assert got.missing == (
        f"{symbol} has 1 gaps of more than 5 bars inside a session, the first after 2024-07-11T14:08:00Z.",
    )
    assert got.rows.num_rows == 5
    assert check("asset_bars", bars(symbol, 1, 2, 7, 8, 13), tmp_path).missing == ()
    # Without a period the usual distance of two bars is the measure.
    assert len(check("asset_bars", bars(symbol, 1, 2, 3, 9, period=None), tmp_path).missing) == 1
    assert check("asset_bars", bars(symbol, 10, 20, 30, 80, period=None), tmp_path).missing == ()


@pytest.mark.parametrize(
    ("symbol", "hour", "minutes"),
    [
        ("SPY", 19, (58, 59, 1111, 1112)),  # to the next morning
        ("ES", 20, (58, 59, 121, 122)),  # over the hour at which the futures rest
        ("BTC", 20, (478, 479, 491, 492)),  # over midnight in New York
        ("ES", 20, (58, 59, 5 * 1440, 5 * 1440 + 1)),
    ],
)
def test_a_market_that_was_shut_is_no_gap(symbol: str, hour: int, minutes: tuple[int, ...], tmp_path: Path) -> None:
    assert check("asset_bars", bars(symbol, *minutes, hour=hour), tmp_path).missing == ()


def test_bars_of_each_symbol_are_looked_at_alone(tmp_path: Path) -> None:
    text = bars("ES", 1, 2, 3) + "\n" + bars("NQ", 30, 31).split("\n", 1)[1]
    assert check("asset_bars", text, tmp_path).missing == ()
    blind = check("asset_bars", bars("ES", 1, 2, 60), tmp_path, calendars=False)
    assert blind.missing == ()
    assert "was not looked for" in blind.remarks[0]


def probabilities(meeting: str, *days: str) -> str:
    return "".join(f"{meeting},{day},{t},0.5\n" for day in days for t in (5.125, 5.375))


def july(*days: int) -> list[str]:
    return [f"2024-07-{d:02}" for d in days]


def test_probabilities_keep_the_futures_days_each_meeting_on_its_own(tmp_path: Path) -> None:
    whole = probabilities("2024-07-31", *july(8, 9, 10, 11, 12, 14, 15))
    later = probabilities("2024-09-18", "2024-09-03", "2024-09-04")
    good = check("fomc_probabilities", FED + whole + later, tmp_path)
    assert (good.rejected, good.missing) == ((), ()), "from July to September nothing is due, and Sundays are allowed"
    (said,) = check("fomc_probabilities", FED + whole.replace(*july(10, 14)) + later, tmp_path).missing
    assert said == "The file lacks 1 of 8 sessions of CME Globex Interest Rate Products, the first 2024-07-10."
    with pytest.raises(UsageError, match="the file lacks 3 of 6"):
        check("fomc_probabilities", FED + probabilities("2024-07-31", *july(8, 9, 15)), tmp_path)


def test_days_of_an_asset_without_a_calendar(tmp_path: Path) -> None:
    def missing(*days: int) -> tuple[str, ...]:
        text = "".join(f"BTC,{date(2024, 7, 1) + timedelta(days=d)},1\n" for d in days)
        return check("asset_prices", f"symbol,date,close\n{text}", tmp_path).missing

    assert missing(0, 1, 2, 9) == ()
    assert missing(0, 1, 2, 10) == ("BTC has 1 gaps of more than 7 days, the first after 2024-07-03.",)
    assert missing(0, 30, 60, 92) == (), "a monthly number"


def test_periods_without_a_forecast(tmp_path: Path) -> None:
    def missing(series: str, *months: int) -> tuple[str, ...]:
        text = "".join(f"{series},2023-{m:02}-01,4,2024-01-01T00:00Z\n" for m in months)
        return check("consensus", CONSENSUS + text, tmp_path).missing

    assert missing("KXU3", 1, 2, 3) == missing("KXU3", 5) == missing("KXGDP", 1, 4, 7) == ()
    assert missing("KXU3", 11, 12, 1, 2) == ("KXU3 lacks 8 of 12 periods, the first 2023-03-01.",)
