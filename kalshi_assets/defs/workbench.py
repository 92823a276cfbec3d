"""The resource that assets share: the home's lake and an open source.

Wiring only. The command line passes a workbench that it built itself, so that
one loopback exchange serves registration and run; under Dagster's UI each run
builds its own from the environment and the run's resource configuration.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg

from kalshi_assets.core.strategy import StrategyConfig
from kalshi_assets.errors import KalshiAssetsError
from kalshi_assets.settings import Settings
from kalshi_assets.sources import OpenSource
from kalshi_assets.stages.context import Progress, StageContext, StageResult, silent
from kalshi_assets.stages.kernels import Compilation
from kalshi_assets.stages.references import import_folder, sentences
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.opening import open_lake


@dataclass
class Workbench:
    """What a run works with, and what it has done so far.

    Attributes:
        lake: the event-time store.
        source: the open source.
        series: the series that the run is about; empty means those of the lake, or the source's default.
        strategy: what walk-forward and verdict evaluate.
        progress: where stages report.
        compilation: kernels being compiled beside the run; waited for before the first stage that needs them.
        results: what each stage of this run returned.
        seconds: how long each of them took.
        failure: the error that ended the run, if one did.
    """

    lake: Lake
    source: OpenSource
    series: tuple[str, ...] = ()
    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    progress: Progress = silent
    compilation: Compilation | None = None
    results: list[StageResult] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    failure: KalshiAssetsError | None = None

    def chosen_series(self) -> tuple[str, ...]:
        """The run's series: as asked, else those that the lake holds, else the source's default."""
        held = self.lake.read("series", columns=["series_ticker"])["series_ticker"].to_pylist()
        return self.series or tuple(sorted(held)) or self.source.default_series()

    def stage_context(self, run_id: str) -> StageContext:
        """The tools of a stage in a run."""
        return StageContext(
            lake=self.lake,
            run_id=run_id,
            exchange=self.source.exchange,
            catalog=self.source.catalog,
            simulated=self.source.simulated,
            requests=lambda: self.source.requests,
            findings=self.source.findings,
            journal=self.source.journal,
            references=lambda: self._take_in_references(run_id),
            traded_series=self.source.settings.traded_series,
            strategy=self.strategy,
            progress=self.progress,
        )

    def _take_in_references(self, run_id: str) -> tuple[str, ...]:
        # For every stage that asks: what one took in is taken back where that stage fails.
        folder = self.source.settings.home / "references"
        return sentences(import_folder(self.lake, folder, now=datetime.now(UTC), run_id=run_id))


@dg.resource(
    config_schema={
        "source": dg.Field(str, is_required=False, description="demo, archive:DIR, kalshi-demo or kalshi"),
        "series": dg.Field([str], default_value=[], description="series to refresh; empty: those in the lake"),
    }
)
def workbench_from_environment(context: dg.InitResourceContext) -> Iterator[Workbench]:
    """A workbench for a run that Dagster itself started."""
    settings = Settings.from_environment(source=context.resource_config.get("source"))
    with OpenSource(settings) as source:
        yield Workbench(open_lake(settings, to_write=True), source, tuple(context.resource_config["series"]))
