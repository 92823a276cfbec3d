"""One stage at a time changes the lake, and one that broke off leaves nothing behind.

A stage writes several tables, each in a commit of its own. In a folder, a lock that the kernel
drops with its holder keeps the writers apart, and a note in the lock file says where
the holder began: whoever finds the note of a dead holder takes its commits back. In
a bucket there is no such lock; there Dagster's limit of one writing run holds them apart
(``dagster.yaml``). What readers see is the business of ``snapshots``.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from deltalake.exceptions import DeltaError

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import HomeInUse, StoreError
from kalshi_assets.store.commits import restore_version
from kalshi_assets.store.disk import disk_full, is_full
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.snapshots import newest_snapshot, record_snapshot

LOCK_NAME = "_transaction"
# They say what was done and hold no market data: counts of trials in particular must survive a kill.
LEDGERS = frozenset({"trials", "gate_evidence", "ingest_log", "ingest_checkpoints"})
_POLL_S = 0.05
_PATIENCE_S = 2 * 3600.0


@dataclass(frozen=True, slots=True)
class _Beginning:
    """Where a transaction began.

    Attributes:
        pid: the process.
        run_id: what its commits are marked with.
        sequence: that of the newest lake snapshot.
        versions: the tables' versions.
    """

    pid: int
    run_id: str
    sequence: int
    versions: dict[str, int]


@contextmanager
def transaction(
    lake: Lake,
    run_id: str,
    *,
    patience_s: float = _PATIENCE_S,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """What the block commits under ``run_id`` stays if it records a lake snapshot, and is taken back if it breaks off.

    In a folder other transactions wait meanwhile, and what one that was killed had committed is taken
    back first. Commits that were made by hand in between, and the ledgers, are left alone. The
    first transaction of a lake records what it finds, so that readers have a state to hold on to.

    Args:
        lake: the lake, at its newest versions.
        run_id: marks the commits of the block.
        patience_s: how long to wait for another holder.
        sleep: waits between attempts, in seconds.
        monotonic: the clock of the waiting, in seconds.

    Raises:
        HomeInUse: another holder is at work for longer than ``patience_s``.
        StoreError: the lock file cannot be used, or the lake is damaged.
    """
    folder = lake.tables.folder
    if folder is None:
        _begin(lake, run_id)
        yield
        return
    with _held(folder, patience_s, sleep, monotonic) as handle:
        left = _read(handle)
        if left is not None:
            _take_back(lake, left)
        beginning = _begin(lake, run_id)
        _write(handle, folder, beginning)
        try:
            yield
        except BaseException:
            _take_back(lake, beginning)
            _write(handle, folder, None)
            raise
        _write(handle, folder, None)


@contextmanager
def exclusive(
    lake: Lake,
    *,
    patience_s: float = _PATIENCE_S,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Keep transactions out of a lake in a folder while its logs are mended, on which none could begin.

    Raises:
        HomeInUse: a transaction is at work for longer than ``patience_s``.
        StoreError: the lock file cannot be used.
    """
    folder = lake.tables.folder
    if folder is None:
        yield
        return
    with _held(folder, patience_s, sleep, monotonic):
        yield


def _begin(lake: Lake, run_id: str) -> _Beginning:
    newest = newest_snapshot(lake)
    if newest is None:
        record_snapshot(lake, stage="start", run_id=run_id, code_version="", config_hash="")
        newest = newest_snapshot(lake)
    assert newest is not None
    return _Beginning(os.getpid(), run_id, newest.sequence, lake.versions())


def _take_back(lake: Lake, beginning: _Beginning) -> None:
    """Undo the commits of a transaction that recorded no snapshot."""
    newest = newest_snapshot(lake)
    if newest is None or newest.sequence != beginning.sequence:
        return
    for name in TABLES:
        if name in LEDGERS:
            continue
        delta = lake.tables.open(name)
        before = beginning.versions.get(name, 0)
        if delta is None or delta.version() <= before:
            continue
        try:
            commits = delta.history(delta.version() - before)
            if all(commit.get("run_id") == beginning.run_id for commit in commits):
                restore_version(delta, before, beginning.run_id)
        except (DeltaError, OSError) as error:
            raise lake.tables.broken(name, error) from error


@contextmanager
def _held(
    folder: Path, patience_s: float, sleep: Callable[[float], None], monotonic: Callable[[], float]
) -> Iterator[int]:
    path = folder / LOCK_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        until = monotonic() + patience_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() >= until:
                    raise _busy(folder, handle, patience_s) from None
                sleep(_POLL_S)
        yield handle
    finally:
        # Closing drops the lock. The file stays: removing it would let a waiter lock a file that is gone.
        os.close(handle)


def _read(handle: int) -> _Beginning | None:
    """The note of a holder; None where there is none, or one that was torn before anything was committed."""
    text = os.pread(handle, os.fstat(handle).st_size, 0)
    try:
        return _Beginning(**json.loads(text))
    except (ValueError, TypeError):
        return None


def _write(handle: int, folder: Path, beginning: _Beginning | None) -> None:
    """Leave a note, or none."""
    try:
        os.ftruncate(handle, 0)
        if beginning is not None:
            note = json.dumps(asdict(beginning)).encode()
            if os.pwrite(handle, note, 0) < len(note):
                # A torn note says nothing, and then what a killed holder had committed would stay.
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise _unusable(folder, error) from error


def _busy(folder: Path, handle: int, patience_s: float) -> HomeInUse:
    holder = _read(handle)
    who = f"process {holder.pid} (run {holder.run_id[:8]})" if holder else "another process"
    return HomeInUse(
        f"The lake {folder} was being written by {who} for {patience_s / 60:.0f} minutes; "
        "wait until it ends, or end it, and run the same command again."
    )


def _unusable(folder: Path, error: OSError) -> StoreError:
    if is_full(error, folder):
        return disk_full(folder)
    return StoreError(
        f"The lock of the lake {folder / LOCK_NAME} cannot be used: {error.strerror or error}. "
        "Give a folder that can be written, on a disk with room."
    )
