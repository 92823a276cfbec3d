"""The listings as the stages see them: series, events, markets, fees and dates; market data do not belong here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from kalshi_assets.errors import NotFound, RequestRefused
from kalshi_assets.exchange.catalog import MarketCatalog, unite
from kalshi_assets.exchange.models import (
    EventFeeChange,
    EventRecord,
    MarketRecord,
    Milestone,
    SeriesFeeChange,
    SeriesRecord,
    Tier,
)
from kalshi_assets.exchange.paths import segment
from kalshi_assets.exchange.reader import Query, Reader, list_in, object_in
from kalshi_assets.exchange.routing import BATCH_TICKERS, can_batch, unix_floor

# The live tier first: its record is the fresher one.
_MARKETS: dict[Tier, str] = {"live": "/markets", "historical": "/historical/markets"}
_ROWS = 1000
_EVENTS = 200
_MILESTONES = 500


class Listings(Reader):
    """Reads what is listed; see ``Reader`` for the arguments."""

    def series(self, series_ticker: str) -> SeriesRecord:
        """One series.

        Raises:
            NotFound: the exchange does not have it; it answers that with 404 or 400.
        """
        try:
            body = self._get(f"/series/{segment(series_ticker)}")
        except (NotFound, RequestRefused):
            body = None
        if body is None:
            raise NotFound(
                f"The exchange has no series {series_ticker!r}; current tickers mostly begin with KX, "
                "and events of older tickers are filed under the new one."
            )
        return SeriesRecord.parse(object_in(body, "series"), "/series", self.findings)

    def series_list(self, category: str | None = None) -> list[SeriesRecord]:
        """All series, or those of one category (exact, case-sensitive); one response, not paged."""
        body = self._get("/series", {"category": category})
        return [SeriesRecord.parse(r, "/series", self.findings) for r in list_in(body, "series")]

    def events(self, series_ticker: str) -> list[EventRecord]:
        """The events of a series, of all times, sorted by ticker, each once."""
        rows = self._rows("/events", "events", {"series_ticker": series_ticker, "limit": _EVENTS})
        records = [EventRecord.parse(r, "/events", self.findings) for r in rows]
        by_ticker = {e.event_ticker: e for e in records}
        return [by_ticker[t] for t in sorted(by_ticker)]

    def event(self, event_ticker: str) -> EventRecord:
        """One event."""
        body = self._get(f"/events/{segment(event_ticker)}")
        return EventRecord.parse(object_in(body, "event"), "/events", self.findings)

    def markets(self, series_ticker: str) -> MarketCatalog:
        """The markets of a series, of all times: both tiers united by ticker, the live record winning."""
        counts: dict[str, tuple[int, int]] = {}
        records: dict[Tier, list[MarketRecord]] = {"live": [], "historical": []}
        for tier, found in records.items():
            query = {"series_ticker": series_ticker, "limit": _ROWS}
            listing = list(self._pages(_MARKETS[tier], "markets", query))
            for page in listing:
                found += [MarketRecord.parse_from(tier, r, _MARKETS[tier], self.findings) for r in page.rows]
            counts[tier] = len(listing), len(found)
        united = unite(records["live"], records["historical"])
        return MarketCatalog(series_ticker, united, *counts["live"], *counts["historical"])

    def market(self, ticker: str) -> MarketRecord:
        """One market, from the live tier or, where that does not know it, the historical one."""
        record = self._market_on_either_tier(ticker)
        if record is None:
            raise NotFound(f"Neither the live nor the historical tier knows the market {ticker!r}; check the ticker.")
        return record

    def markets_by_ticker(self, tickers: Iterable[str]) -> tuple[MarketRecord, ...]:
        """The markets of some tickers from whichever tier holds each, the live record winning, sorted by ticker.

        A ticker that no tier knows is absent from the result: the exchange may delete a
        provisional market. Odd tickers, which a comma-separated list cannot carry, cost
        a request each, the others one for a hundred and tier.
        """
        wanted = dict.fromkeys(tickers)
        found: dict[str, MarketRecord] = {}
        for tier in _MARKETS:
            missing = [t for t in wanted if t not in found and can_batch(t)]
            for at in range(0, len(missing), BATCH_TICKERS):
                query = {"tickers": ",".join(missing[at : at + BATCH_TICKERS]), "limit": _ROWS}
                found.update((m.ticker, m) for m in self._market_rows(tier, query) if m.ticker in wanted)
        for ticker in wanted:
            if not can_batch(ticker) and (record := self._market_on_either_tier(ticker)) is not None:
                found[ticker] = record
        return tuple(found[t] for t in sorted(found))

    def updated_markets(self, series_ticker: str, since: datetime) -> list[MarketRecord]:
        """The live tier's markets of a series whose metadata changed at or after a moment, sorted by ticker.

        Trading is no such change. The exchange takes this filter with no other but the two sent here.
        """
        query = {
            "series_ticker": series_ticker, "min_updated_ts": unix_floor(since), "mve_filter": "exclude",
            "limit": _ROWS,
        }  # fmt: skip
        by_ticker = {m.ticker: m for m in self._market_rows("live", query)}
        return [by_ticker[t] for t in sorted(by_ticker)]

    def series_fee_changes(self, series_ticker: str | None = None, *, historical: bool = True) -> list[SeriesFeeChange]:
        """Dated fee changes of one series or all; past ones too unless ``historical`` is False."""
        query = {"series_ticker": series_ticker, "show_historical": "true" if historical else "false"}
        body = self._get("/series/fee_changes", query)
        rows = list_in(body, "series_fee_change_arr")
        return [SeriesFeeChange.parse(r, "/series/fee_changes", self.findings) for r in rows]

    def event_fee_changes(self) -> list[EventFeeChange]:
        """Dated fee overrides of single events."""
        rows = self._rows("/events/fee_changes", "event_fee_changes", {"limit": _ROWS})
        return [EventFeeChange.parse(r, "/events/fee_changes", self.findings) for r in rows]

    def milestones(self, *, related_event_ticker: str | None = None, category: str | None = None) -> list[Milestone]:
        """Dated happenings, optionally of one event or category."""
        query: Query = {"limit": _MILESTONES, "related_event_ticker": related_event_ticker, "category": category}
        return [
            Milestone.parse(r, "/milestones", self.findings) for r in self._rows("/milestones", "milestones", query)
        ]

    def _market_on_either_tier(self, ticker: str) -> MarketRecord | None:
        for tier, endpoint in _MARKETS.items():
            try:
                body = self._get(f"{endpoint}/{segment(ticker)}")
            except NotFound:
                continue
            return MarketRecord.parse_from(tier, object_in(body, "market"), endpoint, self.findings)
        return None

    def _market_rows(self, tier: Tier, query: Query) -> list[MarketRecord]:
        rows = self._rows(_MARKETS[tier], "markets", query)
        return [MarketRecord.parse_from(tier, r, _MARKETS[tier], self.findings) for r in rows]
