"""Runs of the command in children of a process that has imported it already: a start then costs little.

What a run does is the command's own code, and the process it does it in is as mortal as any
other. What a start itself does, imports and the installed program, is not tested so.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from multiprocessing.process import BaseProcess
from pathlib import Path

from kalshi_assets.cli import main


def run(environment: dict[str, str], *arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run the command to its end.

    Raises:
        subprocess.TimeoutExpired: it did not end in time, and was killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, said = Path(folder, "out"), Path(folder, "said")
        child = start(environment, said, *arguments, out=out)
        child.join(timeout)
        if child.exitcode is None:
            kill(child)
            raise subprocess.TimeoutExpired(arguments, timeout)
        return subprocess.CompletedProcess(
            ["kalshi-assets", *arguments], child.exitcode, out.read_text("utf-8"), said.read_text("utf-8")
        )


def start(environment: dict[str, str], said: Path, *arguments: str, out: Path = Path(os.devnull)) -> BaseProcess:
    """A run of the command as the leader of a process group; what it says on standard error goes to a file."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"{__package__}.everything"])
    child = context.Process(target=_run, args=(environment, str(out), str(said), arguments))
    child.start()
    return child


def kill(run: BaseProcess) -> None:
    """Kill a run and all that it started, as kill -9 does."""
    assert run.pid is not None
    os.killpg(run.pid, signal.SIGKILL)
    run.join()


def _run(environment: dict[str, str], out: str, said: str, arguments: tuple[str, ...]) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    for path, number in ((os.devnull, 0), (out, 1), (said, 2)):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(handle, number)
    # The server's children have no standard input of their own.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 (it lives as long as the process)
    tempfile.tempdir = None  # Found anew, by this environment.
    sys.argv = ["kalshi-assets", *arguments]
    main()
