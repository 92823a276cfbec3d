"""A disk without room, said in one sentence whoever ran into it first.

Arrow, delta-rs, SQLite and Dagster each word it in their own way, often wrapped in an error about
something else, so the whole chain of an error is looked at. What a bucket says is ``object_failures``'.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kalshi_assets.errors import DiskFull

_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
_WORDS = ("No space left on device", "os error 28", "database or disk is full", "Disk quota exceeded", "os error 122")
# SQLite says no more than this where its write-ahead index cannot grow.
_VAGUE = ("disk I/O error", "unable to open database file")
# What a page of a database or a folder needs.
_LEAST_BYTES = 65_536


class NoRoom(BaseException):
    """A full disk found where Dagster would report an ``Exception`` at length and go on."""


def is_full(error: BaseException, place: Path) -> bool:
    """Whether an error comes from a disk without room.

    Args:
        error: with its causes.
        place: a folder on the disk, or one that would be made there.
    """
    said = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if isinstance(link, NoRoom | DiskFull) or (isinstance(link, OSError) and link.errno in _ERRNOS):
            return True
        said.append(str(link))
        link = link.__cause__ or link.__context__
    text = "\n".join(said)
    return any(w in text for w in _WORDS) or (any(w in text for w in _VAGUE) and _free_bytes(place) < _LEAST_BYTES)


def disk_full(place: Path) -> DiskFull:
    """The sentence."""
    return DiskFull(
        f"The disk that holds {place} is full: free some space there, or move the home to a larger disk "
        "(KALSHI_ASSETS_HOME), and run the same command again; what was committed stays."
    )


@contextmanager
def full_disk_said(place: Path) -> Iterator[None]:
    """Turn what a full disk makes of the block into the sentence.

    Raises:
        DiskFull: the block failed for want of room.
    """
    try:
        yield
    except (Exception, NoRoom) as error:
        if is_full(error, place):
            raise disk_full(place) from error
        raise


def _free_bytes(place: Path) -> int:
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        there = os.statvfs(place)
    except OSError:
        return _LEAST_BYTES
    return there.f_bavail * there.f_frsize
