"""kill -9 in the middle of a run, then the plain run again: as if nothing had happened.

How many kills the soak makes is what ``KALSHI_ASSETS_KILLS`` says, 200 where it says nothing.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from multiprocessing.process import BaseProcess

import pytest

from kalshi_assets.emulator.simulate import simulate
from kalshi_assets.settings import facts_folder
from kalshi_assets.stages.evidence import STAGES
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.snapshots import all_snapshots
from kalshi_assets.store.transactions import LEDGERS
from kalshi_assets_tests import warm_runs
from kalshi_assets_tests.conftest import COMMAND, CommandLine
from kalshi_assets_tests.e2e.content import CONTENT, content

STARTED = re.compile(r"^\[(\d)/8\] ", re.MULTILINE)
# A stage of the small archive takes about so long.
LONGEST_DELAY_S = 1.0
# A home is finished and compared once it was killed as often as this.
MOST_KILLS_A_HOME = 8
# What a lake snapshot calls the moment that it was taken after.
PLACES = ["start", *STAGES, "forecast_scores"]
TAKEN_BACK = [name for name in CONTENT if name not in LEDGERS]


class Witness:
    """What a home must still hold after a kill: everything that was whole before it.

    Args:
        home: the home.
        whole: what the tables hold once a stage has ended, by the stage's place (0: before the first).
    """

    def __init__(self, home, whole):
        self.home = home
        self.whole = whole
        self.records = []
        self.held = {}
        self.versions = {}

    def stage(self):
        """The place of the furthest stage that ended."""
        return max((PLACES.index(r.stage) for r in self.records), default=0)

    def look(self, *, begun=0):
        """Check the home after a kill; the killed run had begun this stage, so those before it had ended."""
        if not (self.home / "lake").is_dir():
            assert not self.records
            assert begun < 2
            return
        lake = Lake(self.home / "lake")
        records = all_snapshots(lake)
        assert records[: len(self.records)] == self.records, "a recorded snapshot is gone or another"
        fresh, self.records = records[len(self.records) :], records
        assert self.stage() >= begun - 1, "a stage whose end was reported is not recorded"
        for record in fresh:
            self.held[record.snapshot_id] = at_record(lake, record)
        if records:
            assert self.held[records[-1].snapshot_id] == self.whole[self.stage()], "half a stage is published"
        versions = lake.versions()
        assert all(versions.get(name, -1) >= v for name, v in self.versions.items()), "a table went back"
        self.versions = versions

    def look_back(self):
        """Every snapshot that was ever recorded is read as it was then."""
        lake = Lake(self.home / "lake")
        for record in self.records:
            assert at_record(lake, record) == self.held[record.snapshot_id]


def at_record(lake, record):
    """The content at a snapshot; the ledgers, which a broken off stage keeps, aside."""
    then = lake.at(record.versions)
    return {name: then.content_hash(name) for name in TAKEN_BACK}


def contents_by_stage(home):
    """What an uninterrupted run left after each stage."""
    lake = Lake(home / "lake")
    records = all_snapshots(lake)
    assert [r.stage for r in records] == PLACES[: len(records)]
    assert len(records) > len(STAGES)
    return [at_record(lake, record) for record in records]


def start(ka, source, said, *, warm):
    if warm:
        return warm_runs.start(ka.environment(), said, "run", "--source", source)
    with said.open("w") as out:
        return subprocess.Popen(
            [str(COMMAND), "run", "--source", source],
            env=ka.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=out,
            start_new_session=True,
        )


def kill_in(ka, source, said, stage, delay, *, warm):
    """Start a run and kill its whole process group some time after it began a stage.

    Args:
        ka: the command on its home.
        source: what the run reads.
        said: file for what it says.
        stage: place of the stage, 0 for before the first.
        delay: seconds from its beginning.
        warm: whether the run starts in a process that has imported everything.

    Returns:
        The place of the stage that it was in; None if it had ended.
    """
    said.write_text("")
    run = start(ka, source, said, warm=warm)
    begun = None
    while (code := run.exitcode if isinstance(run, BaseProcess) else run.poll()) is None:
        now = time.monotonic()
        if begun is None and reached(said) >= stage:
            begun = now
        if begun is not None and now - begun >= delay:
            if isinstance(run, BaseProcess):
                warm_runs.kill(run)
            else:
                os.killpg(run.pid, signal.SIGKILL)
                run.wait()
            return reached(said)
        time.sleep(0.005)
    assert code == 0, said.read_text()
    return None


def reached(said):
    """The place of the stage that a run has reached, 0 before the first."""
    return max(map(int, STARTED.findall(said.read_text())), default=0)


def check_kills(folder, archive, filled, *, seed, kills, warm):
    """Kill runs in every stage and before the first; each home is finished by the plain command at last.

    Args:
        folder: where the homes are made.
        archive: what the runs read.
        filled: a home that an uninterrupted run over it left.
        seed: of the moments.
        kills: how many runs to kill while they work.
        warm: whether the run of this number starts in a process that has imported everything.

    Returns:
        The number of kills in each stage, 0 for those before the first.
    """
    rng = random.Random(seed)
    source, expected, whole = f"archive:{archive}", content(filled), contents_by_stage(filled)
    fell, homes, runs = Counter(), 0, 0
    while fell.total() < kills:
        ka = CommandLine(folder / f"home{homes}")
        homes += 1
        witness = Witness(ka.home, whole)
        for _ in range(MOST_KILLS_A_HOME):
            runs += 1
            # The stage that comes next is where most is at stake; one before it must stand being begun again.
            target = min(witness.stage() + rng.choice((0, 1, 1, 2)), len(STAGES))
            stage = kill_in(ka, source, folder / "said", target, rng.uniform(0.0, LONGEST_DELAY_S), warm=warm(runs))
            if stage is not None:
                fell[stage] += 1
            witness.look(begun=stage or 0)
            if fell.total() == kills or witness.stage() >= len(STAGES):
                break
        ka.json("run", "--source", source, "--json")
        witness.look(begun=len(STAGES) + 1)
        witness.look_back()
        assert content(ka.home) == expected
        shutil.rmtree(ka.home)
        print(f"{fell.total()} kills in {homes} homes:", {PLACES[n]: fell[n] for n in sorted(fell)}, flush=True)
    return fell


def test_three_kills(tmp_path, archive, filled):
    """The first run is the command itself, the others begin with its code imported."""
    check_kills(tmp_path, archive, filled[1].home, seed=7, kills=3, warm=lambda run: run > 1)


@pytest.mark.soak
def test_two_hundred_kills(tmp_path):
    """Every tenth run is the command itself, the others begin with its code imported."""
    archive = simulate(tmp_path / "archive", facts=facts_folder(), events=2)
    whole = CommandLine(tmp_path / "whole")
    whole.json("run", "--source", f"archive:{archive}", "--json")
    kills = int(os.environ.get("KALSHI_ASSETS_KILLS", "200"))
    fell = check_kills(tmp_path, archive, whole.home, seed=11, kills=kills, warm=lambda run: run % 10 != 0)
    assert fell.total() == kills
    assert kills < 50 or all(fell[n] > 0 for n in range(len(STAGES) + 1)), "some stage was never killed in"


def test_the_loopback_exchange_dies_with_its_parent(ka, archive):
    with subprocess.Popen(
        [str(COMMAND), "run", "--source", f"archive:{archive}"],
        env=ka.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        assert run.stderr is not None
        while "quotes: 0/" not in run.stderr.readline():
            assert run.poll() is None
        listed = subprocess.run(["pgrep", "-P", str(run.pid), "-f", "emulator.process"], capture_output=True, text=True)
        child = int(listed.stdout)
        os.kill(run.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while alive(child) and time.monotonic() < deadline:
            time.sleep(0.05)
    assert not alive(child)


def alive(pid):
    """Whether a process runs; one that ended but was not collected yet does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")
