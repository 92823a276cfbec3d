"""Verdicts made again from the lake and compared with what was recorded."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import pyarrow.compute as pc

from kalshi_assets.core.strategy import StrategyConfig
from kalshi_assets.errors import UsageError
from kalshi_assets.stages.verdict import judge_dates, verdict_history
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.registry import latest_verdicts
from kalshi_assets.store.snapshot_records import LakeSnapshot
from kalshi_assets.store.snapshots import all_snapshots, load_snapshot, newest_snapshot


def verify_verdicts(
    lake: Lake, verdict_id: str | None = None, *, snapshot: str | None = None, config: StrategyConfig | None = None
) -> list[dict[str, Any]]:
    """Recompute verdicts and say whether the same inputs still give the same hash.

    A verdict is recomputed from the newest lake snapshot and, where its inputs have changed since,
    from its own: that of the stage that recorded it.

    Args:
        lake: the store.
        verdict_id: one verdict, by its id or an unambiguous start of it; None for the newest of each strategy.
        snapshot: id of a lake snapshot: verdicts are those that it holds, recomputed from it alone.
        config: the strategy that was judged; the default one when None.

    Returns:
        One mapping a verdict: ``verdict_id, event_date, verdict, recomputed_id, state, lake_snapshot``, where
        ``state`` is ``verified``, ``other strategy``, ``other code``, ``inputs changed`` or ``differs``, and
        ``lake_snapshot`` what it was recomputed from (None where none was ever recorded).

    Raises:
        UsageError: when there is no such verdict or snapshot.
    """
    strategy = config or StrategyConfig()
    given = load_snapshot(lake, snapshot) if snapshot else None
    record = given or newest_snapshot(lake)
    seen = lake.at(record.versions) if record else lake
    held = seen.read("verdicts") if verdict_id else latest_verdicts(seen)
    if verdict_id:
        held = held.filter(pc.starts_with(held["verdict_id"], verdict_id))
    if held.num_rows == 0 or (verdict_id and held.num_rows > 1):
        named = f"starts with {verdict_id}" if verdict_id else "is recorded"
        many = "more than one verdict" if held.num_rows else "no verdict"
        raise UsageError(f"{many[0].upper()}{many[1:]} {named}: list them with kalshi-assets sql (table verdicts).")
    findings = []
    for row in held.to_pylist():
        finding, basis = _verify(seen, row, strategy), record
        own = _own_snapshot(lake, row) if given is None and finding["state"] == "inputs changed" else None
        if own:
            finding, basis = _verify(lake.at(own.versions), row, strategy), own
        findings.append({**finding, "lake_snapshot": basis and basis.snapshot_id})
    return findings


def _own_snapshot(lake: Lake, row: dict[str, Any]) -> LakeSnapshot | None:
    """The first lake snapshot that holds a verdict; the table of verdicts only grows."""
    records = [s for s in all_snapshots(lake) if "verdicts" in s.versions]

    def holds(record: LakeSnapshot) -> bool:
        then = lake.at({"verdicts": record.versions["verdicts"]})
        ids = then.read("verdicts", event_dates=[row["event_date"]], columns=["verdict_id"])["verdict_id"]
        return row["verdict_id"] in ids.to_pylist()

    first = bisect_left(records, True, key=holds)
    return records[first] if first < len(records) else None


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
