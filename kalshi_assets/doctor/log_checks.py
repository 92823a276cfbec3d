"""The transaction logs, file by file; what their tables hold does not belong here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from kalshi_assets.core.tables import TABLES
from kalshi_assets.doctor.check import Check, failure, ok, skipped, warning
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.log_files import LogFault, log_files
from kalshi_assets.store.repairing import refusal
from kalshi_assets.store.snapshot_records import FOLDER

LOG = "lake.logs"
MEND = "Mend it with `kalshi-assets doctor --repair`: what it says stands in other files of the log."
_MOST_NAMED = 3


def check_logs(lake: Lake) -> list[Check]:
    """Every file of every log, that of the lake snapshots' records among them."""
    logs = log_files(lake, (*TABLES, FOLDER))
    entries = sum(len(log.entries) for log in logs)
    return judge_logs(len(logs), entries, [fault for log in logs for fault in log.faults])


def judge_logs(logs: int, entries: int, faults: Sequence[LogFault]) -> list[Check]:
    """A failure for each log that keeps its table from being read as committed, a warning for other damage.

    Args:
        logs: how many logs there are.
        entries: entries in them.
        faults: the damaged files.
    """
    if not logs:
        return [skipped(LOG, "No table has a log yet.")]
    damaged = [_damage(name, list(group)) for name, group in groupby(faults, key=lambda f: f.table)]
    return [ok(LOG, f"{logs - len(damaged)} of {logs} logs are whole; {entries:,} entries were read."), *damaged]


def _damage(table: str, faults: Sequence[LogFault]) -> Check:
    blocking = [f for f in faults if f.blocks]
    ordered = [*blocking, *(f for f in faults if not f.blocks)]
    more = f"; {len(ordered) - _MOST_NAMED} more files of this log are damaged" if len(ordered) > _MOST_NAMED else ""
    words = "; ".join(f"{_KINDS[f.kind]} {f.path} {f.words}" for f in ordered[:_MOST_NAMED])
    found, name = f"{words[:1].upper()}{words[1:]}{more}.", f"lake.{table}.log"
    if any(not f.spare for f in blocking):
        return failure(name, found, f"What it changed is lost. {refusal(table)}")
    if blocking:
        return failure(name, found, MEND)
    if any(f.spare for f in ordered):
        return warning(name, found, MEND)
    return warning(
        name,
        f"{found} The newest version does not need it.",
        f"Restore it from a copy if versions of before are to be read; runs do not need it (lake/{table}).",
    )


_KINDS = {"entry": "the log entry", "gap": "the log entry", "checkpoint": "the checkpoint", "hint": "the log's hint"}
