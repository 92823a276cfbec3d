"""A disk that runs full: one sentence, nothing half, and the plain run again once there is room."""

import subprocess

import pytest

from kalshi_assets.emulator.simulate import simulate
from kalshi_assets.errors import DiskFull
from kalshi_assets.settings import facts_folder
from kalshi_assets.store.journal import FILE_NAME
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.snapshots import all_snapshots
from kalshi_assets.store.transactions import transaction
from kalshi_assets_tests.conftest import CommandLine
from kalshi_assets_tests.e2e.content import CONTENT, content
from kalshi_assets_tests.store.rows import day, quote, table

SENTENCE = "The disk that holds {place} is full: free some space there"


class SmallDisk:
    """A file system in memory of a given size, which can grow."""

    def __init__(self, folder):
        self.folder = folder

    def mount(self, kilobytes):
        self.folder.mkdir()
        self._do("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(self.folder))

    def grow(self, kilobytes):
        self._do("mount", "-o", f"remount,size={kilobytes}k", str(self.folder))

    def unmount(self):
        # Whatever still holds a file there, the mount is gone for everybody else.
        self._do("umount", "--lazy", str(self.folder))

    def fill(self):
        """Leave not one page."""
        with (self.folder / "ballast").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                return

    @staticmethod
    def _do(*command):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"needs the right to mount a small tmpfs: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path):
    """Not mounted yet."""
    disk = SmallDisk(tmp_path / "disk")
    yield disk
    if disk.folder.is_mount():
        disk.unmount()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An archive of two releases a series, and the content of an uninterrupted run over it."""
    folder = tmp_path_factory.mktemp("small")
    archive = simulate(folder / "archive", facts=facts_folder(), events=2)
    ka = CommandLine(folder / "home")
    ka.json("run", "--source", f"archive:{archive}", "--json")
    return archive, content(ka.home), ka.home


def snapshots(home):
    """The content at each snapshot."""
    lake = Lake(home / "lake")
    return {r.snapshot_id: [lake.at(r.versions).content_hash(n) for n in CONTENT] for r in all_snapshots(lake)}


def check_full(disk, small, kilobytes):
    """Run on a disk of that size; how many snapshots were recorded before it was full."""
    archive, expected, _ = small
    disk.mount(kilobytes)
    ka = CommandLine(disk.folder / "home")
    said = ka.sentence("run", "--source", f"archive:{archive}", code=1)
    assert SENTENCE.format(place=ka.home) in said or SENTENCE.format(place=ka.home / "lake") in said
    before = snapshots(ka.home)
    disk.grow(256_000)
    ka.json("run", "--source", f"archive:{archive}", "--json")
    assert content(ka.home) == expected
    after = snapshots(ka.home)
    assert {i: after[i] for i in before} == before
    return len(before)


def test_a_run_on_a_disk_that_runs_full(disk, archive, filled):
    check_full(disk, (archive, content(filled[1].home), filled[1].home), 1200)


@pytest.mark.soak
@pytest.mark.parametrize("part", [0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
def test_runs_on_disks_of_many_sizes(disk, small, part):
    """Parts of what a whole run takes, so that one stage after another finds no room."""
    whole = sum(f.stat().st_size for f in small[2].rglob("*") if f.is_file()) // 1024
    print(f"{part:.0%} of {whole} kB:", check_full(disk, small, max(64, int(whole * part))), "snapshots before")


def rows(n):
    return table("quotes", [quote(day(d), m) for d in range(4) for m in range(n)])


def test_a_replace_without_room_leaves_the_old_state(disk):
    disk.mount(1024)
    lake, scope = Lake(disk.folder / "lake"), Scope([day(d) for d in range(4)])
    lake.replace("quotes", rows(3), scope=scope, run_id="old")
    disk.fill()
    with pytest.raises(DiskFull, match=SENTENCE.format(place=disk.folder / "lake")):
        lake.replace("quotes", rows(30), scope=scope, run_id="new")
    for reader in (lake, Lake(disk.folder / "lake")):
        assert reader.version("quotes") == 1
        assert reader.read("quotes").num_rows == 12
    disk.grow(8192)
    assert lake.replace("quotes", rows(30), scope=scope, run_id="new").version == 2
    assert lake.read("quotes").num_rows == 120


def test_a_transaction_without_room_is_taken_back_by_the_next(disk):
    disk.mount(1024)
    lake, scope = Lake(disk.folder / "lake"), Scope([day(d) for d in range(4)])
    lake.replace("quotes", rows(3), scope=scope, run_id="old")

    def run_full():
        with transaction(lake, "first"):
            lake.replace("quotes", rows(4), scope=scope, run_id="first")
            disk.fill()
            lake.replace("quotes", rows(30), scope=scope, run_id="first")

    with pytest.raises(DiskFull):
        run_full()
    assert lake.read("quotes").num_rows == 16  # not even taking back found room
    disk.grow(8192)
    with transaction(lake, "second"):
        assert lake.read("quotes").num_rows == 12


@pytest.mark.soak
@pytest.mark.parametrize("where", ["dagster/history/index.db", f"ingest/{FILE_NAME}"])
def test_the_databases_of_a_run_without_room(disk, small, where):
    """What is not the lake fills up, too: Dagster's log of events, and the journal of downloads."""
    archive, expected, _ = small
    disk.mount(64)
    ka = CommandLine(disk.folder.parent / "home")
    place = (ka.home / where).parent
    place.parent.mkdir(parents=True)
    place.symlink_to(disk.folder)
    said = ka.sentence("run", "--source", f"archive:{archive}", code=1)
    assert SENTENCE.format(place=ka.home) in said
    disk.grow(64_000)
    ka.json("run", "--source", f"archive:{archive}", "--json")
    assert content(ka.home) == expected
