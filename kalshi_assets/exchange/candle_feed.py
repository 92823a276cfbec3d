"""Fetches candles of many markets from whichever tier holds each; parsing bodies does not belong here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from kalshi_assets.errors import NotFound
from kalshi_assets.exchange.candles import batch_candles, inside, merge_candles, single_candles
from kalshi_assets.exchange.downloads import Downloads, download_key
from kalshi_assets.exchange.journal import Download
from kalshi_assets.exchange.models import Cutoff, Tier
from kalshi_assets.exchange.paths import segment
from kalshi_assets.exchange.routing import (
    BATCH_CAP,
    SINGLE_CAP,
    MarketRef,
    Window,
    batch_sizes,
    can_batch,
    candle_tier,
    windows,
)

_BATCH = "/markets/candlesticks"
_ENDPOINTS: dict[Tier, str] = {
    "live": "/series/markets/candlesticks",
    "historical": "/historical/markets/candlesticks",
}


class CandleFeed:
    """One pull: a set of markets, one period, one range.

    Args:
        downloads: sends the requests, or recalls their answers.
        period_minutes: 1, 60 or 1440.
        start: first end of a period that is wanted.
        end: the bound that ends of periods stay below.
        cutoff: the tiers' boundary as read at the start of the run.
    """

    def __init__(
        self, downloads: Downloads, period_minutes: int, start: datetime, end: datetime, cutoff: Cutoff
    ) -> None:
        self._downloads = downloads
        self._minutes = period_minutes
        self._start = start
        self._end = end
        self._cutoff = cutoff
        self._single_windows = windows(start, end, period_minutes, SINGLE_CAP)

    def fetch(self, markets: Iterable[MarketRef]) -> pa.Table:
        """All candles of the markets, sorted by ticker and time, each once.

        Raises:
            NotFound: no tier knows some of the tickers; an unknown market is not a quiet one.
        """
        refs = list({m.ticker: m for m in markets}.values())
        live = [m for m in refs if candle_tier(m, self._cutoff) == "live"]
        historical = [m for m in refs if candle_tier(m, self._cutoff) == "historical"]
        live_tables, moved = self._batches([m for m in live if can_batch(m.ticker)])
        historical_tables: list[pa.Table] = []
        unknown: list[str] = []
        searches: list[tuple[MarketRef, tuple[Tier, ...]]] = [
            *((m, ("live", "historical")) for m in live if not can_batch(m.ticker)),
            *((m, ("historical",)) for m in moved),
            *((m, ("historical", "live")) for m in historical),
        ]
        for ref, tiers in searches:
            tier, tables = self._first_tier(ref, tiers)
            if tier is None:
                unknown.append(ref.ticker)
            (live_tables if tier == "live" else historical_tables).extend(tables)
        if unknown:
            raise NotFound(
                f"No tier knows {len(unknown)} of {len(refs)} markets asked for candles: {', '.join(unknown[:5])}"
                f"{', ...' if len(unknown) > 5 else ''}; refresh the catalog, a market without activity can be deleted."
            )
        # Live tables come first, because the earlier of two equal candles is the one that stays.
        return inside(merge_candles([*live_tables, *historical_tables]), self._start, self._end)

    def fetch_tier(self, ref: MarketRef, tier: Tier) -> pa.Table | None:
        """The candles of one market as one tier has them, sorted by time; None where the tier does not know it."""
        found, tables = self._first_tier(ref, (tier,))
        return None if found is None else inside(merge_candles(tables), self._start, self._end)

    def _batches(self, refs: Sequence[MarketRef]) -> tuple[list[pa.Table], list[MarketRef]]:
        """Tables of the live tier, and the markets that it silently left out."""
        if not refs:
            return [], []
        tables: list[pa.Table] = []
        moved: list[MarketRef] = []
        at = 0
        for size in batch_sizes(len(refs), self._start, self._end, self._minutes):
            asked = list(refs[at : at + size])
            at += size
            for window in windows(self._start, self._end, self._minutes, BATCH_CAP // size):
                if not asked:
                    break
                received = self._batch([m.ticker for m in asked], window)
                # A market that moves to the other tier between two windows is fetched whole from there.
                moved += [m for m in asked if m.ticker not in received]
                asked = [m for m in asked if m.ticker in received]
                tables += [received[m.ticker] for m in asked]
        return tables, moved

    def _batch(self, tickers: Sequence[str], window: Window) -> dict[str, pa.Table]:
        return self._downloads.single(
            Download(_BATCH, download_key(tickers, self._minutes), window.start_s, window.end_s),
            _BATCH,
            {"market_tickers": ",".join(tickers), **self._query(window)},
            read=lambda body: batch_candles(body, self._minutes * 60),
            rows=lambda tables: sum(t.num_rows for t in tables.values()),
        )

    def _first_tier(self, ref: MarketRef, tiers: Sequence[Tier]) -> tuple[Tier | None, list[pa.Table]]:
        for tier in tiers:
            try:
                return tier, [self._single(ref, tier, w) for w in self._single_windows]
            except NotFound:
                continue
        return None, []

    def _single(self, ref: MarketRef, tier: Tier, window: Window) -> pa.Table:
        return self._downloads.single(
            Download(_ENDPOINTS[tier], download_key([ref.ticker], self._minutes), window.start_s, window.end_s),
            _path(ref, tier),
            self._query(window),
            read=lambda body: single_candles(body, ref.ticker, self._minutes * 60),
            rows=lambda table: int(table.num_rows),
        )

    def _query(self, window: Window) -> dict[str, Any]:
        return {"start_ts": window.start_s, "end_ts": window.end_s, "period_interval": self._minutes}


def _path(ref: MarketRef, tier: Tier) -> str:
    if tier == "historical":
        return f"/historical/markets/{segment(ref.ticker)}/candlesticks"
    return f"/series/{segment(ref.series_ticker)}/markets/{segment(ref.ticker)}/candlesticks"
