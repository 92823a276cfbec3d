"""Gate evidence: written by the stage that made the data, demanded by every stage that reads it.

Dagster stops downstream steps only inside the run in which a check failed; a
stage that is launched alone afterwards would run. So a stage refuses, in code,
unless the evidence table holds a passed result of every gate of every stage
that it reads, for exactly the rows that are in the lake now. The checks
themselves are ``core.gates``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.leak_verdicts import LEAK_GATES
from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import GateError
from kalshi_assets.stages.sources_hash import sources_hash
from kalshi_assets.store.lake import Lake

# Raise it whenever a rule in core.gates or core.leak_verdicts changes: evidence from older rules is no evidence.
RULES_VERSION = "4"

OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "market_catalog": ("events", "contracts"),
    "contracts": ("contract_specs",),
    "quotes": ("quotes", "trades"),
    "distributions": ("distributions", "distribution_rungs", "trade_distributions"),
    "feature_panel": ("feature_panel",),
    "labels": ("labels", "asset_responses"),
    "walk_forward_folds": ("folds", "predictions"),
    "promotion_verdict": ("verdicts",),
}
GATES: Mapping[str, tuple[str, ...]] = {
    "market_catalog": ("schema_and_keys", "catalog_complete"),
    "contracts": ("schema_and_keys", "specs_resolved"),
    "quotes": ("schema_and_keys", "quotes_ordered", "tiers_agree"),
    "distributions": ("schema_and_keys", "distribution_laws", *LEAK_GATES),
    "feature_panel": ("schema_and_keys", "order_of_times", *LEAK_GATES),
    "labels": ("schema_and_keys", "labels_learned_after_release"),
    "walk_forward_folds": ("schema_and_keys", "no_label_after_test"),
    "promotion_verdict": ("schema_and_keys",),
}
READS: Mapping[str, tuple[str, ...]] = {
    "market_catalog": (),
    "contracts": ("market_catalog",),
    "quotes": ("market_catalog",),
    "distributions": ("market_catalog", "contracts", "quotes"),
    "feature_panel": ("market_catalog", "distributions", "quotes"),
    "labels": ("market_catalog", "contracts", "distributions"),
    "walk_forward_folds": ("feature_panel", "labels"),
    "promotion_verdict": ("market_catalog", "distributions", "labels", "feature_panel", "walk_forward_folds"),
}
STAGES: tuple[str, ...] = tuple(OUTPUTS)


def data_hashes(lake: Lake, stage: str, dates: Sequence[date]) -> dict[date, str]:
    """One hash a date over every table that a stage writes, as the lake holds them now."""
    parts = [lake.content_hash(table, event_dates=dates) for table in OUTPUTS[stage]]
    return {
        day: hashlib.sha256("|".join(hashes.get(day, "empty") for hashes in parts).encode()).hexdigest()
        for day in dates
    }


def record_evidence(
    lake: Lake, stage: str, results: Sequence[GateResult], *, run_id: str, hashes: Mapping[date, str]
) -> None:
    """Store what the gates of a stage said, beside the hash of the data that they saw and of the code that asked.

    Raises:
        GateError: when a declared gate of the stage reported nothing for a date.
    """
    seen = {(r.check_name, r.event_date) for r in results}
    for check in GATES[stage]:
        for day in hashes:
            if (check, day) not in seen:
                raise GateError(f"The gate {check} of {stage} reported nothing for {day}: that counts as a failure.")
    known = [_end_of_day(r.event_date) for r in results]
    rows = pa.table(
        {
            "asset": [stage] * len(results),
            "check_name": [r.check_name for r in results],
            "event_date": [r.event_date for r in results],
            "data_hash": [hashes[r.event_date] for r in results],
            "passed": [r.passed for r in results],
            "ts": known,
            "known_at": known,
            "rules_version": [RULES_VERSION] * len(results),
            "code_version": [sources_hash()] * len(results),
            "n_rows": [r.n_rows for r in results],
            "detail": [r.detail for r in results],
            "first_offender": [r.first_offender for r in results],
        },
        schema=TABLES["gate_evidence"].schema,
    )
    # What already vouches for these very data stands, and names the code that did: probing them again drew other
    # samples and said the same.
    held = _evidence(lake, sorted(hashes))
    news = [not (r.passed and held.get((stage, r.check_name, r.event_date, hashes[r.event_date]))) for r in results]
    lake.upsert("gate_evidence", rows.filter(pa.array(news, pa.bool_())), run_id=run_id)


def require_evidence(lake: Lake, stage: str, dates: Sequence[date]) -> dict[str, str]:
    """Demand passed, current evidence for all that a stage reads.

    Args:
        lake: the store.
        stage: who wants to read.
        dates: the event dates whose partitions it will read.

    Returns:
        One hash an upstream stage over everything that was vouched for, for the record of what a result rests on.

    Raises:
        GateError: naming the first gap: the upstream stage, the gate, the date, and whether the
            evidence failed, is stale or is missing.
    """
    evidence = _evidence(lake, dates)
    vouched: dict[str, str] = {}
    for upstream in READS[stage]:
        hashes = data_hashes(lake, upstream, dates)
        for check in GATES[upstream]:
            for day in dates:
                passed = evidence.get((upstream, check, day, hashes[day]))
                if not passed:
                    raise GateError(_refusal(stage, upstream, check, day, passed, evidence))
        vouched[upstream] = hashlib.sha256("|".join(f"{d}:{hashes[d]}" for d in sorted(hashes)).encode()).hexdigest()
    return vouched


def _evidence(lake: Lake, dates: Sequence[date]) -> dict[tuple[str, str, date, str], bool]:
    table = lake.read("gate_evidence", event_dates=dates)
    table = table.filter(pc.equal(table["rules_version"], RULES_VERSION))
    columns = ("asset", "check_name", "event_date", "data_hash", "passed")
    return {(a, c, d, h): p for a, c, d, h, p in _rows(table, columns)}


def _rows(table: pa.Table, columns: Iterable[str]) -> Iterable[tuple[str, str, date, str, bool]]:
    return zip(*(table[c].to_pylist() for c in columns), strict=True)


def _refusal(
    stage: str,
    upstream: str,
    check: str,
    day: date,
    passed: bool | None,
    evidence: Mapping[tuple[str, str, date, str], bool],
) -> str:
    if passed is False:
        state = "failed"
    elif any(key[:3] == (upstream, check, day) for key in evidence):
        state = "is stale: the data changed after it was checked"
    else:
        state = "is missing"
    return (
        f"{stage} will not read {upstream} for {day}: the evidence of its gate {check} {state}. "
        f"Materialise {upstream} for {day} again."
    )


def _end_of_day(day: date) -> datetime:
    """Evidence speaks of a whole event date, so it is filed at the end of that day."""
    return datetime.combine(day + timedelta(days=1), time(), tzinfo=UTC)
