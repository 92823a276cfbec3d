"""Routes about the exchange itself and the account: status, hours, limits, fees, milestones, tags, balance."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from kalshi_assets.emulator.fixed_point import time_text
from kalshi_assets.emulator.query import Query, page
from kalshi_assets.emulator.replies import Refused, Reply, invalid_parameter, json_reply
from kalshi_assets.emulator.served import ServedArchive

_NEW_YORK = ZoneInfo("America/New_York")
_THURSDAY = 3
_MAINTENANCE_HOURS = (3, 5)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MILESTONES = uuid.UUID("6f0b6f44-5c3e-5f43-9a0f-3c3a6a7a1e57")
_TOKENS_PER_REQUEST = 10
# A milestone of a macro release starts half an hour before it; trading stops five minutes before it.
_MILESTONE_BEFORE_CLOSE = timedelta(minutes=25)


def status(served: ServedArchive, query: Query) -> Reply:
    """Open, save in a replay that stands in Thursday's maintenance (03:00 to 05:00 New York).

    The switch for maintenance answers 503 besides, with the same shape of body.
    """
    now = served.now()
    trading = not served.maintenance
    if now is not None and trading:
        local = datetime.fromtimestamp(now, _NEW_YORK)
        trading = not (local.weekday() == _THURSDAY and _MAINTENANCE_HOURS[0] <= local.hour < _MAINTENANCE_HOURS[1])
    state = {"exchange_active": True, "trading_active": trading, "intra_exchange_transfers_active": True}
    body = {**state, "exchange_index_statuses": [{"exchange_index": 0, "description": "Default", **state}]}
    return json_reply(body, 503 if served.maintenance else 200)


def schedule(served: ServedArchive, query: Query) -> Reply:
    """Trading round the clock; the window of maintenance follows the cutoff's week."""
    cutoff = datetime.fromisoformat(served.catalog.cutoff["market_settled_ts"]).astimezone(_NEW_YORK)
    thursday = (cutoff + timedelta(days=(_THURSDAY - cutoff.weekday()) % 7)).date()
    start, end = (
        datetime(thursday.year, thursday.month, thursday.day, h, tzinfo=_NEW_YORK) for h in _MAINTENANCE_HOURS
    )
    hours: dict[str, Any] = {
        "start_time": f"{cutoff.year}-01-01T00:00:00Z",
        "end_time": f"{cutoff.year + 1}-01-01T00:00:00Z",
        **{day: [{"open_time": "00:00", "close_time": "00:00"}] for day in _DAYS},
    }
    window = {"start_datetime": time_text(start), "end_datetime": time_text(end)}
    return json_reply({"schedule": {"standard_hours": [hours], "maintenance_windows": [window]}})


def endpoint_costs(served: ServedArchive, query: Query) -> Reply:
    """Every read costs the default."""
    return json_reply({"default_cost": _TOKENS_PER_REQUEST, "endpoint_costs": []})


def account_limits(served: ServedArchive, query: Query) -> Reply:
    """The limits of the basic tier."""
    return json_reply(
        {
            "usage_tier": "basic",
            "read": {"refill_rate": 200, "bucket_capacity": 600},
            "write": {"refill_rate": 100, "bucket_capacity": 100},
            "grants": [],
        }
    )


def series_fee_changes(served: ServedArchive, query: Query) -> Reply:
    """No change is scheduled: the archive has one fee per series."""
    return json_reply({"series_fee_change_arr": []})


def event_fee_changes(served: ServedArchive, query: Query) -> Reply:
    """No event overrides its series' fee."""
    query.limit(100, 1000)
    return json_reply({"event_fee_changes": [], "cursor": ""})


def milestones(served: ServedArchive, query: Query) -> Reply:
    """One milestone an event, half an hour before its release."""
    if query.integer("limit") is None:
        raise Refused(invalid_parameter(query.operation, "Limit", "required"))
    catalog = served.catalog
    wanted, category = query.text("related_event_ticker"), query.text("category")
    earliest = query.text("minimum_start_date")
    rows = []
    for ticker, event in catalog.events.items():
        markets = catalog.markets_of.get(ticker, [])
        if not markets or wanted not in (None, ticker) or category not in (None, event["category"]):
            continue
        start = max(m.row["close_time"] for m in markets) - _MILESTONE_BEFORE_CLOSE
        if earliest is not None and start < _time(query, earliest):
            continue
        rows.append(
            {
                "id": str(uuid.uuid5(_MILESTONES, ticker)),
                "category": event["category"] or "",
                "type": "one_off_milestone",
                "start_date": time_text(start),
                "related_event_tickers": [ticker],
                "title": event["title"],
                "notification_message": "",
                "details": {},
                "primary_event_tickers": [ticker],
                "last_updated_ts": time_text(min(m.row["created_time"] for m in markets)),
            }
        )
    chosen, cursor = page(len(rows), query, 100, 500)
    return json_reply({"milestones": [rows[i] for i in chosen], "cursor": cursor})


def tags_by_categories(served: ServedArchive, query: Query) -> Reply:
    """The categories of the series; an archive has no tags."""
    categories = sorted({str(row["category"]) for row in served.catalog.series.values()})
    return json_reply({"tags_by_categories": {category: [] for category in categories}})


def balance(served: ServedArchive, query: Query) -> Reply:
    """An account without money: enough to check a key."""
    updated = int(datetime.fromisoformat(served.catalog.cutoff["market_settled_ts"]).timestamp())
    return json_reply(
        {
            "balance": 0,
            "balance_dollars": "0.0000",
            "portfolio_value": 0,
            "updated_ts": updated,
            "balance_breakdown": [{"exchange_index": 0, "balance": "0.0000"}],
        }
    )


def forecast_percentiles(served: ServedArchive, query: Query, series_ticker: str, event_ticker: str) -> Reply:
    """No archive records forecasts, so the history is empty."""
    if not query.texts("percentiles"):
        return invalid_parameter(query.operation, "Percentiles", "required")
    return json_reply({"forecast_history": []})


def _time(query: Query, text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(invalid_parameter(query.operation, "MinimumStartDate", "datetime")) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
