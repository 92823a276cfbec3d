"""The exchange's own forecast percentiles as an Arrow table; they derive from its prices and are no label."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from kalshi_assets.core.tables import INT, REAL, TEXT, TIME
from kalshi_assets.errors import MalformedResponse
from kalshi_assets.exchange.columns import unix_column
from kalshi_assets.exchange.record import read_decimal

FORECASTS = pa.schema(
    [("event_ticker", TEXT), ("ts", TIME), ("period_s", INT), ("percentile", REAL), ("forecast", REAL)]
)

_SHORTEST_PERIOD_S = 5  # the interval that the exchange calls 0


def forecast_table(body: dict[str, Any]) -> pa.Table:
    """One row per (end of period, percentile).

    ``percentile`` is in 0..100, ``forecast`` the unrounded number in the event's unit.

    Raises:
        MalformedResponse: the body is no forecast history.
    """
    points = body.get("forecast_history", "absent")
    if points is None:
        points = []
    if not isinstance(points, list):
        raise MalformedResponse("The response has no list 'forecast_history'.")
    rows = [row for point in points for row in _rows(point)]
    return pa.table(
        {
            "event_ticker": pa.array([r[0] for r in rows], TEXT),
            "ts": unix_column([r[1] for r in rows], "end_period_ts of a forecast"),
            "period_s": pa.array([r[2] for r in rows], INT),
            "percentile": pa.array([r[3] for r in rows], REAL),
            "forecast": pa.array([r[4] for r in rows], REAL),
        },
        schema=FORECASTS,
    )


def _rows(point: Any) -> list[tuple[str, Any, int, float, float]]:
    if isinstance(point, dict):
        event, end_s, minutes = (point.get(k) for k in ("event_ticker", "end_period_ts", "period_interval"))
        levels = point.get("percentile_points")
        if isinstance(event, str) and event.isprintable() and type(minutes) is int and 0 <= minutes <= 1440:
            period_s = minutes * 60 or _SHORTEST_PERIOD_S
            if isinstance(levels, list) and all(isinstance(x, dict) for x in levels):
                return [
                    (event, end_s, period_s, _real(x, "percentile") / 100, _real(x, "raw_numerical_forecast"))
                    for x in levels
                ]
    raise MalformedResponse("A point of the forecast history lacks a field or holds one of the wrong kind.")


def _real(level: dict[str, Any], key: str) -> float:
    try:
        return float(read_decimal(level.get(key)))
    except ValueError:
        pass
    raise MalformedResponse(f"A percentile of the forecast history has no number {key!r}.")
