"""Mending what can be mended: logs, damaged partitions, strays, records of past states.

A log's file is removed only where all that it said stands elsewhere in the log. A damaged data
file is taken out of its table, so that the next run fills the gap; the file itself stays until
``maintain`` removes it. What no run makes again, and what a copy of a log would bring back, is left alone.
Finding the damages belongs to ``log_files``, ``inspection`` and ``past_versions``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import StoreError
from kalshi_assets.store.commits import commit_files
from kalshi_assets.store.files import DataFile
from kalshi_assets.store.inspection import FileFault
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.log_files import LogFault, LogFiles
from kalshi_assets.store.maintenance import SAFETY
from kalshi_assets.store.past_versions import snapshot_faults, stray_files
from kalshi_assets.store.snapshots import forget_snapshots, newest_snapshot, record_snapshot
from kalshi_assets.store.transactions import LEDGERS

# Whole partitions of these are written by every run over their dates, from what the exchange serves or from
# other tables. All others hold what was decided or received once.
REFILLED = frozenset(
    {
        "contract_specs", "quotes", "trades", "rejected_rows", "distributions", "distribution_rungs",
        "trade_distributions", "feature_panel", "labels", "asset_responses", "folds", "forecast_errors",
        "forecast_scores",
    }
)  # fmt: skip
# Of these a run adds to what the lake holds; of what a damaged file held it has only what is served now.
SERVED = frozenset({"quotes", "trades"})
SERVED_NOW = (
    "fills it with what the exchange says now, dated as first seen, and rows that the exchange no longer serves "
    "(books, deleted contracts) are gone"
)


@dataclass(frozen=True, slots=True)
class Deed:
    """What was done about one damage.

    Attributes:
        done: False where it was refused.
        words: a sentence.
    """

    done: bool
    words: str


def mend_log(lake: Lake, name: str, recorded: int | None = None) -> list[Deed]:
    """Mend a table's log. No other writer may be at work.

    Args:
        lake: the lake.
        name: the table's folder.
        recorded: the newest of its versions that a lake snapshot names; None where that is not known. A damaged
            last entry behind it belongs to a stage that broke off, and is taken back like the rest of that stage.

    Raises:
        StoreError: the storage refused.
    """
    log = LogFiles(lake, name)
    deeds: list[Deed] = []
    last = next((f for f in log.faults if f.kind == "entry" and f.blocks and f.version == log.newest), None)
    if last is not None and recorded is not None and last.version > recorded and name not in LEDGERS:
        _delete(lake, name, [last.path])
        deeds.append(Deed(True, f"{last.path} {last.words}, and no lake snapshot names its version: removed."))
        log = LogFiles(lake, name)
    deeds += [_refused(f) for f in log.faults if f.blocks and not f.spare]
    spare = [f for f in log.faults if f.spare]
    if not spare or any(f.kind in ("entry", "gap") for f in log.faults if f.blocks):
        return deeds
    hints = [log.hint] if log.hint is not None else []
    wrong = [path for f in spare if f.kind == "checkpoint" for path in log.checkpoints[f.version]]
    _delete(lake, name, [*hints, *wrong])
    try:
        DeltaTable(lake.tables.address(name), storage_options=lake.tables.options).create_checkpoint()
    except (DeltaError, OSError) as error:
        raise lake.tables.broken(name, error) from error
    return deeds + [
        Deed(True, f"{f.path} {f.words}: removed; the log of {name} was read without it and summed up anew.")
        for f in spare
    ]


def drop_damaged(lake: Lake, faults: Sequence[FileFault], run_id: str) -> list[Deed]:
    """Take damaged files out of tables that a run fills again; refuse it for all other tables.

    Raises:
        StoreError: a commit was lost to another writer, or the storage refused.
    """
    deeds: list[Deed] = []
    by_table = groupby(sorted(faults, key=lambda f: f.table), key=lambda f: f.table)
    for name, found in ((name, list(group)) for name, group in by_table):
        if name not in REFILLED:
            deeds += [
                Deed(
                    False,
                    f"{f.file.path} {f.words}, and no run makes the rows of {name} again as they were: "
                    "restore that file from a copy.",
                )
                for f in found
            ]
            continue
        _remove(lake, name, [f.file for f in found], run_id)
        again = (
            f"a run over its date {SERVED_NOW}: restoring the lake from a copy is better."
            if name in SERVED
            else "run its date again to fill it."
        )
        deeds += [Deed(True, f"{f.file.path} {f.words}: taken out of {name}; {again}") for f in found]
    return deeds


def record_repair(lake: Lake, run_id: str) -> None:
    """Let readers see the mended tables, if the newest record names others."""
    newest = newest_snapshot(lake)
    if newest is not None and newest.versions != lake.versions():
        code = version("kalshi_assets")
        record_snapshot(lake, stage="repair", run_id=run_id, code_version=code, config_hash="")


def forget_damaged(lake: Lake, run_id: str) -> list[Deed]:
    """Forget the records of past states that nothing makes readable again, but for those that a verdict rests on.

    A record of a table whose log is damaged stays: it keeps ``maintain`` from the files that a copy of the log names.
    """
    faults = [f for f in snapshot_faults(lake) if not f.newest and not f.for_verdicts]
    gone = [f for f in faults if not f.by_log]
    if gone:
        forget_snapshots(lake, [f.snapshot.snapshot_id for f in gone], run_id)
    kept = Counter(f.table for f in faults if f.by_log)
    return [
        Deed(True, f"The lake snapshot {f.snapshot.snapshot_id[:8]} names {f.table} {f.version}, {f.words}: forgotten.")
        for f in gone
    ] + [
        Deed(
            False,
            f"The log of {table}, by which {n} earlier lake snapshots are read, is damaged: restore "
            f"lake/{table}/_delta_log from a copy; none of them is forgotten.",
        )
        for table, n in kept.items()
    ]


def remove_strays(lake: Lake, now: datetime | None = None) -> list[Deed]:
    """Remove files that no version ever named. In a bucket, which no lock guards, only those of an earlier day."""
    before = None if lake.tables.folder is not None else (now or datetime.now(UTC)) - SAFETY
    deeds: list[Deed] = []
    for name, infos in stray_files(lake).items():
        old = [i for i in infos if before is None or (i.mtime is not None and i.mtime < before)]
        _delete(lake, name, [info.path for info in old])
        deeds += [Deed(True, f"{info.path} was named by no version of {name}: removed.") for info in old]
    return deeds


def _delete(lake: Lake, name: str, paths: Sequence[str]) -> None:
    try:
        for path in paths:
            lake.filesystem.delete_file(path)
    except OSError as error:
        raise lake.tables.broken(name, error) from error


def _remove(lake: Lake, name: str, files: Sequence[DataFile], run_id: str) -> None:
    state = lake.tables.state(name)
    if state.delta is None:
        return
    paths = {f.path for f in files}
    try:
        commit_files(TABLES[name], state.delta, [], [f for f in state.files if f.path in paths], run_id)
    except CommitFailedError as error:
        raise StoreError(
            f"Table {name} was written by others during the repair; wait for them and repair again."
        ) from error
    except (DeltaError, OSError) as error:
        raise lake.tables.broken(name, error) from error


def _refused(fault: LogFault) -> Deed:
    return Deed(False, f"{fault.path} {fault.words}, and nothing else says what it said. {refusal(fault.table)}")


def refusal(name: str) -> str:
    """What is left to do about a log that cannot be mended."""
    if name in REFILLED:
        return (
            f"Restore lake/{name} from a copy; without one, move that folder away and run all dates again "
            f"(verdicts of before can then no longer be verified{_what_is_lost(name)})."
        )
    return f"Restore lake/{name} from a copy: no run makes its rows again as they were."


def _what_is_lost(name: str) -> str:
    return f"; a run {SERVED_NOW}" if name in SERVED else ""
