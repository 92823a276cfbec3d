"""What the sources list of some series, gathered into rows of the catalog's tables.

Fetching and arranging only: writing a partition of it is ``stages.catalog``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.periods import reference_period
from kalshi_assets.core.release_times import ScheduledRelease, release_mappings
from kalshi_assets.core.series import INFLATION_SERIES, POLICY_RATE, VOLATILITY_SYMBOL
from kalshi_assets.errors import UsageError
from kalshi_assets.exchange.client import Exchange
from kalshi_assets.exchange.models import EventRecord, MarketRecord
from kalshi_assets.macro.source import MacroSource
from kalshi_assets.stages.catalog_rows import contract_rows, event_row, mapping_rows, series_row, table_of

DAILY_REFERENCES = ("DGS2", "DGS10", "SP500", VOLATILITY_SYMBOL, POLICY_RATE)
# A policy rate is compared with that of 90 days before, and each may be a week old (``core.conditions``).
_BEFORE_LISTING = timedelta(days=100)


@dataclass(frozen=True, slots=True)
class EventListing:
    """Which contracts of one event were listed.

    Attributes:
        tickers: contracts in the listing of the series' markets.
        named: contracts that the event's own body names, where it nests any; each with whether it is provisional.
        is_listed: whether the event is in the listing of the series' events.
    """

    tickers: frozenset[str]
    named: Mapping[str, bool]
    is_listed: bool


@dataclass(frozen=True, slots=True)
class Catalog:
    """All that the sources say of some series, as rows of the tables named.

    Attributes:
        series, events, contracts, event_market_map, release_calendar, macro_observations,
            asset_prices: content rows of those tables; events under the newest mapping of their release.
        former_events: rows of ``events`` under earlier mappings, filed where the event is now.
        listings: what was listed, by event; also events without contracts, and contracts without their event.
        pages: pages of the markets' listing, by series asked for.
        notes: what was missing, for a person.
    """

    series: pa.Table
    events: pa.Table
    contracts: pa.Table
    event_market_map: pa.Table
    release_calendar: pa.Table
    macro_observations: pa.Table
    asset_prices: pa.Table
    former_events: pa.Table
    listings: Mapping[str, EventListing]
    pages: Mapping[str, int]
    notes: tuple[str, ...] = ()

    @property
    def event_dates(self) -> list[date]:
        """The event dates that the catalog covers, in order: also those from which an event moved while it was listed.

        What was decided for such a date before anybody knew of the move has its fold there.
        """
        due = self.event_market_map.filter(
            pc.greater(self.event_market_map["release_time"], self.event_market_map["known_at"])
        )
        return sorted({*self.events["event_date"].to_pylist(), *due["event_date"].to_pylist()})


def fetch_catalog(exchange: Exchange, macro: MacroSource, series: Sequence[str], *, simulated: bool) -> Catalog:
    """Ask the exchange and the calendar for everything about some series.

    Raises:
        UsageError: when a series has no event at all, or no event of any of them has a contract.
        ExchangeError: when a source answers wrongly or not at all.
    """
    calendar = macro.calendar(series)
    entries = _calendar_entries(calendar)
    rows: dict[str, list[dict[str, object]]] = defaultdict(list)
    notes: list[str] = []
    listings: dict[str, EventListing] = {}
    pages: dict[str, int] = {}
    for ticker in series:
        record = exchange.series(ticker)
        events, listing = exchange.events(ticker), exchange.markets(ticker)
        if not events:
            raise UsageError(f"The series {ticker} exists but has no event: choose another (--series).")
        by_event: dict[str, list[MarketRecord]] = defaultdict(list)
        for market in listing.markets:
            by_event[market.event_ticker].append(market)
        known = [m.created_time for m in listing.markets]
        if known:
            rows["series"].append(series_row(record, known_at=min(known), simulated=simulated))
        pages[ticker] = listing.pages
        listings |= _event_listings(events, by_event)
        for event in sorted(events, key=lambda e: e.event_ticker):
            markets = sorted(by_event.pop(event.event_ticker, ()), key=lambda m: m.ticker)
            if not markets:
                notes.append(f"{event.event_ticker} lists no contract on either tier and is left out.")
                continue
            _append_event(rows, event, markets, entries)
        notes += [f"{e}: {len(m)} contracts belong to no listed event." for e, m in sorted(by_event.items())]
    if not rows["events"]:
        raise UsageError(f"No event of {', '.join(series) or 'any series'} lists a contract: choose others (--series).")
    tables = {name: table_of(name, rows[name]) for name in ("series", "events", "contracts", "event_market_map")}
    prices = macro.daily(DAILY_REFERENCES, *_span(tables["events"]))
    return Catalog(
        **tables,
        release_calendar=calendar,
        macro_observations=macro.observations(sorted({*series, INFLATION_SERIES})),
        asset_prices=prices,
        former_events=table_of("events", rows["former_events"]),
        listings=listings,
        pages=pages,
        notes=tuple(notes),
    )


def _append_event(
    rows: dict[str, list[dict[str, object]]],
    event: EventRecord,
    markets: Sequence[MarketRecord],
    entries: Mapping[tuple[str, date], list[ScheduledRelease]],
) -> None:
    period, _ = reference_period(event.strike_period, event.sub_title, event.title, event_ticker=event.event_ticker)
    scheduled = entries.get((event.series_ticker, period), []) if period else []
    mappings = release_mappings(
        event.series_ticker, min(m.created_time for m in markets), max(m.close_time for m in markets), scheduled
    )
    newest = mappings[-1]
    *former, present = (event_row(event, markets, period, m, newest.event_date) for m in mappings)
    rows["events"].append(present)
    rows["former_events"] += former
    rows["event_market_map"] += mapping_rows(event, period, mappings)
    for market in markets:
        rows["contracts"] += contract_rows(market, event, newest)


def _event_listings(
    events: Sequence[EventRecord], by_event: Mapping[str, Sequence[MarketRecord]]
) -> dict[str, EventListing]:
    nested = {e.event_ticker: _nested_contracts(e) for e in events}
    return {
        event: EventListing(
            tickers=frozenset(m.ticker for m in by_event.get(event, ())),
            named=nested.get(event, {}),
            is_listed=event in nested,
        )
        for event in {*nested, *by_event}
    }


def _nested_contracts(event: EventRecord) -> dict[str, bool]:
    """The contracts in an event's own body; one without a ticker names none."""
    bodies = event.raw.get("markets")
    named = [b for b in bodies if isinstance(b, dict)] if isinstance(bodies, list) else []
    return {b["ticker"]: b.get("is_provisional") is True for b in named if isinstance(b.get("ticker"), str)}


def _calendar_entries(calendar: pa.Table) -> dict[tuple[str, date], list[ScheduledRelease]]:
    entries: dict[tuple[str, date], list[ScheduledRelease]] = defaultdict(list)
    for row in calendar.select(["series_ticker", "period", "release_time", "known_at", "source"]).to_pylist():
        entries[row["series_ticker"], row["period"]].append(
            ScheduledRelease(row["release_time"], row["known_at"], row["source"] or "unknown")
        )
    return entries


def _span(events: pa.Table) -> tuple[date, date]:
    """Days for which daily references are wanted: from before the first listing to after the last release."""
    listed = pc.min(events["listed_at"]).as_py()
    last = pc.max(events["event_date"]).as_py()
    return listed.date() - _BEFORE_LISTING, last + timedelta(days=7)
