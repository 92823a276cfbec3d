"""Series, events and markets of an archive, and which tier serves a market.

A market settled before the cutoff is on the historical tier, any other on the
live one; with an overlap, a market settled shortly before the cutoff is on
both. A market that is final without a settlement time stays live. Events and
series are on the live tier for ever. Filters and paging are the routes' work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from kalshi_assets.emulator.archive import Archive
from kalshi_assets.emulator.candles import CandleBook
from kalshi_assets.emulator.fixed_point import time_text
from kalshi_assets.emulator.market_body import FINALIZED, market_body, status_at

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Market:
    """A market's row with what listings ask of it.

    Attributes:
        row: the row in the archive.
        series_ticker: its event's series; None where the archive has no such event.
        live: True where the live tier serves it.
        historical: True where the historical tier does.
    """

    row: Row
    series_ticker: str | None
    live: bool
    historical: bool

    @property
    def ticker(self) -> str:
        """The market's ticker."""
        return str(self.row["ticker"])

    @property
    def event_ticker(self) -> str:
        """The ticker of its event."""
        return str(self.row["event_ticker"])


class Catalog:
    """Everything that the listings show."""

    def __init__(
        self, archive: Archive, candles: CandleBook, cutoff: Mapping[str, str], overlap_s: float = 0.0
    ) -> None:
        """Index an archive under a cutoff.

        Args:
            archive: the archive.
            candles: its candles, for the prices in a market's body.
            cutoff: body of ``/historical/cutoff``.
            overlap_s: markets settled up to so many seconds before the cutoff are on both tiers.
        """
        self.cutoff = dict(cutoff)
        self._candles = candles
        settled_before = datetime.fromisoformat(cutoff["market_settled_ts"])
        self.series: dict[str, Row] = {r["ticker"]: r for r in archive.tables["series"].to_pylist()}
        self.events: dict[str, Row] = {r["event_ticker"]: r for r in archive.tables["events"].to_pylist()}
        self.markets: dict[str, Market] = {}
        self.markets_of: dict[str, list[Market]] = {}
        for row in archive.tables["markets"].to_pylist():
            event = self.events.get(row["event_ticker"])
            settled = row["settlement_ts"]
            historical = settled is not None and settled < settled_before
            market = Market(
                row=row,
                series_ticker=event["series_ticker"] if event else None,
                live=not historical or settled >= settled_before - timedelta(seconds=overlap_s),
                historical=historical,
            )
            self.markets[market.ticker] = market
            self.markets_of.setdefault(market.event_ticker, []).append(market)
        self._texts: dict[tuple[str, str, float | None], str] = {}

    @cached_property
    def historical(self) -> list[Market]:
        """The historical tier's markets, newest created first."""
        return sorted(
            (m for m in self.markets.values() if m.historical), key=lambda m: m.row["created_time"], reverse=True
        )

    def live(self, now: float | None) -> list[Market]:
        """The live tier's markets in the archive's order, without those created after ``now``."""
        at = moment(now)
        return [m for m in self.markets.values() if m.live and (at is None or m.row["created_time"] <= at)]

    def status(self, market: Market, now: float | None) -> str:
        """A market's status, at ``now`` where that is given."""
        return status_at(market.row, moment(now))

    def times(self, market: Market, now: float | None) -> dict[str, datetime | None]:
        """The times by which markets are filtered, as its body shows them."""
        row = market.row
        settled: datetime | None = row["settlement_ts"] if self.status(market, now) == FINALIZED else None
        created: datetime = row["created_time"]
        return {"created": created, "close": row["close_time"], "settled": settled, "updated": settled or created}

    def market_text(self, market: Market, now: float | None) -> str:
        """The JSON text of a market's body; kept, as a listing is read many times."""
        last = self._candles.latest(market.ticker, now)
        status = self.status(market, now)
        key = (market.ticker, status, last.end if last else None)
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = json.dumps(market_body(market.row, status, last), separators=(",", ":"))
        return text

    def series_body(self, ticker: str) -> dict[str, Any]:
        """A ``Series`` object."""
        row = self.series[ticker]
        multiplier = row["fee_multiplier"]
        return {
            "ticker": ticker,
            "frequency": row["frequency"],
            "title": row["title"],
            "category": row["category"],
            "categories": [row["category"]],
            "tags": None,
            "settlement_sources": None,
            "contract_url": "",
            "contract_terms_url": "",
            "fee_type": row["fee_type"],
            "fee_multiplier": 1
            if multiplier is None
            else int(multiplier)
            if multiplier == int(multiplier)
            else multiplier,
            "additional_prohibitions": None,
            "last_updated_ts": self.cutoff["market_settled_ts"],
            "exchange_index": 0,
        }

    def event_text(self, event_ticker: str, *, nested: bool, now: float | None) -> str:
        """The JSON text of an ``EventData`` object.

        With nesting the key ``markets`` holds the live markets; it is absent, not empty, where every
        market of the event is on the historical tier only.
        """
        row = self.events[event_ticker]
        body: dict[str, Any] = {
            "event_ticker": event_ticker,
            "series_ticker": row["series_ticker"],
            "sub_title": row["sub_title"] or "",
            "title": row["title"],
            "collateral_return_type": row["collateral_return_type"] or "",
            "mutually_exclusive": bool(row["mutually_exclusive"]),
            "category": row["category"] or "",
            "settlement_sources": None,
            "last_updated_ts": self._changed(event_ticker),
            "exchange_index": 0,
        }
        if row["strike_date"] is not None:
            body["strike_date"] = time_text(row["strike_date"])
        else:
            body["strike_period"] = row["strike_period"] or ""
        text = json.dumps(body, separators=(",", ":"))
        live = self.live_markets_of(event_ticker, now) if nested else []
        if not live:
            return text
        return f'{text[:-1]},"markets":[{",".join(self.market_text(m, now) for m in live)}]}}'

    def live_markets_of(self, event_ticker: str, now: float | None) -> list[Market]:
        """The live markets of an event."""
        at = moment(now)
        return [
            m for m in self.markets_of.get(event_ticker, []) if m.live and (at is None or m.row["created_time"] <= at)
        ]

    def listed(self, event_ticker: str, now: float | None) -> bool:
        """True unless every market of the event is created after ``now``."""
        at = moment(now)
        markets = self.markets_of.get(event_ticker, [])
        return at is None or not markets or any(m.row["created_time"] <= at for m in markets)

    def _changed(self, event_ticker: str) -> str:
        created = [m.row["created_time"] for m in self.markets_of.get(event_ticker, [])]
        return time_text(min(created)) if created else self.cutoff["market_settled_ts"]


def moment(now: float | None) -> datetime | None:
    """Unix seconds as a time; None stays None."""
    return None if now is None else datetime.fromtimestamp(now, UTC)
