from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from kalshi_assets.errors import DomainError, SettingsError
from kalshi_assets.macro import load_first_prints, load_release_calendar
from kalshi_assets.settings import facts_folder

CALENDAR = """# a comment, with commas
release_id,period,release_date,release_clock,announced_on,source,flag
10,2026-01-01,2026-02-13,08:30,2026-02-04,Office A,rescheduled

50,2026-06-01,2026-07-02,08:30,,Office B,
10,2025-10-01,,08:30,2025-11-21,Office A,not_published
"""
PRINTS = """# a comment
series_id,units,observation_date,value,released_on,precision,source
AAA,pc1,2026-01-01,2.4,2026-02-13,0.1,Office A
BBB,chg,2026-01-01,-92,2026-02-06,,Office B
"""


def folder(tmp_path: Path, calendar: str = CALENDAR, prints: str = PRINTS) -> Path:
    (tmp_path / "release_calendar.csv").write_text(calendar)
    (tmp_path / "first_prints.csv").write_text(prints)
    return tmp_path


def test_times_are_new_york_clocks_in_utc(tmp_path: Path) -> None:
    winter, summer, cancelled = load_release_calendar(folder(tmp_path)).to_pylist()
    assert winter == {
        "release_id": 10, "period": date(2026, 1, 1), "release_date": date(2026, 2, 13),
        "release_time": datetime(2026, 2, 13, 13, 30, tzinfo=UTC), "announced_at": datetime(2026, 2, 5, 5, tzinfo=UTC),
        "release_name": "Office A", "flag": "rescheduled",
    }  # fmt: skip
    assert summer["release_time"] == datetime(2026, 7, 2, 12, 30, tzinfo=UTC)
    assert summer["announced_at"] is None
    assert summer["flag"] is None
    assert cancelled["release_time"] is None


def test_first_prints(tmp_path: Path) -> None:
    first, second = load_first_prints(folder(tmp_path)).to_pylist()
    assert first == {
        "series_id": "AAA", "units": "pc1", "observation_date": date(2026, 1, 1), "value": 2.4,
        "released_on": date(2026, 2, 13), "precision": 0.1, "source": "Office A",
    }  # fmt: skip
    assert (second["value"], second["precision"]) == (-92.0, None)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x,2026-01-01,2026-02-13,08:30,,,", "'release_id'"),
        (",2026-01-01,2026-02-13,08:30,,,", "'release_id' is empty"),
        ("10,2026-01-15,2026-02-13,08:30,,,", "'period'"),
        ("10,2026-01-01,2026-02-30,08:30,,,", "'release_date'"),
        ("10,2026-01-01,2026-02-13,8h30,,,", "'release_clock'"),
        ("10,2026-01-01,2026-02-13,24:30,,,", "'release_clock'"),
        ("10,2026-01-01", "2 cells for 7"),
    ],
)
def test_a_damaged_calendar_names_file_and_line(line: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DomainError, match=r"release_calendar.csv, line 7") as caught:
        load_release_calendar(folder(tmp_path, calendar=CALENDAR + line + "\n"))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("AAA,pc1,2026-02-01,two,2026-03-13,0.1,", "'value'"),
        ("AAA,pc1,2026-02-01,NaN,2026-03-13,0.1,", "'value'"),
        ("AAA,pc1,2026-02-01,,2026-03-13,0.1,", "'value' is empty"),
        ("AAA,pc1,2026-02-01,2.0,,0.1,", "'released_on' is empty"),
        ("AAA,pc1,2026-01-01,9.9,2026-03-13,0.1,", "comes twice"),
    ],
)
def test_a_damaged_print_names_file_and_line(line: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DomainError, match=r"first_prints.csv, line 5") as caught:
        load_first_prints(folder(tmp_path, prints=PRINTS + line + "\n"))
    assert said in str(caught.value)


def test_missing_files_and_columns(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"release_calendar.csv"):
        load_release_calendar(tmp_path)
    with pytest.raises(DomainError, match="no column released_on"):
        load_first_prints(folder(tmp_path, prints=PRINTS.replace("released_on", "when")))
    with pytest.raises(DomainError, match="no column"):
        load_first_prints(folder(tmp_path, prints="# nothing\n"))


def test_the_packaged_facts_are_consistent() -> None:
    calendar = load_release_calendar(facts_folder()).to_pylist()
    prints = load_first_prints(facts_folder()).to_pylist()
    assert len(calendar) > 200
    assert len(prints) > 300
    for row in calendar:
        if row["announced_at"] and row["flag"] in (None, "rescheduled", "scheduled"):
            assert row["announced_at"] < row["release_time"], row
        assert row["release_date"] > row["period"]
    days = {r["release_date"] for r in calendar if r["flag"] not in ("superseded", "not_published")}
    assert all(p["released_on"] in days for p in prints)
    assert all(p["released_on"] > p["observation_date"] for p in prints)
    assert all(abs(p["value"] / p["precision"] - round(p["value"] / p["precision"])) < 1e-6 for p in prints)
