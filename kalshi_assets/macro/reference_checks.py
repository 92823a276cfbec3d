"""Judges the rows of a reference file: what enters the lake, what is put aside and why, what refuses the file.

A whole file is refused where nothing in it can be trusted (columns, time
zones, more bad rows than good, more missing sessions than a fifth); a single
bad row is put aside. Reading cells is ``macro.reference_cells``, what is not
there ``macro.reference_gaps``, writing to the lake ``stages.references``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import MISSING_TIME, Ints, micros_of, reals, time_column, times
from kalshi_assets.core.series import SERIES_FACTS, facts_for
from kalshi_assets.core.tables import DATE, INT, REAL, TABLES
from kalshi_assets.errors import UsageError
from kalshi_assets.macro.new_york import at_clock, end_of_day
from kalshi_assets.macro.reference_cells import typed
from kalshi_assets.macro.reference_formats import Column, ReferenceFormat
from kalshi_assets.macro.reference_gaps import Marks, SessionsOf, gaps_of

MOST_BAD_ROWS = 0.5
_MOST_NAMED = 5
_SUM_TOLERANCE = 0.02
_FIRST_DAY, _LAST_DAY = date(1900, 1, 1), date(2199, 12, 31)
_FIRST_MOMENT = micros_of(datetime.combine(_FIRST_DAY, datetime.min.time(), UTC))


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a file.

    Attributes:
        rows: content rows of the kind's table.
        rejected: line in the file, the reason and the row, of each row put aside; lines count from 1, the head of a
            CSV included.
        missing: sentences on what the file lacks.
        remarks: sentences on checks that could not be made, and on series without facts.
    """

    rows: pa.Table
    rejected: tuple[tuple[int, str, str], ...] = ()
    missing: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass
class _Sheet:
    """The file's rows while they are judged: typed columns, and the first fault of each row."""

    form: ReferenceFormat
    faults: list[str | None]
    columns: dict[str, pa.Array] = field(default_factory=dict)

    def fault(self, rows: Marks, reason: str) -> None:
        for i in np.flatnonzero(rows).tolist():
            self.faults[i] = self.faults[i] or reason

    @property
    def sound(self) -> Marks:
        return np.array([f is None for f in self.faults], bool)


def check_reference(
    form: ReferenceFormat,
    raw: pa.Table,
    *,
    now: datetime,
    sessions_of: SessionsOf | None,
    lines: Ints | None = None,
    faults: Sequence[str | None] = (),
) -> Checked:
    """Judge a file.

    Args:
        form: the kind's format.
        raw: the file's columns as read.
        now: nothing can be known later than this.
        sessions_of: sessions of a calendar between two days; None where no calendars are installed.
        lines: the line of each row; None where the first is on line 2 and the others follow.
        faults: what is known to be wrong with each row before it is judged; empty for nothing.

    Raises:
        UsageError: the file is refused; the sentence says why and what to do, without naming the file.
    """
    line = np.arange(raw.num_rows) + 2 if lines is None else lines
    sheet = _read(form, raw, faults)
    if not raw.num_rows:
        raise UsageError("it has no rows; give the rows that it should hold")
    if form.name == "fomc_probabilities":
        # A key is compared exactly, which a fraction of a per cent cannot be.
        tenths = pc.round(pc.multiply(sheet.columns["target_mid_pct"], 1000.0))
        sheet.columns["target_tenths_bp"] = tenths.cast(INT, safe=False)
    _judge_days(sheet, now)
    _date(sheet)
    _judge_times(sheet, now)
    _judge_ranges(sheet)
    _judge_repeats(sheet)
    gaps = gaps_of(form, sheet.columns, sheet.sound, sessions_of)
    for closed, reason in gaps.closed:
        sheet.fault(closed, reason)
    if form.name == "fomc_probabilities":
        _judge_sums(sheet)
    sound = sheet.sound
    schema = TABLES[form.name].schema
    absent = {f.name: pa.nulls(raw.num_rows, f.type) for f in schema}
    rows = pa.table({f.name: sheet.columns.get(f.name, absent[f.name]) for f in schema}).filter(pa.array(sound))
    bad = sorted((i for i, reason in enumerate(sheet.faults) if reason), key=lambda i: int(line[i]))
    if len(bad) > MOST_BAD_ROWS * raw.num_rows:
        raise UsageError(
            f"{len(bad)} of its {raw.num_rows} rows are wrong, the first on line {line[bad[0]]}: "
            f"{sheet.faults[bad[0]]}; correct the file"
        )
    written = raw.take(pa.array(bad, pa.int64())).to_pylist()
    rejected = tuple(
        (int(line[i]), str(sheet.faults[i]), json.dumps(row, default=str, sort_keys=True))
        for i, row in zip(bad, written, strict=True)
    )
    unique = _without_equal_rows(rows, (*form.key, "known_at"))
    return Checked(unique.cast(schema), rejected, gaps.missing, (*gaps.remarks, *_strange_series(unique)))


def _read(form: ReferenceFormat, raw: pa.Table, faults: Sequence[str | None]) -> _Sheet:
    known = [*form.columns, Column("ts", "time"), Column("known_at", "time"), Column("source", "text")]
    names = {alias: c for c in known for alias in (c.name, *c.also)}
    strange = [n for n in raw.column_names if n not in names]
    if strange or len(set(raw.column_names)) < raw.num_columns:
        listed = ", ".join(c.name for c in known)
        raise UsageError(
            f"it has the column {strange[0] if strange else 'names twice'}, which {form.name} does not know; "
            f"its columns are {listed}"
        )
    given: dict[str, str] = {}
    for n in raw.column_names:
        name = names[n].name
        if name in given:
            raise UsageError(f"it has the columns {given[name]} and {n}, which both stand for {name}; keep one")
        given[name] = n
    found = {name: raw[n] for name, n in given.items()}
    wanted = [c.name for c in form.columns if c.required]
    wanted += ["known_at"] if form.known == "stated" else []
    wanted += ["ts"] if form.clock is None and not form.dated_by_receipt else []
    if missing := [n for n in wanted if n not in found]:
        raise UsageError(f"it lacks the column {', '.join(missing)}, which {form.name} needs; add it")
    sheet = _Sheet(form, list(faults) or [None] * raw.num_rows)
    for c in known:
        if c.name in found:
            values, bad = typed(found[c.name], c.kind, c.name)
            sheet.columns[c.name] = values
            sheet.fault(bad, f"{c.name} cannot be read")
            if c.name in wanted or c.required:
                sheet.fault(np.asarray(pc.is_null(values), bool), f"{c.name} is empty")
    return sheet


def _judge_days(sheet: _Sheet, now: datetime) -> None:
    """Days that can be none are faults and lose their value, because no clock can be read on them."""
    for c in sheet.form.columns:
        if c.kind != "day" or c.name not in sheet.columns:
            continue
        # What a row tells of is past; what it is about, as a meeting, may be to come.
        last, late = (now.date() + timedelta(days=1), "lies in the future") if c.name == "date" else (
            _LAST_DAY, f"lies after {_LAST_DAY.year}"
        )  # fmt: skip
        day = sheet.columns[c.name]
        early = pc.fill_null(pc.less(day, pa.scalar(_FIRST_DAY, DATE)), False)
        after = pc.fill_null(pc.greater(day, pa.scalar(last, DATE)), False)
        sheet.fault(np.asarray(early, bool), f"{c.name} lies before {_FIRST_DAY.year}")
        sheet.fault(np.asarray(after, bool), f"{c.name} {late}")
        sheet.columns[c.name] = pc.if_else(pc.or_(early, after), pa.scalar(None, DATE), day)
        if c.monthly:
            within = pc.fill_null(pc.greater(pc.day(day), 1), False)
            sheet.fault(np.asarray(within, bool), f"{c.name} is not the first day of a month")


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
    early = ((ts != MISSING_TIME) & (ts < _FIRST_MOMENT)) | ((known_at != MISSING_TIME) & (known_at < _FIRST_MOMENT))
    sheet.fault(early, f"its time lies before {_FIRST_DAY.year}")
    sheet.fault(known_at > micros_of(now), "known_at lies in the future")
    sheet.fault((known_at != MISSING_TIME) & (ts > known_at), "ts is later than known_at: it tells of the future")
    sheet.fault((known_at == MISSING_TIME) | (ts == MISSING_TIME), "it has no time")


def _judge_ranges(sheet: _Sheet) -> None:
    for c in sheet.form.columns:
        if c.kind in ("real", "count") and c.name in sheet.columns:
            # Counts that a real cannot hold exactly lie outside any range.
            values = reals(sheet.columns[c.name].cast(REAL, safe=False))
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


def _strange_series(rows: pa.Table) -> Iterator[str]:
    """A sentence on the series without facts: they may be the user's own, or names under which nothing is filed."""
    if "series_ticker" not in rows.column_names:
        return
    now = {former: facts.series_ticker for facts in SERIES_FACTS.values() for former in facts.prefixes}
    strange = [t for t in sorted(pc.unique(rows["series_ticker"]).to_pylist()) if facts_for(t) is None]
    if strange:
        listed = [f"{t} (now {now[t]})" if t in now else t for t in strange[:_MOST_NAMED]]
        listed += [f"{len(strange) - _MOST_NAMED} more"] if len(strange) > _MOST_NAMED else []
        yield f"Nothing is known here of the series {', '.join(listed)}: only events filed under that very name use it."


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
