"""Served archives, and places that refuse a user."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kalshi_assets.emulator.archive import Archive, load_archive
from kalshi_assets.emulator.server import serve
from kalshi_assets_tests.doctor.keys import ED, KEY_ID, RSA, public_pem

NOBODY = 65534


@pytest.fixture(scope="session")
def tiny(archive: Path) -> Archive:
    return load_archive(archive)


@pytest.fixture(scope="session")
def venue(tiny: Archive):
    """An exchange that knows one RSA and one Ed25519 key."""
    with serve(tiny, public_keys={KEY_ID: public_pem(ED), "rsa-key": public_pem(RSA)}) as server:
        yield server


@contextmanager
def sealing(folder: Path) -> Iterator[None]:
    """Nothing can be made in a folder meanwhile; the superuser, whom no mode stops, becomes somebody else."""
    folder.chmod(0o555)
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if was_root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.fixture
def open_home() -> Iterator[Path]:
    """An empty folder that every user can reach, unlike pytest's own."""
    above = Path(tempfile.mkdtemp())
    above.chmod(0o755)
    (above / "home").mkdir()
    yield above / "home"
    shutil.rmtree(above)


@pytest.fixture
def sealed(open_home: Path) -> Iterator[Path]:
    """A folder that the user may read but not write."""
    with sealing(open_home):
        yield open_home
