"""Fetches candles of many markets from whichever tier holds each; parsing bodies does not belong here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.tables import TIME
from kalshi_assets.errors import NotFound
from kalshi_assets.exchange.candles import batch_candles, merge_candles, single_candles
from kalshi_assets.exchange.models import Cutoff, Tier
from kalshi_assets.exchange.paths import segment
from kalshi_assets.exchange.routing import (
    BATCH_CAP,
    SINGLE_CAP,
    MarketRef,
    Window,
    batch_size,
    can_batch,
    candle_tier,
    windows,
)

Get = Callable[[str, dict[str, Any]], dict[str, Any]]


class CandleFeed:
    """One pull: a set of markets, one period, one range.

    Args:
        get: the JSON object at a path with a query.
        period_minutes: 1, 60 or 1440.
        start: first end of a period that is wanted.
        end: the bound that ends of periods stay below.
        cutoff: the tiers' boundary as read at the start of the run.
    """

    def __init__(self, get: Get, period_minutes: int, start: datetime, end: datetime, cutoff: Cutoff) -> None:
        self._get = get
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
        return self._inside(merge_candles([*live_tables, *historical_tables]))

    def _batches(self, refs: Sequence[MarketRef]) -> tuple[list[pa.Table], list[MarketRef]]:
        """Tables of the live tier, and the markets that it silently left out."""
        if not refs:
            return [], []
        size = batch_size(len(refs), self._start, self._end, self._minutes)
        tables: list[pa.Table] = []
        moved: list[MarketRef] = []
        for at in range(0, len(refs), size):
            asked = list(refs[at : at + size])
            for window in windows(self._start, self._end, self._minutes, BATCH_CAP // size):
                if not asked:
                    break
                query = {"market_tickers": ",".join(m.ticker for m in asked), **self._query(window)}
                received = batch_candles(self._get("/markets/candlesticks", query), self._minutes * 60)
                # A market that moves to the other tier between two windows is fetched whole from there.
                moved += [m for m in asked if m.ticker not in received]
                asked = [m for m in asked if m.ticker in received]
                tables += [received[m.ticker] for m in asked]
        return tables, moved

    def _first_tier(self, ref: MarketRef, tiers: Sequence[Tier]) -> tuple[Tier | None, list[pa.Table]]:
        for tier in tiers:
            path = _path(ref, tier)
            try:
                bodies = [self._get(path, self._query(w)) for w in self._single_windows]
            except NotFound:
                continue
            return tier, [single_candles(body, ref.ticker, self._minutes * 60) for body in bodies]
        return None, []

    def _query(self, window: Window) -> dict[str, Any]:
        return {"start_ts": window.start_s, "end_ts": window.end_s, "period_interval": self._minutes}

    def _inside(self, table: pa.Table) -> pa.Table:
        start, end = pa.scalar(self._start, TIME), pa.scalar(self._end, TIME)
        return table.filter(pc.and_(pc.greater_equal(table["ts"], start), pc.less(table["ts"], end)))


def _path(ref: MarketRef, tier: Tier) -> str:
    if tier == "historical":
        return f"/historical/markets/{segment(ref.ticker)}/candlesticks"
    return f"/series/{segment(ref.series_ticker)}/markets/{segment(ref.ticker)}/candlesticks"
