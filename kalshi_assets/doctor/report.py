"""Checks as a table for a person and as JSON for a program.

This prints by itself what ``console`` prints for other commands: that module
rests on compiled libraries, which may be what is broken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from kalshi_assets.doctor.check import Check, State, exit_code

_WIDTH = 110
_COLOURS: dict[State, str] = {"ok": "green", "warning": "yellow", "failure": "bold red", "skipped": "cyan"}


def print_checks(checks: Sequence[Check], out: TextIO) -> None:
    """Write the table, as wide as the terminal, or 110 characters wide where there is none."""
    Console(file=out, highlight=False, width=None if out.isatty() else _WIDTH).print(check_table(checks))


@contextmanager
def reading() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal's standard error while data files are read; nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _done, _total: None
        return
    columns = (TextColumn("reading the lake"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def check_table(checks: Sequence[Check]) -> Table:
    """One line a check, what to do below what was found. Texts are shown as they are, never as markup."""
    table = Table(title=summary(checks), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("check", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("found", overflow="fold")
    for check in checks:
        words = Text(check.found)
        if check.advice:
            words.append(f"\n> {check.advice}", style="bold" if check.state == "failure" else "")
        table.add_row(Text(check.name), Text(check.state, style=_COLOURS[check.state]), words)
    return table


def summary(checks: Sequence[Check]) -> str:
    """How many checks ended how."""
    counts = Counter(c.state for c in checks)
    return ", ".join(f"{counts[state]} {state}" for state in _COLOURS if counts[state])


def check_json(checks: Sequence[Check]) -> dict[str, Any]:
    """The same as one JSON object."""
    counts = Counter(c.state for c in checks)
    return {
        "exit_code": exit_code(checks),
        "counts": {state: counts[state] for state in _COLOURS},
        "checks": [asdict(c) for c in checks],
    }
