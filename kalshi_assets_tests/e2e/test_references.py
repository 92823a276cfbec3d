"""The user's references in a whole run, and panel and labels of a whole run against plain Python."""

import shutil
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalshi_assets.store.lake import Lake
from kalshi_assets_tests.e2e.plain_lake import compare_labels, compare_panel

SPX = "symbol,date,iv_30,put_25d,call_25d\n"


def test_panel_and_labels_are_those_of_plain_python(filled):
    lake = Lake(filled[1].home / "lake")
    assert compare_panel(lake) > 10_000
    assert compare_labels(lake) > 500


def test_a_run_goes_on_without_a_bad_reference_and_says_so(archive, ka_filled):
    (event,) = ka_filled.json("sql", "select min(event_date) d from events", "--format", "json")
    day = event["d"]
    days = ("2026-02-05", "2026-02-06", "2026-02-09", "2026-02-10")
    folder = ka_filled.home / "references"
    for kind, text in (
        ("consensus", "series_ticker,period,consensus\nKXU3,2026-01-01,4.1\n"),
        ("option_surfaces", SPX + "".join(f"SPX,{d},0.15,0.2,0.12\n" for d in days) + "SPX,2026-02-11,15,20,12\n"),
    ):
        (folder / kind).mkdir(parents=True)
        (folder / kind / "given.csv").write_text(text)
    report = ka_filled.json("run", "--source", f"archive:{archive}", "--dates", day, "--json")
    assert report["exit_code"] == 0
    partly, refused = report["stages"]["feature_panel"]["notes"]
    assert "consensus/given.csv was refused: it lacks the column known_at" in refused
    assert "option_surfaces/given.csv: 1 rows were put aside, the first on line 6: iv_30 lies outside" in partly
    assert report["stages"]["labels"]["notes"] == [partly, refused]
    query = (
        f"select count(opt_iv_atm_30) options, count(consensus) consensus from feature_panel where event_date = '{day}'"
    )
    (row,) = ka_filled.json("sql", query, "--format", "json")
    assert row["options"] > 0
    assert row["consensus"] == 0
    said = ka_filled.sentence("import", "consensus", str(folder / "consensus" / "given.csv"), code=2)
    assert said.startswith("kalshi-assets: References: consensus/given.csv was refused")
    assert "Usage" not in said


def test_a_run_goes_on_past_days_that_no_clock_reaches(archive, ka_filled):
    (event,) = ka_filled.json("sql", "select min(event_date) d from events", "--format", "json")
    folder = ka_filled.home / "references"
    for kind in ("option_surfaces", "asset_bars"):
        (folder / kind).mkdir(parents=True)
    days = ("2026-02-05", "2026-02-06", "9999-12-31", "0001-01-01")
    (folder / "option_surfaces" / "given.csv").write_text(SPX + "".join(f"SPX,{d},0.15,0.2,0.12\n" for d in days))
    beyond = pa.array([0, 60_000_000, 2**62], pa.timestamp("us", "UTC"))
    bars = pa.table({"symbol": ["ES"] * 3, "ts": beyond, "close": [1.0] * 3})
    pq.write_table(bars, folder / "asset_bars" / "given.parquet")
    report = ka_filled.json("run", "--source", f"archive:{archive}", "--dates", event["d"], "--json")
    assert report["exit_code"] == 0
    for stage in ("feature_panel", "labels"):
        bars_said, surfaces_said = report["stages"][stage]["notes"]
        assert "asset_bars/given.parquet was refused: it could not be read: " in bars_said
        assert "option_surfaces/given.csv: 2 rows were put aside, the first on line 4: date lies" in surfaces_said
    (row,) = ka_filled.json("sql", "select count(*) n from option_surfaces", "--format", "json")
    assert row["n"] == 2


@pytest.fixture
def priced(archive, tmp_path):
    """The archive with a policy rate that fell by a quarter a month before the last market closed, and a calm index."""
    folder = shutil.copytree(archive, tmp_path / "priced")
    last = max(pq.read_table(folder / "markets.parquet")["close_time"].to_pylist())
    days = [last.replace(hour=21) - timedelta(days=age) for age in range(400)]
    rows = [
        {"symbol": symbol, "date": day.date(), "close": close, "known_at": day}
        for day in days
        for symbol, close in (("DFEDTARU", 4.25 if last - day < timedelta(days=30) else 4.5), ("VIXCLS", 12.0))
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "asset_prices.parquet")
    return folder


def test_the_regimes_of_a_single_series_are_known_on_a_fresh_home(priced, ka):
    report = ka.json("run", "--source", f"archive:{priced}", "--series", "KXU3", "--json")
    assert report["exit_code"] == 0
    regimes = "inflation_regime, policy_regime, volatility_regime"
    tags = ka.json("sql", f"select distinct {regimes} from feature_panel", "--format", "json")
    assert {t["inflation_regime"] for t in tags} <= {"high", "moderate", "low"}
    assert {t["policy_regime"] for t in tags} == {"neutral", "easing"}
    assert {t["volatility_regime"] for t in tags} == {"low"}
