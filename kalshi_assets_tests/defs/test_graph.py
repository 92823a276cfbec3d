"""The graph as Dagster runs it: what is defined, what a run leaves behind, and what a gate stops."""

import base64
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from kalshi_assets.console import RunProgress
from kalshi_assets.core.leak_verdicts import FUTURE_BLIND, LEAK_GATES
from kalshi_assets.core.tables import TABLES
from kalshi_assets.defs import backfill as backfill_module
from kalshi_assets.defs.assets import STAGE_ASSETS, build_assets
from kalshi_assets.defs.backfill import RunReport, run_backfill
from kalshi_assets.defs.forecast_scores import forecast_scores
from kalshi_assets.defs.instance import open_instance
from kalshi_assets.defs.partitions import EVENT_DATES, sync_event_dates
from kalshi_assets.defs.references import READ_BY
from kalshi_assets.defs.workbench import Workbench
from kalshi_assets.errors import GateError, StoreError
from kalshi_assets.macro.reference_formats import REFERENCE_FORMATS
from kalshi_assets.settings import Settings
from kalshi_assets.sources import OpenSource
from kalshi_assets.stages import distributions as distributions_stage
from kalshi_assets.stages import features
from kalshi_assets.stages.evidence import RULES_VERSION, data_hashes
from kalshi_assets.stages.sources_hash import sources_hash
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets_tests.conftest import PROJECT

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
SERIES = "KXU3"
OURS = ("KALSHI_", "FRED_", "DAGSTER_")
DAGSTER = Path(sys.executable).with_name("dagster")
SUCCEEDED = "SUCCEEDED"

# name: (upstream assets, gates)
EXPECTED = {
    "market_catalog": (set(), {"schema_and_keys", "catalog_complete"}),
    "contracts": ({"market_catalog"}, {"schema_and_keys", "specs_resolved"}),
    "quotes": ({"market_catalog"}, {"schema_and_keys", "quotes_ordered", "tiers_agree"}),
    "distributions": ({"market_catalog", "contracts", "quotes"}, {"schema_and_keys", "distribution_laws", *LEAK_GATES}),
    "feature_panel": (
        {"market_catalog", "distributions", "quotes", *READ_BY["feature_panel"]},
        {"schema_and_keys", "order_of_times", *LEAK_GATES},
    ),
    "labels": (
        {"market_catalog", "contracts", "distributions", *READ_BY["labels"]},
        {"schema_and_keys", "labels_learned_after_release"},
    ),
    "walk_forward_folds": ({"feature_panel", "labels"}, {"schema_and_keys", "no_label_after_test"}),
    "promotion_verdict": (
        {"market_catalog", "distributions", "labels", "feature_panel", "walk_forward_folds"},
        {"schema_and_keys"},
    ),
}
# Reports that nothing reads, with their upstream assets.
UNGATED = {"forecast_scores": {"distributions", "labels"}, "lake_health": set()}
GATES = [(asset, gate) for asset, (_, gates) in EXPECTED.items() for gate in sorted(gates)]


class Bench:
    """A home, the Dagster instance in it and the newest run's workbench."""

    def __init__(self, settings: Settings, source: OpenSource, instance: dg.DagsterInstance, days: list[date]) -> None:
        self.settings, self.source, self.instance, self.days = settings, source, instance, days
        self.workbench = Workbench(Lake(settings.lake), source, (SERIES,))

    @property
    def lake(self) -> Lake:
        return self.workbench.lake

    def run(self, *assets: str, day: date, series: str = SERIES, as_range: bool = False) -> dg.ExecuteInProcessResult:
        """Materialise some assets (all for none) of one date, as a partition or as a range of one."""
        self.workbench = Workbench(Lake(self.settings.lake), self.source, (series,))
        key = day.isoformat()
        ends = {"dagster/asset_partition_range_start": key, "dagster/asset_partition_range_end": key}
        return dg.materialize(
            build_assets(),
            selection=list(assets) or None,
            instance=self.instance,
            resources={"workbench": dg.ResourceDefinition.hardcoded_resource(self.workbench)},
            run_config=QUIET,
            raise_on_error=False,
            **({"tags": ends} if as_range else {"partition_key": key}),
        )

    def refusal(self, asset: str, day: date) -> str:
        """What an asset that was launched alone says when it must not run."""
        result = self.run(asset, day=day)
        assert not result.success
        assert not result.get_asset_materialization_events()
        assert isinstance(self.workbench.failure, GateError)
        return str(self.workbench.failure)

    def checks(self, run_id: str) -> dict[tuple[str, str, str | None], str]:
        """State of every check result that a run planned or filed, by asset, check and partition."""
        states = {}
        for asset, gate in GATES:
            key = dg.AssetCheckKey(dg.AssetKey(asset), gate)
            for record in self.instance.event_log_storage.get_asset_check_execution_history(key, limit=200):
                if record.run_id == run_id:
                    states[asset, gate, record.partition] = record.status.name
        return states

    def materialised(self, run_id: str) -> set[tuple[str, str]]:
        """Assets and partitions that a run materialised."""
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        logged = [entry.dagster_event for entry in self.instance.all_logs(run_id, of_type=kind)]
        return {(event.asset_key.to_user_string(), event.partition) for event in logged}


@contextmanager
def clean_environment() -> Iterator[None]:
    """No setting of ours from outside, and none left behind."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KALSHI_ASSETS_HOME", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE", "DAGSTER_DISABLE_TELEMETRY"):
            patch.setenv(name, "")
        for name in [n for n in os.environ if n.startswith(OURS)]:
            patch.delenv(name)
        yield


def backfill(settings: Settings, *dates: date) -> RunReport:
    return run_backfill(settings, series=[SERIES], dates=(dates[0], dates[-1]), progress=RunProgress(()))


@pytest.fixture(scope="module")
def whole(archive, source, tmp_path_factory) -> tuple[Path, RunReport]:
    """A home filled by one run over a range of three dates, with its report. Not to be written to."""
    home = tmp_path_factory.mktemp("whole")
    with clean_environment():
        settings = Settings.from_environment({}, home=home, source=f"archive:{archive}")
        return home, backfill(settings, *source.catalog((SERIES,)).event_dates[-3:])


@pytest.fixture(scope="module")
def source(archive, tmp_path_factory) -> Iterator[OpenSource]:
    settings = Settings.from_environment({}, home=tmp_path_factory.mktemp("none"), source=f"archive:{archive}")
    with OpenSource(settings) as opened:
        yield opened


@pytest.fixture
def bench(whole, source, archive, tmp_path) -> Iterator[Bench]:
    """A private copy of the filled home."""
    home, report = whole
    shutil.copytree(home, tmp_path / "home")
    with clean_environment():
        settings = Settings.from_environment({}, home=tmp_path / "home", source=f"archive:{archive}")
        with open_instance(settings) as instance:
            yield Bench(settings, source, instance, list(report.dates))


def dagster(home: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Dagster's own command at the project's top level."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
    given = {"KALSHI_ASSETS_HOME": str(home), "DAGSTER_HOME": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1", **extra}
    return subprocess.run(
        [str(DAGSTER), *arguments], env={**kept, **given}, cwd=PROJECT, capture_output=True, text=True, timeout=120
    )


# What is defined


def test_the_code_location_holds_eight_gated_assets():
    from kalshi_assets.definitions import defs

    external = {a.key.to_user_string(): a for a in defs.assets if isinstance(a, dg.AssetSpec)}
    assert set(external) == set(REFERENCE_FORMATS)
    assert all(e.group_name == "references" for e in external.values())
    made = [a for a in defs.assets if not isinstance(a, dg.AssetSpec)]
    assert {a.key.to_user_string() for a in made} == {*EXPECTED, *UNGATED}
    for asset in made:
        name = asset.key.to_user_string()
        if name in UNGATED:
            assert {key.to_user_string() for key in asset.asset_deps[asset.key]} == UNGATED[name]
            assert not list(asset.check_specs)
            continue
        upstream, gates = EXPECTED[name]
        assert {key.to_user_string() for key in asset.asset_deps[asset.key]} == upstream
        assert asset.partitions_def == EVENT_DATES
        assert asset.backfill_policy == dg.BackfillPolicy.single_run()
        assert {spec.name for spec in asset.check_specs} == gates
        assert all(spec.blocking and spec.partitions_def == EVENT_DATES for spec in asset.check_specs)
        columns = asset.metadata_by_key[asset.key]["dagster/column_schema"].columns
        assert [c.name for c in columns] == TABLES[STAGE_ASSETS[name].main_table].schema.names
    assert defs.executor is dg.in_process_executor
    assert [s.name for s in defs.sensors] == ["release_refresh"]
    assert defs.sensors[0].default_status is dg.DefaultSensorStatus.STOPPED
    assert [j.name for j in defs.jobs] == ["refresh", "maintenance"]
    assert all(defs.resolve_job_def(j.name).tags["kalshi/writer"] == "lake" for j in defs.jobs)
    assert [s.name for s in defs.schedules] == ["daily_health", "weekly_maintenance"]
    assert all(s.default_status is dg.DefaultScheduleStatus.STOPPED for s in defs.schedules)


def test_dagster_validates_the_workspace_and_leaves_the_project_alone(tmp_path):
    caches = {".hypothesis", ".mypy_cache", ".ruff_cache", ".import_linter_cache", "__pycache__"}
    before = {p.name for p in PROJECT.iterdir()} | caches
    done = dagster(tmp_path / "home", "definitions", "validate", "-w", "workspace.yaml")
    assert done.returncode == 0, done.stderr[-2000:]
    assert {p.name for p in PROJECT.iterdir()} <= before


# What a run leaves behind


def test_a_range_materialises_every_asset_and_gates_every_date(bench, whole):
    _, report = whole
    days = [d.isoformat() for d in bench.days]
    assert report.exit_code == 0
    assert len(days) == 3
    assert bench.materialised(report.run_id) == {(asset, day) for asset in EXPECTED for day in days}
    checks = bench.checks(report.run_id)
    assert {key for key in checks if key[2] is not None} == {(*gate, day) for gate in GATES for day in days}
    assert set(checks.values()) == {SUCCEEDED}


def test_one_partition_materialises_every_asset_and_gates_it(bench):
    day = bench.days[1]
    result = bench.run(day=day)
    assert result.success
    assert bench.materialised(result.run_id) == {(asset, day.isoformat()) for asset in EXPECTED}
    assert bench.checks(result.run_id) == {(*gate, day.isoformat()): SUCCEEDED for gate in GATES}


def test_a_range_of_one_date_gates_that_date(bench):
    day = bench.days[1]
    result = bench.run("contracts", day=day, as_range=True)
    assert result.success
    assert bench.materialised(result.run_id) == {("contracts", day.isoformat())}
    checks = bench.checks(result.run_id)
    assert {gate for _, gate, filed in checks if filed == day.isoformat()} == EXPECTED["contracts"][1]
    assert set(checks.values()) == {SUCCEEDED}


def test_a_date_of_other_series_changes_nothing(bench):
    day = bench.days[2]
    before = bench.lake.content_hash("quotes"), bench.lake.content_hash("events")
    assert day not in bench.source.catalog(("KXCPIYOY",)).event_dates
    done = bench.run("market_catalog", "contracts", "quotes", "distributions", day=day, series="KXCPIYOY")
    assert done.success, bench.workbench.failure
    assert (bench.lake.content_hash("quotes"), bench.lake.content_hash("events")) == before


def test_an_asset_shows_rows_dates_gates_and_a_ladder(bench):
    record = bench.instance.fetch_materializations(dg.AssetKey("distributions"), limit=1).records[0]
    shown = record.asset_materialization.metadata
    n_rows = bench.lake.read("distributions", event_dates=bench.days).num_rows
    assert n_rows > 0
    assert shown["dagster/row_count"].value == n_rows
    assert shown["dates"].value == 3
    assert (shown["first_date"].value, shown["last_date"].value) == tuple(d.isoformat() for d in bench.days[::2])
    table = [dict(r.data) for r in shown["gates"].records]
    assert {(r["gate"], r["event_date"]) for r in table} == {
        (gate, d.isoformat()) for gate in EXPECTED["distributions"][1] for d in bench.days
    }
    assert all(r["passed"] for r in table)
    found = re.fullmatch(r"!\[ladder\]\(data:image/svg\+xml;base64,(.+)\)", shown["ladder"].value)
    assert found is not None
    drawing = ET.fromstring(base64.b64decode(found.group(1)))
    assert drawing.tag.endswith("svg")
    assert len(list(drawing)) > 5
    newest = bench.lake.read("events", event_dates=bench.days[-1:])["event_ticker"].to_pylist()
    assert newest[0] in "".join(drawing.itertext())


def test_a_run_scores_the_market_and_shows_the_plots(bench, whole):
    _, report = whole
    assert report.scores is not None
    assert bench.lake.read("forecast_scores").num_rows == report.scores.num_rows > 0
    (record,) = bench.instance.fetch_materializations(dg.AssetKey("forecast_scores"), limit=5).records
    shown = record.asset_materialization.metadata
    assert shown["dagster/row_count"].value == report.scores.num_rows
    assert f"| {SERIES} | 5min |" in shown["scores"].value
    drawings = re.findall(
        r"!\[(\w+)\]\(data:image/svg\+xml;base64,([^)]+)\)", shown[f"plots {SERIES} quotes step"].value
    )
    assert [name for name, _ in drawings] == ["reliability", "errors", "pit"]
    for _, encoded in drawings:
        assert len(list(ET.fromstring(base64.b64decode(encoded)))) > 5


def test_a_scoring_that_fails_is_the_failure_of_a_run_whose_stages_stand(bench, monkeypatch):
    def broken(_):
        raise StoreError("no room")

    monkeypatch.setattr(backfill_module, "score_forecasts", broken)
    assert backfill_module._score(bench.instance, bench.workbench, "run") is None
    assert str(bench.workbench.failure) == "no room"


def test_the_scores_are_an_asset_of_their_own(bench):
    before = {name: bench.lake.version(name) for name in ("forecast_errors", "forecast_scores")}
    result = dg.materialize(
        [forecast_scores],
        instance=bench.instance,
        resources={"workbench": dg.ResourceDefinition.hardcoded_resource(bench.workbench)},
        run_config=QUIET,
    )
    assert result.success
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["dagster/row_count"].value == bench.lake.read("forecast_scores").num_rows
    # The run that filled the home had scored the same data.
    assert {name: bench.lake.version(name) for name in before} == before


# What a gate stops


def leak(monkeypatch, day: date) -> None:
    """From now on the panel row of a date one day ahead rests on an input that came after its as-of time."""
    honest = features.build_panel

    def build_panel(**inputs: Any) -> pa.Table:
        panel = honest(**inputs)
        known = panel["inputs_known_at"].to_pylist()
        # The same row whichever others are built beside it, so that probes find it again as it is stored.
        for row, key in enumerate(zip(panel["event_date"].to_pylist(), panel["horizon"].to_pylist(), strict=True)):
            if key == (day, "1d"):
                known[row] = panel["as_of"][row].as_py() + timedelta(seconds=1)
        at = panel.schema.get_field_index("inputs_known_at")
        return panel.set_column(at, panel.schema.field(at), pa.array(known, panel.schema.field(at).type))

    monkeypatch.setattr(features, "build_panel", build_panel)


def test_a_leak_stops_the_run_and_every_later_launch(bench, monkeypatch):
    first, middle, last = bench.days
    with monkeypatch.context() as patch:
        leak(patch, middle)
        report = backfill(bench.settings, first, middle)

    assert report.exit_code == 3
    assert report.scores is None
    (failed,) = [g for stage in report.stages for g in stage.failed]
    assert (failed.check_name, failed.event_date) == ("order_of_times", middle)
    (offender,) = bench.lake.read("events", event_dates=[middle])["event_ticker"].to_pylist()
    assert failed.first_offender is not None
    assert offender in failed.first_offender
    made = {asset for asset, _ in bench.materialised(report.run_id)}
    assert made == set(EXPECTED) - {"walk_forward_folds", "promotion_verdict"}
    checks = bench.checks(report.run_id)
    states = {day: checks["feature_panel", "order_of_times", day.isoformat()] for day in report.dates}
    assert states == {first: SUCCEEDED, middle: "FAILED"}

    said = bench.refusal("walk_forward_folds", last)
    assert said == (
        f"walk_forward_folds will not read feature_panel for {middle}: the evidence of its gate order_of_times failed. "
        f"Materialise feature_panel for {middle} again."
    )
    assert "order_of_times failed" in bench.refusal("promotion_verdict", last)
    assert bench.run("walk_forward_folds", day=first).success  # looks back on nothing that leaked

    assert bench.run("feature_panel", day=middle).success
    assert bench.run("walk_forward_folds", "promotion_verdict", day=last).success


def test_a_builder_that_asks_when_things_happened_is_found_out_in_the_run(bench, monkeypatch):
    """Every time in its rows is in order, so nothing but the probes can tell."""
    honest = features.build_panel

    def build_panel(**inputs: Any) -> pa.Table:
        quotes = inputs["quotes"]
        at = quotes.schema.get_field_index("known_at")
        return honest(**{**inputs, "quotes": quotes.set_column(at, quotes.schema.field(at), quotes["ts"])})

    with monkeypatch.context() as patch:
        patch.setattr(features, "build_panel", build_panel)
        report = backfill(bench.settings, *bench.days)
    assert report.exit_code == 3
    failed = {(g.check_name, g.event_date) for stage in report.stages for g in stage.failed}
    assert failed == {(FUTURE_BLIND, day) for day in bench.days}
    assert "future_blind failed" in bench.refusal("walk_forward_folds", bench.days[-1])
    evidence = bench.lake.read("gate_evidence", event_dates=bench.days).to_pylist()
    panel_hashes = data_hashes(bench.lake, "feature_panel", bench.days)
    asked = {
        r["event_date"]: r for r in evidence if (r["asset"], r["check_name"]) == ("feature_panel", FUTURE_BLIND)
        and r["data_hash"] == panel_hashes[r["event_date"]]
    }  # fmt: skip
    assert sorted(asked) == bench.days
    for row in asked.values():
        assert (row["passed"], row["code_version"], row["rules_version"]) == (False, sources_hash(), RULES_VERSION)
        assert re.search(r"probes: truncated \d+, scrambled \d+, injected \d+, late [1-9]\d*, rebuilt", row["detail"])
        assert re.search(rf"seed \d+; code {sources_hash()}$", row["detail"])
        assert row["first_offender"].startswith("event_ticker=KXU3-")
        assert re.search(r"horizon=\w+, mapping_version=v\d: \w+ was .+, became .+", row["first_offender"])
        assert row["detail"].startswith(row["first_offender"])
    assert bench.run("feature_panel", day=bench.days[0]).success


def test_a_law_that_trades_break_stops_their_stage_as_well(bench, monkeypatch):
    honest = distributions_stage.distributions_from_trades

    def from_trades(*given: Any) -> pa.Table:
        rows = honest(*given)
        at = rows.schema.get_field_index("hard_gate_failed")
        return rows.set_column(at, rows.schema.field(at), pa.array([True] * rows.num_rows))

    day = bench.days[0]
    assert not any(bench.lake.read("trade_distributions", event_dates=[day])["hard_gate_failed"].to_pylist())
    with monkeypatch.context() as patch:
        patch.setattr(distributions_stage, "distributions_from_trades", from_trades)
        assert not bench.run("distributions", "feature_panel", day=day).success
    (broken,) = (g for g in bench.workbench.results[-1].failed if g.check_name == "distribution_laws")
    assert broken.detail.startswith("trade_distributions: ")
    assert [r.stage for r in bench.workbench.results] == ["distributions"]


def test_data_changed_after_its_check_is_stale(bench):
    day = bench.days[1]
    held = bench.lake.read("distributions", event_dates=[day])
    at = held.schema.get_field_index("mean")
    altered = held.set_column(at, held.schema.field(at), pc.add(held["mean"], 0.1))
    bench.lake.replace("distributions", altered, scope=Scope([day]), run_id="behind the back")
    said = bench.refusal("feature_panel", day)
    assert f"distributions for {day}" in said
    assert "is stale" in said
    assert bench.run("feature_panel", day=bench.days[0]).success
    assert bench.run("distributions", "feature_panel", day=day).success


def test_without_evidence_under_the_present_rules_nothing_is_read(bench, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("kalshi_assets.stages.evidence.RULES_VERSION", "another")
        assert "gate schema_and_keys is missing" in bench.refusal("feature_panel", bench.days[1])
    assert bench.run("feature_panel", day=bench.days[1]).success
    shutil.rmtree(bench.settings.lake / "gate_evidence")
    assert "gate schema_and_keys is missing" in bench.refusal("feature_panel", bench.days[1])


# By Dagster's own command


def test_dagsters_own_command_materialises_a_partition(archive, source, tmp_path):
    home = tmp_path / "home"
    settings = Settings.from_environment({}, home=home, source=f"archive:{archive}")
    listed = source.catalog(("KXCPIYOY",))
    day = listed.event_dates[2]
    with clean_environment(), open_instance(settings) as instance:
        sync_event_dates(instance, [day])
    done = dagster(
        home, "asset", "materialize", "-m", "kalshi_assets.definitions",
        "--select", "market_catalog", "--partition", day.isoformat(), KALSHI_ASSETS_SOURCE=f"archive:{archive}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    lake = Lake(settings.lake)
    expected = listed.events.filter(pc.equal(listed.events["event_date"], pa.scalar(day, pa.date32())))
    written = lake.read("events", event_dates=[day], series=["KXCPIYOY"])
    assert written["event_ticker"].to_pylist() == expected["event_ticker"].to_pylist()
    assert lake.event_dates("events") == [day]
    n_contracts = written["n_contracts"].to_pylist()
    assert len(set(lake.read("contracts", series=["KXCPIYOY"])["ticker"].to_pylist())) == sum(n_contracts) > 0
    with clean_environment(), open_instance(settings) as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("market_catalog")) == {day.isoformat()}
