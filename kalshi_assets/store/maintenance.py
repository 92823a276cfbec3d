"""The lake's upkeep: small files compacted, logs summed up, old lake snapshots expired, unneeded files removed.

What a verdict rests on is never removed, however old: the first lake snapshot that
holds a version of the table of verdicts stays for ever, and with it the versions
that it names. Killed at any instant, what is left is done the next time.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any
from uuid import uuid4

import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from kalshi_assets.core.tables import TABLES
from kalshi_assets.store.clean_up import checkpoints, data_files, unneeded
from kalshi_assets.store.commits import KEEP_LOG, missing_properties, set_properties
from kalshi_assets.store.compaction import compact, scattered
from kalshi_assets.store.conform import first_breach, spec_of
from kalshi_assets.store.files import read_files
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.snapshot_records import FOLDER, LakeSnapshot
from kalshi_assets.store.snapshots import all_snapshots, forget_snapshots, newest_snapshot, record_snapshot
from kalshi_assets.store.transactions import transaction

KEEP_DAYS = 90
KEEP_NEWEST = 10
# A writer that works for longer between writing a file and committing it would lose the file.
SAFETY = timedelta(hours=24)
_ENTRIES_WITHOUT_CHECKPOINT = 20


@dataclass(frozen=True, slots=True)
class TableUpkeep:
    """What was done to one table; in a dry run, what would be.

    Attributes:
        table: its name; ``_snapshots`` holds the records of lake snapshots.
        files_before, files_after: data files in its folder, those of past versions among them.
        bytes_freed: size of the files that were removed.
        compacted: partitions whose small files became one.
        checkpointed: whether its log was summed up.
    """

    table: str
    files_before: int
    files_after: int
    bytes_freed: int
    compacted: int
    checkpointed: bool


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """What was done; in a dry run, what would be.

    Attributes:
        dry_run: whether nothing was done.
        snapshots_before, snapshots_after: records of lake snapshots.
        kept_for_verdicts: those that stay, however old, because a verdict rests on them.
        tables: one entry for each table that was ever written.
    """

    dry_run: bool
    snapshots_before: int
    snapshots_after: int
    kept_for_verdicts: int
    tables: tuple[TableUpkeep, ...]

    @property
    def files_before(self) -> int:
        """Data files before."""
        return sum(t.files_before for t in self.tables)

    @property
    def files_after(self) -> int:
        """Data files after."""
        return sum(t.files_after for t in self.tables)

    @property
    def bytes_freed(self) -> int:
        """Bytes of the files that were removed."""
        return sum(t.bytes_freed for t in self.tables)

    def as_json(self) -> dict[str, Any]:
        """The report for a script."""
        totals = {name: getattr(self, name) for name in ("files_before", "files_after", "bytes_freed")}
        return {**asdict(self), **totals, "tables": [asdict(t) for t in self.tables]}

    def text(self) -> str:
        """The report for a person, one paragraph."""
        would = "Nothing was done; this would be: " if self.dry_run else ""
        compacted = sum(t.compacted for t in self.tables)
        return (
            f"{would}{self.files_before:,} data files before, {self.files_after:,} after, "
            f"{self.bytes_freed / 1e6:,.1f} MB freed; {compacted} partitions compacted, "
            f"{sum(t.checkpointed for t in self.tables)} logs summed up; {self.snapshots_before:,} lake snapshots "
            f"before, {self.snapshots_after:,} after, {self.kept_for_verdicts:,} of them kept for verdicts."
        )


def maintain(
    lake: Lake,
    *,
    keep_days: int = KEEP_DAYS,
    keep_newest: int = KEEP_NEWEST,
    dry_run: bool = False,
    safety: timedelta = SAFETY,
    now: datetime | None = None,
) -> MaintenanceReport:
    """Do the upkeep of a lake. The content of tables, as it is and as kept snapshots name it, does not change.

    Args:
        lake: the lake, at its newest versions.
        keep_days: lake snapshots that were recorded in the last so many days stay.
        keep_newest: so many of the newest stay in any case, and those that a verdict rests on.
        dry_run: only say what would be done.
        safety: files that no kept version names stay until they are this old.
        now: the present, UTC; the clock's when None.

    Raises:
        StoreError: a table is damaged; nothing of it is removed.
        HomeInUse: a stage holds the lake for too long, or one of another home may be at work in its bucket.
    """
    if not lake.versions():
        return MaintenanceReport(dry_run, 0, 0, 0, ())
    moment, run_id = now or datetime.now(UTC), f"maintain-{uuid4()}"
    with nullcontext() if dry_run else transaction(lake, run_id, now=lambda: moment):
        if dry_run:
            compacted = {name: len(scattered(lake.files(name))) for name in lake.versions()}
        else:
            compacted = {name: _improve(lake, name, run_id) for name in lake.versions()}
            newest = newest_snapshot(lake)
            if newest is not None and newest.versions != lake.versions():
                record_snapshot(
                    lake, stage="maintain", run_id=run_id, code_version=version("kalshi_assets"), config_hash=""
                )
        held = all_snapshots(lake)
        for_verdicts = snapshots_of_verdicts(held)
        kept = kept_snapshots(held, moment - timedelta(days=keep_days), keep_newest)
        expired = sorted({s.snapshot_id for s in held} - {s.snapshot_id for s in kept})
        if expired and not dry_run:
            forget_snapshots(lake, expired, run_id)
        # Without a record nothing says what a verdict rests on, so nothing can be told to be unneeded.
        names = [*compacted, FOLDER] if held else []
        tables = [_tidy(lake, name, kept, compacted.get(name, 0), moment - safety, dry_run=dry_run) for name in names]
    return MaintenanceReport(dry_run, len(held), len(kept), len(for_verdicts), tuple(tables))


def kept_snapshots(held: Sequence[LakeSnapshot], since: datetime, keep_newest: int) -> list[LakeSnapshot]:
    """Of all records, in order, those that stay: recorded since a time, the newest ones, and those of verdicts."""
    lasting = {s.snapshot_id for s in (*held[max(len(held) - keep_newest, 0) :], *snapshots_of_verdicts(held))}
    return [s for s in held if s.recorded_at >= since or s.snapshot_id in lasting]


def snapshots_of_verdicts(held: Sequence[LakeSnapshot]) -> list[LakeSnapshot]:
    """Of all records, in order, the first for each version of the table of verdicts: what its new verdicts rest on."""
    first: dict[int, LakeSnapshot] = {}
    for snapshot in held:
        if "verdicts" in snapshot.versions:
            first.setdefault(snapshot.versions["verdicts"], snapshot)
    return list(first.values())


def _improve(lake: Lake, name: str, run_id: str) -> int:
    """Compact a table, and bind other engines where code of before did not."""
    try:
        _bind_others(lake, name, run_id)
    except CommitFailedError:
        pass  # Another writer came first; the next time will do.
    except (DeltaError, OSError) as error:
        raise lake.tables.broken(name, error) from error
    return compact(lake, name, run_id)


def _bind_others(lake: Lake, name: str, run_id: str) -> None:
    """Keep other engines from cutting a table's log and, where its rows keep the checks, from breaking those."""
    spec, state = spec_of(name), lake.tables.state(name)
    missing = missing_properties(spec, state.delta) if state.delta is not None else {}
    if missing.keys() - KEEP_LOG.keys():
        # One file at a time, because a table may be larger than the memory.
        contents = (read_files(spec, lake.filesystem, [file], columns=spec.schema.names) for file in state.files)
        if any(first_breach(spec, rows) is not None for rows in contents):
            # A constraint that stored rows break would be a lie; `doctor` names them.
            missing = {name: value for name, value in missing.items() if name in KEEP_LOG}
    if state.delta is not None and missing:
        set_properties(state.delta, missing, run_id)


def _tidy(
    lake: Lake, name: str, kept: Sequence[LakeSnapshot], compacted: int, older_than: datetime, *, dry_run: bool
) -> TableUpkeep:
    """Sum up a table's log and remove the files that no kept version names."""
    try:
        delta = DeltaTable(lake.tables.address(name), storage_options=lake.tables.options)
        checkpoint = _wants_checkpoint(lake, name, delta)
        if checkpoint and not dry_run:
            delta.create_checkpoint()
        # Of the records of snapshots only the newest version is ever read.
        versions = {s.versions[name] for s in kept if name in s.versions} if name in TABLES else set()
        before = len(data_files(lake, name))
        gone = unneeded(lake, name, delta, versions, older_than=older_than)
        if not dry_run:
            for info in gone:
                lake.filesystem.delete_file(info.path)
    except (DeltaError, OSError) as error:
        raise lake.tables.broken(name, error) from error
    freed = sum(info.size or 0 for info in gone)
    return TableUpkeep(name, before, before - len(gone), freed, compacted, checkpoint)


def _wants_checkpoint(lake: Lake, name: str, delta: DeltaTable) -> bool:
    listed = lake.filesystem.get_file_info(pafs.FileSelector(f"{name}/_delta_log"))
    return delta.version() - max(checkpoints(listed), default=0) >= _ENTRIES_WITHOUT_CHECKPOINT
