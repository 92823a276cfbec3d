"""Two archives that differ only after a time give bit-identical rows for every as-of time before it."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from kalshi_assets.console import RunProgress
from kalshi_assets.core.leak_comparison import differences
from kalshi_assets.core.tables import TABLES, TIME
from kalshi_assets.defs.backfill import run_backfill
from kalshi_assets.settings import Settings, facts_folder
from kalshi_assets.store.lake import Lake
from kalshi_assets_tests.e2e.futures import another_future, midnight_before, releases

SNAPSHOTS = ("distributions", "distribution_rungs", "trade_distributions", "feature_panel", "predictions")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Fills a home from an archive and the facts beside it."""
    for name in ("KALSHI_ASSETS_HOME", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE", "DAGSTER_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")  # A run sets some of them: none is left behind.
        monkeypatch.delenv(name)

    def filled(archive, facts):
        monkeypatch.setattr("kalshi_assets.sources.facts_folder", lambda: facts)
        settings = Settings.from_environment({}, home=tmp_path / "home", source=f"archive:{archive}")
        report = run_backfill(settings, series=(), dates=None, progress=RunProgress(()))
        assert report.exit_code == 0, [g for stage in report.stages for g in stage.failed]
        return Lake(settings.lake)

    return filled


def rows_before(lake: Lake, name: str, moment) -> pa.Table:
    """What was known before a time of a table, under the dates of that time, in one order."""
    rows = lake.read(name, as_of=moment, history=True)
    decided = "label_start" if name == "folds" else "as_of"
    kept = rows.filter(pc.less_equal(rows[decided], pa.scalar(moment, TIME)))
    return kept.sort_by([(c, "ascending") for c in TABLES[name].key]).combine_chunks()


def compare(real: Lake, other: Lake, moment) -> dict[str, int]:
    """Rows compared of each table."""
    counts = {}
    for name in (*SNAPSHOTS, "folds"):
        mine, theirs = rows_before(real, name, moment), rows_before(other, name, moment)
        assert mine.equals(theirs), (name, moment, differences(name, mine, theirs)[:3])
        counts[name] = mine.num_rows
    return counts


def test_nothing_before_a_day_changes_with_what_comes_after_it(filled, archive, run, tmp_path):
    """The release of that very day is put off when the strategy has decided on it."""
    real = Lake(filled[1].home / "lake")
    moved = releases(archive)[-3]
    moment = midnight_before(moved.at)
    assert moved.at - timedelta(days=1) < moment
    other = run(*another_future(archive, facts_folder(), tmp_path, moment, moved, np.random.default_rng(1)))
    counts = compare(real, other, moment)
    assert min(counts[name] for name in SNAPSHOTS if name != "predictions") > 60
    # Its fold, laid before anybody knew of the move, stands under the day that it was due.
    folds = rows_before(other, "folds", moment)
    tested = folds.filter(pc.and_(pc.equal(folds["role"], "test"), pc.equal(folds["event_ticker"], moved.events[0])))
    assert tested["event_date"].to_pylist() == [moved.at.date()]
    everything = timedelta(days=365) + moved.at
    for name in (*SNAPSHOTS, "folds"):
        assert not rows_before(real, name, everything).equals(rows_before(other, name, everything)), name
    again = other.read("predictions").filter(pc.equal(other.read("predictions")["event_ticker"], moved.events[0]))
    assert len(set(again["event_date"].to_pylist())) == 2, "it is decided again for the new day"


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_nothing_before_any_time_changes_with_what_comes_after_it(filled, archive, run, tmp_path, seed):
    rng = np.random.default_rng(seed)
    due = releases(archive)
    moved = due[int(rng.integers(1, len(due)))]
    moment = moved.at - timedelta(minutes=int(rng.integers(9 * 60, 25 * 24 * 60)))
    other = run(*another_future(archive, facts_folder(), tmp_path, moment, moved, rng))
    counts = compare(Lake(filled[1].home / "lake"), other, moment)
    assert counts["distributions"] > 0
