"""The home's file system: room, inodes, and whether it does what commits and the lock rely on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kalshi_assets.doctor.check import Check, failure, ok, skipped, warning
from kalshi_assets.doctor.folders import FileOperations, nearest_existing, try_operations, write_refusal

LEAST_FREE_BYTES = 200_000_000
COMFORTABLE_FREE_BYTES = 2_000_000_000
LEAST_FREE_INODES = 1_000
COMFORTABLE_FREE_INODES = 20_000
# Their locks may hold on one machine only, and a rename may be seen late by another.
_SHARED = ("nfs", "cifs", "smb", "fuse", "9p", "afs", "ceph", "glusterfs", "lustre", "vboxsf", "virtiofs")


@dataclass(frozen=True, slots=True)
class Room:
    """Room on a file system.

    Attributes:
        free_bytes: bytes that this user may still write.
        lake_bytes: bytes that the lake takes now; 0 where it lies elsewhere.
        free_inodes: files that may still be made; None where the file system sets no number.
    """

    free_bytes: int
    lake_bytes: int
    free_inodes: int | None


def check_disk(home: Path, lake: Path | None) -> list[Check]:
    """Room and behaviour of the file system that holds, or will hold, the home."""
    there = nearest_existing(home)
    counts = os.statvfs(there)
    room = Room(
        counts.f_bavail * counts.f_frsize, size_of(lake) if lake else 0, counts.f_favail if counts.f_files else None
    )
    refusal = write_refusal(there)
    operations = (
        judge_operations(try_operations(there))
        if refusal is None
        else skipped("disk.operations", f"Nothing could be tried: {there} cannot be written ({refusal}).")
    )
    return [judge_space(room), judge_inodes(room), operations]


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder; 0 where it is not there, and what vanishes meanwhile does not count."""
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    total += size_of(Path(entry.path))
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    except OSError:
        return total
    return total


def judge_space(room: Room) -> Check:
    """Free bytes against fixed bounds, and against the lake, since a rewrite needs its room twice."""
    found = f"{megabytes(room.free_bytes)} free; the lake takes {megabytes(room.lake_bytes)} of this file system."
    advice = "Free some space, or move the home to a larger file system (KALSHI_ASSETS_HOME)."
    if room.free_bytes < LEAST_FREE_BYTES:
        return failure("disk.space", found, advice)
    if room.free_bytes < COMFORTABLE_FREE_BYTES:
        return warning("disk.space", found, advice)
    if room.free_bytes < room.lake_bytes:
        return warning("disk.space", f"{found} Rewriting all of it would not fit.", advice)
    return ok("disk.space", found)


def judge_inodes(room: Room) -> Check:
    """Files that may still be made: a lake has one a partition and version."""
    if room.free_inodes is None:
        return ok("disk.inodes", "The file system sets no number of files.")
    found = f"{room.free_inodes:,} more files can be made."
    advice = "Remove files that are not needed, or move the home to another file system (KALSHI_ASSETS_HOME)."
    if room.free_inodes < LEAST_FREE_INODES:
        return failure("disk.inodes", found, advice)
    if room.free_inodes < COMFORTABLE_FREE_INODES:
        return warning("disk.inodes", found, advice)
    return ok("disk.inodes", found)


def judge_operations(operations: FileOperations) -> Check:
    """Renames, locks and hard links: without one of them a commit or the lock on the home is not safe."""
    kind = operations.kind or "unknown"
    lacking = [
        words
        for works, words in (
            (operations.renames, "a rename does not replace a file"),
            (operations.locks, "a lock does not keep others out"),
            (operations.links, "a hard link cannot be made, which table commits need"),
        )
        if not works
    ]
    if lacking:
        return failure(
            "disk.operations",
            f"On this file system ({kind}) {', and '.join(lacking)}.",
            "Move the home to a local file system such as ext4, xfs or APFS (KALSHI_ASSETS_HOME).",
        )
    if kind.startswith(_SHARED):
        return warning(
            "disk.operations",
            f"Renames, locks and hard links work, but {kind} may keep locks on one machine only.",
            "Use this home from one machine at a time, or move it to a local file system (KALSHI_ASSETS_HOME).",
        )
    return ok("disk.operations", f"Renames, locks and hard links work ({kind}).")


def megabytes(count: int) -> str:
    """Bytes in the unit that suits them, in powers of ten."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
