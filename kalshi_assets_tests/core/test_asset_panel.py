"""A distribution on an asset's clock, against plain Python and by hand."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from kalshi_assets.core.asset_panel import asset_panel
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.event_rows import RELEASE, snapshot_row, table

EVENT, HOUR = "KXCPIYOY-24JUN", timedelta(hours=1)
Rows = list[dict[str, Any]]


def bar(hours: float, close: float = 1.0, late: timedelta = timedelta(0), symbol: str = "ES") -> dict[str, Any]:
    at = RELEASE + hours * HOUR
    return {"symbol": symbol, "close": close, "ts": at, "known_at": at + late}


def snap(hours: float, mean: float, **more: Any) -> dict[str, Any]:
    return snapshot_row("daily", EVENT, as_of=RELEASE + hours * HOUR, mean=mean, **more)


def joined(bars: Rows, snapshots: Rows, max_age: timedelta = 4 * HOUR) -> Rows:
    got = asset_panel(table("asset_bars", bars), table("distributions", snapshots), "ES", EVENT, max_age=max_age)
    return list(got.to_pylist())


def test_each_bar_has_the_newest_snapshot_known_at_it() -> None:
    snapshots = [snap(-5, 3.0), snap(-2, 3.2), snap(-1, 9.0, inputs_known_at=None)]
    bars = [bar(h) for h in (-6, -5, -2.5, -2, -0.5, 0.5, 2.5)]
    got = joined([*bars, bar(-2, symbol="NQ")], snapshots)
    assert [r["mean"] for r in got] == [None, 3.0, 3.0, 3.2, 3.2, 3.2, None]
    assert [r["snapshot_age_s"] for r in got] == [None, 0.0, 9000.0, 0.0, 5400.0, 9000.0, None]
    assert [r["ts"] for r in got] == [b["ts"] for b in bars], "every bar keeps its row"
    assert all(r["inputs_known_at"] <= r["as_of"] for r in got if r["inputs_known_at"])


def test_a_bar_that_is_known_late_is_joined_at_that_time() -> None:
    (row,) = joined([bar(-3, late=2 * HOUR)], [snap(-5, 3.0), snap(-2, 3.2)])
    assert (row["mean"], row["as_of"]) == (3.2, RELEASE - HOUR)
    first, correction = bar(-3, 1.0), bar(-3, 2.0, late=HOUR)
    assert [r["close"] for r in joined([correction, first], [])] == [1.0]


def test_an_age_must_be_one() -> None:
    with pytest.raises(DomainError, match="leaves none"):
        joined([], [], timedelta(0))
    assert joined([], [snap(-2, 3.2)]) == []


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_a_search_through_all_rows(seed: int) -> None:
    rng = random.Random(seed)
    bars = [bar(h / 4, rng.random(), rng.choice([0, 0, 2]) * HOUR) for h in rng.sample(range(-60, 20), 30)]
    snapshots = [
        snap(h / 3, rng.random(), known_at=RELEASE + (h / 3 + rng.choice([0, 0, 1])) * HOUR)
        for h in rng.sample(range(-45, -1), 15)
    ]
    others = [snapshot_row("1d", "KXU3-24JUN", mean=77.0)]
    got: pa.Table = joined(bars, snapshots + others)
    assert [r["ts"] for r in got] == sorted(b["ts"] for b in bars)
    by_ts = {b["ts"]: b for b in bars}
    for row in got:
        t = by_ts[row["ts"]]["known_at"]
        known = [s for s in snapshots if s["known_at"] <= t]
        best = max(known, key=lambda s: s["as_of"], default=None)
        want = best["mean"] if best and t - best["as_of"] <= 4 * HOUR else None
        assert row["mean"] == want
