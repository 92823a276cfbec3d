"""Looks for what a reference file lacks: trading days, bars inside a session, periods without a forecast.

Belongs here: which rows lie on no session, and a sentence on each gap. What
becomes of either is ``macro.reference_checks``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import Ints, days, integers, moment_of, time_column, times
from kalshi_assets.core.tables import DATE
from kalshi_assets.core.trading_sessions import CALENDAR_OF, Sessions
from kalshi_assets.errors import UsageError
from kalshi_assets.macro.reference_formats import ReferenceFormat

MOST_MISSING_SESSIONS = 0.2
_BARS = 5
# The longest that a market without a calendar here may be thought to rest, in days.
_REST = 7
_NO_PERIOD = -1
_NOT_LOOKED_FOR = "Missing trading time was not looked for, because no trading calendars are installed."
Marks = npt.NDArray[np.bool_]
SessionsOf = Callable[[str, date, date], Sessions]


@dataclass(frozen=True, slots=True)
class Gaps:
    """What was found.

    Attributes:
        closed: rows on days on which their market was shut, and a reason.
        missing: a sentence on each thing that the file lacks.
        remarks: what could not be looked for.
    """

    closed: tuple[tuple[Marks, str], ...] = ()
    missing: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def gaps_of(form: ReferenceFormat, columns: Mapping[str, Any], sound: Marks, sessions_of: SessionsOf | None) -> Gaps:
    """Look through the sound rows of a file.

    Args:
        form: the kind's format.
        columns: typed columns of the file.
        sound: rows without a fault.
        sessions_of: sessions of a calendar between two days; None where no calendars are installed.

    Raises:
        UsageError: more than a fifth of the sessions between the first and the last day have no row.
    """
    if not sound.any():
        return Gaps()
    if form.gaps == "periods":
        return Gaps(missing=tuple(_periods(columns, sound)))
    if form.gaps == "bars":
        return _bars(columns, sound, sessions_of)
    return _daily(form, columns, sound, sessions_of)


def _daily(form: ReferenceFormat, columns: Mapping[str, Any], sound: Marks, sessions_of: SessionsOf | None) -> Gaps:
    day = days(columns["date"])
    closed, missing, remarks = [], [], []
    # What is named in a sentence, its calendar, and rows of which each has a first and a last day of its own.
    spans: list[tuple[str, str | None, Sequence[Marks]]] = [("the file", form.calendar, [np.ones(sound.size, bool)])]
    if form.each == "symbol":
        spans = [(name, CALENDAR_OF.get(name), [mine]) for name, mine in _each(columns["symbol"], sound)]
    elif form.each is not None:
        spans = [("the file", form.calendar, [mine for _, mine in _each(columns[form.each], sound)])]
    for name, calendar, rows in spans:
        listed = [day[_within(day, mine, sound)] for mine in rows]
        if calendar is None:
            missing += _long_rests(name, np.concatenate(listed))
            continue
        if sessions_of is None:
            remarks = [_NOT_LOOKED_FOR]
            continue
        sessions = sessions_of(calendar, _day_of(min(d[0] for d in listed)), _day_of(max(d[-1] for d in listed)))
        if form.shut_days:
            mine = np.logical_or.reduce(rows) & sound
            closed.append((mine & ~np.isin(day, sessions.day), f"its day is no session of {calendar}"))
        held = [d[np.isin(d, sessions.day)] for d in listed]
        absent = np.sort(np.concatenate([sessions.missing(h) for h in held]))
        n = absent.size + sum(h.size for h in held)
        if absent.size:
            said = f"{name} lacks {absent.size} of {n} sessions of {calendar}, the first {_day_of(absent[0])}"
            if absent.size > MOST_MISSING_SESSIONS * n:
                raise UsageError(f"{said}; complete the file")
            missing.append(_sentence(said))
    return Gaps(tuple(closed), tuple(missing), tuple(remarks))


def _long_rests(name: str, day: Ints) -> list[str]:
    step = np.diff(day)
    # A weekly or monthly number is no daily one with gaps.
    limit = max(_REST, _BARS * float(np.median(step))) if step.size else 0.0
    wide = np.flatnonzero(step > limit)
    if not wide.size:
        return []
    first = _day_of(day[wide[0]])
    return [_sentence(f"{name} has {wide.size} gaps of more than {limit:g} days, the first after {first}")]


def _bars(columns: Mapping[str, Any], sound: Marks, sessions_of: SessionsOf | None) -> Gaps:
    ts, missing, remarks = times(columns["ts"]), [], []
    no_period = pa.nulls(sound.size, pa.int64())
    period = integers(columns.get("period_s", no_period), _NO_PERIOD) * 1_000_000
    for name, mine in _each(columns["symbol"], sound):
        at, calendar = _within(ts, mine, sound), CALENDAR_OF.get(name)
        if calendar is not None and sessions_of is None:
            remarks = [_NOT_LOOKED_FOR]
            continue
        moment, stated = ts[at], period[at[1:]]
        step = np.diff(moment)
        if not step.size:
            continue
        usual = np.where(stated > 0, stated, int(np.median(step)))
        wide = (step > _BARS * usual) & _same_session(moment, calendar, sessions_of)
        if wide.any():
            first = moment_of(int(moment[np.flatnonzero(wide)[0]]))
            said = f"{name} has {wide.sum()} gaps of more than {_BARS} bars inside a session"
            missing.append(_sentence(f"{said}, the first after {first:%Y-%m-%dT%H:%M:%SZ}"))
    return Gaps(missing=tuple(missing), remarks=tuple(remarks))


def _same_session(moment: Ints, calendar: str | None, sessions_of: SessionsOf | None) -> Marks:
    """Whether each instant but the first lies in the session of the one before; a New York day without a calendar."""
    local = pc.local_timestamp(time_column(moment).cast(pa.timestamp("us", "America/New_York")))
    day = days(local.cast(DATE, safe=False))
    if calendar is None or sessions_of is None:
        return np.asarray(day[1:] == day[:-1])
    # A session may begin on the evening before its day.
    sessions = sessions_of(calendar, _day_of(day[0]), _day_of(day[-1] + 1))
    inside, session = sessions.holds(moment), np.searchsorted(sessions.close, moment, side="left")
    return np.asarray(inside[1:] & inside[:-1] & (session[1:] == session[:-1]))


def _periods(columns: Mapping[str, Any], sound: Marks) -> Iterator[str]:
    """A series is as frequent as its closest periods are."""
    period = columns["period"]
    month = np.asarray(pc.fill_null(pc.add(pc.multiply(pc.year(period), 12), pc.month(period)), 0), np.int64) - 1
    for name, mine in _each(columns["series_ticker"], sound):
        held = month[_within(month, mine, sound)]
        if held.size < 2:
            continue
        due = np.arange(held[0], held[-1] + 1, np.diff(held).min())
        absent = np.setdiff1d(due, held)
        if absent.size:
            first = date(int(absent[0]) // 12, int(absent[0]) % 12 + 1, 1)
            yield _sentence(f"{name} lacks {absent.size} of {due.size} periods, the first {first}")


def _each(column: Any, sound: Marks) -> list[tuple[str, Marks]]:
    """The distinct values among the sound rows, ascending, and all rows of each."""
    encoded = column.dictionary_encode()
    code = np.asarray(pc.fill_null(encoded.indices, -1), np.int64)
    words = encoded.dictionary.to_pylist()
    return sorted((str(words[i]), code == i) for i in np.unique(code[sound]).tolist())


def _within(place: Ints, mine: Marks, sound: Marks) -> Ints:
    """A row of each place from the first sound one to the last, ascending: a row that was put aside is no gap."""
    held = place[mine & sound]
    rows = np.flatnonzero(mine & (place >= held.min()) & (place <= held.max()))
    return np.asarray(rows[np.unique(place[rows], return_index=True)[1]], np.int64)


def _sentence(said: str) -> str:
    return f"{said[0].upper()}{said[1:]}."


def _day_of(number: Any) -> date:
    return date.fromordinal(int(number) + date(1970, 1, 1).toordinal())
