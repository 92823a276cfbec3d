"""Runs of the command in children of a process that has imported it already: a start then costs little.

For tests that start hundreds of runs. What a run does is the command's own code, and the
process it does it in is as mortal as any other.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import kalshi_assets.console
import kalshi_assets.defs.backfill
import kalshi_assets.defs.report  # noqa: F401 (imported to be warm)
from kalshi_assets.cli import main


def start(environment: dict[str, str], said: Path, *arguments: str) -> BaseProcess:
    """A run of the command as the leader of a process group; what it says on standard error goes to a file."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    run = context.Process(target=_run, args=(environment, str(said), arguments))
    run.start()
    return run


def kill(run: BaseProcess) -> None:
    """Kill a run and all that it started, as kill -9 does."""
    assert run.pid is not None
    os.killpg(run.pid, signal.SIGKILL)
    run.join()


def _run(environment: dict[str, str], said: str, arguments: tuple[str, ...]) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    for path, number in ((os.devnull, 0), (os.devnull, 1), (said, 2)):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(handle, number)
    # The server's children have no standard input of their own.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 (it lives as long as the process)
    sys.argv = ["kalshi-assets", *arguments]
    main()
