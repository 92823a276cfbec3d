"""Wall time of short commands as a person starts them, against the bare interpreter and the imports they need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.measuring import Result, best_of
from kalshi_assets.emulator.simulate import simulate
from kalshi_assets.settings import facts_folder

COMMAND = Path(sys.executable).with_name("kalshi-assets")
_EVENT = """
    select event_ticker, strftime(release_time - interval 1 day, '%Y-%m-%dT%H:%M:%SZ') as as_of
    from events order by event_ticker limit 1
"""


def measure() -> Result:
    """Best of three of each, on a home filled from a simulated archive of two events a series."""
    with tempfile.TemporaryDirectory(prefix="bench-startup-") as folder:
        home = Path(folder, "home")
        archive = simulate(Path(folder, "archive"), facts=facts_folder(), events=2)
        _run([str(COMMAND), "run", "--source", f"archive:{archive}", "--json"], home)
        (event,) = json.loads(_run([str(COMMAND), "sql", _EVENT, "--format", "json"], home))
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "python -c 'import duckdb, deltalake, pyarrow'": [
                sys.executable, "-c", "import duckdb, deltalake, pyarrow"
            ],
            "python -c 'import numba, deltalake, pyarrow'": [sys.executable, "-c", "import numba, deltalake, pyarrow"],
            "kalshi-assets --help": [str(COMMAND), "--help"],
            "kalshi-assets sql 'select 1'": [str(COMMAND), "sql", "select 1"],
            "kalshi-assets sql 'select count(*) from quotes'": [str(COMMAND), "sql", "select count(*) from quotes"],
            "kalshi-assets distribution EVENT --as-of TIME": [
                str(COMMAND), "distribution", event["event_ticker"], "--as-of", event["as_of"]
            ],
        }  # fmt: skip
        seconds = {}
        for shown, command in commands.items():
            _run(command, home)
            seconds[shown] = best_of(3, lambda command=command: _run(command, home)).wall_s
    bare = next(iter(seconds.values()))
    return Result(
        "Startup: whole processes, after one warm-up each",
        ("command", "seconds", "times the bare interpreter"),
        [(shown, f"{s:.3f}", f"{s / bare:.1f}") for shown, s in seconds.items()],
        (f"The distribution is of {event['event_ticker']} as of {event['as_of']}.",),
    )


def _run(command: Sequence[str], home: Path) -> str:
    """Standard output of a command that must succeed, with no setting of ours but the home."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("KALSHI_", "FRED_", "DAGSTER_"))}
    done = subprocess.run(
        command, env={**kept, "KALSHI_ASSETS_HOME": str(home)}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
