"""The feature panel once more, in plain Python over rows: slow, obvious, and the judge of the vectorised one."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from kalshi_assets.core.features import JoinAges
from kalshi_assets.core.series import SERIES_FACTS, SeriesFacts, facts_for
from kalshi_assets.core.tables import FEATURE_BASE
from kalshi_assets_tests.core.plain_references import PlainReferences, reference_cells

Row = dict[str, Any]


def panel_rows(
    distributions: list[Row],
    macro: list[Row],
    prices: list[Row],
    ages: JoinAges,
    references: PlainReferences | None = None,
) -> dict[Any, Row]:
    """Every column save the microstructure, by (event, horizon, mapping)."""
    given = references or PlainReferences()
    named = [dict(d) for d in distributions if d["horizon"] != "daily"]
    for d in named:
        inputs = d["inputs_known_at"]
        d["fresh"] = inputs is not None and d["as_of"] - inputs <= ages.distribution
        if not d["fresh"]:
            d |= dict.fromkeys(FEATURE_BASE)
    out: dict[Any, Row] = {}
    for d in named:
        if d["fresh"]:
            mine = (d["event_ticker"], d["mapping_version"])
            siblings = [e for e in named if (e["event_ticker"], e["mapping_version"]) == mine]
            row = _row(d, siblings, macro, prices, ages)
            daily = [e for e in distributions if e["horizon"] == "daily" and e["event_ticker"] == d["event_ticker"]]
            cells, known = reference_cells(d, row, daily, macro, prices, given, ages.references)
            row |= cells
            row["inputs_known_at"] = max([row["inputs_known_at"], *known])
            out[d["event_ticker"], d["horizon"], d["mapping_version"]] = row
    return out


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _minutes(d: Row) -> float:
    return float((d["release_time"] - d["as_of"]).total_seconds() / 60)


def _row(d: Row, siblings: list[Row], macro: list[Row], prices: list[Row], ages: JoinAges) -> Row:
    as_of = d["as_of"]
    reach = sorted(
        (e for e in siblings if e["as_of"] <= as_of and as_of - e["as_of"] <= ages.earlier_snapshot),
        key=lambda e: e["as_of"],
    )
    before = [e for e in reach if e is not d]
    used = [d]
    row: Row = {"minutes_to_release": _minutes(d), "late_drift_mean": None}
    for name in FEATURE_BASE:
        row[name] = d.get(name)
        delta = _minus(d.get(name), before[-1].get(name)) if before else None
        row[f"delta_{name}"] = delta
        hours = (as_of - before[-1]["as_of"]).total_seconds() / 3600 if before else 0.0
        row[f"speed_{name}_per_hour"] = None if delta is None else delta / hours
    used += before[-1:]
    if _minutes(d) <= 60:
        out = [e for e in before if _minutes(e) > 60 and e.get("mean") is not None]
        if out:
            row["late_drift_mean"] = _minus(d.get("mean"), out[-1]["mean"])
            used.append(out[-1])
    for name in ("variance", "entropy"):
        first = next((e for e in reach if e.get(name) is not None), None)
        row[f"{name}_collapse_ratio"] = None
        if first is not None:
            used.append(first)
            if d.get(name) is not None and first[name] != 0:
                row[f"{name}_collapse_ratio"] = d[name] / first[name]
    known = [e["inputs_known_at"] for e in used if e["inputs_known_at"] is not None and e["fresh"]]

    facts = facts_for(d["series_ticker"])
    last, mean12, print_times = _prints(facts, macro, as_of, ages.first_print)
    known += print_times
    row |= {"last_print": last, "last_print_gap": _minus(d.get("mean"), last)}
    row |= {"print_mean_12": mean12, "print_mean_12_gap": _minus(d.get("mean"), mean12)}
    cpi, _, cpi_times = _prints(SERIES_FACTS["KXCPIYOY"], macro, as_of, ages.first_print)
    known += cpi_times[:1]
    row["inflation_regime"] = "unknown" if cpi is None else "high" if cpi >= 3.5 else "low" if cpi <= 2 else "moderate"
    vix = _close(prices, "VIXCLS", as_of, ages.price)
    row["volatility_regime"] = "unknown"
    if vix:
        known.append(vix["known_at"])
        row["volatility_regime"] = "high" if vix["close"] >= 25 else "low" if vix["close"] <= 15 else "moderate"
    now = _close(prices, "DFEDTARU", as_of, ages.price)
    then = _close(prices, "DFEDTARU", as_of - timedelta(days=90), ages.price)
    row["policy_regime"] = "unknown"
    if now and then:
        known.append(now["known_at"])
        change = now["close"] - then["close"]
        row["policy_regime"] = "tightening" if change > 0 else "easing" if change < 0 else "neutral"
    row["inputs_known_at"] = max(known)
    row |= {"event_type": facts.event_type if facts else None, "as_of": as_of, "known_at": as_of}
    return row


def _prints(
    facts: SeriesFacts | None, macro: list[Row], as_of: datetime, max_age: timedelta
) -> tuple[float | None, float | None, list[datetime]]:
    if facts is None or facts.statistic is None:
        return None, None, []
    key = (facts.statistic.series_id, facts.statistic.units)
    first: dict[Any, Row] = {}
    for r in sorted(macro, key=lambda r: r["known_at"]):
        if (r["series_id"], r["units"]) == key:
            first.setdefault(r["observation_date"], r)
    known = sorted((r for r in first.values() if r["known_at"] <= as_of), key=lambda r: r["observation_date"])
    if not known or as_of - known[-1]["known_at"] > max_age:
        return None, None, []

    def rounded(r: Row) -> float:
        ticks = r["value"] / facts.tick
        return float(round(math.copysign(math.floor(abs(ticks) + 0.5 + 1e-9), ticks) * facts.tick, 9))

    times = [known[-1]["known_at"]]
    if len(known) < 12:
        return rounded(known[-1]), None, times
    times += [r["known_at"] for r in known[-12:]]
    return rounded(known[-1]), sum(map(rounded, known[-12:])) / 12, times


def _close(prices: list[Row], symbol: str, as_of: datetime, max_age: timedelta) -> Row | None:
    known = [p for p in prices if p["symbol"] == symbol and p["known_at"] <= as_of]
    if not known:
        return None
    newest = max(known, key=lambda p: (p["date"], p["known_at"]))
    return newest if as_of - newest["ts"] <= max_age else None
