from __future__ import annotations

from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from kalshi_assets.emulator.archive import Archive
from kalshi_assets.emulator.facts import PLANNED_ONLY, read_calendar, read_first_prints
from kalshi_assets.errors import UsageError
from kalshi_assets_tests.emulator.conftest import FACTS

NEW_YORK = ZoneInfo("America/New_York")
CALENDAR, PRINTS = read_calendar(FACTS), read_first_prints(FACTS)
HELD = {(r.release_id, r.period): r for r in CALENDAR if r.flag not in PLANNED_ONLY}
RELEASES = {"CPIAUCNS": 10, "UNRATE": 50, "PAYEMS": 50}

# A recorded calendar is wrong about this one: June 2025's index came out on Tuesday, 15 July.
WRONG_IN_THE_RECORDING = {(10, date(2025, 6, 1)): date(2025, 7, 15)}


def test_every_print_has_its_release() -> None:
    for p in PRINTS:
        release = HELD.get((RELEASES[p.series_id], p.period))
        if release is None:  # October 2025's payrolls came with November's
            assert (p.series_id, p.period, p.released_on) == ("PAYEMS", date(2025, 10, 1), date(2025, 12, 16))
            continue
        assert release.released_at.astimezone(NEW_YORK).date() == p.released_on
        assert round(p.value / p.precision) * p.precision == pytest.approx(p.value)


@pytest.mark.parametrize("series_id", RELEASES)
def test_enough_months_without_a_hole(series_id: str) -> None:
    periods = sorted(p.period for p in PRINTS if p.series_id == series_id)
    assert len(periods) == len(set(periods)) >= 112
    assert periods[0] <= date(2016, 8, 1)
    assert periods[-1] >= date(2024, 10, 1)
    months = {p.year * 12 + p.month for p in periods}
    missing = set(range(min(months), max(months) + 1)) - months
    assert missing == (set() if series_id == "PAYEMS" else {2025 * 12 + 10})


@pytest.mark.parametrize(
    ("release", "period", "dates"),
    [
        (10, date(2025, 9, 1), [("superseded", "2025-10-15"), ("rescheduled", "2025-10-24")]),
        (10, date(2025, 10, 1), [("superseded", "2025-11-13"), ("not_published", "2025-11-13")]),
        (50, date(2025, 9, 1), [("superseded", "2025-10-03"), ("rescheduled", "2025-11-20")]),
        (50, date(2021, 12, 1), [("", "2022-01-07")]),
    ],
)
def test_moved_and_lost_releases(release: int, period: date, dates: list[tuple[str, str]]) -> None:
    rows = [r for r in CALENDAR if (r.release_id, r.period) == (release, period)]
    assert [(r.flag, r.released_at.astimezone(NEW_YORK).date().isoformat()) for r in rows] == dates
    assert [r.announced_on for r in rows] == sorted(r.announced_on for r in rows)


def test_dates_are_announced_before_they_come() -> None:
    for r in CALENDAR:
        local = r.released_at.astimezone(NEW_YORK)
        assert r.period < r.announced_on or r.announced_on.year <= local.year
        assert r.flag == "not_published" or r.announced_on < local.date()
        assert (local.hour, local.minute) == (8, 30)
        assert local.weekday() < 5


def test_release_days_rise_with_the_month() -> None:
    for release in (10, 50):
        days = [HELD[k].released_at for k in sorted(k for k in HELD if k[0] == release)]
        assert days == sorted(set(days))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("CPIAUCNS,pc1,2024-01-01,3.1,2024-02-13,0.1", "6 fields"),
        ("CPIAUCNS,pc1,2024-01-01,x,2024-02-13,0.1,BLS", "float"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, line: str, message: str) -> None:
    text = (FACTS / "first_prints.csv").read_text()
    (tmp_path / "first_prints.csv").write_text(f"{text}{line}\n")
    number = len(text.splitlines()) + 1
    with pytest.raises(UsageError, match=f"line {number}.*{message}"):
        read_first_prints(tmp_path)
    with pytest.raises(UsageError, match=r"release_calendar\.csv"):
        read_calendar(tmp_path)


@pytest.mark.shared
def test_first_prints_agree_with_a_recording(recorded: Archive) -> None:
    facts = {(p.series_id if p.units == "lin" else f"{p.series_id}_{p.units.upper()}", p.period): p for p in PRINTS}
    rows = [r for r in recorded.tables["macro_observations"].to_pylist() if r["vintage"] == "first_print"]
    assert len(rows) > 200
    for r in rows:
        fact = facts[r["series_id"], r["observation_date"]]
        assert fact.value == pytest.approx(r["value"], abs=1e-9), (r["series_id"], r["observation_date"])
        assert fact.released_on == r["released_at"].astimezone(NEW_YORK).date()


@pytest.mark.shared
def test_the_calendar_agrees_with_a_recording_where_it_is_not_estimated(recorded: Archive) -> None:
    names = {"CPI": 10, "Employment Situation": 50}
    compared = 0
    for r in recorded.tables["release_calendar"].to_pylist():
        kind, month, year = r["release_name"].rsplit(" ", 2)
        if kind not in names or "estimated" in (r["flag"] or ""):
            continue
        period = date(int(year), ["January", "February", "March", "April", "May", "June", "July", "August", "September",
                                  "October", "November", "December"].index(month) + 1, 1)  # fmt: skip
        key = (names[kind], period)
        ours = HELD[key].released_at.astimezone(NEW_YORK)
        if key in WRONG_IN_THE_RECORDING:
            assert ours.date() == WRONG_IN_THE_RECORDING[key]
            continue
        assert ours == r["release_time"].astimezone(NEW_YORK), r["release_name"]
        compared += 1
    assert compared > 150
