"""The ladders of the shared benchmark data, as rows of the lake's tables.

The script that makes them needs pandas, which this project does not. It runs
in whichever interpreter at hand has it; without one there are no such ladders.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.ladders import LIFE, SERIES, Ladders, decimals
from kalshi_assets.core.contracts import resolve_specs
from kalshi_assets.core.horizons import SNAPSHOTS
from kalshi_assets.core.tables import COUNT, PRICE, TABLES

SCRIPT = Path(__file__).parents[2] / "shared" / "bench" / "ladder_data.py"


@cache
def interpreter() -> str | None:
    """An interpreter that can run the script, or None."""
    if not SCRIPT.exists():
        return None
    for name in (sys.executable, shutil.which("python3")):
        if name and not subprocess.run([name, "-c", "import pandas, pyarrow, scipy"], capture_output=True).returncode:
            return name
    return None


def shared_ladders(events: int, *, snapshots: int = 50) -> Ladders | None:
    """Ladders of ten contracts with 1,200 quotes each, three in ten of them bins; None where they cannot be made.

    Strikes are counted in half ladder steps, so that the half-open bins of the data are whole
    lattice points; a change of unit leaves the work the same.
    """
    python = interpreter()
    if python is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, str(SCRIPT), "--out", folder, "--events", str(events)], check=True, capture_output=True)
        data = {
            name: pq.read_table(f"{folder}/{name}.parquet") for name in ("events", "markets", "contracts", "quotes")
        }
    release = {e["event_id"]: e["release_ts"] for e in data["events"].to_pylist()}
    markets = {m["market_id"]: m for m in data["markets"].to_pylist()}
    named = {
        name: {"event_ticker": name, "series_ticker": SERIES, "event_date": release[m["event_id"]].date()}
        for name, m in markets.items()
    }
    listing = [
        {**named[c["market_id"]], **_strikes(c, markets[c["market_id"]]["event_type"]), "ticker": c["contract_id"],
         "status": "active", "ts": markets[c["market_id"]]["open_ts"], "known_at": markets[c["market_id"]]["open_ts"]}
        for c in data["contracts"].to_pylist()
    ]  # fmt: skip
    moments = [
        {**named[name], "event_type": m["event_type"], "horizon": f"s{k:03d}", "release_time": m["settle_ts"],
         "as_of": m["settle_ts"] - LIFE * (1 - (k + 1) / (snapshots + 1)), "listed_at": m["open_ts"]}
        for name, m in markets.items()
        for k in range(snapshots)
    ]  # fmt: skip
    return Ladders(
        specs=resolve_specs(pa.Table.from_pylist(listing, schema=TABLES["contracts"].schema)),
        quotes=_quotes(data["quotes"], named),
        snapshots=pa.Table.from_pylist(moments, schema=SNAPSHOTS),
    )


def _strikes(contract: dict[str, Any], event_type: str) -> dict[str, object]:
    half = {"CPI": 0.05, "UNEMPLOYMENT": 0.05, "FOMC": 3.125, "GDP": 0.125}[event_type]
    if contract["threshold_value"] is not None:
        return {"strike_type": "greater_or_equal", "floor_strike": round(contract["threshold_value"] / half) / 10}
    low, high = round(contract["bin_low"] / half), round(contract["bin_high"] / half) - 1
    return {"strike_type": "between", "floor_strike": low / 10, "cap_strike": high / 10}


def _quotes(quotes: pa.Table, named: dict[str, dict[str, object]]) -> pa.Table:
    """One-minute candles of which only the close is known."""
    n = quotes.num_rows
    market = pc.index_in(quotes["market_id"], value_set=pa.array(list(named)))
    facts = pa.Table.from_pylist(list(named.values())).take(market)
    price = {side: decimals(np.rint(np.asarray(quotes[side]) * 1e6).astype(np.int64), PRICE) for side in ("bid", "ask")}
    given = {
        **{name: facts[name] for name in facts.column_names},
        "ticker": quotes["contract_id"],
        "source": pa.repeat("candle", n),
        "period_s": pa.repeat(60, n),
        "ts": quotes["ts"],
        "known_at": quotes["ts"],
        "yes_bid_close_usd": price["bid"],
        "yes_ask_close_usd": price["ask"],
        "volume_contracts": decimals(np.rint(np.asarray(quotes["volume"]) * 100).astype(np.int64), COUNT),
        "open_interest_contracts": decimals(np.rint(np.asarray(quotes["oi"]) * 100).astype(np.int64), COUNT),
    }
    schema = TABLES["quotes"].schema
    columns = [pc.cast(given[f.name], f.type) if f.name in given else pa.nulls(n, f.type) for f in schema]
    return pa.table(columns, schema=schema).combine_chunks()
