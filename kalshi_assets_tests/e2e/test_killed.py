"""kill -9 in the middle of a run, then the plain run again: as if nothing had happened."""

import os
import random
import signal
import subprocess
import time

import pytest

from kalshi_assets_tests.conftest import COMMAND
from kalshi_assets_tests.e2e.content import content


def kill_after(ka, source, seconds):
    """Start a run, kill its whole process group after a while, and say whether it was still running."""
    with subprocess.Popen(
        [str(COMMAND), "run", "--source", source],
        env=ka.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as run:
        try:
            run.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            return True
    return False


def check_kills(ka, archive, expected, seed, kills, longest):
    rng = random.Random(seed)
    landed = sum(kill_after(ka, f"archive:{archive}", rng.uniform(1.0, longest)) for _ in range(kills))
    assert landed > 0
    ka.json("run", "--source", f"archive:{archive}", "--json")
    assert content(ka.home) == expected


def test_three_kills(ka, archive, filled):
    check_kills(ka, archive, content(filled[1].home), seed=7, kills=3, longest=9.0)


@pytest.mark.soak
def test_sixty_kills(ka, archive, filled):
    check_kills(ka, archive, content(filled[1].home), seed=11, kills=60, longest=12.0)


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
