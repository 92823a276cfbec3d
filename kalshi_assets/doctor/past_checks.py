"""What runs left behind in a lake: recorded states, files that nothing names, a stage that broke off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kalshi_assets.doctor.check import Check, ok, warning
from kalshi_assets.doctor.disk_checks import megabytes
from kalshi_assets.doctor.lake_checks import LockState, lock_state
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.maintenance import SAFETY
from kalshi_assets.store.past_versions import SnapshotFault, snapshot_faults, stray_files
from kalshi_assets.store.stage_notes import LOCK_NAME, note_text, read_note

PAST, STRAYS, STAGE = "lake.past", "lake.strays", "lake.stage"


@dataclass(frozen=True, slots=True)
class Stray:
    """A file that no version names.

    Attributes:
        path: relative to the lake.
        size: bytes.
    """

    path: str
    size: int


def check_past(lake: Lake) -> list[Check]:
    """The lake snapshots before the newest."""
    return [judge_past([f for f in snapshot_faults(lake) if not f.newest])]


def check_strays(lake: Lake) -> list[Check]:
    """Files that no version ever named; those of a writer at work do not count."""
    folder = lake.tables.folder
    quiet = folder is not None and not lock_state(folder / LOCK_NAME).held
    before = None if quiet else datetime.now(UTC) - SAFETY
    return [
        judge_strays(
            {
                name: [Stray(i.path, i.size or 0) for i in infos if before is None or (i.mtime and i.mtime < before)]
                for name, infos in stray_files(lake).items()
            }
        )
    ]


def check_stage(lake: Lake) -> list[Check]:
    """The note that a stage leaves while it works."""
    folder = lake.lock_folder
    lock = lock_state(folder / LOCK_NAME) if folder is not None else LockState(held=False, pid=None, alive=False)
    return [judge_stage(lock, note_text(lake))]


def judge_past(faults: Sequence[SnapshotFault]) -> Check:
    """Earlier lake snapshots can still be read. Runs do not need them, so that none is no failure."""
    if not faults:
        return ok(PAST, "All earlier lake snapshots are complete.")
    first = next((f for f in faults if f.for_verdicts), faults[0])
    more = f" (and {len(faults) - 1} more lake snapshots are not whole)" if len(faults) > 1 else ""
    found = f"The lake snapshot {first.snapshot.snapshot_id[:8]} names {first.table} {first.version}, {first.words}"
    if first.for_verdicts:
        return warning(
            PAST,
            f"{found}{more}. A verdict rests on it.",
            f"Restore lake/{first.table} from a copy to verify that verdict again; runs do not need it.",
        )
    if first.by_log:
        return warning(
            PAST, f"{found}{more}.", f"Restore lake/{first.table}/_delta_log from a copy if versions of before matter."
        )
    return warning(PAST, f"{found}{more}.", "Restore it from a copy, or let `kalshi-assets doctor --repair` forget it.")


def judge_strays(strays: Mapping[str, Sequence[Stray]]) -> Check:
    """Nothing lies in the lake that no version names."""
    found = [s for some in strays.values() for s in some]
    if not found:
        return ok(STRAYS, "Every file belongs to a version of its table.")
    more = f" (and {len(found) - 1} more files)" if len(found) > 1 else ""
    return warning(
        STRAYS,
        f"No version names {found[0].path}{more}: {megabytes(sum(s.size for s in found))}.",
        "A run that was killed left it. `kalshi-assets maintain` removes it when it is a day old, "
        "`kalshi-assets doctor --repair` now.",
    )


def judge_stage(lock: LockState, text: bytes) -> Check:
    """No stage is under way, or one is, or one broke off.

    Args:
        lock: the lock that stages of this home take turns by.
        text: the note; empty where there is none.
    """
    if lock.held:
        return ok(STAGE, "A stage is at work on this lake.")
    if not text.strip():
        return ok(STAGE, "No stage has broken off.")
    note = read_note(text)
    if note is None:
        return warning(
            STAGE,
            f"The note of a stage that broke off, {LOCK_NAME}, was cut short before the stage had committed anything.",
            "Nothing is lost: the next run, or `kalshi-assets doctor --repair`, clears it.",
        )
    elsewhere = ", or is at work in another home" if note.home else ""
    until = " (of another home's only two hours after it began)" if note.home else ""
    return warning(
        STAGE,
        f"A stage of process {note.pid} (run {note.run_id[:8]}) broke off{elsewhere}; its note is {LOCK_NAME}.",
        f"The next run, or `kalshi-assets doctor --repair`, takes back what it had committed{until}.",
    )
