"""Compiles the core's kernels ahead of need, in a process of its own.

A new installation compiles for about a minute on first use. While quotes are
downloaded a core is idle, so a run starts this beside it; later runs find the
code on disk and start nothing.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from kalshi_assets.core.compiled import has_code
from kalshi_assets.core.distribution import DistributionConfig, build_distributions
from kalshi_assets.core.features import feature_panel
from kalshi_assets.core.horizons import SNAPSHOTS
from kalshi_assets.core.snapshots import evaluate
from kalshi_assets.core.tables import TABLES

_RELEASE = datetime(2024, 1, 11, 13, 30, tzinfo=UTC)
_EVENT = {"event_ticker": "WARM-UP", "series_ticker": "KXCPIYOY", "event_date": date(2024, 1, 11)}
_MAPPED = {**_EVENT, "event_type": "CPI", "mapping_version": "v1", "release_time": _RELEASE}


class Compilation:
    """The compilation of all kernels beside a run; finished at once where they are on disk already."""

    def __init__(self) -> None:
        """Start compiling, if there is anything to compile."""
        self._child: subprocess.Popen[bytes] | None = None
        if not has_code(evaluate):
            self._child = subprocess.Popen(  # noqa: S603 (this very module, with this very interpreter)
                [sys.executable, "-m", __name__], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )

    def wait(self) -> None:
        """Return when the kernels are compiled. A failed child costs time only: the run compiles for itself."""
        if self._child is not None:
            self._child.wait()

    def stop(self) -> None:
        """End the child, finished or not."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()


def compile_kernels() -> None:
    """Build one small panel, which takes every kernel through the compiler with the types of a real one."""
    known = _RELEASE - timedelta(days=3)
    times = {"ts": known, "known_at": known}
    specs, quotes = [], []
    for i in range(4):
        contract = {**_EVENT, "ticker": f"WARM-UP-{i}", **times}
        specs.append({**contract, "spec_id": str(i), "direction": "gt", "tick": 0.1, "lo_index": 30 + i})
        quotes.append({**contract, "source": "candle", "period_s": 3600})
    snapshots = [
        {**_MAPPED, "horizon": horizon, "as_of": _RELEASE - ahead}
        for horizon, ahead in (("1d", timedelta(days=1)), ("1h", timedelta(hours=1)))
    ]
    made = _table("quotes", quotes)
    built = build_distributions(
        _table("contract_specs", specs), made, pa.Table.from_pylist(snapshots, schema=SNAPSHOTS), DistributionConfig()
    )
    feature_panel(built.distributions, made, _table("macro_observations", []), _table("asset_prices", []))


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=TABLES[name].schema)


if __name__ == "__main__":
    compile_kernels()
