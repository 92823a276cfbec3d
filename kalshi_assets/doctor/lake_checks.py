"""The lake as its logs describe it: tables, data files, the newest snapshot, and the lock on the home.

Files are compared by presence and size, and their content is not read.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kalshi_assets.core.tables import TABLES
from kalshi_assets.doctor.check import Check, failure, failure_of, ok, skipped, warning
from kalshi_assets.doctor.disk_checks import megabytes
from kalshi_assets.errors import StoreError
from kalshi_assets.store.inspection import NOT_THERE, OTHER_SIZE, absent_files
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.locks import LOCK_NAME
from kalshi_assets.store.repairing import REFILLED, SERVED, SERVED_NOW
from kalshi_assets.store.snapshots import newest_snapshot

# What they hold was decided once, and no run makes it again.
_LEDGERS = frozenset({"trials", "verdicts"})


@dataclass(frozen=True, slots=True)
class TableSurvey:
    """One table, as its log and the file system say.

    Attributes:
        name: the table.
        version: its newest version; None where it was never written, or its log is damaged.
        files: number of data files.
        rows: rows in them, as the log states.
        size: bytes in them, as the log states.
        missing: data files that are not there.
        altered: data files of another size than the log says.
        error: why the log cannot be read.
    """

    name: str
    version: int | None = None
    files: int = 0
    rows: int = 0
    size: int = 0
    missing: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    error: StoreError | None = None


@dataclass(frozen=True, slots=True)
class LockState:
    """The lock file of a home.

    Attributes:
        held: whether some process holds the lock.
        pid: the process that last took it, if the file says.
        alive: whether such a process is to be seen on this machine.
    """

    held: bool
    pid: int | None
    alive: bool


def refill(tables: Collection[str]) -> str:
    """What to do about a file of tables that a run fills again."""
    if SERVED.isdisjoint(tables):
        return "Take it out with `kalshi-assets doctor --repair`, then run its date again; a copy of the file does too."
    return (
        "Restore it from a copy. Without one, take it out with `kalshi-assets doctor --repair` and run its date again: "
        f"that {SERVED_NOW}."
    )


def check_tables(lake: Lake) -> list[Check]:
    """Every table's newest version."""
    return judge_tables([survey_table(lake, name) for name in TABLES])


def check_snapshot(lake: Lake) -> list[Check]:
    """The newest lake snapshot: its record and what it names."""
    newest = newest_snapshot(lake)
    if newest is None:
        return [skipped("lake.snapshot", "No stage has recorded a lake snapshot yet.")]
    past = lake.at(newest.versions)
    surveys = [survey_table(past, name) for name in sorted(newest.versions)]
    return [judge_snapshot(newest.snapshot_id, newest.versions, surveys)]


def check_lock(home: Path) -> list[Check]:
    """Who holds the home."""
    return [judge_lock(lock_state(home / LOCK_NAME))]


def survey_table(lake: Lake, name: str) -> TableSurvey:
    """Compare a table's log with the files that are there. A table that is not known counts as damaged."""
    try:
        files, version = lake.files(name), lake.version(name)
    except StoreError as error:
        return TableSurvey(name, error=error)
    absent = absent_files(lake, name)
    return TableSurvey(
        name,
        version=version,
        files=len(files),
        rows=sum(f.records or 0 for f in files),
        size=sum(f.size for f in files),
        missing=tuple(f.file.path for f in absent if f.words == NOT_THERE),
        altered=tuple(f.file.path for f in absent if f.words != NOT_THERE),
    )


def lock_state(path: Path) -> LockState:
    """Look at a lock file. The kernel answers only whoever asks for the lock, so a shared one is held for an instant.

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return LockState(held=False, pid=None, alive=False)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            held = False
        except BlockingIOError:
            held = True
        text = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
    finally:
        os.close(handle)
    pid = int(text) if text.isdigit() else None
    return LockState(held=held, pid=pid, alive=pid is not None and _runs(pid))


def judge_tables(surveys: Sequence[TableSurvey]) -> list[Check]:
    """A failure for each damaged table, and one line for the others together."""
    damaged = [check for s in surveys if (check := _damage(s)) is not None]
    written = [s for s in surveys if s.version is not None and _damage(s) is None]
    if not written and not damaged:
        return [skipped("lake.tables", "The lake is empty.", "`kalshi-assets run` fills it.")]
    files, rows = sum(s.files for s in written), sum(s.rows for s in written)
    size = megabytes(sum(s.size for s in written))
    whole = f"{len(written)} tables are whole: {files:,} files, {rows:,} rows, {size}."
    return [ok("lake.tables", whole), *damaged]


def judge_snapshot(snapshot_id: str, versions: Mapping[str, int], surveys: Sequence[TableSurvey]) -> Check:
    """Everything that the newest snapshot names can still be read.

    Args:
        snapshot_id: the record.
        versions: the table versions that it names.
        surveys: those tables at those versions.
    """
    name = "lake.snapshot"
    lost = [f"{s.name} {versions[s.name]}" for s in surveys if s.error is not None or s.missing or s.altered]
    if lost:
        return failure(
            name,
            f"The newest lake snapshot {snapshot_id[:8]} names versions that are no longer whole: {', '.join(lost)}.",
            "Readers see this snapshot. Mend these tables with `kalshi-assets doctor --repair` or from a copy; "
            "verdicts that rest on it can be verified only from a copy.",
        )
    return ok(name, f"The newest lake snapshot {snapshot_id[:8]} is complete: {len(versions)} tables.")


def judge_lock(state: LockState) -> Check:
    """A run that is at work, or a file that one left behind."""
    name = "lake.lock"
    if state.held and state.alive:
        return warning(
            name, f"Process {state.pid} works on this home.", "Wait until it ends before starting another run."
        )
    if state.held:
        who = f"process {state.pid}, which is not to be seen here" if state.pid else "a process that left no number"
        return warning(
            name,
            f"The home is locked by {who}.",
            "Look for a run in another container or on another machine, or for a child of that process.",
        )
    if state.pid is not None and not state.alive:
        return ok(name, f"No process holds the home; its lock file is from process {state.pid}, which has ended.")
    return ok(name, "No process holds the home.")


def _damage(survey: TableSurvey) -> Check | None:
    name = f"lake.{survey.name}"
    if survey.error is not None:
        return failure_of(name, survey.error)
    lost = [*(f"{p} {NOT_THERE}" for p in survey.missing), *(f"{p} {OTHER_SIZE}" for p in survey.altered)]
    if not lost:
        return None
    more = f" (and {len(lost) - 1} more of {survey.files} files)" if len(lost) > 1 else ""
    if survey.name in REFILLED:
        return failure(name, f"The data file {lost[0]}{more}.", refill([survey.name]))
    # Tables that rows are merged into are read before they are written, so a run cannot mend those.
    ladder = (
        f"Run the same dates again; if that is refused, restore lake/{survey.name} from a copy, or remove that folder"
    )
    anew = ", which starts its record anew." if survey.name in _LEDGERS else " and run all dates again."
    return failure(name, f"The data file {lost[0]}{more}.", ladder + anew)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
