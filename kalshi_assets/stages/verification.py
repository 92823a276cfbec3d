"""Verdicts made again from the lake and compared with what was recorded."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from kalshi_assets.core.strategy import StrategyConfig
from kalshi_assets.errors import UsageError
from kalshi_assets.stages.verdict import judge_dates, verdict_history
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.registry import latest_verdicts


def verify_verdicts(
    lake: Lake, verdict_id: str | None = None, *, config: StrategyConfig | None = None
) -> list[dict[str, Any]]:
    """Recompute verdicts and say whether the same inputs still give the same hash.

    Args:
        lake: the store.
        verdict_id: one verdict, by its id or an unambiguous start of it; None for the newest of each strategy.
        config: the strategy that was judged; the default one when None.

    Returns:
        One mapping a verdict: ``verdict_id, event_date, verdict, recomputed_id, state``, where ``state`` is
        ``verified``, ``other strategy``, ``other code``, ``inputs changed`` or ``differs``.

    Raises:
        UsageError: when there is no such verdict.
    """
    strategy = config or StrategyConfig()
    held = lake.read("verdicts") if verdict_id else latest_verdicts(lake)
    if verdict_id:
        held = held.filter(pc.starts_with(held["verdict_id"], verdict_id))
    if held.num_rows == 0 or (verdict_id and held.num_rows > 1):
        named = f"starts with {verdict_id}" if verdict_id else "is recorded"
        many = "more than one verdict" if held.num_rows else "no verdict"
        raise UsageError(f"{many[0].upper()}{many[1:]} {named}: list them with kalshi-assets sql (table verdicts).")
    return [_verify(lake, row, strategy) for row in held.to_pylist()]


def _verify(lake: Lake, row: dict[str, Any], strategy: StrategyConfig) -> dict[str, Any]:
    day = row["event_date"]
    again = judge_dates(lake, [day], verdict_history(lake, [day]), strategy).to_pylist()[0]
    if row["config_hash"] != again["config_hash"]:
        state = "other strategy"
    elif row["code_version"] != again["code_version"]:
        state = "other code"
    elif row["inputs_hash"] != again["inputs_hash"]:
        state = "inputs changed"
    else:
        state = "verified" if row["verdict_id"] == again["verdict_id"] else "differs"
    return {
        "verdict_id": row["verdict_id"],
        "event_date": day.isoformat(),
        "verdict": row["verdict"],
        "recomputed_id": again["verdict_id"],
        "state": state,
    }
