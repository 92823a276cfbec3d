"""The exchange as the stages see it: one method a question; bodies, tiers and retries are the other modules'."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.tables import TIME
from kalshi_assets.errors import MalformedResponse, NotFound, RequestRefused
from kalshi_assets.exchange.candle_feed import CandleFeed
from kalshi_assets.exchange.catalog import MarketCatalog, unite
from kalshi_assets.exchange.findings import Findings
from kalshi_assets.exchange.forecasts import forecast_table
from kalshi_assets.exchange.limits import cost_function
from kalshi_assets.exchange.models import (
    AccountLimits,
    Cutoff,
    EndpointCosts,
    EventFeeChange,
    EventRecord,
    ExchangeStatus,
    MarketRecord,
    Milestone,
    Schedule,
    SeriesFeeChange,
    SeriesRecord,
    Tier,
)
from kalshi_assets.exchange.orderbooks import ORDERBOOKS, orderbook_table
from kalshi_assets.exchange.paging import Page, pages
from kalshi_assets.exchange.paths import segment
from kalshi_assets.exchange.routing import BATCH_TICKERS, MarketRef, trade_spans, unix_ceil, unix_floor
from kalshi_assets.exchange.trades import trade_table
from kalshi_assets.http import Transport

_MARKETS = {"live": "/markets", "historical": "/historical/markets"}
_TRADES = {"live": "/markets/trades", "historical": "/historical/trades"}
_ROWS = 1000
_EVENTS = 200
_MILESTONES = 500

# Tokens a second and capacity, at ten tokens a request: without a key about four requests a second are tolerated.
UNSIGNED_RATE = (40.0, 20.0)

OnPage = Callable[[str, Page], None]
Query = dict[str, Any]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Exchange:
    """Reads Kalshi's Trade API.

    Every call is signed where the transport holds a key, because the key's own budget
    then applies, and unsigned otherwise: market data need no key.

    Args:
        transport: requests, retries, budget and signatures.
        findings: collects what the documentation does not know; an own one by default.
        now: our clock, which stamps order books on receipt.
        on_page: called with the endpoint and each page of a listing, for checkpoints.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        findings: Findings | None = None,
        now: Callable[[], datetime] = _utc_now,
        on_page: OnPage | None = None,
    ) -> None:
        self.transport = transport
        self.findings = findings if findings is not None else Findings()
        self._now = now
        self._on_page = on_page

    # The exchange itself

    def status(self) -> ExchangeStatus:
        """Whether it is up; the answer counts also where it comes with a 5xx."""
        body = self.transport.get_json(
            "/exchange/status", signed=self.transport.can_sign, accepts=lambda _, b: "exchange_active" in b
        )
        return ExchangeStatus.parse(body, "/exchange/status", self.findings)

    def schedule(self) -> Schedule:
        """Trading hours and planned maintenance."""
        body = self._get("/exchange/schedule")
        return Schedule.parse(_object(body, "schedule"), "/exchange/schedule", self.findings)

    def cutoff(self) -> Cutoff:
        """The boundary between the tiers at this moment; it moves, so read it at both ends of a run."""
        return Cutoff.parse(self._get("/historical/cutoff"), "/historical/cutoff", self.findings)

    def account_limits(self) -> AccountLimits:
        """The budget of the key's account (needs a key)."""
        body = self.transport.get_json("/account/limits", signed=True)
        return AccountLimits.parse(body, "/account/limits", self.findings)

    def endpoint_costs(self) -> EndpointCosts:
        """Tokens by endpoint where they differ from the default."""
        return EndpointCosts.parse(self._get("/account/endpoint_costs"), "/account/endpoint_costs", self.findings)

    def learn_limits(self) -> AccountLimits | None:
        """Spend at the account's own pace from now on; None where there is no key or no limiter."""
        limiter = self.transport.limiter
        if limiter is None or not self.transport.can_sign:
            return None
        limits, costs = self.account_limits(), self.endpoint_costs()
        rate, capacity = float(limits.read.refill_rate), float(limits.read.bucket_capacity)
        if rate <= 0 or capacity <= 0:
            raise MalformedResponse(f"/account/limits grants a read budget of {rate} tokens/s and {capacity} tokens.")
        limiter.reconfigure(rate, capacity)
        self.transport.cost_of = cost_function(costs, urlsplit(self.transport.base_url).path)
        return limits

    # Catalog

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
        return SeriesRecord.parse(_object(body, "series"), "/series", self.findings)

    def series_list(self, category: str | None = None) -> list[SeriesRecord]:
        """All series, or those of one category (exact, case-sensitive); one response, not paged."""
        body = self._get("/series", {"category": category})
        return [SeriesRecord.parse(r, "/series", self.findings) for r in _list(body, "series")]

    def events(self, series_ticker: str) -> list[EventRecord]:
        """The events of a series, of all times, sorted by ticker, each once."""
        rows = self._rows("/events", "events", {"series_ticker": series_ticker, "limit": _EVENTS})
        records = [EventRecord.parse(r, "/events", self.findings) for r in rows]
        by_ticker = {e.event_ticker: e for e in records}
        return [by_ticker[t] for t in sorted(by_ticker)]

    def event(self, event_ticker: str) -> EventRecord:
        """One event."""
        body = self._get(f"/events/{segment(event_ticker)}")
        return EventRecord.parse(_object(body, "event"), "/events", self.findings)

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
        for tier, endpoint in (("live", _MARKETS["live"]), ("historical", _MARKETS["historical"])):
            try:
                body = self._get(f"{endpoint}/{segment(ticker)}")
            except NotFound:
                continue
            market = _object(body, "market")
            kept: Tier = "live" if tier == "live" else "historical"
            return MarketRecord.parse_from(kept, market, endpoint, self.findings)
        raise NotFound(f"Neither the live nor the historical tier knows the market {ticker!r}; check the ticker.")

    # Market data

    def candlesticks(
        self, markets: Sequence[MarketRef], *, period_minutes: int, start: datetime, end: datetime, cutoff: Cutoff
    ) -> pa.Table:
        """Candles of markets.

        Args:
            markets: any mixture of open and settled ones.
            period_minutes: 1, 60 or 1440.
            start: first end of a period that is wanted.
            end: the bound that ends of periods stay below.
            cutoff: the boundary as read at the start of the run.

        Returns:
            Columns of ``candles.CANDLES``, sorted by ticker and ``ts``, one row per (ticker, ts).
            A period without change has no row.

        Raises:
            NotFound: no tier knows one of the tickers.
        """
        return CandleFeed(self._get, period_minutes, start, end, cutoff).fetch(markets)

    def trades(self, ref: MarketRef, *, start: datetime, end: datetime, cutoff: Cutoff) -> pa.Table:
        """Trades of one market in [start, end), oldest first, columns of ``trades.TRADES``."""
        rows: list[Any] = []
        for tier, window in trade_spans(start, end, cutoff):
            query = {"ticker": ref.ticker, "min_ts": window.start_s, "max_ts": window.end_s, "limit": _ROWS}
            # Each listing is newest first, and so is the whole: the later tier goes in front.
            rows = [*self._rows(_TRADES[tier], "trades", query), *rows]
        table = trade_table(rows, self.findings)
        inside = pc.and_(
            pc.greater_equal(table["ts"], pa.scalar(start, TIME)), pc.less(table["ts"], pa.scalar(end, TIME))
        )
        return table.filter(inside)

    def orderbooks(self, tickers: Sequence[str]) -> pa.Table:
        """Present books, columns of ``orderbooks.ORDERBOOKS``, stamped with our clock on receipt."""
        tables = [ORDERBOOKS.empty_table()]
        for at in range(0, len(tickers), BATCH_TICKERS):
            body = self._get("/markets/orderbooks", {"tickers": list(tickers[at : at + BATCH_TICKERS])})
            tables.append(orderbook_table(body, self._now()))
        return pa.concat_tables(tables).combine_chunks()

    def forecast_percentiles(
        self,
        series_ticker: str,
        event_ticker: str,
        *,
        percentiles: Sequence[float],
        start: datetime,
        end: datetime,
        period_minutes: int = 60,
    ) -> pa.Table:
        """The exchange's forecast history of an event (needs a key), columns of ``forecasts.FORECASTS``."""
        path = f"/series/{segment(series_ticker)}/events/{segment(event_ticker)}/forecast_percentile_history"
        query: Query = {
            "percentiles": [round(p * 100) for p in percentiles],
            "start_ts": unix_floor(start),
            "end_ts": unix_ceil(end),
            "period_interval": period_minutes,
        }
        return forecast_table(self.transport.get_json(path, query, signed=True))

    # Fees and dates

    def series_fee_changes(self, series_ticker: str | None = None, *, historical: bool = True) -> list[SeriesFeeChange]:
        """Dated fee changes of one series or all; past ones too unless ``historical`` is False."""
        query = {"series_ticker": series_ticker, "show_historical": "true" if historical else "false"}
        body = self._get("/series/fee_changes", query)
        rows = _list(body, "series_fee_change_arr")
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

    def _get(self, path: str, query: Query | None = None) -> dict[str, Any]:
        return self.transport.get_json(path, query, signed=self.transport.can_sign)

    def _pages(self, path: str, rows_key: str, query: Query) -> Iterator[Page]:
        hook = self._on_page
        return pages(
            lambda cursor: self._get(path, {**query, "cursor": cursor}),
            rows_key,
            endpoint=path,
            on_page=(lambda page: hook(path, page)) if hook else None,
        )

    def _rows(self, path: str, rows_key: str, query: Query) -> list[Any]:
        return [row for page in self._pages(path, rows_key, query) for row in page.rows]


def _object(body: dict[str, Any], key: str) -> dict[str, Any]:
    value = body.get(key)
    if not isinstance(value, dict):
        raise MalformedResponse(f"The response has no object {key!r}; its shape has changed.")
    return value


def _list(body: dict[str, Any], key: str) -> list[Any]:
    value = body.get(key, "absent")
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedResponse(f"The response has no list {key!r}; its shape has changed.")
    return value
