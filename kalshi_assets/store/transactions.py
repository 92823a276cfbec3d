"""One stage at a time changes the lake, and one that broke off leaves nothing behind.

A stage writes several tables, each in a commit of its own. A lock that the kernel drops with
its holder keeps the writers of a home apart, and a note says where the holder began (``stage_notes``):
whoever finds the note of a dead holder takes its commits back. For a lake in a folder, lock and note are
one file in it. For a lake in a bucket the lock lies in the home and the note in the bucket, where it
keeps other homes out. What readers see is the business of ``snapshots``.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from deltalake.exceptions import DeltaError

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import HomeInUse, StoreError, StoreUnreachable
from kalshi_assets.store.commits import restore_version
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.snapshots import newest_snapshot, record_snapshot
from kalshi_assets.store.stage_notes import (
    LOCK_NAME,
    RUN_LIMIT,
    Beginning,
    FileNote,
    ObjectNote,
    mark_of,
    read_note,
    text_of,
    unusable,
)

# They say what was done and hold no market data: counts of trials in particular must survive a kill.
LEDGERS = frozenset({"trials", "gate_evidence", "ingest_log", "ingest_checkpoints"})
_POLL_S = 0.05
_PATIENCE_S = RUN_LIMIT.total_seconds()


def _utc_now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def transaction(
    lake: Lake,
    run_id: str,
    *,
    patience_s: float = _PATIENCE_S,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
    now: Callable[[], datetime] = _utc_now,
) -> Iterator[None]:
    """What the block commits under ``run_id`` stays if it records a lake snapshot, and is taken back if it breaks off.

    Other transactions of the home, and all of a lake in a folder, wait meanwhile. What one that was
    killed had committed is taken back first. Commits that were made by hand in between, and the ledgers,
    are left alone. The first transaction of a lake records what it finds, so that readers have a state to
    hold on to.

    Args:
        lake: the lake, at its newest versions.
        run_id: marks the commits of the block.
        patience_s: how long to wait for another holder.
        sleep: waits between attempts, in seconds.
        monotonic: the clock of the waiting, in seconds.
        now: tells whether another home's note in a bucket is too old to be that of a stage at work, UTC.

    Raises:
        HomeInUse: another holder is at work for longer than ``patience_s``; or the lake is in a bucket, and a
            stage of another home is at work or broke off less than two hours after it began.
        StoreError: the lock file cannot be used, or the lake is damaged.
    """
    with _turn(lake, patience_s, sleep, monotonic, now) as note:
        left = note.left()
        if left is not None:
            _take_back(lake, left)
        beginning = _begin(lake, run_id, note.home)
        note.write(beginning)
        lake.check_turn = note.check
        try:
            yield
        except StoreUnreachable:
            # Nor could anything be taken back; the note stays for the next transaction.
            raise
        except BaseException:  # An interrupt too: whatever ends a stage early, nothing of it may stay.
            _take_back(lake, beginning)
            note.write(None)
            raise
        finally:
            lake.check_turn = None
        note.write(None)


@contextmanager
def exclusive(
    lake: Lake,
    *,
    patience_s: float = _PATIENCE_S,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
    now: Callable[[], datetime] = _utc_now,
) -> Iterator[None]:
    """Keep the home's transactions out of a lake while its logs are mended, on which none could begin.

    Raises:
        HomeInUse: as ``transaction``.
        StoreError: the lock file cannot be used.
    """
    with _turn(lake, patience_s, sleep, monotonic, now) as note:
        note.left()
        yield


def _begin(lake: Lake, run_id: str, home: str) -> Beginning:
    newest = newest_snapshot(lake)
    if newest is None:
        record_snapshot(lake, stage="start", run_id=run_id, code_version="", config_hash="")
        newest = newest_snapshot(lake)
    assert newest is not None
    return Beginning(os.getpid(), run_id, newest.sequence, lake.versions(), home)


def _take_back(lake: Lake, beginning: Beginning) -> None:
    """Undo the commits of a transaction that no lake snapshot was recorded after."""
    newest = newest_snapshot(lake)
    if newest is None:
        return
    stays = beginning.versions if newest.sequence == beginning.sequence else newest.versions
    for name in TABLES:
        if name in LEDGERS:
            continue
        delta = lake.tables.open(name)
        before = stays.get(name, 0)
        if delta is None or delta.version() <= before:
            continue
        try:
            commits = delta.history(delta.version() - before)
            if all(commit.get("run_id") == beginning.run_id for commit in commits):
                restore_version(delta, before, beginning.run_id)
        except (DeltaError, OSError) as error:
            raise lake.tables.broken(name, error) from error


@contextmanager
def _turn(
    lake: Lake,
    patience_s: float,
    sleep: Callable[[float], None],
    monotonic: Callable[[], float],
    now: Callable[[], datetime],
) -> Iterator[FileNote | ObjectNote]:
    folder = lake.lock_folder
    if folder is None:
        raise StoreError(f"The lake {lake.root} was opened without a home, so no stage can write to it.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise unusable(folder, error) from error
    try:
        until = monotonic() + patience_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() >= until:
                    raise _busy(lake, handle, patience_s) from None
                sleep(_POLL_S)
        in_folder = lake.tables.folder is not None
        yield FileNote(handle, folder) if in_folder else ObjectNote(lake, mark_of(handle, folder), now)
    finally:
        # Closing drops the lock. The file stays: removing it would let a waiter lock a file that is gone.
        os.close(handle)


def _busy(lake: Lake, handle: int, patience_s: float) -> HomeInUse:
    holder = read_note(text_of(handle))
    who = f"process {holder.pid} (run {holder.run_id[:8]})" if holder else "another process"
    return HomeInUse(
        f"The lake {lake.root} was being written by {who} for {patience_s / 60:.0f} minutes; "
        "wait until it ends, or end it, and run the same command again."
    )
