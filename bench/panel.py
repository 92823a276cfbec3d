"""Feature panel and labels from a filled store: 200 event dates at nine horizons, in one process."""

from __future__ import annotations

import tempfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.measuring import Result, Timing, in_turns
from kalshi_assets.core.features import feature_panel
from kalshi_assets.core.labels import label_table
from kalshi_assets.core.tables import FEATURE_BASE, TABLES
from kalshi_assets.stages.features import panel_inputs
from kalshi_assets.stages.labels import label_inputs
from kalshi_assets.store.lake import Lake, Scope

N_DATES, N_CONTRACTS, N_HOURS, N_DAYS = 200, 10, 96, 30
_FIRST = datetime(2008, 1, 15, 13, 30, tzinfo=UTC)
_AHEAD = (
    timedelta(days=30), timedelta(days=14), timedelta(days=7), timedelta(days=3), timedelta(days=1),
    timedelta(hours=4), timedelta(hours=1), timedelta(minutes=15), timedelta(minutes=5),
)  # fmt: skip
_NAMES = ("30d", "14d", "7d", "3d", "1d", "4h", "1h", "15min", "5min")
Rows = list[dict[str, Any]]


def measure() -> Result:
    """Seconds of reading and of computing, and of both together."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder) / "lake")
        dates = _fill(lake)
        scope = Scope(dates)

        def panel() -> pa.Table:
            return feature_panel(**panel_inputs(lake, scope))

        def labels() -> pa.Table:
            return label_table(**label_inputs(lake, scope))

        n_rows = panel().num_rows
        n_quotes = sum(f.records or 0 for f in lake.files("quotes"))
        held = panel_inputs(lake, scope), label_inputs(lake, scope)
        both, read, made = in_turns(
            3,
            lambda: (panel(), labels()),
            lambda: (panel_inputs(lake, scope), label_inputs(lake, scope)),
            lambda: (feature_panel(**held[0]), label_table(**held[1])),
        )
    return Result(
        f"Panel and labels: {len(dates)} event dates, {n_rows:,} panel rows, {n_quotes:,} quotes",
        ("what", "s", "CPU s"),
        [
            _row("from a filled store", both),
            _row("reading alone", read),
            _row("computing alone", made),
        ],
        ("Aim: under 3 s from a filled store, in one process.",),
    )


def _row(what: str, timing: Timing) -> tuple[str, ...]:
    return what, f"{timing.wall_s:.2f}", f"{timing.cpu_s:.2f}"


def _fill(lake: Lake) -> list[date]:
    """One ladder a month, its quotes by the hour, its snapshots, its specs and its print."""
    rows: dict[str, Rows] = {
        name: [] for name in ("events", "contracts", "contract_specs", "quotes", "distributions", "macro_observations")
    }
    for k in range(N_DATES):
        month = _FIRST.year * 12 + _FIRST.month - 1 + k
        _event(rows, datetime(month // 12, month % 12 + 1, 15, 13, 30, tzinfo=UTC), k)
    dates = sorted({r["event_date"] for r in rows["events"]})
    for name, mine in rows.items():
        table = pa.Table.from_pylist(mine, schema=TABLES[name].schema)
        if TABLES[name].partition_by:
            lake.replace(name, table, scope=Scope(dates), run_id="bench")
        else:
            lake.append(name, table, run_id="bench")
    return dates


def _event(rows: dict[str, Rows], release: datetime, k: int) -> None:
    period = date(release.year - (release.month == 1), (release.month - 2) % 12 + 1, 1)
    event = {"event_ticker": f"KXCPIYOY-{k:03d}", "series_ticker": "KXCPIYOY", "event_date": release.date()}
    listed = release - timedelta(days=60)
    rows["events"].append(event | {
        "release_time": release, "release_time_source": "calendar", "period": period, "ts": listed, "known_at": listed,
    })  # fmt: skip
    rows["macro_observations"].append({
        "series_id": "CPIAUCNS", "units": "pc1", "observation_date": period, "vintage_date": release.date(),
        "value": 2.0 + k % 20 / 10, "ts": release - timedelta(days=14), "known_at": release,
    })  # fmt: skip
    for c in range(N_CONTRACTS):
        contract = event | {"ticker": f"{event['event_ticker']}-T{c}"}
        rows["contracts"].append(contract | {
            "status": "finalized", "result": "yes" if c < k % 10 else "no", "ts": release,
            "known_at": release + timedelta(hours=1), "settlement_time": release + timedelta(hours=1),
        })  # fmt: skip
        rows["contract_specs"].append(contract | {
            "spec_id": "s", "direction": "gt", "tick": 0.1, "lo_index": 20 + c, "ts": listed, "known_at": listed,
        })  # fmt: skip
        bid = Decimal(10 + 8 * (N_CONTRACTS - c)) / 100
        for h in range(N_HOURS):
            at = release - timedelta(hours=h + 1)
            rows["quotes"].append(contract | {
                "source": "candle", "period_s": 3600, "ts": at, "known_at": at, "yes_bid_close_usd": bid,
                "yes_ask_close_usd": bid + Decimal(h % 5 + 1) / 100, "volume_contracts": Decimal(h % 3),
            })  # fmt: skip
    grid = [*zip(_NAMES, _AHEAD, strict=True), *(("daily", timedelta(days=d, hours=8)) for d in range(N_DAYS))]
    for i, (horizon, ahead) in enumerate(grid):
        as_of = release - ahead
        rows["distributions"].append(event | {
            "horizon": horizon, "as_of": as_of, "release_time": release, "ts": as_of, "known_at": as_of,
            "inputs_known_at": as_of, "hard_gate_failed": False, "median": 3.0, "std": 0.1, "mapping_version": "v1",
            **{name: 0.3 + (i + j + k) % 7 / 10 for j, name in enumerate(FEATURE_BASE)},
        })  # fmt: skip
