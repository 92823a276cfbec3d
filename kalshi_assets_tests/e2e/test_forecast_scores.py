"""Forecast scores of a filled home from the command line: in the run's report, as a table, by SQL, at a time."""

from datetime import date, timedelta

import pytest

from kalshi_assets.core.tables import TABLES


def test_the_run_reports_what_the_command_and_the_table_say(filled):
    report, ka = filled
    rows = ka.json("scores", "--json")
    assert {(r["series_ticker"], r["horizon"]) for r in rows} >= {("KXU3", "5min"), ("KXCPIYOY", "1d")}
    assert all(list(r) == TABLES["forecast_scores"].schema.names for r in rows)
    short = report["forecast_scores"]
    assert [{name: r[name] for name in short[0]} for r in rows] == short
    stored = ka.json("sql", "select series_ticker, horizon, n, crps from forecast_scores", "--format", "json")
    assert sorted(tuple(r.values()) for r in stored) == sorted(tuple(r[k] for k in stored[0]) for r in rows)


def test_averages_are_those_of_the_errors(filled):
    query = """
        select s.series_ticker, s.horizon, s.mae_median, s.crps,
               avg(abs(e.median - e.outcome)) mae, avg(e.crps) mean_crps
        from forecast_scores s join forecast_errors e using (series_ticker, horizon, basis, tail_policy) group by all
    """
    rows = filled[1].json("sql", query, "--format", "json")
    assert len(rows) > 20
    for row in rows:
        assert (row["mae_median"], row["crps"]) == pytest.approx((row["mae"], row["mean_crps"]))


def test_one_series_and_an_earlier_time(filled):
    report, ka = filled
    rows = ka.json("scores", "--series", "kxu3", "--json")
    assert {(r["series_ticker"], r["basis"]) for r in rows} == {("KXU3", "quotes"), ("KXU3", "trades")}
    (full,) = [r for r in rows if r["horizon"] == "5min" and r["basis"] == "quotes"]
    days = ka.json("sql", "select event_date d from events where series_ticker = 'KXU3' order by 1", "--format", "json")
    before = date.fromisoformat(days[-1]["d"]) - timedelta(days=1)
    (cut,) = [
        r
        for r in ka.json("scores", "--series", "KXU3", "--as-of", str(before), "--json")
        if r["horizon"] == "5min" and r["basis"] == "quotes"
    ]
    assert cut["n_events"] == full["n_events"] - 1
    assert cut["known_at"] < str(before)
    assert report["exit_code"] == 0


def test_a_person_sees_the_scores(filled):
    done = filled[1]("scores")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].split()[:4] == ["series_ticker", "basis", "horizon", "n"]
    assert "rows)" in done.stdout


def test_wrong_arguments_end_in_a_sentence(filled, ka):
    assert "holds no series KXNONE" in filled[1].sentence("scores", "--series", "KXNONE", code=2)
    assert "is no time" in filled[1]("scores", "--as-of", "yesterday").stderr
    assert ka.json("scores", "--json") == []
