"""The note of the stage at work: where it began, so that what it commits can be taken back if it breaks off.

In a folder the note is the text of the lock file, and whoever holds the lock may write it. In a
bucket it is an object of that name, and each change to it is a put that fails unless the object is
as it was seen last. The lock of a bucket lies in the home and tells, of the stages that began in
that home, the dead from the living; a stage of another home counts as at work until its note is too
old. Taking turns and taking back belong to ``transactions``.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kalshi_assets.errors import HomeInUse, StoreError
from kalshi_assets.store.bucket import open_bucket
from kalshi_assets.store.disk import disk_full, is_full
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.object_failures import explained

if TYPE_CHECKING:
    from obstore.store import S3Store

LOCK_NAME = "_transaction"
# Dagster ends a run after this long (``max_runtime_seconds`` in ``dagster.yaml``).
RUN_LIMIT = timedelta(seconds=7200)


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a transaction began.

    Attributes:
        pid: the process.
        run_id: what its commits are marked with.
        sequence: that of the newest lake snapshot.
        versions: the tables' versions.
        home: where the lake is in a bucket, a mark of the home that it began in.
    """

    pid: int
    run_id: str
    sequence: int
    versions: dict[str, int]
    home: str = ""


class FileNote:
    """The note in the lock file of a lake in a folder.

    Args:
        handle: of the lock file, locked: whoever left a note in it is dead.
        folder: the lake.
    """

    home = ""

    def __init__(self, handle: int, folder: Path) -> None:
        self._handle, self._folder = handle, folder

    def left(self) -> Beginning | None:
        """What a stage that broke off left; None where none did, or where its note was torn, before any commit."""
        return read_note(text_of(self._handle))

    def write(self, beginning: Beginning | None) -> None:
        """Leave a note, or none.

        Raises:
            StoreError: it cannot be written.
        """
        put_text(self._handle, self._folder, _text(beginning))

    def check(self) -> None:
        """Nobody else can have written."""


class ObjectNote:
    """The note of a lake in a bucket: empty where no stage is at work, absent where none ever was.

    Args:
        lake: the lake.
        home: a mark of this home, whose lock is held (see ``mark_of``).
        now: the clock, UTC.
    """

    def __init__(self, lake: Lake, home: str, now: Callable[[], datetime]) -> None:
        self.home = home
        self._root, self._now = lake.root, now
        self._bucket = open_bucket(lake.root, lake.tables.options)
        self._held = b""
        self._seen: dict[str, Any] = {}

    def left(self) -> Beginning | None:
        """What a stage of this home left, or one of another home whose time is over; None where no note is.

        Raises:
            HomeInUse: a stage of another home may be at work.
            StoreUnreachable: the bucket gives no answer.
        """
        self._held, self._seen = _fetch(self._bucket, self._root)
        found = read_note(self._held)
        if found is None or found.home == self.home:
            return found
        over = self._seen["last_modified"] + RUN_LIMIT
        if self._now() < over:
            raise HomeInUse(
                f"The lake {self._root} is being written by run {found.run_id[:8]} of another home, or that run broke "
                f"off: run it again there, or run this again after {over:%H:%M} UTC, which takes back what it left."
            )
        # Of two homes that find it, one makes it its own.
        ours = replace(found, home=self.home)
        self.write(ours)
        return ours

    def write(self, beginning: Beginning | None) -> None:
        """Leave a note, or none, in the place of the one that was seen last.

        Raises:
            HomeInUse: another home's note is there.
            StoreUnreachable: the bucket gives no answer.
        """
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        text, tag = _text(beginning), self._seen.get("e_tag")
        with explained(self._root):
            try:
                self._seen = dict(self._bucket.put(LOCK_NAME, text, mode="create" if tag is None else {"e_tag": tag}))
                self._held = text
                return
            except (AlreadyExistsError, PreconditionError):
                # A put whose answer was lost is tried again, and then finds itself there.
                self._expect(text)

    def check(self) -> None:
        """See that the note that was written last is there.

        Raises:
            HomeInUse: it is not.
            StoreUnreachable: the bucket gives no answer.
        """
        self._expect(self._held)

    def _expect(self, text: bytes) -> None:
        held, seen = _fetch(self._bucket, self._root)
        if held == text:
            self._held, self._seen = held, seen
            return
        # What is known of another's note is not kept: whoever lost the turn could put it away with that.
        other = read_note(held)
        who = f"run {other.run_id[:8]}" if other else "another run"
        raise HomeInUse(
            f"The lake {self._root} was taken over by {who} of another home while this run was at work: "
            "let one home at a time write, and run this again."
        )


def _fetch(bucket: S3Store, root: str) -> tuple[bytes, dict[str, Any]]:
    try:
        with explained(root):
            answer = bucket.get(LOCK_NAME)
            return bytes(answer.bytes()), dict(answer.meta)
    except FileNotFoundError:
        return b"", {}


def note_text(lake: Lake) -> bytes:
    """The text of a lake's note, empty where there is none; whether its holder lives is not asked.

    Raises:
        OSError: it is there and cannot be read.
        StoreUnreachable: the bucket gives no answer.
    """
    folder = lake.tables.folder
    if folder is None:
        return _fetch(open_bucket(lake.root, lake.tables.options), lake.root)[0]
    path = folder / LOCK_NAME
    return path.read_bytes() if path.is_file() else b""


def read_note(text: bytes) -> Beginning | None:
    """The note in a text; None for a text that is none, or half of one."""
    try:
        return Beginning(**json.loads(text))
    except (ValueError, TypeError):
        return None


def mark_of(handle: int, folder: Path) -> str:
    """A mark of the home with this lock file, written there at its first use; a copy of the file gives another."""
    mark = text_of(handle)
    if not mark:
        mark = uuid4().hex.encode()
        put_text(handle, folder, mark)
    return f"{mark.decode('ascii', 'replace')}-{os.fstat(handle).st_ino}"


def text_of(handle: int) -> bytes:
    """All that a file holds."""
    return os.pread(handle, os.fstat(handle).st_size, 0)


def put_text(handle: int, folder: Path, text: bytes) -> None:
    """Make a text all that the lock file holds.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        os.ftruncate(handle, 0)
        if os.pwrite(handle, text, 0) < len(text):
            # A torn note says nothing, and then what a killed holder had committed would stay.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise unusable(folder, error) from error


def unusable(folder: Path, error: OSError) -> StoreError:
    """The error for a lock file that cannot be made, read or written."""
    if is_full(error, folder):
        return disk_full(folder)
    return StoreError(
        f"The lock of the lake {folder / LOCK_NAME} cannot be used: {error.strerror or error}. "
        "Give a folder that can be written, on a disk with room."
    )


def _text(beginning: Beginning | None) -> bytes:
    return b"" if beginning is None else json.dumps(asdict(beginning)).encode()
