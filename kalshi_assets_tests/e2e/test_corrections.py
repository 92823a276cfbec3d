"""An exchange that changes its past between two runs into one home: what was known before stands, bit for bit."""

import json
import shutil
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalshi_assets.core.tables import TABLES
from kalshi_assets.emulator.simulate import simulate
from kalshi_assets.settings import facts_folder
from kalshi_assets.store.lake import Lake
from kalshi_assets_tests.conftest import CommandLine
from kalshi_assets_tests.e2e.content import content, versions

# What a run did, and what it found in the data of a date: filed under the range, or the date, that it is about.
OF_RUNS = ("ingest_log", "ingest_checkpoints", "gate_evidence")
KNOWN = [name for name in TABLES if name not in OF_RUNS]


def edit(folder, name, change):
    """Rewrite some rows of one of the archive's tables: ``change`` takes its columns as lists and alters them."""
    path = folder / f"{name}.parquet"
    table = pq.read_table(path)
    columns = table.to_pydict()
    change(columns)
    pq.write_table(pa.table(columns, schema=table.schema), path)


def close_of(folder, value):
    closes = pa.table({
        "symbol": ["SP500"], "date": [date(2026, 4, 1)], "close": [value],
        "known_at": pa.array([datetime(2026, 4, 1, 20, tzinfo=UTC)], pa.timestamp("us", "UTC")),
    })  # fmt: skip
    pq.write_table(closes, folder / "asset_prices.parquet")


def lower_bid(columns):
    """The first hourly candle with a bid of more than five cents gets one of a cent; its place and its old bid."""
    bids, periods = columns["yes_bid_low"], columns["period_interval"]
    row = next(i for i, bid in enumerate(bids) if bid > Decimal("0.05") and periods[i] == 60)
    for point in ("open", "high", "low", "close"):
        columns[f"yes_bid_{point}"][row] = Decimal("0.0100")
    return columns["ticker"][row], datetime.fromtimestamp(columns["end_period_ts"][row], UTC)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """An archive, and the same with one candle, one trade and one close restated and a candle and a trade gone."""
    folder = tmp_path_factory.mktemp("archives")
    before = simulate(folder / "before", facts=facts_folder(), events=1)
    close_of(before, 5000.0)
    after = folder / "after"
    shutil.copytree(before, after)
    told = {}

    def candles(columns):
        told["candle"] = lower_bid(columns)
        for values in columns.values():
            del values[-1]

    def trades(columns):
        told["trade"] = columns["trade_id"][0]
        columns["count"][0] += 7
        for values in columns.values():
            del values[-1]

    edit(after, "candlesticks", candles)
    edit(after, "trades", trades)
    close_of(after, 5001.0)
    about = json.loads((after / "archive.json").read_text())
    for name in ("candlesticks", "trades"):
        about["rows"][name] -= 1
    (after / "archive.json").write_text(json.dumps(about))
    return before, after, told


def as_known(lake, moment):
    return {name: lake.read(name, as_of=moment, history=True) for name in KNOWN}


def one(lake, name, as_of, **wanted):
    rows = lake.read(name, as_of=as_of).to_pylist()
    (row,) = [r for r in rows if all(r[c] == v for c, v in wanted.items())]
    return row


def test_a_past_that_is_restated_is_new_from_the_second_run_on_only(archives, tmp_path):
    before, after, told = archives
    ka = CommandLine(tmp_path / "home")
    ka.json("run", "--source", f"archive:{before}", "--json")
    lake, between = Lake(ka.home / "lake"), datetime.now(UTC)
    then = as_known(lake, between)
    n_rows = {name: lake.read(name, history=True).num_rows for name in ("quotes", "trades", "asset_prices")}
    ka.json("run", "--source", f"archive:{after}", "--json")
    differing = [name for name, rows in as_known(lake, between).items() if rows != then[name]]
    assert differing == []
    now = datetime.now(UTC)
    ticker, ts = told["candle"]
    quote = {"ticker": ticker, "ts": ts, "period_s": 3600}
    for name, column, wanted in (
        ("quotes", "yes_bid_close_usd", quote),
        ("trades", "count_contracts", {"trade_id": told["trade"]}),
        ("asset_prices", "close", {"symbol": "SP500"}),
    ):
        old, new = (one(lake, name, t, **wanted) for t in (between, now))
        assert old[column] != new[column], name
        assert old["known_at"] < between < new["known_at"] < now
        # One restated row is added, and what is served no more is still there.
        assert lake.read(name, history=True).num_rows == n_rows[name] + 1
    assert one(lake, "quotes", now, **quote)["yes_bid_close_usd"] == Decimal("0.01")
    sold = "select count(*) n, sum(count_contracts)::int c from trades"
    (early,), (late,) = (ka.json("sql", sold, "--as-of", t.isoformat(), "--format", "json") for t in (between, now))
    assert (late["n"], late["c"]) == (early["n"], early["c"] + 7)
    # The settled volume does not change with the trade, and the counts that say so are versions too.
    gaps = "select count(*) n from coverage where endpoint = 'trades.volume' and not complete"
    counts = [ka.json("sql", gaps, "--as-of", t.isoformat(), "--format", "json")[0]["n"] for t in (between, now)]
    assert counts == [0, 1]

    held, tables = content(ka.home), versions(ka.home)
    report = ka.json("run", "--source", f"archive:{after}", "--json")
    assert (content(ka.home), versions(ka.home)) == (held, tables)
    assert all(sum(stage["changed"].values()) == 0 for stage in report["stages"].values())
