"""The end of every stage: check what was written, file the evidence, record the snapshot."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import wraps
from importlib.metadata import version
from typing import Concatenate, ParamSpec

import pyarrow as pa

from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.gates import check_schema_and_keys
from kalshi_assets.core.tables import TABLES
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.stages.evidence import GATES, OUTPUTS, data_hashes, record_evidence
from kalshi_assets.store.snapshots import record_snapshot
from kalshi_assets.store.transactions import transaction

Gate = Callable[[Mapping[str, pa.Table], Sequence[date]], Sequence[GateResult]]
_Arguments = ParamSpec("_Arguments")


def whole(
    stage: Callable[Concatenate[StageContext, _Arguments], StageResult],
) -> Callable[Concatenate[StageContext, _Arguments], StageResult]:
    """Make a stage one transaction: others see all that it wrote, or nothing of it."""

    @wraps(stage)
    def held(context: StageContext, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> StageResult:
        with transaction(context.lake, context.run_id):
            return stage(context, *args, **kwargs)

    return held


def code_version() -> str:
    """The version of the package that does the work."""
    return version("kalshi_assets")


def finish(
    context: StageContext,
    stage: str,
    dates: Sequence[date],
    *,
    changed: Mapping[str, int],
    gate: Gate | None = None,
    may_be_empty: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> StageResult:
    """Read back what the stage wrote, run its gates on that, file evidence and snapshot.

    Args:
        context: the stage's tools.
        stage: its name.
        dates: the event dates that it covered.
        changed: rows really written, by table.
        gate: the stage's own check beside schema and keys, given its tables as stored.
        may_be_empty: tables that may hold no row for a date, with the reason.
        notes: sentences for a person.
    """
    ordered = tuple(sorted(dates))
    stored = {name: context.lake.read(name, event_dates=ordered, history=True) for name in OUTPUTS[stage]}
    # A date that every event has left keeps the folds of what was decided for it before.
    held = {day for name in ("events", *OUTPUTS[stage]) for day in context.lake.event_dates(name)}
    peopled = [day for day in ordered if day in held]
    results = [_vacated(check, day) for day in ordered if day not in held for check in GATES[stage]]
    if peopled:
        results += _schema_results(stored, peopled, may_be_empty or {})
        results += gate(stored, peopled) if gate else ()
    record_evidence(
        context.lake, stage, results, run_id=context.run_id, hashes=data_hashes(context.lake, stage, ordered)
    )
    _log(context, stage, written=sum(changed.values()), failed=sum(not r.passed for r in results), notes=notes)
    # Last of all: from here on readers see what the stage wrote.
    snapshot = record_snapshot(
        context.lake,
        stage=stage,
        run_id=context.run_id,
        code_version=code_version(),
        config_hash=context.strategy.config_hash,
    )
    return StageResult(
        stage=stage,
        dates=ordered,
        rows={name: table.num_rows for name, table in stored.items()},
        changed=dict(changed),
        gates=tuple(results),
        notes=tuple(notes),
        snapshot_id=snapshot,
    )


def _vacated(check: str, day: date) -> GateResult:
    """A date of which the stage holds no row, because every event has left it: nothing in it can leak."""
    return GateResult(check, day, passed=True, n_rows=0, detail="no event falls on this date any more")


def _log(context: StageContext, stage: str, *, written: int, failed: int, notes: Sequence[str]) -> None:
    """One line in the ingest log: what the run did, which is no content of the data."""
    moment = context.now()
    found = [f"{f.endpoint}: {f.kind} {f.field} ({f.count})" for f in context.findings()]
    row = {
        "stage": stage,
        "endpoint": "all",
        "ts": moment,
        "known_at": moment,
        "requests": context.requests(),
        "rows": written,
        "errors": failed,
        "findings_json": json.dumps(found) if found else None,
        "notes": " ".join(notes) or None,
    }
    rows = pa.Table.from_pylist([row], schema=TABLES["ingest_log"].schema)
    context.lake.upsert("ingest_log", rows, run_id=context.run_id)


def _schema_results(
    stored: Mapping[str, pa.Table], dates: Sequence[date], may_be_empty: Mapping[str, str]
) -> list[GateResult]:
    """One result a date over all tables of the stage: the first that failed, else the first that passed."""
    by_date: dict[date, GateResult] = {}
    for name, table in stored.items():
        for result in check_schema_and_keys(TABLES[name], table, dates, allow_empty=may_be_empty.get(name)):
            held = by_date.get(result.event_date)
            if held is None or (held.passed and not result.passed):
                by_date[result.event_date] = result
    return [by_date[day] for day in dates]
