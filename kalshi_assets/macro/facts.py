"""Reads the packaged public facts: release dates and first prints; deriving tables from them is the calendar's work."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from kalshi_assets.core.tables import DATE, INT, REAL, TEXT, TIME
from kalshi_assets.errors import DomainError, SettingsError
from kalshi_assets.macro.new_york import NEW_YORK, end_of_day

CALENDAR_FILE = "release_calendar.csv"
PRINTS_FILE = "first_prints.csv"
MEETINGS_FILE = "fomc_meetings.csv"

CALENDAR_FACTS = pa.schema(
    [
        ("release_id", INT),
        ("period", DATE),
        ("release_date", DATE),
        ("release_time", TIME),
        ("announced_at", TIME),
        ("release_name", TEXT),
        ("flag", TEXT),
    ]
)
FIRST_PRINTS = pa.schema(
    [
        ("series_id", TEXT),
        ("units", TEXT),
        ("observation_date", DATE),
        ("value", REAL),
        ("released_on", DATE),
        ("precision", REAL),
        ("source", TEXT),
    ]
)

_Value = TypeVar("_Value")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_MONTH_START = re.compile(r"\d{4}-\d\d-01")


def load_release_calendar(facts_dir: Path) -> pa.Table:
    """The release calendar as packaged.

    Returns:
        One row per version of a release's date, columns of ``CALENDAR_FACTS``, in the file's order.
        ``release_date`` and ``release_time`` are null where a cancelled release has no date,
        ``announced_at`` (the end of the day on which the date was public) where that is not known.

    Raises:
        SettingsError: the file is not there.
        DomainError: naming file and line, where a cell cannot be read.
    """
    rows = []
    for cell in _rows(facts_dir / CALENDAR_FILE, ("release_id", "period", "release_date", "release_clock")):
        day = cell("release_date", date.fromisoformat, optional=True)
        clock = cell("release_clock", _clock, optional=True)
        announced = cell("announced_on", date.fromisoformat, optional=True)
        moment = datetime.combine(day, clock, tzinfo=NEW_YORK).astimezone(UTC) if day and clock else None
        rows.append(
            {
                "release_id": cell("release_id", int),
                "period": cell("period", _month),
                "release_date": day,
                "release_time": moment,
                "announced_at": end_of_day(announced) if announced else None,
                "release_name": cell("source", str, optional=True),
                "flag": cell("flag", str, optional=True),
            }
        )
    return pa.Table.from_pylist(rows, schema=CALENDAR_FACTS)


def load_first_prints(facts_dir: Path) -> pa.Table:
    """The first prints as packaged, in the unit of publication.

    Returns:
        One row per (series, observation), columns of ``FIRST_PRINTS``, in the file's order.

    Raises:
        SettingsError: the file is not there.
        DomainError: naming file and line, where a cell cannot be read or a fact comes twice.
    """
    rows, seen = [], set()
    for cell in _rows(facts_dir / PRINTS_FILE, ("series_id", "units", "observation_date", "value", "released_on")):
        row = {
            "series_id": cell("series_id", str),
            "units": cell("units", str),
            "observation_date": cell("observation_date", date.fromisoformat),
            "value": cell("value", _number),
            "released_on": cell("released_on", date.fromisoformat),
            "precision": cell("precision", _number, optional=True),
            "source": cell("source", str, optional=True),
        }
        key = (row["series_id"], row["units"], row["observation_date"])
        if key in seen:
            raise cell.error("observation_date", "comes twice; a first print exists once")
        seen.add(key)
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=FIRST_PRINTS)


def load_fomc_meetings(facts_dir: Path) -> tuple[date, ...]:
    """The days of the Federal Open Market Committee's scheduled decisions as packaged, ascending.

    Raises:
        SettingsError: the file is not there.
        DomainError: naming file and line, where a cell cannot be read.
    """
    cells = _rows(facts_dir / MEETINGS_FILE, ("meeting_date",))
    return tuple(sorted({day for cell in cells if (day := cell("meeting_date", date.fromisoformat)) is not None}))


class _Cells:
    """One line of a file: reads a cell by column name, and says where it failed."""

    def __init__(self, path: Path, line: int, cells: dict[str, str]) -> None:
        self._path = path
        self._line = line
        self._cells = cells

    def __call__(self, column: str, read: Callable[[str], _Value], *, optional: bool = False) -> _Value | None:
        text = (self._cells.get(column) or "").strip()
        if not text:
            if optional:
                return None
            raise self.error(column, "is empty")
        try:
            return read(text)
        except ValueError:
            pass
        raise self.error(column, f"holds {text[:40]!r}, which cannot be read")

    def error(self, column: str, problem: str) -> DomainError:
        return DomainError(f"{self._path.name}, line {self._line}: column {column!r} {problem}; correct the file.")


def _rows(path: Path, required: tuple[str, ...]) -> Iterator[_Cells]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = None
    if text is None:
        raise SettingsError(f"The packaged facts {path.name} cannot be read in {path.parent}; reinstall the package.")
    lines = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip() and line[0] != "#"]
    reader = csv.reader(line for _, line in lines)
    header = next(reader, [])
    if lacking := [c for c in required if c not in header]:
        raise DomainError(f"{path.name} has no column {', '.join(lacking)}; correct the file.")
    for (number, _), cells in zip(lines[1:], reader, strict=False):
        if len(cells) != len(header):
            raise DomainError(f"{path.name}, line {number}: {len(cells)} cells for {len(header)} columns.")
        yield _Cells(path, number, dict(zip(header, cells, strict=True)))


def _clock(text: str) -> time:
    if not _CLOCK.fullmatch(text):
        raise ValueError(text)
    return time.fromisoformat(text)


def _month(text: str) -> date:
    if not _MONTH_START.fullmatch(text):
        raise ValueError(text)
    return date.fromisoformat(text)


def _number(text: str) -> float:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None
    if not number.is_finite():
        raise ValueError(text)
    return float(number)
