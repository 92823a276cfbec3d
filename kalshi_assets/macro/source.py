"""Where macro numbers come from: FRED with a key, or the packaged public facts without one.

Both answer the same three questions with the same tables; how rows are dated is
the calendar's work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.series import SeriesFacts, Statistic
from kalshi_assets.core.tables import DATE, TABLES
from kalshi_assets.errors import NotFound
from kalshi_assets.macro.calendar import (
    MACRO_OBSERVATIONS,
    calendar_from_dates,
    calendar_from_facts,
    calendar_from_meetings,
    decision_clocks,
    observation_rows,
    statistics_of,
)
from kalshi_assets.macro.facts import load_first_prints, load_fomc_meetings, load_release_calendar
from kalshi_assets.macro.fred import EARLIEST, LATEST, OBSERVATIONS, Fred
from kalshi_assets.macro.new_york import at_clock

ASSET_PRICES = TABLES["asset_prices"].schema
# Named as the source of every daily close that was not imported.
PUBLISHER = "fred"

_SINCE = date(2015, 1, 1)
_MARKET_CLOSE = (16, 0)


class MacroSource(Protocol):
    """Release calendar, vintages and daily market closes."""

    @property
    def provenance(self) -> str:
        """Where the numbers come from, for reports."""

    def calendar(self, series_tickers: Sequence[str]) -> pa.Table:
        """Content of ``release_calendar``; series without a statistic or a committee's meeting have no rows."""

    def observations(self, series_tickers: Sequence[str]) -> pa.Table:
        """Content of ``macro_observations``, in the unit of the series, rounded as published."""

    def daily(self, symbols: Sequence[str], start: date, end: date) -> pa.Table:
        """Content of ``asset_prices`` for days in [start, end)."""


class FactsSource:
    """The packaged public facts: first prints without their revisions, and no market closes.

    Args:
        facts_dir: folder of the CSV files.
    """

    def __init__(self, facts_dir: Path) -> None:
        self._facts_dir = facts_dir

    @property
    def provenance(self) -> str:
        """Where the numbers come from, for reports."""
        return "packaged public facts (no FRED key)"

    def calendar(self, series_tickers: Sequence[str]) -> pa.Table:
        """Content of ``release_calendar`` from the packaged files."""
        calendar = calendar_from_facts(load_release_calendar(self._facts_dir), series_tickers)
        return pa.concat_tables([calendar, _decisions(self._facts_dir, series_tickers)])

    def observations(self, series_tickers: Sequence[str]) -> pa.Table:
        """Content of ``macro_observations``: first prints, known at their release."""
        prints = load_first_prints(self._facts_dir).to_pylist()
        calendar = load_release_calendar(self._facts_dir)
        tables = []
        for facts, statistic in _distinct(series_tickers):
            mine = [p for p in prints if (p["series_id"], p["units"]) == (statistic.series_id, statistic.units)]
            days = {p["released_on"] for p in mine}
            # A first print comes out at its release by definition, so the clock holds without the calendar too.
            times = {day: at_clock(day, statistic.release_hour) for day in days}
            times |= {d: t for d, t in _times_in(calendar, statistic).items() if d in days}
            for precision in sorted({p["precision"] for p in mine}, key=lambda x: (x is None, x)):
                published = [
                    (p["observation_date"], p["released_on"], p["value"]) for p in mine if p["precision"] == precision
                ]
                rows = observation_rows(
                    facts,
                    statistic,
                    published,
                    release_times=times,
                    source="packaged_facts",
                    precision=precision,
                )
                tables.append(rows)
        return _united(tables)

    def daily(self, symbols: Sequence[str], start: date, end: date) -> pa.Table:
        """Nothing: market closes are not public facts that could be packaged."""
        return ASSET_PRICES.empty_table()


class FredSource:
    """FRED and ALFRED: all vintages, scheduled dates, daily market closes.

    Each series of FRED is fetched once per source object.

    Args:
        fred: the client.
        facts_dir: packaged facts that know when dates were announced and moved; None to do without.
        since: first observation and first release day that are asked for.
    """

    def __init__(self, fred: Fred, facts_dir: Path | None = None, *, since: date = _SINCE) -> None:
        self._fred = fred
        self._facts_dir = facts_dir
        self._since = since
        self._vintages: dict[tuple[str, str], pa.Table] = {}
        self._days: dict[int, list[date]] = {}

    @property
    def provenance(self) -> str:
        """Where the numbers come from, for reports."""
        return "FRED and ALFRED"

    def calendar(self, series_tickers: Sequence[str]) -> pa.Table:
        """Content of ``release_calendar`` from FRED's release days, and from the packaged meetings of the committee."""
        facts = load_release_calendar(self._facts_dir) if self._facts_dir else None
        tables = [
            calendar_from_dates(
                ticker,
                statistic,
                self._release_days(statistic.release_id),
                first_published=self._first_published(statistic),
                facts=facts,
            )
            for ticker, (_, statistic) in statistics_of(series_tickers).items()
        ]
        return pa.concat_tables([_decisions(self._facts_dir, series_tickers), *tables])

    def observations(self, series_tickers: Sequence[str]) -> pa.Table:
        """Content of ``macro_observations``: every vintage since the start."""
        tables = []
        for facts, statistic in _distinct(series_tickers):
            rows = self._vintages_of(statistic).select(["observation_date", "realtime_start", "value"]).to_pylist()
            times = {d: at_clock(d, statistic.release_hour) for d in self._release_days(statistic.release_id)}
            published = [(r["observation_date"], r["realtime_start"], r["value"]) for r in rows]
            tables.append(observation_rows(facts, statistic, published, release_times=times, source="fred"))
        return _united(tables)

    def daily(self, symbols: Sequence[str], start: date, end: date) -> pa.Table:
        """Content of ``asset_prices``: closes as FRED has them today, known at 16:00 New York of their day."""
        rows = []
        for symbol in sorted(set(symbols)):
            table = self._observations(symbol, "lin", start, all_vintages=False)
            kept = table.filter(pc.less(table["observation_date"], pa.scalar(end, DATE)))
            for day, value in zip(kept["observation_date"].to_pylist(), kept["value"].to_pylist(), strict=True):
                closed = at_clock(day, _MARKET_CLOSE)
                rows.append(
                    {
                        "symbol": symbol,
                        "date": day,
                        "close": value,
                        "ts": closed,
                        "known_at": closed,
                        "source": PUBLISHER,
                    }
                )
        return pa.Table.from_pylist(rows, schema=ASSET_PRICES)

    def _release_days(self, release_id: int) -> list[date]:
        if release_id not in self._days:
            try:
                self._days[release_id] = self._fred.release_dates(release_id, self._since, LATEST)
            except NotFound:
                self._days[release_id] = []
        return self._days[release_id]

    def _vintages_of(self, statistic: Statistic) -> pa.Table:
        key = (statistic.series_id, statistic.units)
        if key not in self._vintages:
            self._vintages[key] = self._observations(*key, self._since, all_vintages=True)
        return self._vintages[key]

    def _observations(self, series_id: str, units: str, start: date, *, all_vintages: bool) -> pa.Table:
        # Periods are cut to the real-time window, so a first appearance shows only in an unbounded one.
        window = (EARLIEST, LATEST) if all_vintages else (None, None)
        try:
            return self._fred.observations(
                series_id, units, realtime_start=window[0], realtime_end=window[1], observation_start=start
            )
        except NotFound:
            return OBSERVATIONS.empty_table()

    def _first_published(self, statistic: Statistic) -> dict[date, date]:
        table = self._vintages_of(statistic)
        first: dict[date, date] = {}
        for observed, vintage in zip(
            table["observation_date"].to_pylist(), table["realtime_start"].to_pylist(), strict=True
        ):
            first[observed] = min(vintage, first.get(observed, vintage))
        newest: dict[date, date] = {}
        for observed, vintage in first.items():
            newest[vintage] = max(observed, newest.get(vintage, observed))
        return newest


def _decisions(facts_dir: Path | None, series_tickers: Sequence[str]) -> pa.Table:
    clocks = decision_clocks(series_tickers)
    return calendar_from_meetings(load_fomc_meetings(facts_dir) if facts_dir and clocks else (), clocks)


def _times_in(calendar: pa.Table, statistic: Statistic) -> dict[date, datetime]:
    return {
        row["release_date"]: row["release_time"]
        for row in calendar.to_pylist()
        if row["release_id"] == statistic.release_id and row["release_time"] is not None
    }


def _distinct(series_tickers: Sequence[str]) -> Iterable[tuple[SeriesFacts, Statistic]]:
    """Each statistic once, also where two exchange series rest on it."""
    return {(s.series_id, s.units): (f, s) for f, s in statistics_of(series_tickers).values()}.values()


def _united(tables: Iterable[pa.Table]) -> pa.Table:
    table = pa.concat_tables([MACRO_OBSERVATIONS.empty_table(), *tables])
    order = [(c, "ascending") for c in ("series_id", "units", "observation_date", "vintage_date")]
    return table.sort_by(order)
