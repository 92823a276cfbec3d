"""Responses of daily closes once more, day by day in plain Python, from the sessions of the kept library."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from kalshi_assets.core.columns import moment_of
from kalshi_assets.core.trading_sessions import CALENDAR_OF
from kalshi_assets.macro.trading_days import trading_sessions

Row = dict[str, Any]


def close_responses(events: list[Row], prices: list[Row]) -> dict[tuple[str, str], Row]:
    """Entry, exit and return by (event, symbol); absent where there is none. For symbols with a calendar."""
    days = [e["release_time"].date() for e in events]
    out: dict[tuple[str, str], Row] = {}
    for symbol in {p["symbol"] for p in prices if p["symbol"] in CALENDAR_OF}:
        first: dict[Any, Row] = {}
        for p in sorted((p for p in prices if p["symbol"] == symbol), key=lambda p: p["known_at"]):
            first.setdefault(p["date"], p)
        kept = trading_sessions(CALENDAR_OF[symbol], min(days), max(days))
        closes = [moment_of(c) for c in kept.close.tolist()]
        ends = []
        for close, number in zip(closes, kept.day.tolist(), strict=True):
            day = moment_of(number * 86_400_000_000).date()
            ends.append((min(close, first[day]["ts"]) if day in first else close, first.get(day)))
        for e in events:
            after = [i for i, (end, _) in enumerate(ends) if end >= e["release_time"]]
            if not after or after[0] + 1 >= len(ends):
                continue
            (entry_time, entry), (exit_time, leave) = ends[after[0]], ends[after[0] + 1]
            if entry_time - e["release_time"] > timedelta(days=4) or exit_time - entry_time > timedelta(days=5):
                continue
            if entry and leave and entry["close"] > 0 and leave["close"] > 0:
                out[e["event_ticker"], symbol] = {
                    "entry_time": entry_time, "exit_time": exit_time,
                    "simple_return": leave["close"] / entry["close"] - 1,
                    "learned_at": max(entry["known_at"], leave["known_at"], exit_time),
                }  # fmt: skip
    return out
