"""The label table once more, in plain Python over rows: slow, obvious, and the judge of the vectorised one."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from kalshi_assets.core.labels import EARLY_PRINT_TOLERANCE, MAX_IMPLIED_AGE
from kalshi_assets.core.series import facts_for

Row = dict[str, Any]


def label_rows(
    events: list[Row],
    macro: list[Row],
    contracts: list[Row],
    snapshots: list[Row],
    specs: list[Row],
    consensus: list[Row] | None = None,
) -> list[Row]:
    """The labels as rows in no particular order, columns of the event itself left out save ticker."""
    out: list[Row] = []
    for event in _newest(events, "event_ticker").values():
        expected = _consensus(event, consensus or [])
        for row in _event_labels(event, macro, contracts, snapshots, specs):
            printed = row.get("first_print")
            row["consensus"] = expected
            row["surprise_consensus"] = None if printed is None or expected is None else printed - expected
            out.append(row)
    return out


def _consensus(event: Row, consensus: list[Row]) -> float | None:
    release = event["release_time"]
    mine = [
        c for c in consensus
        if c["series_ticker"] == event["series_ticker"] and c["period"] == event["period"] is not None
        and timedelta(0) < release - c["known_at"] <= timedelta(days=60)
    ]  # fmt: skip
    return max(mine, key=lambda c: c["known_at"])["consensus"] if mine else None


def _newest(rows: list[Row], key: str) -> dict[str, Row]:
    newest: dict[str, Row] = {}
    for r in rows:
        if r[key] not in newest or r["known_at"] >= newest[r[key]]["known_at"]:
            newest[r[key]] = r
    return newest


def _event_labels(
    event: Row, macro: list[Row], contracts: list[Row], snapshots: list[Row], specs: list[Row]
) -> list[Row]:
    release, facts = event["release_time"], facts_for(event["series_ticker"])
    settled = _settlement(event, contracts, specs)
    common = {"event_ticker": event["event_ticker"], **_implied(event, snapshots)}
    statistic = facts.statistic if facts else None
    mine = [r for r in macro if statistic and (r["series_id"], r["units"]) == (statistic.series_id, statistic.units)]
    vintages = sorted((r for r in mine if r["observation_date"] == event["period"]), key=lambda r: r["known_at"])
    if not statistic or not facts:
        reason, seen = "no_statistic", release
    elif event["period"] is None:
        reason, seen = "no_reference_period", release
    elif vintages and vintages[0]["known_at"] <= release - EARLY_PRINT_TOLERANCE:
        reason, seen = "print_precedes_release", release
    elif not vintages and not any(r["observation_date"] < event["period"] for r in mine):
        reason, seen = "not_recorded", release
    elif not vintages:
        later = [r["known_at"] for r in mine if r["observation_date"] > event["period"]]
        reason, seen = ("not_published", max(release, min(later))) if later else ("not_yet_published", release)
    else:
        reason, seen = None, release
    if reason is not None or facts is None:
        row = common | {"unlabelled_reason": reason, "known_at": seen}
        if settled:
            row |= settled["shown"] | {"known_at": max(release, settled["at"] or release)}
            row["unlabelled_reason"] = None if reason == "no_statistic" else reason
        return [row]

    first = vintages[0]
    times = {r["known_at"] for r in vintages}
    settled_at = max(release, first["known_at"], settled["at"] or release) if settled else None
    rows = []
    for t in sorted(times | ({settled_at} if settled_at else set())):
        value = _published(first["value"], facts.tick)
        row = common | {
            "known_at": t, "first_print": value, "first_print_learned_at": first["known_at"],
            "first_print_source": first["source"] or f"{first['series_id']}:{first['units']}",
        }  # fmt: skip
        for name in ("mean", "median"):
            implied = common.get(f"implied_{name}")
            row[f"surprise_{name}"] = None if implied is None else value - implied
        std = common.get("implied_std")
        row["surprise_std"] = row["surprise_mean"] / std if row["surprise_mean"] is not None and std else None
        newest = [r for r in vintages if r["known_at"] <= t][-1]
        if newest is not first:
            row |= {
                "revised": _published(newest["value"], facts.tick), "revised_vintage": newest["vintage_date"],
                "revised_learned_at": newest["known_at"],
            }  # fmt: skip
        if settled and settled_at is not None and settled_at <= t:
            row |= settled["shown"]
        rows.append(row)
    return rows


def _published(value: float, tick: float) -> float:
    return round(math.copysign(math.floor(abs(value) / tick + 0.5 + 1e-9), value) * tick, 9)


def _implied(event: Row, snapshots: list[Row]) -> Row:
    release: Any = event["release_time"]
    usable = [
        s for s in snapshots
        if s["event_ticker"] == event["event_ticker"] and s["hard_gate_failed"] is False and s["mean"] is not None
        and timedelta(0) < release - s["as_of"] <= MAX_IMPLIED_AGE
    ]  # fmt: skip
    if not usable:
        return {}
    last = max(usable, key=lambda s: (s["as_of"], s["horizon"]))
    return {f"implied_{n}": last.get(n) for n in ("mean", "median", "std")}


def _settlement(event: Row, contracts: list[Row], specs: list[Row]) -> Row | None:
    """Try every lattice point round the bounds against every outcome; the ends of that range stand for open."""
    mine = [c for c in _newest(contracts, "ticker").values() if c["event_ticker"] == event["event_ticker"]]
    by_ticker = _newest(specs, "ticker")
    resolved = [(c, by_ticker[c["ticker"]]) for c in mine if c["result"] in ("yes", "no") and c["ticker"] in by_ticker]
    resolved = [(c, s) for c, s in resolved if s["tick"] and (s["lo_index"] is not None or s["hi_index"] is not None)]

    def fits(i: int) -> bool:
        for c, s in resolved:
            pays = (s["lo_index"] is None or s["lo_index"] <= i) and (s["hi_index"] is None or i <= s["hi_index"])
            if pays != (c["result"] == "yes"):
                return False
        return True

    bounds = [b for _, s in resolved for b in (s["lo_index"], s["hi_index"]) if b is not None]
    if not bounds:
        return None
    lowest, highest = min(bounds) - 2, max(bounds) + 2
    points = [i for i in range(lowest, highest + 1) if fits(i)]
    if not points:
        return None
    lo = None if points[0] == lowest else round(points[0] * resolved[0][1]["tick"], 9)
    hi = None if points[-1] == highest else round(points[-1] * resolved[0][1]["tick"], 9)
    if lo is None and hi is None:
        return None
    times = [c["settlement_time"] for c, _ in resolved]
    learned = None if None in times else max(times)
    closes = [c["close_time"] for c in mine if c["close_time"] is not None]
    texts = {c["expiration_value"] for c in mine if c.get("expiration_value")}
    shown = {
        "settled_lo": lo, "settled_hi": hi, "settlement_learned_at": learned,
        "settlement_value": texts.pop() if len(texts) == 1 else None,
    }  # fmt: skip
    return {"shown": shown, "at": learned or max(closes, default=None)}
