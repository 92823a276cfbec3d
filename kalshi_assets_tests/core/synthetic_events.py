"""Synthetic releases with a known edge, as rows of the tables that the evaluation reads.

One feature of the panel (``last_print_gap``) moves the print by ``edge`` implied
standard deviations; all others are noise. The market quotes a normal
distribution around its own mean, two cents wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from scipy.special import ndtr

from kalshi_assets.core.tables import TABLES

UTC = ZoneInfo("UTC")
NEW_YORK = ZoneInfo("America/New_York")
KINDS = (("KXCPIYOY", "CPI", 12), ("KXCPICORE", "CPI", 12), ("KXU3", "UNEMPLOYMENT", 9), ("KXGDP", "GDP", 27))
FEATURES = ("last_print_gap", "skewness", "kurtosis", "entropy", "delta_mean", "quality_score", "micro_spread_median")
TICK = 0.1


@dataclass(frozen=True)
class Sample:
    panel: pa.Table
    labels: pa.Table
    rungs: pa.Table
    contracts: pa.Table
    series: pa.Table
    dates: list[date]


def rows_of(name: str, rows: list[dict]) -> pa.Table:
    """Rows of a lake table; absent optional columns are null."""
    return pa.Table.from_pylist(rows, schema=TABLES[name].schema)


def released(day: date, hour: int = 8, minute: int = 30) -> datetime:
    return datetime.combine(day, time(hour, minute), NEW_YORK).astimezone(UTC)


def sample(
    n_months: int,
    *,
    edge: float = 0.0,
    seed: int = 0,
    horizons: tuple[str, ...] = ("1d",),
    kinds: tuple = KINDS,
    half_spread: float = 0.01,
    start: date = date(2015, 1, 1),
) -> Sample:
    rng = np.random.default_rng(seed)
    panel, labels, rungs, contracts, dates = [], [], [], [], set()
    for month in range(n_months):
        year, index = divmod(start.year * 12 + month, 12)
        for series, kind, day_of_month in kinds:
            day = date(year, index + 1, day_of_month)
            dates.add(day)
            ticker = f"{series}-{year % 100:02d}{index + 1:02d}"
            release = released(day)
            key = {"event_ticker": ticker, "series_ticker": series, "event_date": day}
            mean, std = round(rng.uniform(2, 4), 2), 0.15
            signal = rng.normal()
            value = mean + std * (edge * signal + np.sqrt(max(1 - edge**2, 0.05)) * rng.normal())
            first = round(round(value / TICK) * TICK, 10)
            features = {name: rng.normal() for name in FEATURES} | {"last_print_gap": signal * std, "delta_mean": 0.0}
            strikes = np.round(np.arange(round(mean / TICK) - 4, round(mean / TICK) + 5) * TICK, 10)
            survival = 1 - ndtr((strikes + TICK / 2 - mean) / std)
            for k, horizon in enumerate(horizons):
                as_of = release - timedelta(days=1) + timedelta(minutes=k)
                row = {
                    **key,
                    "horizon": horizon,
                    "as_of": as_of,
                    "release_time": release,
                    "ts": as_of,
                    "known_at": as_of,
                }
                panel.append(
                    {**row, "inputs_known_at": as_of, "event_type": kind, "mean": mean, "std": std, **features}
                    | {"last_print": mean - signal * std, "print_mean_12": mean - 0.1}
                    | {"inflation_regime": "high" if month % 3 else "low", "policy_regime": "neutral"}
                    | {"volatility_regime": ("low", "moderate")[month // 2 % 2]}
                )
                for rung, (strike, p) in enumerate(zip(strikes, survival, strict=True)):
                    rungs.append(
                        {**row, "ticker": f"{ticker}-T{strike:g}", "rung": rung, "strike": strike}
                        | {"lo_index": round(strike / TICK) + 1, "hi_index": None}
                        | {"yes_bid_prob": max(round(p - half_spread, 2), 0.01), "repaired_prob": p}
                        | {"yes_ask_prob": min(round(p + half_spread, 2), 0.99)}
                    )
            learned = release + timedelta(seconds=1)
            label = {**key, "release_time": release, "ts": release, "event_type": kind, "implied_std": std}
            labels.append({**label, "known_at": release - timedelta(days=30)})
            labels.append(
                {**label, "known_at": learned, "first_print": first, "first_print_learned_at": learned}
                | {"implied_mean": mean}
            )
            for strike in strikes:
                yes = round(first / TICK) >= round(strike / TICK) + 1
                listed = {**key, "ticker": f"{ticker}-T{strike:g}", "status": "active", "ts": release}
                contracts.append({**listed, "known_at": release - timedelta(days=30)})
                contracts.append(
                    {**listed, "status": "finalized", "known_at": release + timedelta(hours=1)}
                    | {"result": "yes" if yes else "no", "outcome_type": "binary", "volume_contracts": 50_000}
                )
    known = released(date(2014, 1, 1))
    series_rows = [
        {"series_ticker": s, "ts": known, "known_at": known, "fee_type": "quadratic", "fee_multiplier": 1.0}
        | {"event_type": kind}
        for s, kind, _ in kinds
    ]
    return Sample(
        rows_of("feature_panel", panel),
        rows_of("labels", labels),
        rows_of("distribution_rungs", rungs),
        rows_of("contracts", contracts),
        rows_of("series", series_rows),
        sorted(dates),
    )
