"""Small rows for the store's tests: real schemas, values made up here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from kalshi_assets.core.tables import TABLES, TableSpec

START = datetime(2024, 1, 1, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def day(n: int) -> date:
    return date(2024, 2, 1) + timedelta(days=n)


def table(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([dict(r) for r in rows], schema=TABLES[name].schema)


def lawful_row(spec: TableSpec) -> dict[str, Any]:
    """A row with every column filled that keeps all checks of its table."""
    row = {f.name: _lawful(f.type) for f in spec.schema}
    # The one end of a range that may not be its beginning.
    return row | ({"effective_to": at(1)} if "effective_to" in row else {})


def _lawful(kind: pa.DataType) -> Any:
    if pa.types.is_list(kind):
        return [_lawful(kind.value_type)]
    if pa.types.is_timestamp(kind):
        return at(0)
    if pa.types.is_date(kind):
        return day(0)
    if pa.types.is_boolean(kind):
        return True
    if pa.types.is_decimal(kind):
        return Decimal("0.25")
    if pa.types.is_floating(kind):
        return 0.25
    return "x" if pa.types.is_string(kind) else 1


def event_fields(event_date: date, series: str = "KXCPIYOY") -> dict[str, Any]:
    return {"event_ticker": f"{series}-{event_date:%y%b%d}".upper(), "series_ticker": series, "event_date": event_date}


def quote(
    event_date: date,
    minute: int,
    *,
    strike: str = "T2.5",
    bid: str | None = "0.41",
    series: str = "KXCPIYOY",
    **more: Any,
) -> dict[str, Any]:
    fields = event_fields(event_date, series)
    return {
        **fields,
        "ticker": f"{fields['event_ticker']}-{strike}",
        "source": "candles",
        "period_s": 60,
        "ts": at(minute),
        "known_at": at(minute),
        "yes_bid_close_usd": None if bid is None else Decimal(bid),
        **more,
    }


def label(event_date: date, known_minute: float, first_print: float | None, **more: Any) -> dict[str, Any]:
    return {
        **event_fields(event_date),
        "release_time": at(0),
        "ts": at(0),
        "known_at": at(known_minute),
        "first_print": first_print,
        **more,
    }


def trial(n: int, event_date: date, **more: Any) -> dict[str, Any]:
    return {
        "trial_id": f"t{n}",
        "strategy_id": "ridge",
        "event_date": event_date,
        "config_hash": f"c{n}",
        "data_hash": "d",
        "ts": at(n),
        "known_at": at(n),
        **more,
    }


def macro(day_of: date, known_minute: float, value: float, **more: Any) -> dict[str, Any]:
    return {
        "series_id": "CPIAUCNS",
        "units": "pc1",
        "observation_date": day_of,
        "vintage_date": day_of,
        "value": value,
        "ts": at(0),
        "known_at": at(known_minute),
        **more,
    }
