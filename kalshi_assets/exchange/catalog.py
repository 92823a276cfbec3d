"""The markets of a series, united over both tiers; fetching them does not belong here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kalshi_assets.exchange.models import MarketRecord


@dataclass(frozen=True, slots=True)
class MarketCatalog:
    """The union of the live and the historical listing of one series.

    Attributes:
        series_ticker: the series asked for.
        markets: one record per ticker, sorted by ticker; the live record wins.
        live_pages, live_rows: size of the live listing as received, twins included.
        historical_pages, historical_rows: the same of the historical listing.
    """

    series_ticker: str
    markets: tuple[MarketRecord, ...]
    live_pages: int
    live_rows: int
    historical_pages: int
    historical_rows: int

    def __len__(self) -> int:
        return len(self.markets)

    @property
    def pages(self) -> int:
        """Pages of both listings."""
        return self.live_pages + self.historical_pages

    @property
    def rows(self) -> int:
        """Rows of both listings, twins included."""
        return self.live_rows + self.historical_rows


def unite(live: Iterable[MarketRecord], historical: Sequence[MarketRecord]) -> tuple[MarketRecord, ...]:
    """One record per ticker, sorted by ticker.

    Near the boundary a market is on both tiers; the live record is the fresher one. Inside
    one tier a row may come twice, because a listing is no snapshot: the later one stays.
    """
    by_ticker = {m.ticker: m for m in historical}
    by_ticker.update((m.ticker, m) for m in live)
    return tuple(by_ticker[t] for t in sorted(by_ticker))
