"""FRED and ALFRED over HTTP: observations with their vintages, and release dates; known-at rules do not belong here.

Vintages are asked for with ``realtime_start`` and ``realtime_end`` and FRED's default
output, one row per observation and real-time period. A list of vintage dates is never
asked for: it makes FRED restate every observation at each date, which hides when a
value first appeared.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa

from kalshi_assets.core.tables import DATE, REAL, TEXT
from kalshi_assets.errors import MalformedResponse, NotFound, RequestRefused
from kalshi_assets.http import TokenBucket, Transport, is_loopback

OBSERVATIONS = pa.schema(
    [
        ("series_id", TEXT),
        ("units", TEXT),
        ("observation_date", DATE),
        ("realtime_start", DATE),
        ("realtime_end", DATE),
        ("value", REAL),
    ]
)
EARLIEST = date(1776, 7, 4)
LATEST = date(9999, 12, 31)

_MISSING = "."
_ROWS = 100_000
_DATES = 10_000
_LARGEST = Decimal(10) ** 18
_PARAMETERS = frozenset({
    "series_id", "release_id", "units", "realtime_start", "realtime_end", "observation_start",
    "include_release_dates_with_no_data", "sort_order", "file_type", "limit", "offset",
})  # fmt: skip
# FRED allows 120 requests a minute; at ten tokens a request.
_RATE = (20.0, 100.0)


class Fred:
    """Reads FRED's web service.

    The key travels as a query parameter, so it is handed to the transport as a secret:
    no error, event, repr or log record shows it.

    Args:
        transport: to a base URL that ends in ``/fred``; it gets FRED's rate limit unless it
            has a limiter already or goes to this machine.
        api_key: the user's key.
    """

    def __init__(self, transport: Transport, api_key: str) -> None:
        transport.add_secret_params({"api_key": api_key})
        if transport.limiter is None and not is_loopback(transport.base_url):
            transport.limiter = TokenBucket(*_RATE)
        self._transport = transport

    def __repr__(self) -> str:
        return f"Fred({self._transport.base_url!r})"

    def observations(
        self,
        series_id: str,
        units: str,
        *,
        realtime_start: date | None = None,
        realtime_end: date | None = None,
        observation_start: date | None = None,
    ) -> pa.Table:
        """Values of a series, each with the real-time period in which it held.

        Args:
            series_id: FRED's series.
            units: FRED's transformation (``lin``, ``chg``, ``pch``, ``pc1``, ...).
            realtime_start: first day of the real-time window. FRED cuts periods to the window, so
                ask from ``EARLIEST`` wherever the first appearance matters. None: today's values only.
            realtime_end: last day of the window.
            observation_start: first observation wanted.

        Returns:
            One row per (observation, real-time period), columns of ``OBSERVATIONS``, in FRED's
            order. Missing values, which FRED writes as ".", have no row.

        Raises:
            NotFound: FRED has no such series.
            MalformedResponse: a body is no list of observations.
        """
        query = {
            "series_id": series_id,
            "units": units,
            "realtime_start": realtime_start,
            "realtime_end": realtime_end,
            "observation_start": observation_start,
        }
        rows = [
            (_day(r, "date"), _day(r, "realtime_start"), _day(r, "realtime_end"), _value(r))
            for r in self._rows("/series/observations", "observations", query, _ROWS)
        ]
        rows = [r for r in rows if r[3] is not None]
        return pa.table(
            {
                "series_id": pa.repeat(pa.scalar(series_id, TEXT), len(rows)),
                "units": pa.repeat(pa.scalar(units, TEXT), len(rows)),
                "observation_date": pa.array([r[0] for r in rows], DATE),
                "realtime_start": pa.array([r[1] for r in rows], DATE),
                "realtime_end": pa.array([r[2] for r in rows], DATE),
                "value": pa.array([r[3] for r in rows], REAL),
            },
            schema=OBSERVATIONS,
        )

    def release_dates(self, release_id: int, start: date, end: date) -> list[date]:
        """Days of a release in [start, end), past and scheduled, in order; FRED gives no clock.

        Raises:
            NotFound: FRED has no such release.
        """
        query = {
            "release_id": release_id,
            "realtime_start": start,
            "realtime_end": LATEST,
            # Without this, dates that have not come yet are left out.
            "include_release_dates_with_no_data": "true",
            "sort_order": "asc",
        }
        days = {_day(r, "date") for r in self._rows("/release/dates", "release_dates", query, _DATES)}
        return sorted(d for d in days if start <= d < end)

    def _rows(self, path: str, rows_key: str, query: dict[str, Any], limit: int) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            body = self._page(path, request_params(**query, limit=limit, offset=offset))
            rows, count = body.get(rows_key), body.get("count")
            if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
                raise MalformedResponse(f"FRED's answer on {path} has no list {rows_key!r} of objects.")
            yield from rows
            offset += len(rows)
            total = count if isinstance(count, int) else offset
            if offset >= total:
                return
            if not rows:
                raise MalformedResponse(f"FRED's answer on {path} ended at row {offset} of {total}.")

    def _page(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        said = ""
        try:
            return self._transport.get_json(path, params)
        except RequestRefused as error:
            said = str(error)
        name = params.get("series_id") or f"release {params.get('release_id')}"
        if "does not exist" in said:
            raise NotFound(f"FRED does not have {name}: {said}")
        raise RequestRefused(f"FRED refused the request for {name}: {said}")


def request_params(**given: str | int | date | None) -> dict[str, str]:
    """The query of a request, without the key.

    Only parameters that this client means to use pass; ``vintage_date`` and
    ``vintage_dates`` are not among them (see the module's text).

    Raises:
        ValueError: for any other name.
    """
    if strangers := given.keys() - _PARAMETERS:
        raise ValueError(f"not a parameter of this client: {', '.join(sorted(strangers))}")
    present = {k: v.isoformat() if isinstance(v, date) else str(v) for k, v in given.items() if v is not None}
    return {**present, "file_type": "json"}


def _day(row: dict[str, Any], key: str) -> date:
    text = row.get(key)
    try:
        return date.fromisoformat(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        pass
    raise MalformedResponse(f"A row of FRED's answer has no date {key!r}.")


def _value(row: dict[str, Any]) -> float | None:
    text = row.get("value")
    if text == _MISSING:
        return None
    if isinstance(text, str):
        try:
            number = Decimal(text)
        except ArithmeticError:
            number = Decimal("NaN")
        if number.is_finite() and abs(number) < _LARGEST:
            return float(number)
    raise MalformedResponse(f"An observation in FRED's answer has no number as its value, at {row.get('date')!s:.20}.")
