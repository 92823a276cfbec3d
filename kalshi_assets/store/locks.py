"""One process at a time on a home: an advisory lock that the kernel drops with its holder.

Which work needs the lock is the caller's choice; concurrent table writes are
safe without it (see ``commits``).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kalshi_assets.errors import HomeInUse, StoreError

LOCK_NAME = ".lock"


@contextmanager
def hold_home(home: Path) -> Iterator[None]:
    """Hold ``<home>/.lock`` while the block runs.

    The file stays behind and means nothing by itself: a holder that was killed holds no lock.

    Raises:
        HomeInUse: another holder, whose process id the message names.
        StoreError: the home cannot be created or written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = os.open(home / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(
            f"The home {home} cannot be locked: {error.strerror}. Give a folder that can be written."
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise HomeInUse(
                f"The home {home} is in use by process {holder}; wait until it ends, or choose another home."
            ) from error
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            raise StoreError(f"The home {home} cannot be locked: {error.strerror}. Give a disk with room.") from error
        yield
    finally:
        # Closing drops the lock. Removing the file would let a waiter lock a file that is gone.
        os.close(handle)
