"""The JSON body of one market, from its row in the archive.

What the archive lacks and the exchange always sends is a fixed function of the
archive: the last metadata change is the settlement or the creation, sizes and
daily volume are zero, and earlier prices come from the last candle.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from kalshi_assets.emulator.candles import Latest
from kalshi_assets.emulator.fixed_point import count_text, price_text, time_text

INITIALIZED, ACTIVE, CLOSED, FINALIZED = "initialized", "active", "closed", "finalized"

# Filter words of a request and the statuses of a body are two vocabularies that never mix.
STATUSES_OF_FILTER: dict[str, frozenset[str]] = {
    "unopened": frozenset({"initialized"}),
    "open": frozenset({"active"}),
    "paused": frozenset({"inactive"}),
    "closed": frozenset({"closed", "determined", "disputed", "amended"}),
    "settled": frozenset({"finalized"}),
}

_GRIDS: dict[str, list[tuple[str, str, str]]] = {
    "deci_cent": [("0.0000", "1.0000", "0.0010")],
    "tapered_deci_cent": [
        ("0.0000", "0.1000", "0.0010"),
        ("0.1000", "0.9000", "0.0100"),
        ("0.9000", "1.0000", "0.0010"),
    ],
}
_CENT_GRID = [("0.0000", "1.0000", "0.0100")]


def status_at(row: Mapping[str, Any], at: datetime | None) -> str:
    """The status of a market at a time, or as recorded where no time is given."""
    recorded = str(row["status"])
    if at is None:
        return recorded
    if at < row["open_time"]:
        return INITIALIZED
    if at < row["close_time"]:
        return ACTIVE
    settled = row["settlement_ts"]
    return CLOSED if settled is not None and at < settled else recorded


def market_body(row: Mapping[str, Any], status: str, last: Latest | None) -> dict[str, Any]:
    """A ``Market`` object.

    Args:
        row: the market's row in the archive.
        status: its status, which may be earlier than the recorded one.
        last: its last candle, if any; a settled market's quotes do not come from it.

    Returns:
        The object; optional fields that are unset are absent.
    """
    decided = status in (FINALIZED, "determined", "amended", "disputed")
    result = (row["result"] or "") if decided else ""
    bid, ask = _quotes(status, result, last)
    settled = row["settlement_ts"] if status == FINALIZED else None
    body: dict[str, Any] = {
        "ticker": row["ticker"],
        "event_ticker": row["event_ticker"],
        "market_type": row["market_type"],
        "title": row["title"] or "",
        "yes_sub_title": row["yes_sub_title"] or "",
        "no_sub_title": row["no_sub_title"] or "",
        "created_time": time_text(row["created_time"]),
        "updated_time": time_text(settled or row["created_time"]),
        "open_time": time_text(row["open_time"]),
        "close_time": time_text(row["close_time"]),
        "expiration_time": time_text(row["latest_expiration_time"]),
        "latest_expiration_time": time_text(row["latest_expiration_time"]),
        "settlement_timer_seconds": int(row["settlement_timer_seconds"] or 0),
        "status": status,
        "yes_bid_dollars": bid,
        "yes_bid_size_fp": "0.00",
        "yes_ask_dollars": ask,
        "yes_ask_size_fp": "0.00",
        "no_bid_dollars": complement(ask),
        "no_ask_dollars": complement(bid),
        "last_price_dollars": (last and last.price) or "0.0000",
        # The archive knows the final volume only, and an earlier status must not tell it.
        "volume_fp": count_text(row["volume"] if status == row["status"] else None),
        "volume_24h_fp": "0.00",
        "result": result,
        "can_close_early": bool(row["can_close_early"]),
        "open_interest_fp": last.open_interest if last else "0.00",
        "notional_value_dollars": price_text(row["notional_value_dollars"] or Decimal(1)),
        "previous_yes_bid_dollars": last.opening_yes_bid if last else "0.0000",
        "previous_yes_ask_dollars": last.opening_yes_ask if last else "1.0000",
        "previous_price_dollars": (last and last.previous_price) or "0.0000",
        "settlement_bounds_type": "default",
        "expiration_value": (row["expiration_value"] or "") if decided else "",
        "rules_primary": row["rules_primary"] or "",
        "rules_secondary": row["rules_secondary"] or "",
        "price_level_structure": row["price_level_structure"] or "linear_cent",
        "price_ranges": [
            {"start": start, "end": end, "step": step}
            for start, end, step in _GRIDS.get(row["price_level_structure"] or "", _CENT_GRID)
        ],
        "exchange_index": 0,
    }
    for name in ("floor_strike", "cap_strike"):
        if row[name] is not None:
            body[name] = _number(row[name])
    if row["strike_type"]:
        body["strike_type"] = row["strike_type"]
    if row["expected_expiration_time"] is not None:
        body["expected_expiration_time"] = body["occurrence_datetime"] = time_text(row["expected_expiration_time"])
    if decided and row["settlement_value_dollars"] is not None:
        body["settlement_value_dollars"] = price_text(row["settlement_value_dollars"])
    if settled is not None:
        body["settlement_ts"] = time_text(settled)
    return body


def complement(price: str) -> str:
    """One dollar less a price: the other side's quote."""
    return price_text(1 - Decimal(price))


def _quotes(status: str, result: str, last: Latest | None) -> tuple[str, str]:
    """(bid, ask). A settled market's are degenerate: 1 and 1 for yes, 0 and 1 for anything else."""
    if status == FINALIZED:
        return ("1.0000", "1.0000") if result == "yes" else ("0.0000", "1.0000")
    return (last.yes_bid, last.yes_ask) if last else ("0.0000", "1.0000")


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else value
