"""Small tables of forecasts, labels, prints and contracts for the tests of forecast scores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from kalshi_assets_tests.core.event_rows import snapshot_row, table

FIRST_RELEASE = datetime(2024, 1, 11, 13, 30, tzinfo=UTC)
MONTH = timedelta(days=30)
HOUR = timedelta(hours=1)


def release(i: int) -> datetime:
    return FIRST_RELEASE + i * MONTH


def law(i: int, support: list[float] | None, probability: list[float] | None, **more: Any) -> dict[str, Any]:
    """A forecast of event i at one horizon; its points are given or those of the law."""
    horizon, series = more.pop("horizon", "1d"), more.pop("series", "KXCPIYOY")
    points = {"mean": None, "median": None, "mode": None}
    if support is not None and probability is not None:
        mean = sum(x * p for x, p in zip(support, probability, strict=True))
        mode = support[probability.index(max(probability))]
        total, median = 0.0, support[-1]
        for x, p in zip(support, probability, strict=True):
            total += p
            if total >= 0.5 - 1e-12:
                median = x
                break
        points = {"mean": mean, "median": median, "mode": mode}
    return snapshot_row(
        horizon, f"{series}-{i:03d}", more.pop("release", release(i)),
        support=support, probability=probability, tail_policy="step", basis="quotes", hard_gate_failed=support is None,
        **{**points, **more},
    )  # fmt: skip


def label(i: int, first_print: float | None = None, **more: Any) -> dict[str, Any]:
    series = more.pop("series", "KXCPIYOY")
    at = more.pop("release", release(i))
    learned = more.pop("learned_at", at)
    return {
        "event_ticker": f"{series}-{i:03d}", "series_ticker": series, "event_date": at.date(), "release_time": at,
        "ts": at, "known_at": learned, "first_print": first_print,
        "first_print_learned_at": None if first_print is None else learned,
    } | more  # fmt: skip


def rung(i: int, name: str, probability: float | None, **more: Any) -> dict[str, Any]:
    series, horizon = more.pop("series", "KXCPIYOY"), more.pop("horizon", "1d")
    row = snapshot_row(horizon, f"{series}-{i:03d}", release(i))
    kept = ("event_ticker", "series_ticker", "event_date", "horizon", "as_of", "release_time", "ts", "known_at")
    return {k: row[k] for k in kept} | {"ticker": f"{series}-{i:03d}-{name}", "repaired_prob": probability} | more


def contract(i: int, name: str, result: str | None, **more: Any) -> dict[str, Any]:
    series = more.pop("series", "KXCPIYOY")
    at = release(i)
    return {
        "event_ticker": f"{series}-{i:03d}", "series_ticker": series, "event_date": at.date(), "status": "settled",
        "ticker": f"{series}-{i:03d}-{name}", "result": result, "ts": at, "known_at": at + HOUR,
    } | more  # fmt: skip


def printed(period: datetime, value: float, known_at: datetime) -> dict[str, Any]:
    return {
        "series_id": "CPIAUCNS", "units": "pc1", "observation_date": period.date(), "vintage_date": known_at.date(),
        "value": value, "ts": known_at, "known_at": known_at,
    }  # fmt: skip


def no_prints() -> pa.Table:
    return table("macro_observations", [])
