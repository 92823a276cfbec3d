"""Lake snapshots and upkeep from the command line: what a reader sees, what stays and what goes."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from kalshi_assets.stages.verification import verify_verdicts
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.snapshots import all_snapshots
from kalshi_assets.store.sql import query
from kalshi_assets_tests.conftest import COMMAND, CommandLine
from kalshi_assets_tests.e2e.content import content

COUNTS = """
    select (select count(*) from quotes) q, (select count(*) from verdicts) v, (select count(*) from ingest_log) l
"""


def data_files(home):
    """Data files of tables; the records of lake snapshots are written anew by the upkeep itself."""
    files = (home / "lake").rglob("*.parquet")
    return {p for p in files if not {"_delta_log", "_snapshots"} & set(p.parts)}


def ask(ka, sql, snapshot=None):
    """What `kalshi-assets sql` answers."""
    return query(Lake(ka.home / "lake"), sql, snapshot=snapshot).to_pylist()


def verified(ka, verdict=None, snapshot=None):
    (finding,) = verify_verdicts(Lake(ka.home / "lake"), verdict, snapshot=snapshot)
    assert (finding["state"], finding["recomputed_id"]) == ("verified", finding["verdict_id"])
    return finding


@pytest.fixture(scope="module")
def aged(filled, archive, tmp_path_factory):
    """Half of the dates, then all of them: verdicts of the first run look back on less than there is now.

    The home's files are two days old. Not to be written to.
    """
    ka = CommandLine(tmp_path_factory.mktemp("aged") / "home")
    dates = filled[0]["event_dates"]
    ka.json("run", "--source", f"archive:{archive}", "--dates", f"{dates[4]}:{dates[-1]}", "--json")
    first = ask(ka, "select id from lake_snapshots where stage = 'promotion_verdict'")[0]["id"]
    (verdict,) = ask(ka, f"select verdict_id from verdicts where event_date = '{dates[-1]}'")
    ka.json("run", "--source", f"archive:{archive}", "--json")
    two_days_ago = time.time() - 48 * 3600
    for path in (ka.home / "lake").rglob("*.parquet"):
        os.utime(path, (two_days_ago, two_days_ago))
    return ka, first, verdict["verdict_id"]


@pytest.fixture
def old(aged, tmp_path):
    shutil.copytree(aged[0].home, tmp_path / "home")
    return CommandLine(tmp_path / "home"), *aged[1:]


def test_a_run_ends_with_everything_in_sight(filled):
    report, ka = filled
    (counts,) = ask(ka, COUNTS)
    assert counts["v"] == len(report["event_dates"])
    assert counts["l"] == len(report["stages"])
    rows = ask(ka, "select id, stage, run_id, recorded_at, tables from lake_snapshots order by sequence")
    assert [r["stage"] for r in rows] == ["start", *report["stages"], "forecast_scores"]
    assert [r["id"] for r in rows[1:-1]] == [s["lake_snapshot"] for s in report["stages"].values()]
    assert {r["run_id"] for r in rows} == {report["run_id"]}
    lake = Lake(ka.home / "lake")
    assert json.loads(rows[-1]["tables"]) == lake.versions()
    assert json.loads(rows[0]["tables"]) == {}


def test_each_snapshot_reads_as_the_stage_left_it(filled):
    report, ka = filled
    ids = {stage: s["lake_snapshot"] for stage, s in report["stages"].items()}
    (now,) = ask(ka, COUNTS)
    assert ask(ka, COUNTS, ids["contracts"]) == [{"q": 0, "v": 0, "l": 2}]
    assert ask(ka, COUNTS, ids["promotion_verdict"]) == [now]
    assert ka.json("sql", COUNTS, "--snapshot", ids["quotes"][:6], "--format", "json") == [{**now, "v": 0, "l": 3}]
    event = ask(ka, "select min(event_ticker) e from events")[0]["e"]
    asked = ("distribution", event, "--as-of", "2030-01-01", "--json")
    assert ka.json(*asked, "--snapshot", ids["quotes"]) == ka.json(*asked)
    assert ka.json(*asked, "--snapshot", ids["contracts"])["mean"] is None
    (finding,) = ka.json("verify", "--snapshot", ids["promotion_verdict"], "--json")
    assert (finding["state"], finding["lake_snapshot"]) == ("verified", ids["promotion_verdict"])
    assert "No verdict is recorded" in ka.sentence("verify", "--snapshot", ids["labels"], code=2)


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        (("sql", "select 1"), "ffffffff"),
        (("sql", "select 1"), "abc"),
        (("distribution", "X", "--as-of", "2024-01-01"), "nothing at all"),
        (("verify",), "ffffffff"),
    ],
)
def test_a_snapshot_that_is_not_there(filled, command, wrong):
    assert "lake snapshot" in filled[1].sentence(*command, "--snapshot", wrong, code=2)


def test_half_a_stage_is_not_seen(ka_filled):
    before = ka_filled.json("sql", COUNTS, "--format", "json")
    lake = Lake(ka_filled.home / "lake")
    lake.replace("quotes", lake.read("quotes")[:0], scope=Scope(lake.event_dates("quotes")), run_id="half")
    assert ka_filled.json("sql", COUNTS, "--format", "json") == before
    verified(ka_filled)


def test_values_that_python_has_no_type_for_end_in_a_sentence(filled):
    said = filled[1].sentence("sql", "select timestamp '290000-01-01 00:00:00' t", code=2)
    assert "cast its column to text" in said


def test_upkeep_frees_space_and_every_verdict_still_verifies(old):
    ka, first, verdict_before = old
    before, held = content(ka.home), data_files(ka.home)
    versions = Lake(ka.home / "lake").versions()
    would = ka.json("maintain", "--keep-days", "0", "--dry-run", "--json")
    assert data_files(ka.home) == held
    assert Lake(ka.home / "lake").versions() == versions
    did = ka.json("maintain", "--keep-days", "0", "--json")
    left = data_files(ka.home)
    assert left < held
    tables = [[t for t in report["tables"] if t["table"] in versions] for report in (would, did)]
    assert tables[0] == tables[1]
    assert sum(t["files_after"] for t in tables[1]) == len(left)
    assert did["bytes_freed"] >= sum(t["bytes_freed"] for t in would["tables"]) > 0
    assert did["snapshots_after"] < did["snapshots_before"]
    assert content(ka.home) == before
    # The snapshot that the first run's last stage left is what its verdicts rest on.
    assert first in [s.snapshot_id for s in all_snapshots(Lake(ka.home / "lake"))]
    ids = [r["verdict_id"] for r in ask(ka, "select verdict_id from verdicts")]
    assert verdict_before in ids
    assert len(ids) > len(ask(ka, "select verdict_id from verdicts", first))
    assert {verified(ka, verdict)["lake_snapshot"] for verdict in ids} > {first}
    (finding,) = ka.json("verify", "--verdict", verdict_before, "--json")
    assert (finding["state"], finding["lake_snapshot"]) == ("verified", first)
    assert ka("maintain").stdout.count(f"{did['files_after']:,} after") == 1


def test_a_snapshot_reads_the_same_after_upkeep(old):
    ka, first, _ = old
    queries = [COUNTS, "select * from quotes order by all limit 50", "select * from labels_history order by all"]
    before = [ask(ka, sql, first) for sql in queries]
    ka.json("maintain", "--keep-days", "0", "--json")
    assert [ask(ka, sql, first) for sql in queries] == before


def test_killed_in_the_middle_of_upkeep(old):
    ka, _, verdict_before = old
    before = content(ka.home)
    command = [str(COMMAND), "maintain", "--keep-days", "0"]
    for seconds in (0.9, 1.3):
        with subprocess.Popen(command, env=ka.environment(), stdout=subprocess.DEVNULL) as upkeep:
            try:
                upkeep.wait(seconds)
            except subprocess.TimeoutExpired:
                os.kill(upkeep.pid, signal.SIGKILL)
        verified(ka, verdict_before)
    ka.json("maintain", "--keep-days", "0", "--json")
    assert content(ka.home) == before


def test_arguments(ka):
    assert ka("maintain", "--keep-days", "-1").returncode == 2
    done = ka.json("maintain", "--json")
    assert (done["files_before"], done["tables"]) == (0, [])
    assert not (ka.home / "lake").exists()
