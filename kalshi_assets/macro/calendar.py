"""Rows of ``release_calendar`` and ``macro_observations`` from facts or from FRED; fetching does not belong here.

A row says when it could have been known. Where that is not recorded, the later of the
possible times is taken and the row is flagged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pyarrow as pa

from kalshi_assets.core.series import RATE_DECISION, SeriesFacts, Statistic, facts_for
from kalshi_assets.core.tables import TABLES
from kalshi_assets.macro.new_york import NEW_YORK, at_clock, end_of_day, start_of_day

RELEASE_CALENDAR = TABLES["release_calendar"].schema
MACRO_OBSERVATIONS = TABLES["macro_observations"].schema

ANNOUNCEMENT_ASSUMED = "announcement_assumed"
# Agencies publish next year's release dates in autumn; by December they are out.
_ANNOUNCED_BY = (12, 1)
_QUARTERLY_RELEASES = frozenset({53})
_VOID = frozenset({"superseded", "not_published"})

Row = dict[str, Any]


def statistics_of(series_tickers: Iterable[str]) -> dict[str, tuple[SeriesFacts, Statistic]]:
    """Facts and statistic of those series that have a published statistic, in sorted order."""
    found = {t: facts_for(t) for t in sorted(set(series_tickers))}
    return {t: (f, f.statistic) for t, f in found.items() if f is not None and f.statistic is not None}


def calendar_from_facts(facts: pa.Table, series_tickers: Iterable[str]) -> pa.Table:
    """The packaged calendar for chosen series.

    Args:
        facts: table of ``facts.CALENDAR_FACTS``.
        series_tickers: series without a published statistic have no rows.

    Returns:
        Content of ``release_calendar``: one row per version of a (series, period).
    """
    rows = facts.to_pylist()
    return _calendar_table(
        _fact_row(ticker, fact)
        for ticker, (_, statistic) in statistics_of(series_tickers).items()
        for fact in rows
        if fact["release_id"] == statistic.release_id and fact["release_time"] is not None
    )


def calendar_from_dates(
    series_ticker: str,
    statistic: Statistic,
    release_days: Sequence[date],
    *,
    first_published: Mapping[date, date] | None = None,
    facts: pa.Table | None = None,
) -> pa.Table:
    """A calendar from bare release days, which is all that FRED gives.

    The reference period of a day is, in this order: what the packaged facts say of that day;
    the observation that was first published on it; the month (or quarter) before it, unless
    that period is already taken. Of several days that would be inferred to one period, a
    monthly statistic keeps the last (an earlier one in the month is a technical revision),
    a quarterly one the first (later ones are revised estimates).

    Args:
        series_ticker: the series to write rows for.
        statistic: gives the release and its clock.
        release_days: New York days of the release.
        first_published: newest observation first published on each day.
        facts: table of ``facts.CALENDAR_FACTS``; where a day agrees with them, the period's whole
            history of planned dates comes along, with the times of announcement, and so do
            periods in between that have no day at all because their release was cancelled.

    Returns:
        Content of ``release_calendar``. Rows that the facts do not know are flagged, because their
        announcement is assumed: the first of December before the release year.
    """
    known = [f for f in facts.to_pylist() if f["release_id"] == statistic.release_id] if facts is not None else []
    period_of_fact = {f["release_date"]: f["period"] for f in known if f["flag"] not in _VOID and f["release_date"]}
    periods: dict[date, date] = {}
    unplaced: list[date] = []
    for day in sorted(set(release_days)):
        period = period_of_fact.get(day) or (first_published or {}).get(day)
        if period is None:
            unplaced.append(day)
        else:
            periods.setdefault(period, day)
    quarterly = statistic.release_id in _QUARTERLY_RELEASES
    for day in unplaced if quarterly else reversed(unplaced):
        periods.setdefault(period_before(day, quarterly=quarterly), day)
    histories: dict[date, list[Row]] = {}
    for fact in known:
        if fact["release_time"] is not None:
            histories.setdefault(fact["period"], []).append(fact)
    cancelled: dict[date, date | None] = {
        period: None
        for period, history in histories.items()
        if periods and min(periods) < period < max(periods) and history[-1]["flag"] == "not_published"
    }
    rows: list[Row] = []
    for period, placed in sorted({**cancelled, **periods}.items()):
        history = histories.get(period, [])
        if placed is None or period_of_fact.get(placed) == period:
            rows += [_fact_row(series_ticker, f) for f in history]
        else:
            rows.append(_dated_row(series_ticker, statistic, period, placed))
    return _calendar_table(rows)


def decision_clocks(series_tickers: Iterable[str]) -> dict[str, tuple[int, int]]:
    """New York clock of those series that are about the committee's decisions, in sorted order."""
    found = {t: facts_for(t) for t in sorted(set(series_tickers))}
    return {t: f.release_clock for t, f in found.items() if f and f.event_type == RATE_DECISION and f.release_clock}


def calendar_from_meetings(meetings: Iterable[date], clocks: Mapping[str, tuple[int, int]]) -> pa.Table:
    """The calendar of series about the committee's decisions: a meeting's period is the month of its decision.

    Args:
        meetings: New York days of the decisions.
        clocks: what ``decision_clocks`` gives.

    Returns:
        Content of ``release_calendar``. Every row is flagged, because its announcement is assumed.
    """
    return _calendar_table(
        _row(
            ticker,
            day.replace(day=1),
            at_clock(day, clock),
            _assumed_announcement(day),
            "FOMC decision",
            "packaged_facts",
            ANNOUNCEMENT_ASSUMED,
        )
        for ticker, clock in clocks.items()
        for day in meetings
    )


def observation_rows(
    facts: SeriesFacts,
    statistic: Statistic,
    published: Iterable[tuple[date, date, float]],
    *,
    release_times: Mapping[date, datetime],
    source: str,
    precision: float | None = None,
) -> pa.Table:
    """Vintages as rows of ``macro_observations``.

    The value is rounded as published, then brought to the series' unit. It is known from the
    release's clock on a day of release. FRED gives only the day of any other vintage; such a
    value is known when that New York day has ended.

    Args:
        facts: the series' lattice, whose step is the precision unless one is given.
        statistic: series, units and scale.
        published: (observation date, vintage day, value in the unit of publication).
        release_times: instant of publication by New York day of release.
        source: named on each row.
        precision: step of publication in the unit of publication.

    Returns:
        One row per (observation, vintage), sorted; ``ts`` is the end of the reference period.
    """
    scale = Decimal(repr(statistic.scale))
    step = Decimal(repr(precision)) * scale if precision is not None else Decimal(repr(facts.tick))
    quarterly = statistic.release_id in _QUARTERLY_RELEASES
    rows = [
        {
            "series_id": statistic.series_id,
            "units": statistic.units,
            "observation_date": observed,
            "vintage_date": vintage,
            "value": float(_to_step(Decimal(repr(value)) * scale, step)),
            "ts": start_of_day(_add_months(observed, 3 if quarterly else 1)),
            "known_at": release_times.get(vintage) or end_of_day(vintage),
            "precision": float(step),
            "source": source,
        }
        for observed, vintage, value in sorted(set(published))
    ]
    return pa.Table.from_pylist(rows, schema=MACRO_OBSERVATIONS)


def period_before(day: date, *, quarterly: bool = False) -> date:
    """The first day of the month, or of the quarter, that ended before ``day``'s own began."""
    month = date(day.year, (day.month - 1) // 3 * 3 + 1 if quarterly else day.month, 1)
    return _add_months(month, -3 if quarterly else -1)


def _fact_row(series_ticker: str, fact: Row) -> Row:
    announced, flag = fact["announced_at"], fact["flag"]
    if announced is None:
        announced = _assumed_announcement(fact["release_date"])
        flag = f"{flag};{ANNOUNCEMENT_ASSUMED}" if flag else ANNOUNCEMENT_ASSUMED
    return _row(
        series_ticker, fact["period"], fact["release_time"], announced, fact["release_name"], "packaged_facts", flag
    )


def _dated_row(series_ticker: str, statistic: Statistic, period: date, day: date) -> Row:
    return _row(
        series_ticker,
        period,
        at_clock(day, statistic.release_hour),
        _assumed_announcement(day),
        f"FRED release {statistic.release_id}",
        "fred",
        ANNOUNCEMENT_ASSUMED,
    )


def _row(
    series_ticker: str,
    period: date,
    release_time: datetime,
    known_at: datetime,
    name: str | None,
    source: str,
    flag: str | None,
) -> Row:
    return {
        "series_ticker": series_ticker,
        "period": period,
        "release_time": release_time,
        "event_date": release_time.astimezone(NEW_YORK).date(),
        "ts": release_time,
        "known_at": known_at.astimezone(UTC),
        "release_name": name,
        "source": source,
        "flag": flag,
    }


def _calendar_table(rows: Iterable[Row]) -> pa.Table:
    ordered = sorted(rows, key=lambda r: (r["series_ticker"], r["period"], r["known_at"], r["release_time"]))
    return pa.Table.from_pylist(ordered, schema=RELEASE_CALENDAR)


def _assumed_announcement(day: date) -> datetime:
    return end_of_day(date(day.year - 1, *_ANNOUNCED_BY))


def _to_step(value: Decimal, step: Decimal) -> Decimal:
    return (value / step).quantize(Decimal(1), rounding=ROUND_HALF_UP) * step


def _add_months(month: date, count: int) -> date:
    index = month.year * 12 + month.month - 1 + count
    return date(index // 12, index % 12 + 1, 1)
