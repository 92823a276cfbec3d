"""Public facts from ``data/facts``: when statistics were published, and what was first printed.

The files are comma-separated with comment lines that begin with ``#``. Only
reading and checking them belongs here.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

from kalshi_assets.errors import UsageError

_NEW_YORK = ZoneInfo("America/New_York")
_CALENDAR_COLUMNS = ("release_id", "period", "release_date", "release_clock", "announced_on", "source", "flag")
_PRINT_COLUMNS = ("series_id", "units", "observation_date", "value", "released_on", "precision", "source")

PLANNED_ONLY = frozenset({"superseded", "not_published"})
"""Flags of calendar rows under which nothing was published."""


@dataclass(frozen=True, slots=True)
class Release:
    """One row of the release calendar.

    Attributes:
        release_id: FRED's release.
        period: first day of the reference month.
        released_at: UTC instant of the release.
        announced_on: New York day on which this row was public.
        source: who publishes.
        flag: empty, ``scheduled``, ``superseded``, ``rescheduled`` or ``not_published``.
    """

    release_id: int
    period: date
    released_at: datetime
    announced_on: date
    source: str
    flag: str


@dataclass(frozen=True, slots=True)
class FirstPrint:
    """One number as first published.

    Attributes:
        series_id: FRED's series.
        units: FRED's transformation.
        period: first day of the reference month.
        value: the number, in FRED's unit.
        released_on: New York day of publication.
        precision: step of publication.
        source: who published.
    """

    series_id: str
    units: str
    period: date
    value: float
    released_on: date
    precision: float
    source: str


def read_calendar(facts: Path) -> list[Release]:
    """``release_calendar.csv`` of a facts folder, in file order.

    Raises:
        UsageError: the file is missing, or a row does not parse.
    """
    rows = []
    for place, row in _rows(facts / "release_calendar.csv", _CALENDAR_COLUMNS):
        try:
            clock = time.fromisoformat(row["release_clock"])
            local = datetime.combine(date.fromisoformat(row["release_date"]), clock, _NEW_YORK)
            rows.append(
                Release(
                    release_id=int(row["release_id"]),
                    period=date.fromisoformat(row["period"]),
                    released_at=local.astimezone(UTC),
                    announced_on=date.fromisoformat(row["announced_on"]),
                    source=row["source"],
                    flag=row["flag"],
                )
            )
        except ValueError as error:
            raise UsageError(f"{place}: {error}. Correct the row.") from error
    return rows


def read_first_prints(facts: Path) -> list[FirstPrint]:
    """``first_prints.csv`` of a facts folder, in file order.

    Raises:
        UsageError: the file is missing, or a row does not parse.
    """
    rows = []
    for place, row in _rows(facts / "first_prints.csv", _PRINT_COLUMNS):
        try:
            rows.append(
                FirstPrint(
                    series_id=row["series_id"],
                    units=row["units"],
                    period=date.fromisoformat(row["observation_date"]),
                    value=float(row["value"]),
                    released_on=date.fromisoformat(row["released_on"]),
                    precision=float(row["precision"]),
                    source=row["source"],
                )
            )
        except ValueError as error:
            raise UsageError(f"{place}: {error}. Correct the row.") from error
    return rows


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise UsageError(
            f"The facts file {path} cannot be read ({error.strerror}). Name the folder data/facts."
        ) from error
    numbered = [(i, line) for i, line in enumerate(lines, 1) if line and not line.startswith("#")]
    if not numbered or tuple(numbered[0][1].split(",")) != columns:
        raise UsageError(f"{path} does not begin with the columns {', '.join(columns)}.")
    for (number, _), values in zip(numbered[1:], csv.reader(line for _, line in numbered[1:]), strict=True):
        if len(values) != len(columns):
            raise UsageError(f"{path}, line {number}: {len(values)} fields instead of {len(columns)}. Correct the row.")
        yield f"{path}, line {number}", dict(zip(columns, values, strict=True))
