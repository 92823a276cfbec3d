"""What a folder allows, found out by doing it; whether that is enough is judged elsewhere."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

_PREFIX = ".kalshi-assets-doctor-"
_MOUNTS = Path("/proc/self/mounts")


@dataclass(frozen=True, slots=True)
class FileOperations:
    """What the file system under a folder did when asked.

    Attributes:
        kind: the file system's type; None where the system does not tell.
        renames: a file renamed over another replaces it.
        locks: a lock excludes a second holder.
        links: a hard link is made once and refused the second time.
    """

    kind: str | None
    renames: bool
    locks: bool
    links: bool


def nearest_existing(path: Path) -> Path:
    """The path itself, or the closest folder above it that is there."""
    return next((p for p in (path, *path.parents) if p.exists()), path)


def write_refusal(folder: Path) -> str | None:
    """The system's reason not to make a file in a folder; None where it lets us."""
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=_PREFIX):
            return None
    except OSError as error:
        return error.strerror or type(error).__name__


def try_operations(folder: Path) -> FileOperations:
    """Do in a folder what commits and the home's lock rely on, and leave nothing behind.

    Raises:
        OSError: nothing can be written there at all.
    """
    trial = Path(tempfile.mkdtemp(dir=folder, prefix=_PREFIX))
    try:
        return FileOperations(file_system(folder), _renames(trial), _locks(trial), _links(trial))
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def file_system(folder: Path) -> str | None:
    """The type of the file system that holds a folder; None where the system does not tell."""
    try:
        lines = _MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return None
    where = str(folder.resolve())
    held = [
        (len(point), at, fields[2])
        for at, fields in enumerate(line.split() for line in lines)
        if len(fields) > 2
        and (point := fields[1].replace("\\040", " "))
        and (where == point or where.startswith(f"{point.rstrip('/')}/"))
    ]
    # The deepest mount holds the folder, and of two at one point the later.
    return max(held)[2] if held else None


def _renames(trial: Path) -> bool:
    old, new = trial / "old", trial / "new"
    try:
        old.write_text("old")
        new.write_text("new")
        new.replace(old)
        return old.read_text() == "new" and not new.exists()
    except OSError:
        return False


def _locks(trial: Path) -> bool:
    path = trial / "lock"
    path.touch()
    first, second = os.open(path, os.O_RDWR), os.open(path, os.O_RDWR)
    try:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
    except OSError:
        return False
    finally:
        os.close(second)
        os.close(first)


def _links(trial: Path) -> bool:
    source, link = trial / "source", trial / "link"
    source.touch()
    try:
        os.link(source, link)
        os.link(source, link)
    except FileExistsError:
        return True
    except OSError:
        return False
    return False
