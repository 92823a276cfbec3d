"""Judges the rows of a reference file: what enters the lake, what is put aside and why, what refuses the file.

A whole file is refused where nothing in it can be trusted (columns, time
zones, more bad rows than good, more missing sessions than a fifth); a single
bad row is put aside. Reading cells is ``macro.reference_cells``, writing to the
lake ``stages.references``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import MISSING_TIME, days, micros_of, reals, time_column, times
from kalshi_assets.core.tables import DATE, INT, TABLES
from kalshi_assets.core.trading_sessions import CALENDAR_OF, Sessions
from kalshi_assets.errors import UsageError
from kalshi_assets.macro.new_york import at_clock, end_of_day
from kalshi_assets.macro.reference_cells import typed
from kalshi_assets.macro.reference_formats import Column, ReferenceFormat

MOST_MISSING_SESSIONS = 0.2
MOST_BAD_ROWS = 0.5
_SUM_TOLERANCE = 0.02
Marks = npt.NDArray[np.bool_]
SessionsOf = Callable[[str, date, date], Sessions]


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a file.

    Attributes:
        rows: content rows of the kind's table.
        rejected: line in the file, the reason and the row, of each row put aside; lines count from 1, the head of a
            CSV included.
        remarks: sentences on what is no fault of a row: sessions without one, a check that could not be made.
    """

    rows: pa.Table
    rejected: tuple[tuple[int, str, str], ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass
class _Sheet:
    """The file's rows while they are judged: typed columns, and the first fault of each row."""

    form: ReferenceFormat
    first_line: int
    columns: dict[str, pa.Array] = field(default_factory=dict)
    faults: list[str | None] = field(default_factory=list)

    def fault(self, rows: Marks, reason: str) -> None:
        for i in np.flatnonzero(rows).tolist():
            self.faults[i] = self.faults[i] or reason

    @property
    def sound(self) -> Marks:
        return np.array([f is None for f in self.faults], bool)


def check_reference(
    form: ReferenceFormat, raw: pa.Table, *, now: datetime, sessions_of: SessionsOf | None, first_line: int = 2
) -> Checked:
    """Judge a file.

    Args:
        form: the kind's format.
        raw: the file's columns as read.
        now: nothing can be known later than this.
        sessions_of: sessions of a calendar between two days; None where no calendars are installed.
        first_line: line of the first row.

    Raises:
        UsageError: the file is refused; the sentence says why and what to do, without naming the file.
    """
    sheet = _read(form, raw, first_line)
    if not raw.num_rows:
        raise UsageError("it has no rows; give the rows that it should hold")
    if form.name == "fomc_probabilities":
        # A key is compared exactly, which a fraction of a per cent cannot be.
        tenths = pc.round(pc.multiply(sheet.columns["target_mid_pct"], 1000.0))
        sheet.columns["target_tenths_bp"] = tenths.cast(INT, safe=False)
    _date(sheet)
    _judge_times(sheet, now)
    _judge_ranges(sheet)
    _judge_repeats(sheet)
    remarks = _judge_sessions(sheet, sessions_of)
    if form.name == "fomc_probabilities":
        _judge_sums(sheet)
    sound = sheet.sound
    schema = TABLES[form.name].schema
    absent = {f.name: pa.nulls(raw.num_rows, f.type) for f in schema}
    rows = pa.table({f.name: sheet.columns.get(f.name, absent[f.name]) for f in schema}).filter(pa.array(sound))
    bad = [i for i, reason in enumerate(sheet.faults) if reason]
    if len(bad) > MOST_BAD_ROWS * raw.num_rows:
        raise UsageError(
            f"{len(bad)} of its {raw.num_rows} rows are wrong, the first on line {first_line + bad[0]}: "
            f"{sheet.faults[bad[0]]}; correct the file"
        )
    written = raw.take(pa.array(bad, pa.int64())).to_pylist()
    rejected = tuple(
        (first_line + i, str(sheet.faults[i]), json.dumps(row, default=str, sort_keys=True))
        for i, row in zip(bad, written, strict=True)
    )
    unique = _without_equal_rows(rows, (*form.key, "known_at"))
    return Checked(unique.cast(schema), rejected, tuple(remarks))


def _read(form: ReferenceFormat, raw: pa.Table, first_line: int) -> _Sheet:
    known = [*form.columns, Column("ts", "time"), Column("known_at", "time"), Column("source", "text")]
    names = {alias: c for c in known for alias in (c.name, *c.also)}
    strange = [n for n in raw.column_names if n not in names]
    if strange or len(set(raw.column_names)) < raw.num_columns:
        listed = ", ".join(c.name for c in known)
        raise UsageError(
            f"it has the column {strange[0] if strange else 'names twice'}, which {form.name} does not know; "
            f"its columns are {listed}"
        )
    found = {names[n].name: raw[n] for n in raw.column_names}
    wanted = [c.name for c in form.columns if c.required]
    wanted += ["known_at"] if form.known == "stated" else []
    wanted += ["ts"] if form.clock is None and not form.dated_by_receipt else []
    if missing := [n for n in wanted if n not in found]:
        raise UsageError(f"it lacks the column {', '.join(missing)}, which {form.name} needs; add it")
    sheet = _Sheet(form, first_line, faults=[None] * raw.num_rows)
    for c in known:
        if c.name in found:
            values, bad = typed(found[c.name], c.kind, c.name)
            sheet.columns[c.name] = values
            sheet.fault(bad, f"{c.name} cannot be read")
            if c.name in wanted or c.required:
                sheet.fault(np.asarray(pc.is_null(values), bool), f"{c.name} is empty")
    return sheet


def _date(sheet: _Sheet) -> None:
    """Fill ``ts`` and ``known_at`` where the file leaves them to the kind's rule."""
    form, columns = sheet.form, sheet.columns
    n = len(sheet.faults)
    nothing = pa.nulls(n, pa.int64()).cast(time_column(np.zeros(0, np.int64)).type)
    stated = {name: columns.get(name, nothing) for name in ("ts", "known_at")}
    if form.dated_by_receipt:
        columns["ts"] = pc.coalesce(stated["ts"], stated["known_at"])
    elif form.clock is not None:
        columns["ts"] = pc.coalesce(stated["ts"], _at_day(columns["date"], lambda d: at_clock(d, form.clock or (0, 0))))
    if form.known == "at_ts":
        columns["known_at"] = pc.coalesce(stated["known_at"], columns["ts"])
    elif form.known == "end_of_day":
        columns["known_at"] = pc.coalesce(stated["known_at"], _at_day(columns["date"], end_of_day))


def _at_day(column: pa.Array, moment: Callable[[date], datetime]) -> pa.Array:
    distinct = {d: micros_of(moment(d)) for d in pc.unique(column).to_pylist() if d is not None}
    return time_column(np.array([distinct.get(d, MISSING_TIME) for d in column.to_pylist()], np.int64))


def _judge_times(sheet: _Sheet, now: datetime) -> None:
    ts, known_at = times(sheet.columns["ts"]), times(sheet.columns["known_at"])
    sheet.fault(known_at > micros_of(now), "known_at lies in the future")
    sheet.fault((known_at != MISSING_TIME) & (ts > known_at), "ts is later than known_at: it tells of the future")
    sheet.fault((known_at == MISSING_TIME) | (ts == MISSING_TIME), "it has no time")


def _judge_ranges(sheet: _Sheet) -> None:
    for c in sheet.form.columns:
        if c.kind in ("real", "count") and c.name in sheet.columns:
            values = reals(sheet.columns[c.name])
            filled = np.asarray(pc.is_valid(sheet.columns[c.name]), bool)
            sheet.fault(filled & ~np.isfinite(values), f"{c.name} is no finite number")
            sheet.fault(
                filled & ((values < c.low) | (values > c.high)), f"{c.name} lies outside {c.low:g} to {c.high:g}"
            )


def _judge_repeats(sheet: _Sheet) -> None:
    """Rows of one key and one ``known_at`` with different values contradict each other, so none of them counts."""
    key = (*sheet.form.key, "known_at")
    values = [n for n in sheet.columns if n not in key]
    sound = sheet.sound
    table = pa.table({n: sheet.columns[n] for n in sheet.columns}).append_column("row", pa.array(np.arange(sound.size)))
    distinct = _without_equal_rows(table.filter(pa.array(sound)), (*key, *values))
    counted = distinct.group_by(list(key)).aggregate([("row", "count")])
    clashing = counted.filter(pc.greater(counted["row_count"], 1)).select(list(key))
    if clashing.num_rows:
        here = table.join(clashing, list(key), join_type="left semi")["row"].to_numpy()
        marks = np.zeros(sound.size, bool)
        marks[here] = True
        sheet.fault(marks, "it is there twice with different values")


def _without_equal_rows(table: pa.Table, key: tuple[str, ...]) -> pa.Table:
    """The first row of each key; floats compare by value, nulls are equal."""
    numbered = table.append_column("_place", pa.array(np.arange(table.num_rows)))
    # Nulls are no keys of a join, but they are of a grouping.
    first = numbered.group_by(list(key), use_threads=False).aggregate([("_place", "min")])["_place_min"]
    return table.take(first.sort())


def _judge_sums(sheet: _Sheet) -> None:
    sound = pa.array(sheet.sound)
    group = ["meeting_date", "date", "known_at"]
    rows = pa.table({n: sheet.columns[n] for n in (*group, "probability")}).filter(sound)
    sums = rows.group_by(group).aggregate([("probability", "sum")])
    total = reals(sums["probability_sum"])
    wrong = set(
        zip(*(sums.filter(pa.array(abs(total - 1) > _SUM_TOLERANCE))[c].to_pylist() for c in group), strict=True)
    )
    if wrong:
        here = zip(*(sheet.columns[c].to_pylist() for c in group), strict=True)
        sheet.fault(
            np.array([k in wrong for k in here], bool), "the probabilities of its meeting and day do not sum to 1"
        )


def _judge_sessions(sheet: _Sheet, sessions_of: SessionsOf | None) -> list[str]:
    """Rows on days without a session are faults; sessions without a row are remarks, or refuse the file."""
    calendar = sheet.form.calendar
    if calendar is None or not sheet.sound.any():
        return []
    symbols = sheet.columns["symbol"].to_pylist() if calendar == "symbol" else [""] * len(sheet.faults)
    of: Mapping[str, str | None] = {s: CALENDAR_OF.get(s) if calendar == "symbol" else calendar for s in set(symbols)}
    kept = sorted(s for s, name in of.items() if name)
    if not kept:
        return []
    if sessions_of is None:
        return ["Missing trading days were not looked for, because no trading calendars are installed."]
    day, remarks = days(sheet.columns["date"]), []
    for symbol in kept:
        mine = np.array([s == symbol for s in symbols], bool) & sheet.sound
        if not mine.any():
            continue
        first, last = (_day_of(int(edge(day[mine]))) for edge in (np.min, np.max))
        sessions = sessions_of(str(of[symbol]), first, last)
        sheet.fault(mine & ~np.isin(day, sessions.day), f"its day is no session of {sessions.calendar}")
        held = np.unique(day[mine & np.isin(day, sessions.day)])
        missing = sessions.missing(held)
        if missing.size:
            n = missing.size + held.size
            said = (
                f"{symbol or 'the curve'} lacks {missing.size} of {n} sessions of {sessions.calendar}, "
                f"the first {_day_of(int(missing[0]))}"
            )
            if missing.size > MOST_MISSING_SESSIONS * n:
                raise UsageError(f"{said}; complete the file")
            remarks.append(f"{said[0].upper()}{said[1:]}.")
    return remarks


def _day_of(number: int) -> Any:
    return pa.scalar(number, pa.int32()).cast(DATE).as_py()
