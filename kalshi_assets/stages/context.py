"""What every stage is handed, and what every stage hands back.

No stage logic: the two records and the progress protocol only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Protocol

from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.strategy import StrategyConfig
from kalshi_assets.exchange.client import Exchange
from kalshi_assets.exchange.findings import Finding
from kalshi_assets.stages.listing import Catalog
from kalshi_assets.store.journal import DownloadJournal
from kalshi_assets.store.lake import Lake


class Progress(Protocol):
    """Whoever wants to show how far a stage has come."""

    def __call__(self, stage: str, what: str, done: int, total: int) -> None:
        """Report ``done`` of ``total`` units of ``what`` in ``stage``."""


def silent(stage: str, what: str, done: int, total: int) -> None:
    """Progress for whoever does not look."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class StageContext:
    """The tools of a stage.

    Attributes:
        lake: the event-time store.
        run_id: names the run in the rows that it writes.
        exchange: opens the exchange on first use; a stage that needs none never asks.
        catalog: what the sources say of some series, fetched once a run.
        simulated: whether any price in the lake is simulated.
        requests: how many requests the run has sent so far.
        findings: what the exchange sent beyond its documentation so far.
        journal: keeps what was received until it is committed; None keeps nothing.
        strategy: what walk-forward and verdict evaluate.
        traded_series: series whose distributions rest on trades.
        references: brings the user's reference files into the lake, once a run, and says what is wrong with them.
        progress: where progress is reported.
        now: the clock.
    """

    lake: Lake
    run_id: str
    exchange: Callable[[], Exchange]
    catalog: Callable[[tuple[str, ...]], Catalog]
    simulated: Callable[[], bool]
    requests: Callable[[], int] = int
    findings: Callable[[], Sequence[Finding]] = tuple
    journal: DownloadJournal | None = None
    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    traded_series: Sequence[str] = ()
    references: Callable[[], Sequence[str]] = tuple
    progress: Progress = silent
    now: Callable[[], datetime] = _utc_now


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage did.

    Attributes:
        stage: the stage's name.
        dates: the event dates that it covered, in order.
        rows: rows now held for those dates, by table.
        changed: rows that this run really wrote, by table.
        gates: the stage's gate results, one per check and date.
        notes: sentences for a person: what was missing and why.
        snapshot_id: the lake snapshot after the stage's commit.
    """

    stage: str
    dates: tuple[date, ...]
    rows: Mapping[str, int]
    changed: Mapping[str, int]
    gates: tuple[GateResult, ...] = ()
    notes: tuple[str, ...] = ()
    snapshot_id: str = ""

    @property
    def failed(self) -> tuple[GateResult, ...]:
        """The gate results that block."""
        return tuple(g for g in self.gates if not g.passed)
