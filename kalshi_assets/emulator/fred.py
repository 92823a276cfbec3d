"""A loopback FRED: observations by vintage, and release dates, from an archive.

Served as FRED's web service answers ``series/observations`` and
``release/dates`` with ``file_type=json``. A vintage holds from the New York day
of its release to the day before the next one. Parameters that FRED does not
know are ignored, as FRED ignores them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from kalshi_assets.core.series import SERIES_FACTS
from kalshi_assets.emulator.archive import Archive
from kalshi_assets.emulator.replies import Refused, Reply, json_reply
from kalshi_assets.emulator.served import Clock

PREFIX = "/fred"
EARLIEST, LATEST = date(1776, 7, 4), date(9999, 12, 31)

_NEW_YORK = ZoneInfo("America/New_York")
# FRED's own day runs on the clock of St. Louis.
_ST_LOUIS = ZoneInfo("America/Chicago")
_KEY = re.compile(r"[a-z0-9]{32}")
_DOCUMENTATION = "https://fred.stlouisfed.org/docs/api/api_key.html"
_UNITS = frozenset({"lin", "chg", "ch1", "pch", "pc1", "pca", "cch", "cca", "log"})
_MAX_OBSERVATIONS = 100_000
_MAX_RELEASE_DATES = 10_000
_NOT_HELD = frozenset({"not_published", "superseded"})

SeriesKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Vintage:
    """One value of an observation and the days, both included, on which it stood.

    Attributes:
        observed: first day of the reference period.
        start: first day of the value.
        end: last day of the value.
        value: as published.
    """

    observed: date
    start: date
    end: date
    value: str


class LoopbackFred:
    """Answers FRED's web service from an archive."""

    def __init__(self, archive: Archive, clock: Clock) -> None:
        """Index the macro observations, daily series and release calendar of an archive.

        Args:
            archive: the archive.
            clock: Unix seconds; the day it shows is FRED's default real-time period.
        """
        self._clock = clock
        self._series = _macro_series(archive) | _daily_series(archive)
        self._planned, self._held = _release_days(archive)

    def answer(self, method: str, target: str) -> Reply:
        """Answer one request."""
        parts = urlsplit(target)
        values = {k: v[-1] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        route = {
            f"{PREFIX}/series/observations": self._observations,
            f"{PREFIX}/release/dates": self._release_dates,
        }.get(parts.path)
        if route is None or method != "GET":
            return _error("Not Found", 404)
        try:
            _check_key(values.get("api_key"))
            if values.get("file_type", "xml") != "json":
                return _xml_error("Bad Request.  The loopback service answers file_type=json only.")
            return json_reply(route(values))
        except Refused as refused:
            return refused.reply

    def _today(self) -> date:
        return datetime.fromtimestamp(self._clock(), UTC).astimezone(_ST_LOUIS).date()

    def _observations(self, values: Mapping[str, str]) -> dict[str, Any]:
        today = self._today()
        name, units = values.get("series_id"), values.get("units") or "lin"
        if not name:
            raise Refused(_error("Bad Request.  Variable series_id is not set."))
        if units not in _UNITS:
            raise Refused(_error(f"Bad Request.  '{units}' is not a valid value for the units variable."))
        vintages = self._series.get((name, units))
        if vintages is None:
            raise Refused(_error("Bad Request.  The series does not exist."))
        if values.get("output_type", "1") != "1":
            raise Refused(_error("Bad Request.  The loopback service answers output_type=1 only."))
        start, end = _period(values, "realtime", today, today)
        first, last = _period(values, "observation", EARLIEST, LATEST)
        rows = [
            {
                "realtime_start": max(v.start, start).isoformat(),
                "realtime_end": min(v.end, end).isoformat(),
                "date": v.observed.isoformat(),
                "value": v.value,
            }
            for v in vintages
            if v.start <= end and v.end >= start and first <= v.observed <= last
        ]
        return {
            "realtime_start": start.isoformat(),
            "realtime_end": end.isoformat(),
            "observation_start": first.isoformat(),
            "observation_end": last.isoformat(),
            "units": units,
            "output_type": 1,
            "file_type": "json",
            "order_by": "observation_date",
            **_page(values, rows, "observations", _MAX_OBSERVATIONS),
        }

    def _release_dates(self, values: Mapping[str, str]) -> dict[str, Any]:
        text = values.get("release_id", "")
        if not text.isdecimal():
            raise Refused(_error("Bad Request.  Variable release_id is not set."))
        release = int(text)
        if release not in self._planned:
            raise Refused(_error("Bad Request.  The release does not exist."))
        start, end = _period(values, "realtime", EARLIEST, LATEST)
        with_planned = values.get("include_release_dates_with_no_data", "false") == "true"
        days = self._planned[release] if with_planned else self._held[release]
        rows = [{"release_id": release, "date": d.isoformat()} for d in sorted(days) if start <= d <= end]
        return {
            "realtime_start": start.isoformat(),
            "realtime_end": end.isoformat(),
            "order_by": "release_date",
            **_page(values, rows, "release_dates", _MAX_RELEASE_DATES),
        }


def _macro_series(archive: Archive) -> dict[SeriesKey, list[Vintage]]:
    """Vintages by FRED series and units; a series nobody described keeps its own name and ``lin``."""
    names = {
        s.series_id if s.units == "lin" else f"{s.series_id}_{s.units.upper()}": (s.series_id, s.units)
        for s in (f.statistic for f in SERIES_FACTS.values())
        if s is not None
    }
    table = archive.tables["macro_observations"].sort_by(
        [("observation_date", "ascending"), ("released_at", "ascending")]
    )
    published: dict[SeriesKey, dict[date, dict[date, str]]] = {}
    for row in table.to_pylist():
        key = names.get(row["series_id"], (row["series_id"], "lin"))
        day = row["released_at"].astimezone(_NEW_YORK).date()
        text = _value(row["value"], row["precision"])
        published.setdefault(key, {}).setdefault(row["observation_date"], {})[day] = text
    return {key: _stood(observed) for key, observed in published.items()}


def _daily_series(archive: Archive) -> dict[SeriesKey, list[Vintage]]:
    published: dict[SeriesKey, dict[date, dict[date, str]]] = {}
    table = archive.tables["asset_prices"].sort_by([("date", "ascending"), ("known_at", "ascending")])
    for row in table.to_pylist():
        day = row["known_at"].astimezone(_NEW_YORK).date()
        observed = published.setdefault((row["symbol"], "lin"), {}).setdefault(row["date"], {})
        observed[day] = _value(row["close"], None)
    return {key: _stood(observed) for key, observed in published.items()}


def _stood(published: Mapping[date, Mapping[date, str]]) -> list[Vintage]:
    """Vintages of one series, by observation and then by day."""
    rows = []
    for observed, values in published.items():
        days = sorted(values)
        ends = [d - timedelta(days=1) for d in days[1:]] + [LATEST]
        rows += [Vintage(observed, d, end, values[d]) for d, end in zip(days, ends, strict=True)]
    return rows


def _release_days(archive: Archive) -> tuple[dict[int, set[date]], dict[int, set[date]]]:
    """(every day planned or held, days on which a number of the release first appeared), by release id."""
    planned: dict[int, set[date]] = {}
    held: dict[int, set[date]] = {}
    releases = {t: f.statistic.release_id for t, f in SERIES_FACTS.items() if f.statistic is not None}
    numbers = {
        (f.statistic.series_id, f.statistic.units): f.statistic.release_id
        for f in SERIES_FACTS.values()
        if f.statistic is not None
    }
    for release in releases.values():
        planned.setdefault(release, set())
        held.setdefault(release, set())
    for row in archive.tables["release_calendar"].to_pylist():
        known = releases.get(row["series_ticker"])
        if known is not None and row["flag"] not in _NOT_HELD:
            planned[known].add(row["release_time"].astimezone(_NEW_YORK).date())
    for key, vintages in _macro_series(archive).items():
        known = numbers.get(key)
        if known is None:
            continue
        first: dict[date, date] = {}
        for vintage in vintages:
            first.setdefault(vintage.observed, vintage.start)
        held[known] |= set(first.values())
        planned[known] |= set(first.values())
    return planned, held


def _value(value: float, precision: float | None) -> str:
    """A number as published: as many places as its precision has."""
    if precision is None:
        return f"{value:g}" if abs(value) < 1e6 and value == round(value, 6) else repr(value)
    places = max(0, len(f"{precision:f}".rstrip("0").split(".")[1]))
    return f"{value:.{places}f}"


def _page(values: Mapping[str, str], rows: list[dict[str, Any]], name: str, maximum: int) -> dict[str, Any]:
    order = values.get("sort_order") or "asc"
    if order not in ("asc", "desc"):
        raise Refused(_error(f"Bad Request.  Value of sort_order is not one of: 'asc', 'desc'; it is '{order}'."))
    limit, offset = _count(values, "limit", maximum, 1, maximum), _count(values, "offset", 0, 0, None)
    ordered = rows if order == "asc" else rows[::-1]
    return {
        "sort_order": order,
        "count": len(rows),
        "offset": offset,
        "limit": limit,
        name: ordered[offset : offset + limit],
    }


def _count(values: Mapping[str, str], name: str, default: int, lowest: int, highest: int | None) -> int:
    text = values.get(name)
    if not text:
        return default
    if not text.isdecimal() or int(text) < lowest or (highest is not None and int(text) > highest):
        raise Refused(_error(f"Bad Request.  Value of {name} is not between {lowest} and {highest}."))
    return int(text)


def _period(values: Mapping[str, str], name: str, start: date, end: date) -> tuple[date, date]:
    first, last = (_day(values.get(f"{name}_{side}"), default) for side, default in (("start", start), ("end", end)))
    if first > last:
        raise Refused(_error(f"Bad Request.  Value of {name}_start is later than {name}_end."))
    return first, last


def _day(text: str | None, default: date) -> date:
    if not text:
        return default
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused(_error(f"Bad Request.  '{text}' is not a date of the form YYYY-MM-DD.")) from None


def _check_key(key: str | None) -> None:
    if not key:
        raise Refused(
            _error(f"Bad Request.  Variable api_key is not set.  Read {_DOCUMENTATION} for more information.")
        )
    if not _KEY.fullmatch(key):
        raise Refused(
            _error(
                "Bad Request.  The value for variable api_key is not a 32 character alpha-numeric lower-case string.  "
                f"Read {_DOCUMENTATION} for more information."
            )
        )


def _error(message: str, status: int = 400) -> Reply:
    return json_reply({"error_code": status, "error_message": message}, status)


def _xml_error(message: str) -> Reply:
    body = f'<?xml version="1.0" encoding="utf-8" ?>\n<error code="400" message="{message}" />\n'
    return Reply(400, body.encode(), content_type="text/xml")
