"""Taking times and showing them: the best of some calls, one plain table, and how busy the machine is.

What is measured belongs to the module of each bench.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of the best of some calls.

    Attributes:
        wall_s: by the clock on the wall.
        cpu_s: of this process, all its threads together.
    """

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """What one bench found.

    Attributes:
        title: what was measured, on how much data.
        columns: heads of the columns.
        rows: one row a figure; the first column is text.
        notes: what a reader must know to read the figures rightly.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def best_of(times: int, call: Callable[[], object]) -> Timing:
    """The least wall time and the least CPU time of some calls."""
    return in_turns(times, call)[0]


def in_turns(times: int, *calls: Callable[[], object]) -> list[Timing]:
    """The best of some rounds for each of some rivals, one call of each a round.

    Taking turns lets a neighbour's load fall on all of them alike.
    """
    rounds = [[_once(call) for call in calls] for _ in range(times)]
    return [Timing(min(t.wall_s for t in mine), min(t.cpu_s for t in mine)) for mine in zip(*rounds, strict=True)]


def _once(call: Callable[[], object]) -> Timing:
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return Timing(time.perf_counter() - wall, time.process_time() - cpu)


def machine() -> str:
    """Cores that this process may use, and the load of the machine now."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    one, five, _ = os.getloadavg()
    return f"{cores} core{'s' if cores > 1 else ''}, load {one:.1f} (last minute) {five:.1f} (last five)"


def as_text(result: Result) -> str:
    """The result as a plain table: text to the left, figures to the right."""
    lines = [tuple(result.columns), *(tuple(row) for row in result.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(result.columns))]
    shown = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    rule = "-" * max(len(line) for line in shown)
    return "\n".join([result.title, rule, shown[0], rule, *shown[1:], *(f"  {note}" for note in result.notes)])
