"""The panel on an asset's clock from the command line: at a time, at a lake snapshot, never of later."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from kalshi_assets.cli import cli
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.snapshots import record_snapshot
from kalshi_assets_tests.core.event_rows import RELEASE, event_row, snapshot_row, table

EVENT, HOUR = "KXCPIYOY-24JUN", timedelta(hours=1)


def put(lake: Lake, name: str, *rows: dict[str, Any]) -> str:
    lake.upsert(name, table(name, list(rows)), run_id="r")
    return record_snapshot(lake, stage=name, run_id="r", code_version="1", config_hash="c")


def closes(home: Path, *arguments: str) -> list[float]:
    """The asset's closes in the panel."""
    done = CliRunner().invoke(
        cli,
        ["asset-panel", "ES", EVENT, "--format", "json", *arguments],
        env={"KALSHI_ASSETS_HOME": str(home)},
        catch_exceptions=False,
    )
    return [row["close"] for row in json.loads(done.stdout)]


def bar(at: datetime, close: float) -> dict[str, Any]:
    return {"symbol": "ES", "close": close, "ts": at, "known_at": at}


def test_the_panel_stays_at_its_time_and_its_snapshot(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    put(lake, "events", event_row(EVENT))
    put(lake, "distributions", snapshot_row("4h", EVENT, mean=3.0))
    first = put(lake, "asset_bars", bar(RELEASE - 2 * HOUR, 1.0))
    put(lake, "asset_bars", bar(RELEASE - HOUR, 2.0), bar(datetime.now(UTC) + HOUR, 3.0))
    # Without a time it is now: the bar of an hour from now is not there.
    assert closes(tmp_path) == [1.0, 2.0]
    assert closes(tmp_path, "--snapshot", first[:8]) == [1.0]
    assert closes(tmp_path, "--as-of", (RELEASE - 2 * HOUR).isoformat()) == [1.0]
