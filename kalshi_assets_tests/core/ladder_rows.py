"""Small ladders as Arrow rows: what the tests of the ladder feed to the public door."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from kalshi_assets.core.contracts import resolve_specs
from kalshi_assets.core.distribution import DistributionConfig, DistributionTables, build_distributions
from kalshi_assets.core.horizons import SNAPSHOTS
from kalshi_assets.core.tables import TABLES

LISTED = datetime(2026, 3, 1, 15, 0, tzinfo=UTC)
AS_OF = datetime(2026, 3, 10, 12, 25, tzinfo=UTC)
RELEASE = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)
EVENT, SERIES, EVENT_DATE = "KXCPI-26FEB", "KXCPI", date(2026, 3, 10)

# One CPI month-over-month ladder, strikes -0.1 to 0.4, whose mids do not break monotonicity.
CPI_STRIKES = (-0.1, 0.0, 0.1, 0.2, 0.3, 0.4)
CPI_QUOTES = ((0.97, 0.99), (0.95, 0.97), (0.89, 0.92), (0.64, 0.67), (0.16, 0.18), (0.07, 0.08))


def contract(
    ticker: str,
    strike_type: str | None = "greater",
    floor: float | None = None,
    cap: float | None = None,
    *,
    known_at: datetime = LISTED,
    event: str = EVENT,
    series: str = SERIES,
    **facts: Any,
) -> dict[str, Any]:
    """One row of table ``contracts``."""
    return {
        "event_ticker": event, "series_ticker": series, "event_date": EVENT_DATE, "ticker": ticker,
        "status": "active", "ts": known_at, "known_at": known_at, "strike_type": strike_type,
        "floor_strike": floor, "cap_strike": cap, **facts,
    }  # fmt: skip


def contracts_table(rows: Iterable[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=TABLES["contracts"].schema)


def specs_of(rows: Iterable[dict[str, Any]]) -> pa.Table:
    return resolve_specs(contracts_table(rows))


def quote(
    ticker: str,
    bid: float | None,
    ask: float | None,
    *,
    at: datetime = AS_OF - timedelta(minutes=1),
    known_at: datetime | None = None,
    source: str = "candle",
    period_s: int = 60,
    volume: float | None = 10.0,
    open_interest: float | None = 100.0,
    event: str = EVENT,
) -> dict[str, Any]:
    """The columns of one row of table ``quotes`` that a distribution reads; prices as plain floats."""
    return {
        "event_ticker": event, "ticker": ticker, "source": source, "period_s": period_s, "ts": at,
        "known_at": known_at or at, "yes_bid_close_usd": bid, "yes_ask_close_usd": ask,
        "volume_contracts": volume, "open_interest_contracts": open_interest,
    }  # fmt: skip


QUOTES = pa.schema(
    [
        ("event_ticker", pa.string()), ("ticker", pa.string()), ("source", pa.string()), ("period_s", pa.int64()),
        ("ts", pa.timestamp("us", "UTC")), ("known_at", pa.timestamp("us", "UTC")),
        ("yes_bid_close_usd", pa.float64()), ("yes_ask_close_usd", pa.float64()),
        ("volume_contracts", pa.float64()), ("open_interest_contracts", pa.float64()),
    ]
)  # fmt: skip


def quotes_table(rows: Iterable[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=QUOTES)


def snapshots_table(
    times: Sequence[datetime] = (AS_OF,), *, event: str = EVENT, series: str = SERIES, **facts: Any
) -> pa.Table:
    rows = [
        {
            "event_ticker": event, "series_ticker": series, "event_date": EVENT_DATE, "event_type": "CPI",
            "horizon": f"h{i:03d}", "as_of": t, "release_time": RELEASE, "listed_at": LISTED, "mapping_version": "1",
            **facts,
        }
        for i, t in enumerate(times)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=SNAPSHOTS)


def thresholds(strikes: Sequence[float], **facts: Any) -> list[dict[str, Any]]:
    """Contracts that pay above each strike; tickers are in strike order."""
    return [contract(f"{EVENT}-T{i:03d}", "greater", s, **facts) for i, s in enumerate(strikes)]


def build(
    contracts: Iterable[dict[str, Any]],
    quotes: Iterable[dict[str, Any]],
    *,
    times: Sequence[datetime] = (AS_OF,),
    config: DistributionConfig | None = None,
    **facts: Any,
) -> DistributionTables:
    return build_distributions(specs_of(contracts), quotes_table(quotes), snapshots_table(times, **facts), config)


def cpi_ladder(
    prices: Sequence[tuple[float | None, float | None]] = CPI_QUOTES, *, config: DistributionConfig | None = None
) -> dict[str, Any]:
    """The one distribution row of the CPI ladder under given (bid, ask) pairs."""
    rows = thresholds(CPI_STRIKES)
    quotes = [quote(c["ticker"], *p) for c, p in zip(rows, prices, strict=True)]
    row: dict[str, Any] = build(rows, quotes, config=config).distributions.to_pylist()[0]
    return row
