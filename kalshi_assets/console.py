"""What a person sees on the terminal: progress while a run works, tables when it is done.

Everything goes to standard error except what was asked for, so that output can
be piped. No decision is taken here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from kalshi_assets.stages.context import StageResult

# Tables must not be cut where there is no terminal to ask for its width.
_WIDTH = None if sys.stdout.isatty() else 110
STDERR = Console(stderr=True, highlight=False, width=_WIDTH)
STDOUT = Console(highlight=False, width=_WIDTH)

_COLOURS = {"promote": "green", "hold": "yellow", "reject": "red", "insufficient_evidence": "cyan"}
_LINE_EVERY_S = 5.0


class RunProgress:
    """Progress of a run: a live bar on a terminal, a line now and then elsewhere."""

    def __init__(self, stages: Sequence[str]) -> None:
        self._stages = tuple(stages)
        self.requests: Callable[[], int] = int
        self._bars: Progress | None = None
        self._tasks: dict[str, Any] = {}
        self._last_line = 0.0
        self._began: dict[str, float] = {}

    @contextmanager
    def showing(self) -> Iterator[RunProgress]:
        """Show the progress while the block runs."""
        if not STDERR.is_terminal:
            yield self
            return
        columns = (
            TextColumn("{task.description:<20}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[what]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[requests]} requests"),
        )
        with Progress(*columns, console=STDERR) as bars:
            self._bars = bars
            yield self
            self._bars = None

    def __call__(self, stage: str, what: str, done: int, total: int) -> None:
        """Report progress inside a stage."""
        began = self._began.setdefault(stage, time.monotonic())
        if self._bars is not None:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(stage, total=total, what=what, requests=0)
            self._bars.update(self._tasks[stage], completed=done, total=total, what=what, requests=self.requests())
        elif done in (0, total) or time.monotonic() - self._last_line >= _LINE_EVERY_S:
            self._last_line = time.monotonic()
            spent = self._last_line - began
            left = spent / done * (total - done) if done else 0.0
            number = self._stages.index(stage) + 1 if stage in self._stages else 0
            STDERR.print(
                f"[{number}/{len(self._stages)}] {stage}: {done}/{total} {what}, "
                f"{self.requests()} requests, about {left:.0f} s left"
            )


def stage_table(results: Sequence[StageResult], seconds: Mapping[str, float]) -> Table:
    """One line a stage: its rows, what was new, gates, time."""
    table = Table(title="Stages", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("stage", no_wrap=True)
    for name in ("rows", "new or changed", "gates", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        failed = len(result.failed)
        gates = f"[red]{failed} of {len(result.gates)} failed[/]" if failed else f"[green]{len(result.gates)} passed[/]"
        table.add_row(
            result.stage,
            f"{sum(result.rows.values()):,}",
            f"{sum(result.changed.values()):,}",
            gates,
            f"{seconds.get(result.stage, 0.0):.1f}",
        )
    return table


def verdict_table(verdicts: Sequence[Mapping[str, Any]], *, simulated: bool) -> Table:
    """The newest verdict of each strategy."""
    title = "Verdict" + (" (simulated prices: it says nothing about a real market)" if simulated else "")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("strategy", "as of", "verdict", "events", "trades", "trials", "score"):
        justify: Literal["left", "right"] = "right" if name in ("events", "trades", "trials", "score") else "left"
        table.add_column(name, justify=justify, no_wrap=True)
    for v in verdicts:
        colour = _COLOURS.get(v["verdict"], "white")
        table.add_row(
            v["strategy_id"],
            str(v["event_date"]),
            f"[bold {colour}]{v['verdict']}[/]",
            str(v["n_events"]),
            str(v["n_trades"]),
            str(v["n_trials"]),
            "" if v["score"] is None else f"{v['score']:.2f}",
        )
    return table


def score_table(scores: Sequence[Mapping[str, Any]], *, simulated: bool) -> Table:
    """How good the market's own forecasts were, one line a series."""
    title = "Forecasts of the market" + (" (simulated prices)" if simulated else "")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("series", "horizon", "from"):
        table.add_column(name, no_wrap=True)
    for name in ("releases", "MAE median", "CRPS", "95 %", "CRPS/MAE", "Brier"):
        table.add_column(name, justify="right", no_wrap=True)
    for s in scores:
        numbers = ["" if s[n] is None else f"{s[n]:.4g}" for n in ("mae_median", "crps", "crps_to_mae", "brier")]
        interval = "" if s["crps_low"] is None else f"{s['crps_low']:.4g} to {s['crps_high']:.4g}"
        table.add_row(s["series_ticker"], s["horizon"], s["basis"], str(s["n"]), *numbers[:2], interval, *numbers[2:])
    return table


def failed_gates(results: Sequence[StageResult]) -> list[str]:
    """A sentence for each failed gate."""
    return [
        f"{r.stage}, {g.event_date}: gate {g.check_name} failed: {g.detail}"
        + (f" First offender: {g.first_offender}." if g.first_offender else "")
        for r in results
        for g in r.failed
    ]


def span(dates: Sequence[date]) -> str:
    """The first and last of some dates, as words."""
    return f"{dates[0]} to {dates[-1]}" if len(dates) > 1 else str(dates[0])
