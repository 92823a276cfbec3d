"""What whole-graph tests share: a small simulated archive, and a home filled from it once."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_assets.emulator.simulate import simulate
from kalshi_assets.settings import facts_folder
from kalshi_assets_tests import warm_runs

PROJECT = Path(__file__).resolve().parent.parent
RECORDED = PROJECT.parent / "shared" / "archive" / "macro-run"
COMMAND = Path(sys.executable).with_name("kalshi-assets")


class CommandLine:
    """Runs the command on a home of its own, in a process of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def environment(self, **extra: str) -> dict[str, str]:
        """The process environment without any setting of ours but the home."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("KALSHI_", "FRED_", "DAGSTER_"))}
        return {**kept, "KALSHI_ASSETS_HOME": str(self.home), **extra}

    def __call__(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return warm_runs.run(self.environment(**extra), *arguments, timeout=300)

    def installed(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run the installed program, as a person would: it has to import everything first."""
        return subprocess.run(
            [str(COMMAND), *arguments], env=self.environment(**extra), capture_output=True, text=True, timeout=300
        )

    def json(self, *arguments: str, **extra: str):
        """The answer of a command that must succeed, as JSON."""
        done = self(*arguments, **extra)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def sentence(self, *arguments: str, code: int, **extra: str) -> str:
        """What a command that must fail says: one line, no traceback."""
        done = self(*arguments, **extra)
        lines = [line for line in done.stderr.strip().splitlines() if not line.startswith("[")]
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert len(lines) == 1, done.stderr
        return lines[0]


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Path:
    """Four releases of each series, simulated."""
    return simulate(tmp_path_factory.mktemp("archive") / "simulated", facts=facts_folder(), events=4)


@pytest.fixture(scope="session")
def filled(archive, tmp_path_factory):
    """The report of a whole run over the simulated archive, and the home that it filled. Not to be written to."""
    ka = CommandLine(tmp_path_factory.mktemp("filled"))
    return ka.json("run", "--source", f"archive:{archive}", "--json"), ka


@pytest.fixture
def ka(tmp_path) -> CommandLine:
    """The command on an empty home."""
    return CommandLine(tmp_path / "home")


@pytest.fixture
def ka_filled(filled, tmp_path) -> CommandLine:
    """The command on a private copy of the filled home."""
    shutil.copytree(filled[1].home, tmp_path / "home")
    return CommandLine(tmp_path / "home")


@pytest.fixture
def recorded() -> Path:
    """The recorded archive beside the project."""
    if not RECORDED.is_dir():
        pytest.skip("needs the recorded archive ../shared/archive/macro-run beside the project")
    return RECORDED
