"""The table of asset responses: one row an event, asset and window, with the return or the reason for none.

Belongs here: going over assets and windows and writing rows. Picking prices is
``core.responses``, trading time is ``core.trading_sessions``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from kalshi_assets.core.columns import MISSING_TIME, newest_versions, real_column, span_micros, time_column, times
from kalshi_assets.core.responses import DAILY_CLOSE, INTRADAY, AssetResponses, ResponseWindow, asset_responses
from kalshi_assets.core.tables import TABLES, TEXT
from kalshi_assets.core.trading_sessions import CALENDAR_OF, Sessions

# Policy decisions, not prices of anything that responds.
NOT_TRADED = ("DFEDTARU", "DFEDTARL", "DFEDTAR")
WINDOWS: Mapping[str, tuple[str, ResponseWindow]] = {
    "daily_close": ("asset_prices", DAILY_CLOSE),
    "intraday": ("asset_bars", INTRADAY),
}


def symbols_of(prices: pa.Table) -> list[str]:
    """The assets that have prices, in ascending order."""
    return sorted(set(prices["symbol"].to_pylist()) - set(NOT_TRADED))


def response_table(events: pa.Table, prices: Mapping[str, pa.Table], sessions: Mapping[str, Sessions]) -> pa.Table:
    """Rows of the table ``asset_responses``, in canonical order.

    A row is known when its return was learned; one without a return when no price could come any more
    (``ResponseWindow.last_chance``). An asset with a calendar whose sessions are not given has no row.

    Args:
        events: rows of that table; the newest version of each event counts.
        prices: ``asset_prices`` and ``asset_bars``, all versions.
        sessions: by the name of the calendar.
    """
    event = newest_versions(events, "event_ticker")
    release = times(event["release_time"])
    spec = TABLES["asset_responses"]
    parts = [spec.schema.empty_table()]
    for name, (table, window) in WINDOWS.items():
        for symbol in symbols_of(prices[table]):
            calendar = CALENDAR_OF.get(symbol)
            if calendar is None or calendar in sessions:
                found = asset_responses(release, prices[table], symbol, window, sessions.get(calendar or ""))
                parts.append(_rows(event, found, symbol, name, window, calendar))
    return pa.concat_tables(parts).sort_by([(column, "ascending") for column in spec.order]).combine_chunks()


def _rows(
    event: pa.Table, found: AssetResponses, symbol: str, name: str, window: ResponseWindow, calendar: str | None
) -> pa.Table:
    n = event.num_rows
    last_chance = times(event["release_time"]) + span_micros(window.last_chance)
    columns = {
        "symbol": pa.repeat(pa.scalar(symbol, TEXT), n),
        "window": pa.repeat(pa.scalar(name, TEXT), n),
        "ts": event["release_time"],
        "known_at": time_column(np.where(found.learned_at == MISSING_TIME, last_chance, found.learned_at)),
        "calendar": pa.repeat(pa.scalar(calendar, TEXT), n),
        "entry_time": time_column(found.entry_time),
        "exit_time": time_column(found.exit_time),
        "entry_price": real_column(found.entry_price),
        "exit_price": real_column(found.exit_price),
        "simple_return": real_column(found.simple_return),
        "learned_at": time_column(found.learned_at),
        "reason": pa.array(found.reason.tolist(), TEXT),
    }
    schema = TABLES["asset_responses"].schema
    return pa.table({c: columns[c] if c in columns else event[c] for c in schema.names}).cast(schema)
