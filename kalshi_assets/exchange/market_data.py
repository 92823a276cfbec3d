"""Market data as the stages see them: candles, trades, books and forecasts; listings do not belong here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from kalshi_assets.errors import UsageError
from kalshi_assets.exchange.candle_feed import CandleFeed
from kalshi_assets.exchange.candles import EventCandles, event_candles, inside, merge_candles
from kalshi_assets.exchange.downloads import Downloads, download_key
from kalshi_assets.exchange.forecasts import forecast_table
from kalshi_assets.exchange.journal import Download
from kalshi_assets.exchange.models import Cutoff, Tier
from kalshi_assets.exchange.orderbooks import ORDERBOOKS, orderbook_table, single_orderbook_table
from kalshi_assets.exchange.paths import segment
from kalshi_assets.exchange.reader import Reader
from kalshi_assets.exchange.routing import (
    BATCH_TICKERS,
    TRADE_OVERLAP,
    MarketRef,
    Window,
    asked_seconds,
    candle_tier,
    trade_spans,
    unix_ceil,
    unix_floor,
)
from kalshi_assets.exchange.seam import Seam, candle_seam, trade_seam
from kalshi_assets.exchange.trades import merge_trades, trade_table

_TRADES: dict[Tier, str] = {"live": "/markets/trades", "historical": "/historical/trades"}
_EVENT_CANDLES = "/series/events/candlesticks"
_ROWS = 1000
_DEEPEST = 100


class MarketData(Reader):
    """Reads prices and trades; see ``Reader`` for the arguments."""

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
        return CandleFeed(self._downloads, period_minutes, start, end, cutoff).fetch(markets)

    def event_candlesticks(
        self, series_ticker: str, event_ticker: str, *, period_minutes: int, start: datetime, end: datetime
    ) -> pa.Table:
        """Candles of an event's markets on the live tier, in as few requests as the exchange needs.

        The exchange cuts a long answer and says where it goes on, so there is nothing to
        split. Markets that left the live tier are absent: use ``candlesticks`` where they matter.

        Args:
            series_ticker: the event's series.
            event_ticker: the event.
            period_minutes: 1, 60 or 1440.
            start: first end of a period that is wanted.
            end: the bound that ends of periods stay below.

        Returns:
            Rows as of ``candlesticks``.

        Raises:
            NotFound: the exchange does not have the event.
            MalformedResponse: the exchange cut an answer and did not come further.
        """
        start_s, end_s, period_s = asked_seconds(start, end, period_minutes)
        tables: list[pa.Table] = []
        while start_s < end_s:
            answer = self._event_candles(series_ticker, event_ticker, Window(start_s, end_s), period_s)
            tables += answer.tables.values()
            start_s = answer.reached_s
        return inside(merge_candles(tables), start, end)

    def trades(self, ref: MarketRef, *, start: datetime, end: datetime, cutoff: Cutoff) -> pa.Table:
        """Trades of one market in [start, end), oldest first, columns of ``trades.TRADES``."""
        tables = [self._trades(ref.ticker, tier, window) for tier, window in trade_spans(start, end, cutoff)]
        return inside(merge_trades(tables), start, end)

    def orderbooks(self, tickers: Sequence[str]) -> pa.Table:
        """Present books, columns of ``orderbooks.ORDERBOOKS``, stamped with our clock on receipt."""
        tables = [ORDERBOOKS.empty_table()]
        for at in range(0, len(tickers), BATCH_TICKERS):
            body = self._get("/markets/orderbooks", {"tickers": list(tickers[at : at + BATCH_TICKERS])})
            tables.append(orderbook_table(body, self._now()))
        return pa.concat_tables(tables).combine_chunks()

    def orderbook(self, ticker: str, depth: int = 0) -> pa.Table:
        """The present book of one market, rows as of ``orderbooks``.

        Args:
            ticker: the market.
            depth: the best levels of each side, 1 to 100; 0 for all.

        Raises:
            UsageError: another depth.
        """
        if not 0 <= depth <= _DEEPEST:
            raise UsageError(f"A book has a depth of 1 to {_DEEPEST} levels, or 0 for all, not {depth}.")
        body = self._get(f"/markets/{segment(ticker)}/orderbook", {"depth": depth})
        return single_orderbook_table(body, ticker, self._now())

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
        query: dict[str, Any] = {
            "percentiles": [round(p * 100) for p in percentiles],
            "start_ts": unix_floor(start),
            "end_ts": unix_ceil(end),
            "period_interval": period_minutes,
        }
        return forecast_table(self.transport.get_json(path, query, signed=True))

    def seam(
        self, markets: Iterable[MarketRef], *, period_minutes: int, start: datetime, end: datetime, cutoff: Cutoff
    ) -> Seam:
        """Whether both tiers have the same candles of the markets that both hold; nothing of it is kept.

        Args:
            markets: the candidates; only markets that settled near the boundary are on both tiers,
                and the others are skipped and counted.
            period_minutes: 1, 60 or 1440.
            start: first end of a period that is compared.
            end: the bound that ends of periods stay below.
            cutoff: the boundary; the tier on its far side from a market is asked first, since that
                one's 404 settles the matter with one request.
        """
        feed = CandleFeed(Downloads(self._get, None, self._now), period_minutes, start, end, cutoff)
        held: dict[Tier, list[pa.Table]] = {"live": [], "historical": []}
        skipped = 0
        for ref in {m.ticker: m for m in markets}.values():
            routed = candle_tier(ref, cutoff)
            order: tuple[Tier, Tier] = ("historical", "live") if routed == "live" else ("live", "historical")
            found = {}
            for tier in order:
                table = feed.fetch_tier(ref, tier)
                if table is None:
                    skipped += 1
                    break
                found[tier] = table
            else:
                for tier, table in found.items():
                    held[tier].append(table)
        live, historical = (merge_candles(held[tier]) for tier in ("live", "historical"))
        return candle_seam(live, historical, skipped=skipped)

    def trade_seam(self, ref: MarketRef, *, cutoff: Cutoff) -> Seam:
        """Whether both tiers have the same trades of a market within a minute of the boundary of trades."""
        at = cutoff.trades_created_ts
        window = Window(unix_floor(at - TRADE_OVERLAP), unix_ceil(at + TRADE_OVERLAP))
        fresh = Downloads(self._get, None, self._now)
        live, historical = (self._trades(ref.ticker, tier, window, fresh) for tier in _TRADES)
        return trade_seam(live, historical)

    def _event_candles(self, series_ticker: str, event_ticker: str, asked: Window, period_s: int) -> EventCandles:
        minutes = period_s // 60
        return self._downloads.single(
            Download(_EVENT_CANDLES, download_key([event_ticker], minutes), asked.start_s, asked.end_s),
            f"/series/{segment(series_ticker)}/events/{segment(event_ticker)}/candlesticks",
            {"start_ts": asked.start_s, "end_ts": asked.end_s, "period_interval": minutes},
            read=lambda body: event_candles(body, event_ticker, asked, period_s),
            rows=lambda answer: sum(t.num_rows for t in answer.tables.values()),
        )

    def _trades(self, ticker: str, tier: Tier, window: Window, downloads: Downloads | None = None) -> pa.Table:
        path = _TRADES[tier]
        return (downloads or self._downloads).listing(
            Download(path, download_key([ticker]), window.start_s, window.end_s),
            path,
            {"ticker": ticker, "min_ts": window.start_s, "max_ts": window.end_s, "limit": _ROWS},
            "trades",
            read=lambda rows: trade_table(rows, self.findings),
            on_page=self._hook(path),
        )
