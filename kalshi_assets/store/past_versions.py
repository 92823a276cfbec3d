"""What lies in a lake beside its newest versions: whether the states that were recorded are still whole, and strays.

Only logs, records and listings are read. What is removed, and when, is decided by
``maintenance`` and ``repairing``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import StoreError, StoreUnreachable
from kalshi_assets.store.clean_up import Lives, data_files, file_lives
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.log_files import LogFiles
from kalshi_assets.store.maintenance import snapshots_of_verdicts
from kalshi_assets.store.snapshot_records import FOLDER, LakeSnapshot
from kalshi_assets.store.snapshots import all_snapshots

# What the ``run_id`` of a repair's commits begins with.
REPAIR = "repair-"
_EVENT_DATE = re.compile(r"/event_date=(\d{4}-\d{2}-\d{2})/")
_DAMAGED_LOG = "and its log is damaged"


@dataclass(frozen=True, slots=True)
class SnapshotFault:
    """A lake snapshot that cannot be read any more.

    Attributes:
        snapshot: its record.
        table: the first table of it that is not whole.
        version: the version of that table that it names.
        words: why that version cannot be read.
        newest: whether it is what readers see.
        for_verdicts: whether a verdict rests on it.
        by_log: whether it is the table's log that is damaged, so that a copy of the log makes it whole.
    """

    snapshot: LakeSnapshot
    table: str
    version: int
    words: str
    newest: bool
    for_verdicts: bool
    by_log: bool


@dataclass(frozen=True, slots=True)
class _Past:
    """What is known of one table's versions.

    Attributes:
        newest: its newest version; -1 where it was never written.
        lives: the versions that each file was part of; None where the log is damaged.
        there: the data files in its folder.
    """

    newest: int
    lives: Lives | None
    there: Mapping[str, pafs.FileInfo]


def snapshot_faults(lake: Lake) -> list[SnapshotFault]:
    """Every recorded lake snapshot of which some table is not whole, in order.

    Raises:
        StoreError: the records are damaged.
    """
    held = all_snapshots(lake)
    lasting = {s.snapshot_id for s in snapshots_of_verdicts(held)}
    past = {name: _past(lake, name) for name in sorted({n for s in held for n in s.versions})}
    lost: dict[tuple[str, int], str | None] = {}
    faults = []
    for snapshot in held:
        for name, version in sorted(snapshot.versions.items()):
            if (name, version) not in lost:
                lost[name, version] = _lost(past[name], version)
            words = lost[name, version]
            if words is not None:
                kept = snapshot.snapshot_id in lasting
                by_log = words == _DAMAGED_LOG
                faults.append(SnapshotFault(snapshot, name, version, words, snapshot is held[-1], kept, by_log))
                break
    return faults


def stray_files(lake: Lake) -> dict[str, list[pafs.FileInfo]]:
    """Files that no version of their table ever named, by table: what killed writers leave behind.

    A writer at work has such files as well. A table whose log is damaged has none, since they cannot be told.
    """
    strays: dict[str, list[pafs.FileInfo]] = {}
    for name in (*TABLES, FOLDER):
        past = _past(lake, name)
        named = past.lives if past.lives is not None else past.there
        found = [info for path, info in sorted(past.there.items()) if path not in named]
        found += LogFiles(lake, name).unfinished if past.newest >= 0 else []
        if found:
            strays[name] = found
    return strays


def _past(lake: Lake, name: str) -> _Past:
    there = {info.path: info for info in data_files(lake, name)}
    log = LogFiles(lake, name)
    if log.newest < 0:
        return _Past(-1, {} if not there else None, there)
    # An entry that a checkpoint sums up may name files that only past versions have.
    if any(f.blocks or f.kind in ("entry", "gap") for f in log.faults):
        return _Past(log.newest, None, there)
    try:
        delta = DeltaTable(lake.tables.address(name), storage_options=lake.tables.options)
        return _Past(delta.version(), file_lives(lake, name, delta), there)
    except StoreUnreachable:
        raise
    except (StoreError, DeltaError, OSError):
        return _Past(log.newest, None, there)


def _lost(past: _Past, version: int) -> str | None:
    """Why a version cannot be read; None where it can, as far as files tell."""
    if version > past.newest:
        return "of which its log has no entry" if past.newest < 0 else f"and its log ends at {past.newest}"
    if past.lives is None:
        return _DAMAGED_LOG
    for path, spans in sorted(past.lives.items()):
        if path not in past.there and any(a <= version and (b is None or version < b) for a, b in spans):
            return f"whose data file {path} is not there"
    return None


def taken_out(lake: Lake, name: str) -> set[date]:
    """The event dates of which a repair took rows out of a table and none have come back to their partition."""
    lives = _past(lake, name).lives or {}
    entries = LogFiles(lake, name)
    filled = {path.rpartition("/")[0] for path, spans in lives.items() if spans and spans[-1][1] is None}
    ends: dict[int, set[date]] = defaultdict(set)
    for path, spans in lives.items():
        end = spans[-1][1] if spans else None
        day = _EVENT_DATE.search(path)
        if end is not None and day is not None and path.rpartition("/")[0] not in filled:
            ends[end].add(date.fromisoformat(day.group(1)))
    repairs = [days for end, days in ends.items() if (entries.run_of(end) or "").startswith(REPAIR)]
    return {day for days in repairs for day in days}
