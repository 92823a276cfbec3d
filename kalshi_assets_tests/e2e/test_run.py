"""The whole graph from the command line: what it makes, and that making it again changes nothing."""

import json

import pytest

from kalshi_assets.stages.evidence import GATES, STAGES
from kalshi_assets_tests.e2e.content import content, versions


def test_eight_stages_from_listing_to_verdict(filled):
    report, ka = filled
    assert list(report["stages"]) == list(STAGES)
    assert report["simulated"] is True
    assert report["exit_code"] == 0
    n_dates = len(report["event_dates"])
    assert n_dates == 9  # unemployment and payrolls share their mornings, and one from which they moved
    assert all(stage["dates"] == n_dates for stage in report["stages"].values())
    assert len(report["checks"]) == n_dates * sum(len(checks) for checks in GATES.values())
    assert all(check["passed"] for check in report["checks"])
    (verdict,) = report["verdicts"]
    assert verdict["verdict"] == "insufficient_evidence"  # twelve events are no track record
    assert ka.json("sql", "select count(*) n from events", "--format", "json") == [{"n": 12}]


def test_every_snapshot_of_every_event_is_there(filled):
    _, ka = filled
    query = """
        select count(*) n, count(mean) ungated, bool_and(inputs_known_at is null or inputs_known_at <= as_of) kept
        from distributions where horizon = '1d'
    """
    (row,) = ka.json("sql", query, "--format", "json")
    assert row["n"] == 12
    assert row["ungated"] >= 10
    assert row["kept"] is True


def test_the_simulated_label_goes_everywhere(filled):
    _, ka = filled
    (row,) = ka.json("sql", "select bool_and(simulated) s from series", "--format", "json")
    assert row["s"] is True
    (row,) = ka.json("sql", "select bool_and(simulated) s from verdicts", "--format", "json")
    assert row["s"] is True


def test_running_twice_changes_no_row(ka_filled, archive):
    before, held = content(ka_filled.home), versions(ka_filled.home)
    report = ka_filled.json("run", "--source", f"archive:{archive}", "--json")
    assert content(ka_filled.home) == before
    assert versions(ka_filled.home) == held
    assert all(sum(stage["changed"].values()) == 0 for stage in report["stages"].values())


def test_one_date_after_the_whole_changes_nothing_else(ka_filled, archive, filled):
    day = filled[0]["event_dates"][3]
    before = content(ka_filled.home)
    report = ka_filled.json("run", "--source", f"archive:{archive}", "--dates", f"{day}:{day}", "--json")
    assert report["event_dates"] == [day]
    assert content(ka_filled.home) == before


def test_one_series_leaves_the_others_alone(ka_filled, archive):
    before = content(ka_filled.home)
    ka_filled.json("run", "--source", f"archive:{archive}", "--series", "KXU3", "--json")
    assert content(ka_filled.home) == before


def test_dates_piece_by_piece_give_the_same_data_as_at_once(ka, archive, filled):
    dates = filled[0]["event_dates"]
    for first, last in ((dates[4], dates[-1]), (dates[0], dates[3])):
        ka.json("run", "--source", f"archive:{archive}", "--dates", f"{first}:{last}", "--json")
    tables = ["events", "contracts", "contract_specs", "quotes", "distributions", "feature_panel", "labels"]
    assert content(ka.home, tables) == content(filled[1].home, tables)


def test_on_demand_equals_the_stage(filled):
    _, ka = filled
    query = """
        select event_ticker, strftime(as_of, '%Y-%m-%dT%H:%M:%SZ') t, mean, std, median, q25 from distributions
        where horizon = '4h' and mean is not null order by event_ticker limit 2
    """
    for row in ka.json("sql", query, "--format", "json"):
        answer = ka.json("distribution", row["event_ticker"], "--as-of", row["t"], "--json")
        assert [answer["mean"], answer["std"], answer["median"]] == [row["mean"], row["std"], row["median"]]
        assert answer["quantiles"]["q25"] == row["q25"]
        assert sum(answer["pmf"]["probability"]) == pytest.approx(1.0)


def test_a_person_sees_tables_and_what_comes_next(ka_filled, archive):
    done = ka_filled.installed("run", "--source", f"archive:{archive}")
    assert done.returncode == 0
    for words in ("promotion_verdict", "insufficient_evidence", "simulated prices", "make ui", "Why not promoted"):
        assert words in done.stdout
    assert "[3/8] quotes" in done.stderr
    assert "requests" in done.stderr


def test_a_distribution_is_drawn_for_a_person(filled):
    _, ka = filled
    (row,) = ka.json(
        "sql", "select min(event_ticker) e, any_value(release_time)::text t from events", "--format", "json"
    )
    done = ka("distribution", row["e"], "--as-of", "2030-01-01")
    assert done.returncode == 0
    assert row["e"] in done.stdout


def test_verdicts_recompute(ka_filled):
    (finding,) = ka_filled.json("verify", "--json")
    assert finding["state"] == "verified"
    assert finding["recomputed_id"] == finding["verdict_id"]


def test_as_of_hides_what_was_not_known(filled):
    report, ka = filled
    middle = report["event_dates"][4] + "T00:00:00Z"
    count = "select count(*) n, max(known_at)::text newest from quotes"
    (then,) = ka.json("sql", count, "--as-of", middle, "--format", "json")
    (now,) = ka.json("sql", count, "--format", "json")
    assert 0 < then["n"] < now["n"]
    assert then["newest"] < middle.replace("T", " ")
    (prints,) = ka.json("sql", "select count(first_print) n from labels", "--as-of", middle, "--format", "json")
    assert 0 < prints["n"] < 12


def test_csv_and_json_agree(filled):
    _, ka = filled
    query = "select event_ticker, n_contracts from events order by all"
    rows = ka.json("sql", query, "--format", "json")
    lines = ka("sql", query, "--format", "csv").stdout.splitlines()
    assert lines[0] == "event_ticker,n_contracts"
    assert lines[1:] == [f"{r['event_ticker']},{r['n_contracts']}" for r in rows]
    assert json.dumps(rows)
