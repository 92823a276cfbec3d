"""As-of lookup against an oracle that looks at every row."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.tables import TABLES, TIME
from kalshi_assets.errors import StoreError
from kalshi_assets.store import encoding
from kalshi_assets.store.asof_lookup import lookup
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets_tests.store.rows import at, day, label, quote, table

Row = dict[str, Any]
STRIKES = ("T2.4", "T2.5", "T2.6")
ORDER = (*TABLES["quotes"].partition_by, *TABLES["quotes"].order)


def asked(*pairs: tuple[str, datetime], dates: list[Any] | None = None) -> pa.Table:
    columns = {"ticker": pa.array([t for t, _ in pairs], pa.string()), "as_of": pa.array([a for _, a in pairs], TIME)}
    return pa.table(columns if dates is None else {**columns, "event_date": pa.array(dates, pa.date32())})


def newest(rows: list[Row], ticker: str, as_of: datetime, date: Any = None) -> Row | None:
    known = [
        r for r in rows
        if r["ticker"] == ticker and r["known_at"] <= as_of and date in (None, r["event_date"])
    ]  # fmt: skip
    return max(known, key=lambda r: (r["ts"], r["known_at"], *(r[c] for c in ORDER)), default=None)


def ticker(d: int, strike: str) -> str:
    return str(quote(day(d), 0, strike=strike)["ticker"])


quote_rows = st.builds(
    lambda d, strike, home, minute, late, source, period, bid: quote(
        day(d), minute, strike=strike, ticker=ticker(home, strike), known_at=at(minute + late), source=source,
        period_s=period, bid=f"0.{bid}",
    ),
    st.integers(0, 2), st.sampled_from(STRIKES), st.integers(0, 1), st.integers(0, 5), st.integers(0, 4),
    st.sampled_from(["book", "candle"]), st.sampled_from([1, 60]), st.integers(1, 9),
)  # fmt: skip


def key(row: Row) -> tuple[Any, ...]:
    return tuple(row[c] for c in ("ticker", "source", "period_s", "ts", "known_at"))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(quote_rows, max_size=40, unique_by=key),
    pairs=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([*STRIKES, "T9"]), st.integers(-1, 10), st.integers(0, 3)),
        max_size=12,
    ),
    dated=st.booleans(),
    group_rows=st.sampled_from([1, 3, 65_536]),
)
def test_it_finds_what_looking_at_every_row_finds(rows: Any, pairs: Any, dated: bool, group_rows: int) -> None:
    """Contracts in several dates, feeds that tie, late rows, row groups that cut a contract in two."""
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "ROW_GROUP_ROWS", group_rows)
        lake = Lake(root)
        lake.replace("quotes", table("quotes", rows), scope=Scope([day(d) for d in range(3)]), run_id="r")
        stored = lake.read("quotes", history=True).to_pylist()
        names = [ticker(d, strike) for d, strike, _, _ in pairs]
        times = [at(minute) for _, _, minute, _ in pairs]
        dates = [day(d) for *_, d in pairs] if dated else [None] * len(pairs)
        got = lookup(lake, "quotes", asked(*zip(names, times, strict=True), dates=dates if dated else None))
        expected = [newest(stored, *one) for one in zip(names, times, dates, strict=True)]
        nothing = dict.fromkeys(TABLES["quotes"].schema.names)
        assert got.to_pylist() == [nothing if row is None else row for row in expected]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    rows = [quote(day(d), 60 * d + m, strike=s) for d in range(3) for s in STRIKES for m in (1, 2, 3)]
    lake.replace("quotes", table("quotes", rows), scope=Scope([day(d) for d in range(3)]), run_id="r7")
    return lake


def test_columns_come_as_asked_those_of_the_folder_and_of_the_store_among_them(lake: Lake) -> None:
    requests = asked((ticker(1, "T2.5"), at(62)), (ticker(0, "T2.5"), at(0)), (ticker(0, "T2.4"), at(2.5)))
    got = lookup(lake, "quotes", requests, columns=["ts", "event_date", "run_id", "series_ticker", "ticker"])
    assert got.to_pylist() == [
        {"ts": at(62), "event_date": day(1), "run_id": "r7", "series_ticker": "KXCPIYOY", "ticker": ticker(1, "T2.5")},
        dict.fromkeys(got.column_names),
        {"ts": at(2), "event_date": day(0), "run_id": "r7", "series_ticker": "KXCPIYOY", "ticker": ticker(0, "T2.4")},
    ]
    nothing = lookup(lake, "quotes", asked(), columns=["ts"])
    assert (nothing.num_rows, nothing.column_names) == (0, ["ts"])
    past = lake.at({"quotes": 0})
    assert lookup(past, "quotes", requests, columns=["ts"])["ts"].to_pylist() == [None] * 3


def test_only_files_and_row_groups_that_may_answer_are_read(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, tuple[str, ...]]] = []
    plain = pq.ParquetFile.read_row_groups

    def noted(self: pq.ParquetFile, groups: list[int], columns: list[str], **more: Any) -> pa.Table:
        read.append((len(groups), tuple(columns)))
        return plain(self, groups, columns=columns, **more)

    monkeypatch.setattr(encoding, "ROW_GROUP_ROWS", 3)
    rows = [quote(day(1), m, strike=s) for s in STRIKES for m in (1, 2, 3)]
    lake.replace("quotes", table("quotes", rows), scope=Scope([day(1)]), run_id="r")
    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", noted)
    lookup(lake, "quotes", asked((ticker(1, "T2.6"), at(9))), columns=["yes_bid_close_usd"])
    # One contract's row group of one file; ``ts`` never falls there and is not asked for.
    assert read == [(1, ("ticker", "known_at")), (1, ("yes_bid_close_usd",))]
    read.clear()
    lookup(lake, "quotes", asked((ticker(1, "T2.6"), at(0)), ("no such contract", at(9)), ("A", at(9))))
    assert read == []


def test_files_of_another_engine_are_searched_whatever_their_order(lake: Lake) -> None:
    from deltalake import write_deltalake

    # Neither sorted nor in one file, and with times that the log's statistics cut to milliseconds.
    odd = [
        quote(day(1), m, strike=s, known_at=at(m) + timedelta(microseconds=1)) for m in (9, 7, 8) for s in STRIKES[::-1]
    ]
    foreign = table("quotes", odd).append_column("run_id", pa.array(["x"] * 9)).append_column(
        "recorded_at", pa.array([at(0)] * 9, TIME)
    )  # fmt: skip
    write_deltalake(lake.tables.address("quotes"), foreign, mode="append")
    stored = lake.read("quotes", history=True).to_pylist()
    pairs = [(ticker(1, s), at(m) + timedelta(microseconds=us)) for s in STRIKES for m in (7, 9) for us in (0, 1, 2)]
    got = lookup(lake, "quotes", asked(*pairs)).to_pylist()
    assert got == [newest(stored, *pair) or dict.fromkeys(TABLES["quotes"].schema.names) for pair in pairs]


def test_of_a_full_tie_the_last_partition_and_the_last_row_in_it_win(tmp_path: Path) -> None:
    def row(d: int, source: str) -> Row:
        return {**quote(day(0), 1, source=source), "event_date": day(d)}

    lake = Lake(tmp_path)
    requests = asked((ticker(0, "T2.5"), at(1)))
    for rows in ([row(0, "z"), row(1, "b"), row(1, "a")], [row(0, "b"), row(0, "a"), row(1, "Z")]):
        lake.replace("quotes", table("quotes", rows), scope=Scope([day(0), day(1)]), run_id="r")
        last = max(rows, key=lambda r: (r["event_date"], r["source"]))
        assert lookup(lake, "quotes", requests).to_pylist() == table("quotes", [last]).to_pylist()


def test_a_table_that_is_not_sorted_by_when_it_was_known(tmp_path: Path) -> None:
    """Distributions lie by event and horizon; ``ts`` may rise from one to the next and ``known_at`` not."""
    lake = Lake(tmp_path)
    rows = [
        {**{c: v for c, v in label(day(0), known, None).items() if c != "first_print"}, "horizon": horizon,
         "as_of": at(ts), "ts": at(ts), "mean": float(ts)}
        for horizon, ts, known in (("a", 1, 3), ("b", 2, 9), ("c", 3, 4))
    ]  # fmt: skip
    lake.replace("distributions", table("distributions", rows), scope=Scope([day(0)]), run_id="r")
    event = rows[0]["event_ticker"]
    requests = pa.table({"event_ticker": [event] * 4, "as_of": pa.array([at(m) for m in (2, 3, 5, 9)], TIME)})
    assert lookup(lake, "distributions", requests, columns=["mean"])["mean"].to_pylist() == [None, 1.0, 3.0, 3.0]


def test_other_tables_are_looked_up_by_their_own_name(lake: Lake) -> None:
    rows = [label(day(0), 1, 3.0, event_ticker="E"), label(day(0), 5, 3.1, event_ticker="E", ts=at(-5))]
    lake.upsert("labels", table("labels", rows), run_id="r")
    requests = pa.table({"event_ticker": ["E", "E", "F"], "as_of": pa.array([at(1), at(9), at(9)], TIME)})
    assert lookup(lake, "labels", requests, columns=["first_print"])["first_print"].to_pylist() == [3.0, 3.0, None]
    assert lookup(lake, "verdicts", pa.table({"verdict_id": ["v"], "as_of": pa.array([at(1)], TIME)})).num_rows == 1


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        (asked(("T", at(1))).drop_columns(["ticker"]), "needs a value of ticker"),
        (asked(("T", at(1))).drop_columns(["as_of"]), "needs a value of as_of"),
        (pa.table({"ticker": pa.array([None], pa.string()), "as_of": pa.array([at(1)], TIME)}), "value of ticker"),
        (pa.table({"ticker": ["T"], "as_of": pa.array([1], pa.timestamp("us"))}), "with their time zone"),
        (asked(("T", at(1)), dates=[None]), "value of event_date"),
    ],
)
def test_a_request_that_lacks_something_is_said(lake: Lake, requests: pa.Table, words: str) -> None:
    with pytest.raises(StoreError, match=words):
        lookup(lake, "quotes", requests)


def test_a_wrong_column_and_a_damaged_file_are_named(lake: Lake, tmp_path: Path) -> None:
    requests = asked((ticker(1, "T2.5"), at(99)))
    with pytest.raises(StoreError, match="no column 'bid'"):
        lookup(lake, "quotes", requests, columns=["bid"])
    (path,) = (tmp_path / f"quotes/event_date={day(1)}").rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(StoreError, match=path.name):
        lookup(lake, "quotes", requests)
    assert lookup(lake, "quotes", asked((ticker(0, "T2.5"), at(99))))["ts"].to_pylist() == [at(3)]
