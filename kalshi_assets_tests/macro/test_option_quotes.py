"""OptionMetrics' long files: the change of shape, and days of which a file says two things at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from kalshi_assets.errors import UsageError
from kalshi_assets.macro.option_quotes import by_day, is_long_surface
from kalshi_assets.macro.reference_checks import Checked, check_reference
from kalshi_assets.macro.reference_files import read_reference_file
from kalshi_assets.macro.reference_formats import REFERENCE_FORMATS
from kalshi_assets.macro.trading_days import trading_sessions

NOW = datetime(2024, 12, 31, 12, tzinfo=UTC)
HEAD = "ticker,date,days,delta,cp_flag,impl_volatility"
CALL, PUT = "30,50,C,0.12", "30,-50,P,0.14"


def read(lines: Sequence[str], tmp_path: Path) -> pa.Table:
    path = tmp_path / "surface.csv"
    path.write_text("\n".join(lines))
    raw = read_reference_file(path)
    assert is_long_surface(raw)
    return raw


def checked(lines: Sequence[str], tmp_path: Path) -> Checked:
    days = by_day(read(lines, tmp_path))
    form = REFERENCE_FORMATS["option_surfaces"]
    return check_reference(form, days.rows, now=NOW, sessions_of=trading_sessions, lines=days.lines, faults=days.faults)


def test_a_surface_by_delta_becomes_one_by_day(tmp_path: Path) -> None:
    lines = [f"{HEAD},close"]
    for day in ("2024-07-02", "2024-07-01"):
        lines += [f"SPX,{day},{days},{delta},{flag},{iv},5500" for days, delta, flag, iv in (
            (30, 50, "C", 0.12), (30, -50, "P", 0.14), (60, 50, "C", 0.15), (91, -50, "P", 0.17), (30, -25, "P", 0.2),
            (30, 25, "C", 0.1), (30, 10, "C", 0.9), (365, 50, "C", 0.9),
        )]  # fmt: skip
    first, second = checked(lines, tmp_path).rows.to_pylist()
    assert (first["date"], second["date"]) == (date(2024, 7, 1), date(2024, 7, 2))
    wanted = {"iv_30": 0.13, "iv_60": 0.15, "iv_90": 0.17, "put_25d": 0.2, "call_25d": 0.1, "close": 5500.0}
    for name, value in wanted.items():
        assert first[name] == pytest.approx(value), name
    assert second["known_at"] - second["ts"] == timedelta(hours=8)


def test_empty_cells_beside_the_points_change_nothing(tmp_path: Path) -> None:
    lines = [f"{HEAD},close,source,known_at", *(f"SPX,2024-07-01,{point},,," for point in (CALL, PUT))]
    (row,) = checked(lines, tmp_path).rows.to_pylist()
    assert (row["iv_30"], row["close"], row["put_25d"]) == (pytest.approx(0.13), None, None)


@pytest.mark.parametrize(
    ("also", "said"),
    [
        (["30,50,C,0.50"], "C of 30 days and delta 50 is there twice with different values"),
        (["30,-25,P,0.2", "30,25,P,0.3"], "P of 30 days and delta 25 is there twice with different values"),
    ],
)
def test_a_day_that_contradicts_itself_is_put_aside_with_its_first_line(
    also: list[str], said: str, tmp_path: Path
) -> None:
    points = [f"SPX,2024-07-0{d},{point}" for d in (1, 2, 3) for point in (CALL, PUT)]
    lines = [HEAD, *points, *(f"SPX,2024-07-02,{point}" for point in also)]
    got = checked(lines, tmp_path)
    begins = 4 if "C" in also[0] else 8
    assert [(line, reason) for line, reason, _ in got.rejected] == [(begins, said)]
    assert got.rows["date"].to_pylist() == [date(2024, 7, 1), date(2024, 7, 3)]
    assert got.rows["iv_30"].to_pylist() == pytest.approx([0.13, 0.13])


def test_the_only_day_refuses_the_file(tmp_path: Path) -> None:
    lines = [HEAD, *(f"SPX,2024-07-01,{point}" for point in (CALL, "30,50,C,0.50", PUT))]
    with pytest.raises(UsageError, match="1 of its 1 rows are wrong, the first on line 2: C of 30 days and delta 50"):
        checked(lines, tmp_path)


def test_equal_points_are_one(tmp_path: Path) -> None:
    lines = [HEAD, *(f"SPX,2024-07-01,{point}" for point in (CALL, CALL, PUT))]
    got = checked(lines, tmp_path)
    assert (got.rejected, got.rows["iv_30"].to_pylist()) == ((), [pytest.approx(0.13)])


def test_two_closes_of_a_day_contradict_each_other(tmp_path: Path) -> None:
    lines = [f"{HEAD},close", *(f"SPX,2024-07-0{d},{CALL},5500" for d in (1, 2, 3)), f"SPX,2024-07-03,{PUT},5501"]
    (put_aside,) = checked(lines, tmp_path).rejected
    assert put_aside[:2] == (4, "close is there twice with different values")


def test_a_bad_day_is_named_by_its_line_in_the_file(tmp_path: Path) -> None:
    days = [f"SPX,2024-07-0{d},{point}" for d in (3, 2, 1) for point in (CALL, PUT)]
    got = checked([HEAD, *days, "SPX,2024-07-05,30,50,C,12"], tmp_path)
    assert [(line, reason) for line, reason, _ in got.rejected] == [(8, "iv_30 lies outside 1e-06 to 5")]


@pytest.mark.parametrize("name", ["date", "ticker"])
def test_a_long_file_without_its_day_or_name_is_refused(name: str, tmp_path: Path) -> None:
    raw = read([HEAD, f"SPX,2024-07-01,{CALL}"], tmp_path).drop_columns([name])
    missing = "symbol" if name == "ticker" else name
    with pytest.raises(UsageError, match=f"it lacks the column {missing}, which option_surfaces needs; add it"):
        by_day(raw)


def test_column_names_twice_and_cells_that_are_no_numbers(tmp_path: Path) -> None:
    raw = read([HEAD, f"SPX,2024-07-01,{CALL}"], tmp_path)
    with pytest.raises(UsageError, match="column names twice"):
        by_day(raw.append_column("date", raw["date"]))
    raw = read([HEAD, f"SPX,2024-07-01,{CALL}", "SPX,2024-07-01,30,half,P,0.14"], tmp_path)
    with pytest.raises(UsageError, match="column delta has cells that cannot be read, the first on line 3"):
        by_day(raw)
    with pytest.raises(UsageError, match="line 2"):
        by_day(raw, first_line=1)
