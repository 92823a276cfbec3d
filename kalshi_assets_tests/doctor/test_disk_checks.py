"""Room, inodes, and what a file system does when asked."""

from pathlib import Path

import pytest

from kalshi_assets.doctor import folders
from kalshi_assets.doctor.disk_checks import (
    Room,
    check_disk,
    judge_inodes,
    judge_operations,
    judge_space,
    megabytes,
    size_of,
)
from kalshi_assets.doctor.folders import FileOperations, file_system, nearest_existing, try_operations, write_refusal

GB = 1_000_000_000


@pytest.mark.parametrize(
    ("free", "lake", "state"),
    [
        (199_999_999, 0, "failure"),
        (200_000_000, 0, "warning"),
        (1_999_999_999, 0, "warning"),
        (2 * GB, 0, "ok"),
        (2 * GB, 2 * GB, "ok"),
        (2 * GB, 2 * GB + 1, "warning"),
        (100_000_000, 9 * GB, "failure"),
    ],
)
def test_space(free, lake, state):
    check = judge_space(Room(free, lake, None))
    assert check.state == state
    assert (check.advice is None) == (state == "ok")


@pytest.mark.parametrize(
    ("inodes", "state"), [(999, "failure"), (1_000, "warning"), (19_999, "warning"), (20_000, "ok"), (None, "ok")]
)
def test_inodes(inodes, state):
    assert judge_inodes(Room(0, 0, inodes)).state == state


@pytest.mark.parametrize(
    ("operations", "state", "word"),
    [
        (FileOperations("ext4", True, True, True), "ok", "ext4"),
        (FileOperations(None, True, True, True), "ok", "unknown"),
        (FileOperations("nfs4", True, True, True), "warning", "nfs4"),
        (FileOperations("fuse.sshfs", True, True, True), "warning", "fuse"),
        (FileOperations("nfs4", True, False, True), "failure", "lock"),
        (FileOperations("ext4", False, True, True), "failure", "rename"),
        (FileOperations("vfat", True, True, False), "failure", "hard link"),
    ],
)
def test_operations(operations, state, word):
    check = judge_operations(operations)
    assert check.state == state
    assert word in check.found


def test_this_file_system_is_tried_and_left_clean(tmp_path):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "data").write_bytes(b"x" * 12_345)
    checks = {c.name: c for c in check_disk(tmp_path, tmp_path / "lake")}
    assert checks["disk.operations"].state in ("ok", "warning")
    assert "0.0 MB" in checks["disk.space"].found
    assert [p.name for p in tmp_path.iterdir()] == ["lake"]


def test_a_folder_that_refuses_is_not_tried(sealed):
    checks = {c.name: c for c in check_disk(sealed, sealed / "lake")}
    assert checks["disk.operations"].state == "skipped"
    assert "Permission denied" in checks["disk.operations"].found
    assert checks["disk.space"].state != "skipped"
    assert write_refusal(sealed) == "Permission denied"


def test_what_does_not_work_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(folders.fcntl, "flock", lambda handle, how: None)
    monkeypatch.setattr(folders.os, "link", lambda old, new: Path(new).touch())
    done = try_operations(tmp_path)
    assert (done.renames, done.locks, done.links) == (True, False, False)


def test_the_deepest_mount_holds_a_folder(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    monkeypatch.setattr(folders, "_MOUNTS", mounts)
    assert file_system(tmp_path) is None
    mounts.write_text("a / ext4 rw 0 0\nb /srv nfs4 rw 0 0\nc /srv/big\\040disk xfs rw 0 0\nd /srv tmpfs rw 0 0\n")
    assert file_system(Path("/home")) == "ext4"
    assert file_system(Path("/srv/lake")) == "tmpfs"
    assert file_system(Path("/srv/big disk/lake")) == "xfs"
    assert file_system(Path("/srvx")) == "ext4"


def test_sizes(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "x").write_bytes(b"1" * 10)
    (tmp_path / "a" / "b" / "y").write_bytes(b"1" * 32)
    assert size_of(tmp_path) == 42
    assert size_of(tmp_path / "absent") == 0
    assert (megabytes(1_500_000), megabytes(2_340_000_000)) == ("1.5 MB", "2.3 GB")
    assert nearest_existing(tmp_path / "a" / "no" / "such") == tmp_path / "a"
