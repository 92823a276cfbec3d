"""Mends what the checks of the lake find; how, and what is left alone, is ``store.repairing``'s.

In this order, because each step needs the one before: logs, the stage that broke off, damaged
files, records of past states, strays. A log that stays damaged is the end of it, since nothing that
rests on it can be judged. Whatever is left, the next examination names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import uuid4

from kalshi_assets.core.tables import TABLES
from kalshi_assets.doctor.content_checks import Progress, content_faults, stale_dates
from kalshi_assets.doctor.journal_checks import survey_journal
from kalshi_assets.doctor.past_checks import check_stage
from kalshi_assets.errors import KalshiAssetsError, StoreError
from kalshi_assets.settings import Settings
from kalshi_assets.stages.evidence import OUTPUTS
from kalshi_assets.store.files import DataFile
from kalshi_assets.store.inspection import FileFault
from kalshi_assets.store.journal import FILE_NAME
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.locks import hold_home
from kalshi_assets.store.opening import open_lake
from kalshi_assets.store.past_versions import REPAIR
from kalshi_assets.store.repairing import (
    REFILLED,
    Deed,
    drop_damaged,
    forget_damaged,
    mend_log,
    record_repair,
    remove_strays,
)
from kalshi_assets.store.snapshot_records import FOLDER
from kalshi_assets.store.snapshots import all_snapshots
from kalshi_assets.store.transactions import exclusive, transaction

# Someone waits for the answer.
_PATIENCE_S = 60.0


def repair(settings: Settings, progress: Progress) -> list[Deed]:
    """Mend the lake and the journal of a home.

    Args:
        settings: they name the home.
        progress: told how many bytes of how many were read.

    Returns:
        What was done and what was refused, in order; nothing where all is whole.

    Raises:
        HomeInUse: a run is at work.
        StoreError: the home cannot be written.
    """
    if settings.lake_address is None and not settings.home.is_dir():
        return []
    with hold_home(settings.home):
        lake = open_lake(settings, to_write=True)
        return repair_lake(lake, progress, journal=settings.ingest / FILE_NAME)


def repair_lake(lake: Lake, progress: Progress, *, journal: Path | None = None) -> list[Deed]:
    """Mend a lake; what cannot be mended is a deed that was refused.

    Args:
        lake: the lake.
        progress: told how many bytes of how many were read.
        journal: the home's journal of downloads, if it is to be mended, too.

    Raises:
        HomeInUse: a stage is at work; nothing was done.
    """
    deeds: list[Deed] = []
    with exclusive(lake, patience_s=_PATIENCE_S):
        # A stage that Dagster's UI started holds no home, and may be reading its journal.
        deeds += [] if journal is None else _mend_journal(journal)
        # The records first: which entries of other logs count is theirs to say.
        deeds += _attempted(lambda: mend_log(lake, FOLDER))
        recorded = _recorded(lake)
        for name in TABLES:
            known = None if recorded is None else recorded.get(name, -1)
            deeds += _attempted(partial(mend_log, lake, name, known))
    if any(not deed.done for deed in deeds):
        # By a log that lacks an entry, whole files look superfluous and whole states lost.
        left = "Until its logs are restored no file of the lake is taken out and no lake snapshot forgotten: repair "
        return [*deeds, Deed(False, f"{left}again then.")]
    return deeds + _attempted(partial(_mend_content, lake, progress))


def _mend_content(lake: Lake, progress: Progress) -> list[Deed]:
    if not lake.versions():
        return []
    run_id = f"{REPAIR}{uuid4()}"
    (stage,) = check_stage(lake)
    deeds = [] if stage.state == "ok" else [Deed(True, f"{stage.found} What it had committed was taken back.")]
    with transaction(lake, run_id, patience_s=_PATIENCE_S):
        faults, _ = content_faults(lake, progress)
        deeds += drop_damaged(lake, faults, run_id)
        record_repair(lake, run_id)
        stale, refused = _stale_files(lake)
        deeds += [*drop_damaged(lake, stale, run_id), *refused]
        record_repair(lake, run_id)
        deeds += [*forget_damaged(lake, run_id), *remove_strays(lake)]
    return deeds


def _stale_files(lake: Lake) -> tuple[list[FileFault], list[Deed]]:
    """Files with rows that no gate saw: those that a run fills again, and why the others stay."""
    faults: list[FileFault] = []
    refused: list[Deed] = []
    for one in stale_dates(lake)[0]:
        if one.emptied:
            continue
        if not all(table in REFILLED for table in OUTPUTS[one.stage]):
            where = " or ".join(p for some in one.files.values() for p in some)
            refused.append(
                Deed(
                    False,
                    f"What {one.stage} holds of {one.day} is not what its gates saw: restore {where} from a copy.",
                )
            )
            continue
        for table, paths in one.files.items():
            held: dict[str, DataFile] = {f.path: f for f in lake.files(table)}
            words = f"may hold rows of {one.day} that the gates of {one.stage} did not see"
            faults += [FileFault(table, held[p], words) for p in paths if p in held]
    return faults, refused


def _recorded(lake: Lake) -> dict[str, int] | None:
    """The newest version of each table that a lake snapshot names; None where the records do not say."""
    try:
        held = all_snapshots(lake)
    except StoreError:
        return None
    newest: dict[str, int] = {}
    for snapshot in held:
        for name, version in snapshot.versions.items():
            newest[name] = max(version, newest.get(name, -1))
    return newest if held else None


def _mend_journal(path: Path) -> list[Deed]:
    if not path.exists() or survey_journal(path).state != "damaged":
        return []
    for suffix in ("", "-wal", "-shm"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
    return [Deed(True, f"The journal of downloads {path} was damaged: removed; downloads under way begin anew.")]


def _attempted(step: Callable[[], list[Deed]]) -> list[Deed]:
    """A step's deeds; what stops it is one that was refused, and the others go on."""
    try:
        return step()
    except KalshiAssetsError as error:
        return [Deed(False, str(error))]
