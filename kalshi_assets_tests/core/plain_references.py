"""The panel's reference columns once more, in plain Python over rows: slow, obvious, and the judge of the fast ones."""

from __future__ import annotations

import calendar
import math
import statistics
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from kalshi_assets.core.reference_features import ReferenceAges

Row = dict[str, Any]
OPTION_NAMES = (
    "iv_atm_30", "iv_atm_60", "iv_atm_90", "term_slope_30_90", "skew_25d", "curvature", "vrp_10", "vrp_30", "vrp_60",
    "iv_rank_1y", "skew_rank_1y", "vrp_rank_1y", "entropy_proxy", "iv_repricing_speed_per_hour",
    "heuristic_tail_proxy",
)  # fmt: skip


@dataclass
class PlainReferences:
    """Rows of the reference tables."""

    events: list[Row] = field(default_factory=list)
    option_surfaces: list[Row] = field(default_factory=list)
    fed_funds_futures: list[Row] = field(default_factory=list)
    fomc_probabilities: list[Row] = field(default_factory=list)
    consensus: list[Row] = field(default_factory=list)
    meetings: tuple[date, ...] = ()


def reference_cells(
    d: Row, row: Row, daily: list[Row], macro: list[Row], prices: list[Row], given: PlainReferences, ages: ReferenceAges
) -> tuple[Row, list[datetime]]:
    """The cells of one snapshot, and the times of what they rest on."""
    as_of = d["as_of"]
    options, known = _options(given.option_surfaces, as_of, ages.market)
    cells: Row = {f"opt_{name}": options.get(name) for name in OPTION_NAMES}
    entropy, tail, variance = d.get("entropy"), d.get("tail_p_1"), d.get("variance")
    iv, skew = options.get("iv_atm_30"), options.get("skew_25d")
    cells["entropy_gap"] = _minus(entropy, options.get("entropy_proxy"))
    cells["tail_gap"] = _minus(tail, options.get("heuristic_tail_proxy"))
    speed = options.get("iv_repricing_speed_per_hour")
    cells["repricing_speed_gap"] = _minus(row["speed_mean_per_hour"], speed)
    cells["uncertainty_gap"] = _minus(variance, None if iv is None else iv * iv * 30 / 365)
    cells["disagree_entropy_gap"] = cells["entropy_gap"]
    cells["disagree_tail_gap"] = cells["disagree_skew_tail_gap"] = _minus(
        tail, None if skew is None else _logistic(skew)
    )
    cells["disagree_iv_vol_gap"] = _minus(iv, None if variance is None else math.sqrt(max(variance, 0.0)))
    earlier = [e for e in daily if e["as_of"] < as_of]
    cells["disagree_entropy_gap_z"] = _z(entropy, [e.get("entropy") for e in earlier])
    cells["disagree_tail_gap_z"] = _z(tail, [e.get("tail_p_1") for e in earlier])
    if cells["disagree_entropy_gap_z"] is not None or cells["disagree_tail_gap_z"] is not None:
        known += [e["inputs_known_at"] for e in earlier if e["inputs_known_at"]]
    rate, rate_known = _rate(d, macro, prices, given, ages.market)
    known += rate_known
    cells |= rate
    cells["gap_mean"] = _minus(d.get("mean"), rate["ref_mean"])
    cells["gap_var"] = _minus(variance, rate["ref_var"])
    cells["gap_tail"] = _minus(tail, rate["ref_tail"])
    forecast = _consensus(d, given, ages.consensus)
    cells["consensus"] = forecast["consensus"] if forecast else None
    cells["consensus_gap"] = _minus(d.get("mean"), cells["consensus"])
    known += [forecast["known_at"]] if forecast else []
    return cells, known


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _logistic(skew: float) -> float:
    return 1 / (1 + math.exp(-skew / 0.1))


def _z(value: float | None, history: list[float | None]) -> float | None:
    known = [h for h in history if h is not None]
    if value is None or len(known) <= 10 or statistics.stdev(known) <= 1e-12:
        return None
    return (value - statistics.fmean(known)) / statistics.stdev(known)


def _options(surfaces: list[Row], as_of: datetime, max_age: timedelta) -> tuple[Row, list[datetime]]:
    for symbol in ("SPX", "SPY"):
        days: list[Row] = []
        arrived = [r for r in surfaces if r["symbol"] == symbol and r["known_at"] <= as_of]
        for r in sorted(arrived, key=lambda r: (r["known_at"], r["ts"])):
            if not days or r["ts"] > days[-1]["ts"]:
                days.append(r)
        if days and as_of - days[-1]["ts"] <= max_age:
            return _factors(days), [days[-1]["known_at"]]
    return {}, []


def _factors(days: list[Row]) -> Row:
    def at(name: str) -> float | None:
        return days[-1].get(name)

    def skew(r: Row) -> float | None:
        return _minus(r.get("put_25d"), r.get("iv_30") if r.get("call_25d") is None else r["call_25d"])

    def realised(end: int, n: int, least: int) -> float | None:
        returns = [
            days[i]["close"] / days[i - 1]["close"] - 1
            for i in range(max(1, end - n + 1), end + 1)
            if days[i].get("close") and days[i - 1].get("close")
        ]
        return statistics.stdev(returns) * math.sqrt(252) if len(returns) >= least else None

    def rank(values: list[float | None]) -> float | None:
        known = [v for v in values[-252:] if v is not None]
        if values[-1] is None or len(known) < 60:
            return None
        return sum(v <= values[-1] for v in known) / len(known)

    last = len(days) - 1
    iv, put, call = at("iv_30"), at("put_25d"), at("call_25d")
    premium = [_minus(r.get("iv_30"), realised(i, 30, 20)) for i, r in enumerate(days)]
    hours = (days[-1]["ts"] - days[-2]["ts"]).total_seconds() / 3600 if last else 0.0
    change = _minus(iv, days[-2].get("iv_30")) if last else None
    this_skew = skew(days[-1])
    return {
        "iv_atm_30": iv, "iv_atm_60": at("iv_60"), "iv_atm_90": at("iv_90"),
        "term_slope_30_90": _minus(iv, at("iv_90")), "skew_25d": this_skew,
        "curvature": None if put is None or call is None or iv is None else (put + call) / 2 - iv,
        "vrp_10": _minus(iv, realised(last, 10, 7)), "vrp_30": premium[-1],
        "vrp_60": _minus(at("iv_60"), realised(last, 60, 40)),
        "iv_rank_1y": rank([r.get("iv_30") for r in days]), "skew_rank_1y": rank([skew(r) for r in days]),
        "vrp_rank_1y": rank(premium),
        "entropy_proxy": None if iv is None else 0.5 * math.log(2 * math.pi * math.e * max(iv * iv * 30 / 365, 1e-12)),
        "iv_repricing_speed_per_hour": None if change is None else change / hours,
        "heuristic_tail_proxy": None if this_skew is None else _logistic(this_skew),
    }  # fmt: skip


def _newest_day(rows: list[Row], key: str, as_of: datetime, max_age: timedelta) -> list[Row]:
    known = sorted((r for r in rows if r["known_at"] <= as_of), key=lambda r: (r["date"], r["known_at"]))
    if not known or as_of - known[-1]["ts"] > max_age:
        return []
    newest = {r[key]: r for r in known if r["date"] == known[-1]["date"]}
    return list(newest.values())


def _rate(
    d: Row, macro: list[Row], prices: list[Row], given: PlainReferences, max_age: timedelta
) -> tuple[Row, list[datetime]]:
    nothing: Row = dict.fromkeys(("ref_mean", "ref_var", "ref_tail"))
    if d["series_ticker"] != "KXFED":
        return nothing, []
    decided = d["release_time"].astimezone(ZoneInfo("America/New_York")).date()
    mine = [r for r in given.fomc_probabilities if r["meeting_date"] == decided]
    said = _newest_day(mine, "target_tenths_bp", d["as_of"], max_age)
    total = sum(r["probability"] for r in said)
    if said and abs(total - 1) <= 0.02:
        law = [(r["target_mid_pct"] + 0.125, r["probability"] / total) for r in said]
        known = [r["known_at"] for r in said]
    else:
        targets = [
            {**r, "date": r["observation_date"], "close": r["value"]} for r in macro if r["series_id"] == "DFEDTARU"
        ]
        targets = targets or [p for p in prices if p["symbol"] == "DFEDTARU"]
        target = _newest_day(targets, "close", d["as_of"], max_age)[-1:]
        curve = _newest_day(given.fed_funds_futures, "contract_month", d["as_of"], max_age)
        moves = _moves(curve, sorted({*given.meetings, decided}), decided) if curve else None
        if not target or moves is None:
            return nothing, []
        law = [(target[0]["close"] + 0.25 * k, p) for k, p in moves.items()]
        known = [r["known_at"] for r in [*curve, *target]]
    mean = sum(x * p for x, p in law)
    threshold = d.get("tail_threshold_1")
    tail = None if threshold is None else sum(p for x, p in law if x >= threshold - 1e-9)
    return {"ref_mean": mean, "ref_var": sum((x - mean) ** 2 * p for x, p in law), "ref_tail": tail}, known


def _moves(curve: list[Row], meetings: list[date], until: date) -> dict[int, float] | None:
    """Number of quarter points to probability: each meeting asks anew what its neighbours say, as far as they know."""
    average = {12 * r["contract_month"].year + r["contract_month"].month: 100 - r["price"] for r in curve}
    decided: dict[int, list[date]] = {}
    for m in meetings:
        decided.setdefault(12 * m.year + m.month, []).append(m)

    def parts(month: int) -> tuple[float, int, int] | None:
        """Sum of the daily rates, days before and days after the one meeting of a month that has a price."""
        if month not in average or len(decided[month]) != 1:
            return None
        day = decided[month][0]
        length = calendar.monthrange(day.year, day.month)[1]
        return average[month] * length, day.day - 1, length - day.day + 1

    def at_its_end(month: int) -> float | None:
        """From the past alone."""
        if month not in decided:
            return average.get(month)
        split, start = parts(month), at_its_end(month - 1) if month in average else None
        if split is None or start is None:
            return None
        total, passed, left = split
        return (total - passed * start) / left

    def at_its_start(month: int) -> float | None:
        """From the months to come alone."""
        if month not in decided:
            return average.get(month)
        split, end = parts(month), at_its_start(month + 1) if month in average else None
        if split is None or end is None or split[1] == 0:
            return None
        total, passed, left = split
        return (total - left * end) / passed

    law = {0: 1.0}
    wanted = [day for day in meetings if curve[0]["date"] < day <= until]
    for day in wanted:
        month = 12 * day.year + day.month
        start, end = at_its_end(month - 1), at_its_end(month)
        if start is None or end is None:
            start, end = at_its_start(month), at_its_start(month + 1)
        if start is None or end is None:
            return None
        steps = round((end - start) / 0.25, 9)
        whole = math.floor(steps)
        new: dict[int, float] = {}
        for k, p in law.items():
            new[k + whole] = new.get(k + whole, 0) + p * (1 - (steps - whole))
            new[k + whole + 1] = new.get(k + whole + 1, 0) + p * (steps - whole)
        law = new
    return law if wanted and wanted[-1] == until else None


def _consensus(d: Row, given: PlainReferences, max_age: timedelta) -> Row | None:
    said = [e for e in given.events if e["event_ticker"] == d["event_ticker"] and e["known_at"] <= d["as_of"]]
    event = max(said, key=lambda e: e["known_at"], default=None)
    if event is None or event["period"] is None:
        return None
    about = (event["series_ticker"], event["period"])
    known = [
        c for c in given.consensus if (c["series_ticker"], c["period"]) == about and c["known_at"] <= d["as_of"]
    ]  # fmt: skip
    newest = max(known, key=lambda c: c["known_at"], default=None)
    return newest if newest and d["as_of"] - newest["known_at"] <= max_age else None
