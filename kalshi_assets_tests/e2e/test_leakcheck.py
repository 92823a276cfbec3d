"""``kalshi-assets leakcheck`` on the lake's own rows, a user's function and a finished panel."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from kalshi_assets.errors import UsageError
from kalshi_assets.stages.leak_check import check_function, check_panel
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.snapshots import newest_snapshot, record_snapshot


@pytest.fixture(scope="module")
def lake(filled) -> Lake:
    return Lake(filled[1].home / "lake")


def newest_bid(inputs, snapshots, *, column: str):
    """The event's newest bid by ``column``: ``known_at`` is honest, any other time is not."""
    rows = []
    for at in snapshots.select(["event_ticker", "horizon", "as_of"]).to_pylist():
        quotes = inputs["quotes"]
        mine = pc.and_(pc.equal(quotes["event_ticker"], at["event_ticker"]), pc.less_equal(quotes[column], at["as_of"]))
        seen = quotes.filter(mine).sort_by([(column, "ascending"), ("ticker", "ascending"), ("period_s", "ascending")])
        bids = seen["yes_bid_close_usd"].drop_null()
        rows.append({**at, "bid": float(bids[-1].as_py()) if len(bids) else None})
    return pa.Table.from_pylist(rows, schema=pa.schema(
        [snapshots.schema.field(n) for n in ("event_ticker", "horizon", "as_of")] + [("bid", pa.float64())]
    ))  # fmt: skip


def honest(inputs, snapshots):
    return newest_bid(inputs, snapshots, column="known_at")


def by_event_time(inputs, snapshots):
    return newest_bid(inputs, snapshots, column="ts")


def failed(found: pa.Table) -> set[str]:
    return {r["gate"] for r in found.to_pylist() if not r["passed"]}


def test_the_lakes_own_rows_pass(filled):
    _, ka = filled
    done = ka("leakcheck")
    assert done.returncode == 0, done.stdout
    for words in ("distributions", "feature_panel", "future_blind", "order_independent", "canaries", "order_of_times"):
        assert words in done.stdout


def gives_nothing(inputs, snapshots):
    return None


def fails(inputs, snapshots):
    return inputs["no such table"]


def test_a_module_that_is_wrong_is_said_in_a_sentence(lake, tmp_path, monkeypatch):
    (tmp_path / "features_of_mine.py").write_text("def build(inputs, snapshots:\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"features_of_mine:build cannot be imported \(SyntaxError: "):
        check_function(lake, "features_of_mine:build")


def test_a_users_function_is_probed(lake):
    assert failed(check_function(lake, f"{__name__}:honest")) == set()
    leaking = check_function(lake, f"{__name__}:by_event_time")
    assert failed(leaking) == {"future_blind"}
    late = [r for r in leaking.to_pylist() if r["probe"] == "late"]
    assert "bid was" in late[0]["detail"]


def finished(lake: Lake, column: str) -> pa.Table:
    panel = lake.read("feature_panel").select(["event_ticker", "horizon", "as_of", "mean", "std"])
    labels = lake.read("labels").select(["event_ticker", column])
    return panel.join(labels, "event_ticker").rename_columns(
        ["event_ticker", "horizon", "decided", "mean", "std", "feature_7"]
    )


def test_an_honest_panel_raises_no_suspicion(lake, tmp_path):
    path = tmp_path / "panel.parquet"
    pq.write_table(finished(lake, "first_print").drop_columns(["feature_7"]), path)
    assert failed(check_panel(lake, path, "decided")) == set()


def test_the_lakes_own_panel_raises_none(lake, tmp_path):
    path = tmp_path / "panel.parquet"
    pq.write_table(lake.read("feature_panel"), path)
    assert failed(check_panel(lake, path, "as_of")) == set()


def test_a_contracts_result_and_an_outcome_in_another_unit_are_found(lake, tmp_path):
    path = tmp_path / "panel.parquet"
    panel = lake.read("feature_panel").select(["event_ticker", "as_of"])
    contracts = lake.read("contracts").select(["event_ticker", "ticker", "result"])
    labels = lake.read("labels").select(["event_ticker", "settled_lo"])
    rows = panel.join(labels, "event_ticker").join(contracts, "event_ticker")
    columns = {"half": pc.divide(rows["settled_lo"], 2.0), "won": pc.equal(rows["result"], "yes")}
    pq.write_table(pa.table({n: rows[n] for n in ("event_ticker", "as_of", "ticker")} | columns), path)
    found = [r for r in check_panel(lake, path, "as_of").to_pylist() if not r["passed"]]
    assert {(r["gate"], r["probe"]) for r in found} == {("tracks_outcome", "half"), ("tracks_outcome", "won")}
    assert ["with result over" in r["detail"] for r in found if r["probe"] == "won"] == [True]


def test_a_column_that_is_the_outcome_is_found(filled, lake, tmp_path):
    path = tmp_path / "panel.csv"
    pa.csv.write_csv(finished(lake, "first_print"), path)
    done = filled[1]("leakcheck", "--panel", str(path), "--as-of-column", "decided")
    assert done.returncode == 3, done.stderr
    assert "equals first_print in" in done.stdout


def test_a_panel_is_held_against_what_readers_see(lake, ka_filled, tmp_path):
    path = tmp_path / "panel.csv"
    pa.csv.write_csv(finished(lake, "first_print"), path)
    mine = Lake(ka_filled.home / "lake")
    then, labels = newest_snapshot(mine).snapshot_id, mine.read("labels", history=True)
    days = Scope(sorted(set(labels["event_date"].to_pylist())))
    mine.replace("labels", labels.slice(0, 0), scope=days, run_id="loss")
    panel = ("leakcheck", "--panel", str(path), "--as-of-column", "decided")
    assert ka_filled(*panel).returncode == 3
    record_snapshot(mine, stage="loss", run_id="loss", code_version="1", config_hash="c")
    assert ka_filled(*panel).returncode == 0
    assert ka_filled(*panel, "--snapshot", then).returncode == 3


def test_a_column_of_the_next_snapshot_is_found(lake, tmp_path):
    own = lake.read("feature_panel").sort_by([("event_ticker", "ascending"), ("as_of", "ascending")])
    ahead = pa.concat_arrays([own["mean"].combine_chunks()[1:], pa.nulls(1, pa.float64())])
    rows = pa.table({"event_ticker": own["event_ticker"], "as_of": own["as_of"], "mean": ahead})
    same = pc.equal(rows["event_ticker"].combine_chunks()[:-1], rows["event_ticker"].combine_chunks()[1:])
    path = tmp_path / "panel.parquet"
    pq.write_table(rows.slice(0, rows.num_rows - 1).filter(same), path)
    assert failed(check_panel(lake, path, "as_of")) == {"equals_later_snapshot"}


def test_an_as_of_time_after_the_release_is_found(lake, tmp_path):
    panel = lake.read("feature_panel").select(["event_ticker", "release_time", "mean"])
    path = tmp_path / "panel.parquet"
    pq.write_table(panel, path)
    assert "as_of_before_release" in failed(check_panel(lake, path, "release_time"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--panel", "p.csv"), "--as-of-column together"),
        (("--function", "nowhere"), "my_features:build"),
        (("--function", "no_such_module_here:build"), "cannot be imported"),
        (("--function", f"{__name__}:gives_nothing"), "gives_nothing failed in "),
        (("--function", f"{__name__}:fails"), "fails failed in test_leakcheck.py, line "),
        (("--panel", "absent.csv", "--as-of-column", "t"), "cannot be read"),
        (("--panel", "p.csv", "--as-of-column", "t", "--seed", "1"), "leave out --dates and --seed"),
    ],
)
def test_what_cannot_be_checked_is_said_in_a_sentence(filled, arguments, words):
    assert words in filled[1].sentence("leakcheck", *arguments, code=2)
