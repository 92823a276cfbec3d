"""The microstructure once more, in plain Python over rows: slow, obvious, and the judge of the vectorised one."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import numpy as np

NAMES = (
    "update_freq", "staleness_median", "staleness_p95", "spread_median", "spread_vol", "tail_liquidity",
    "active_fraction",
)  # fmt: skip


def overtakes(other: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether a row says nothing new, because another, known sooner, was about the same time or a later one."""
    same = (other["ticker"], other["period_s"]) == (row["ticker"], row["period_s"])
    return same and other["known_at"] < row["known_at"] and other["ts"] >= row["ts"]


def plain_microstructure(rows: list[dict[str, Any]], event: str, as_of: datetime) -> dict[str, float]:
    """Every number of one snapshot by name; NaN where there is none."""
    seen = [r for r in rows if r["event_ticker"] == event and r["known_at"] <= as_of]
    seen = [r for r in seen if not any(overtakes(other, r) for other in seen)]
    if not seen:
        return dict.fromkeys(NAMES, math.nan)
    bar = min(r["period_s"] for r in seen) / 3600
    hours = max(4.0, 4 * bar)
    window = [r for r in seen if r["known_at"] >= as_of - timedelta(hours=hours)]
    updates: dict[Any, list[dict[str, Any]]] = {}
    for r in window:
        updates.setdefault((r["ticker"], r["known_at"]), []).append(r)
    spreads = []
    for group in updates.values():
        finest = min(group, key=lambda r: r["period_s"])
        if finest["yes_bid_close_usd"] is not None and finest["yes_ask_close_usd"] is not None:
            spreads.append(float(finest["yes_ask_close_usd"] - finest["yes_bid_close_usd"]))
    contracts = {r["ticker"] for r in seen}
    ages = [(as_of - max(r["known_at"] for r in seen if r["ticker"] == c)).total_seconds() for c in contracts]
    active = len({r["ticker"] for r in seen if r["volume_contracts"]}) / len(contracts)
    moments = [r["known_at"] for r in window] or [as_of]
    span = (max(moments) - min(moments)).total_seconds() / 3600
    frequency = len(updates) / max(span, bar, 1 / 60)
    return {
        "update_freq": frequency,
        "staleness_median": float(np.median(ages)),
        "staleness_p95": float(np.percentile(ages, 95)),
        "spread_median": float(np.median(spreads)) if spreads else math.nan,
        "spread_vol": float(np.std(spreads)) if spreads else math.nan,
        "active_fraction": active,
        "tail_liquidity": min(1.0, max(0.0, math.tanh(frequency / 10) * active)),
    }
