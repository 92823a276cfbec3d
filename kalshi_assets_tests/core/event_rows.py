"""Small lake tables from rows, for the tests of panel, labels and gates: a column that a row leaves out is null."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from kalshi_assets.core.tables import TABLES

RELEASE = datetime(2024, 7, 11, 12, 30, tzinfo=UTC)
HORIZONS = {
    "30d": timedelta(days=30), "14d": timedelta(days=14), "7d": timedelta(days=7), "3d": timedelta(days=3),
    "1d": timedelta(days=1), "4h": timedelta(hours=4), "1h": timedelta(hours=1), "15min": timedelta(minutes=15),
    "5min": timedelta(minutes=5),
}  # fmt: skip


def table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows in the schema of a lake table; a key that the table lacks is a mistake in the test."""
    schema = TABLES[name].schema
    for row in rows:
        unknown = set(row) - set(schema.names)
        assert not unknown, unknown
    return pa.Table.from_pylist(rows, schema=schema)


def event_row(ticker: str = "KXCPIYOY-24JUN", release: datetime = RELEASE, **more: Any) -> dict[str, Any]:
    row = {
        "event_ticker": ticker, "series_ticker": ticker.split("-")[0], "event_date": release.date(),
        "release_time": release, "release_time_source": "calendar", "period": date(2024, 6, 1),
        "event_type": "CPI", "ts": release, "known_at": release - timedelta(days=60),
    }  # fmt: skip
    return row | more


def snapshot_row(
    horizon: str, ticker: str = "KXCPIYOY-24JUN", release: datetime = RELEASE, **more: Any
) -> dict[str, Any]:
    as_of = more.pop("as_of", None) or release - HORIZONS[horizon]
    row = {
        "event_ticker": ticker, "series_ticker": ticker.split("-")[0], "event_date": release.date(),
        "horizon": horizon, "as_of": as_of, "release_time": release, "ts": as_of, "known_at": as_of,
        "inputs_known_at": as_of - timedelta(seconds=30), "hard_gate_failed": False, "direction_resolved": True,
        "mapping_version": "v1", "spec_version": "s1",
    }  # fmt: skip
    return row | more


def quote_row(
    contract: str, known_at: datetime, bid: str | None, ask: str | None, volume: str | None = "0", **more: Any
) -> dict[str, Any]:
    event = more.pop("event", "KXCPIYOY-24JUN")
    row = {
        "event_ticker": event, "series_ticker": event.split("-")[0], "event_date": RELEASE.date(),
        "ticker": f"{event}-{contract}", "source": "candle", "period_s": 60, "ts": known_at, "known_at": known_at,
        "yes_bid_close_usd": None if bid is None else Decimal(bid),
        "yes_ask_close_usd": None if ask is None else Decimal(ask),
        "volume_contracts": None if volume is None else Decimal(volume),
    }  # fmt: skip
    return row | more


def print_row(
    value: float, known_at: datetime, period: date = date(2024, 6, 1), series: str = "CPIAUCNS", units: str = "pc1",
    **more: Any,
) -> dict[str, Any]:  # fmt: skip
    row = {
        "series_id": series, "units": units, "observation_date": period, "vintage_date": known_at.date(),
        "value": value, "ts": datetime(period.year, period.month, 28, tzinfo=UTC), "known_at": known_at,
    }  # fmt: skip
    return row | more


def price_row(symbol: str, day: date, close: float, known_at: datetime | None = None) -> dict[str, Any]:
    at = datetime(day.year, day.month, day.day, 20, tzinfo=UTC)
    return {"symbol": symbol, "date": day, "close": close, "ts": at, "known_at": known_at or at}


def contract_row(strike: str, result: str | None, **more: Any) -> dict[str, Any]:
    event, release = more.pop("event", "KXCPIYOY-24JUN"), more.pop("release", RELEASE)
    row = {
        "event_ticker": event, "series_ticker": event.split("-")[0], "event_date": release.date(),
        "ticker": f"{event}-{strike}", "status": "finalized", "result": result,
        "close_time": release - timedelta(minutes=5), "settlement_time": release + timedelta(hours=2),
        "ts": release, "known_at": release + timedelta(hours=2),
    }  # fmt: skip
    return row | more


def spec_row(strike: str, lo: int | None, hi: int | None, tick: float | None = 0.1, **more: Any) -> dict[str, Any]:
    event, release = more.pop("event", "KXCPIYOY-24JUN"), more.pop("release", RELEASE)
    row = {
        "event_ticker": event, "series_ticker": event.split("-")[0], "event_date": release.date(),
        "ticker": f"{event}-{strike}", "spec_id": "s", "lo_index": lo, "hi_index": hi, "tick": tick,
        "direction": "ge", "ts": release - timedelta(days=60), "known_at": release - timedelta(days=60),
    }  # fmt: skip
    return row | more


def empty(name: str) -> pa.Table:
    return table(name, [])
