"""The whole graph on recorded ladders. Needs ../shared/archive/macro-run beside the project; skips without it."""

from collections import defaultdict

import pytest

from kalshi_assets.core.distribution import DistributionConfig, build_distributions
from kalshi_assets.core.horizons import snapshot_grid
from kalshi_assets.store.lake import Lake
from kalshi_assets_tests.conftest import RECORDED, CommandLine
from kalshi_assets_tests.e2e.plain_lake import compare_labels, compare_panel

pytestmark = pytest.mark.shared

LAST = """
    select l.series_ticker s, count(*) n, avg(abs(d.mean - l.first_print)) mae,
           avg(abs(d.median - l.first_print)) median_mae
    from distributions d join labels l using (event_ticker)
    where d.horizon = '5min' and d.mean is not null and l.first_print is not null
    group by 1 order by 1
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    if not RECORDED.is_dir():
        pytest.skip("needs the recorded archive ../shared/archive/macro-run beside the project")
    return CommandLine(tmp_path_factory.mktemp("recorded"))


@pytest.fixture(scope="module")
def macro(home):
    return home.json("run", "--source", f"archive:{RECORDED}", "--series", "KXCPIYOY,KXU3", "--json")


@pytest.fixture(scope="module")
def weather(home, macro):
    return home.json("run", "--source", f"archive:{RECORDED}", "--series", "KXHIGHNY,KXLOWTNYC", "--json")


def test_all_59_ladders_reach_a_verdict(home, macro):
    assert len(macro["stages"]) == 8
    assert macro["simulated"] is False
    assert all(check["passed"] for check in macro["checks"])
    (row,) = home.json("sql", "select count(distinct event_ticker) n from distributions", "--format", "json")
    assert row["n"] == 59
    assert macro["verdicts"][0]["verdict"] == "insufficient_evidence"


def test_the_implied_mean_at_the_last_horizon_is_as_good_as_measured_elsewhere(home, macro):
    cpi, u3 = home.json("sql", LAST, "--format", "json")
    assert cpi["n"] >= 23
    assert cpi["mae"] == pytest.approx(0.077, abs=0.01)
    assert u3["n"] >= 30
    assert u3["mae"] == pytest.approx(0.127, abs=0.02)


def slow_crps(support, probability, outcome):
    pairs = list(zip(support, probability, strict=True))
    return sum(p * abs(x - outcome) for x, p in pairs) - sum(p * q * abs(a - b) for a, p in pairs for b, q in pairs) / 2


def test_forecast_scores_are_those_of_a_slow_reference(home, macro):
    query = """
        select d.series_ticker s, d.horizon h, d.basis b, d.support, d.probability, d.median, l.first_print y
        from (from distributions union all by name from trade_distributions) d join labels l using (event_ticker)
        where d.horizon <> 'daily' and d.mean is not null and l.first_print is not null
          and d.release_time = l.release_time
    """
    forecasts = home.json("sql", query, "--format", "json")
    found = home.json("scores", "--series", "KXCPIYOY,KXU3", "--json")
    scores = {(r["series_ticker"], r["horizon"], r["basis"]): r for r in found}
    assert len(scores) == 27  # no trades of the CPI ladders were recorded
    for key, row in scores.items():
        mine = [f for f in forecasts if (f["s"], f["h"], f["b"]) == key]
        crps = [slow_crps(f["support"], f["probability"], f["y"]) for f in mine]
        assert row["n"] == len(mine)
        assert row["crps"] == pytest.approx(sum(crps) / len(crps), abs=1e-12)
        assert row["mae_median"] == pytest.approx(sum(abs(f["median"] - f["y"]) for f in mine) / len(mine))
        if row["n"] >= 10:
            assert row["crps_low"] < row["crps"] < row["crps_high"]


def test_the_market_beats_the_last_print_of_cpi_and_not_that_of_unemployment(home, macro):
    cpi, u3 = (
        next(
            r
            for r in home.json("scores", "--series", series, "--json")
            if r["horizon"] == "5min" and r["basis"] == "quotes"
        )
        for series in ("KXCPIYOY", "KXU3")
    )
    assert cpi["last_print_dm_absolute"] < 0
    assert cpi["last_print_dm_absolute_p"] < 0.01
    assert u3["last_print_dm_absolute_p"] > 0.2
    assert max(cpi["crps_to_mae"], u3["crps_to_mae"]) < 1


def test_the_last_forecasts_are_as_good_as_the_ladders_allow(home, macro):
    rows = [r for r in home.json("scores", "--series", "KXCPIYOY", "--json") if r["horizon"] == "5min"]
    assert rows[0]["n"] == 24
    assert rows[0]["mae_mean"] <= 0.078
    assert rows[0]["mae_median"] <= 0.065


def test_weighting_trades_by_recency_is_no_worse_than_weighting_them_alike(home, macro):
    """Mean CRPS of the unemployment ladders at each horizon, with the documented weights and with equal ones."""
    lake = Lake(home.home / "lake")
    prints = {r["event_ticker"]: r["first_print"] for r in lake.read("labels").to_pylist()}
    grid = snapshot_grid(lake.read("events", series=["KXU3"], history=True), daily_grid=False)
    specs, trades = (lake.read(n, series=["KXU3"], history=True) for n in ("contract_specs", "trades"))
    means = []
    for fresh_days in (DistributionConfig().trade_fresh_days, 1e9):
        config = DistributionConfig(basis="trades", trade_fresh_days=fresh_days)
        crps = defaultdict(list)
        for row in build_distributions(specs, trades, grid, config).distributions.to_pylist():
            y = prints.get(row["event_ticker"])
            if row["mean"] is not None and y is not None:
                crps[row["horizon"]].append(slow_crps(row["support"], row["probability"], y))
        means.append({h: sum(v) / len(v) for h, v in crps.items()})
    weighted, alike = means
    for horizon, mean in weighted.items():
        print(f"U3 {horizon}: CRPS of trades by recency {mean:.4f}, alike {alike[horizon]:.4f}")
    assert len(weighted) == 9
    assert all(weighted[h] <= alike[h] for h in weighted)


def test_all_trades_arrive_from_both_tiers(home, macro):
    (row,) = home.json("sql", "select count(*) n, count(distinct trade_id) ids from trades", "--format", "json")
    assert row["n"] == row["ids"] == 7587


def test_the_release_day_candle_never_reaches_a_feature(home, macro):
    query = """
        select count(*) n from distribution_rungs r join events e using (event_ticker)
        where r.quote_known_at >= e.release_time
    """
    assert home.json("sql", query, "--format", "json") == [{"n": 0}]


def test_what_was_not_known_is_hidden_from_sql(home, macro):
    query = "select count(*) n, count(revised) revised from labels"
    (then,) = home.json("sql", query, "--as-of", "2024-06-30", "--format", "json")
    (now,) = home.json("sql", query, "--format", "json")
    assert then["revised"] == 0
    assert now["revised"] == 35
    assert then["n"] < now["n"] == 59


def test_no_event_ever_counts_a_contract_that_was_not_listed_yet(home, macro):
    query = """
        select e.event_ticker e, e.known_at::text t, e.n_contracts n, count(distinct c.ticker) listed
        from events_history e join contracts_history c on c.event_ticker = e.event_ticker and c.known_at <= e.known_at
        group by 1, 2, 3
    """
    rows = home.json("sql", query, "--format", "json")
    assert [r for r in rows if r["n"] != r["listed"]] == []
    assert len(rows) > len({r["e"] for r in rows}) == 59, "no ladder of these grew"


def test_bins_with_open_ends_and_no_print(home, weather):
    query = """
        select count(*) n, count(mean) ungated, max(abs(list_sum(probability) - 1)) off from distributions
        where horizon = '1h' and series_ticker in ('KXHIGHNY', 'KXLOWTNYC')
    """
    (row,) = home.json("sql", query, "--format", "json")
    assert row["n"] == 66
    assert row["ungated"] >= 60
    assert row["off"] < 1e-9


def test_weather_is_labelled_by_its_settlement(home, weather):
    query = """
        select count(*) n, count(first_print) prints, count(*) filter (settled_lo is null and settled_hi is null) open
        from labels where series_ticker in ('KXHIGHNY', 'KXLOWTNYC')
    """
    assert home.json("sql", query, "--format", "json") == [{"n": 66, "prints": 0, "open": 0}]


def test_one_series_does_not_disturb_another(home, macro, weather):
    assert weather["stages"]["market_catalog"]["changed"]["events"] == 66
    (row,) = home.json("sql", "select count(*) n from events", "--format", "json")
    assert row["n"] == 59 + 66


def test_panel_and_labels_of_the_whole_archive_are_those_of_plain_python(home, macro, weather):
    lake = Lake(home.home / "lake")
    assert compare_panel(lake) > 100_000
    assert compare_labels(lake) > 7_000
