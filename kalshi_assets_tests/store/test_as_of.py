"""The as-of door and both writes against an oracle of plain dictionaries."""

from __future__ import annotations

import tempfile
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.sql import query
from kalshi_assets_tests.store.rows import at, day, event_fields, label, quote, table

Row = dict[str, Any]
EVENTS = ("A", "B", "C")

label_rows = st.builds(
    lambda event, d, known, value: label(day(d), known, value, event_ticker=event),
    st.sampled_from(EVENTS),
    st.integers(0, 2),
    st.integers(0, 8),
    st.sampled_from([None, 1.0, 2.0, -0.0]),
)
batches = st.lists(
    st.lists(label_rows, max_size=6, unique_by=lambda r: (r["event_ticker"], r["known_at"])), min_size=1, max_size=4
)


def newest(rows: list[Row], minute: float | None) -> list[Row]:
    """One row an event: greatest known_at up to the time; the later event date on a tie."""
    best: dict[str, Row] = {}
    for row in rows:
        if minute is not None and row["known_at"] > at(minute):
            continue
        old = best.get(row["event_ticker"])
        if old is None or (row["known_at"], row["event_date"]) > (old["known_at"], old["event_date"]):
            best[row["event_ticker"]] = row
    return sorted(best.values(), key=lambda r: r["event_ticker"])


@settings(max_examples=25, deadline=None)
@given(writes=batches, minute=st.one_of(st.none(), st.integers(-1, 9)), dates=st.sets(st.integers(0, 2)))
def test_upserts_read_as_the_oracle_says(writes: list[list[Row]], minute: int | None, dates: set[int]) -> None:
    stored: dict[tuple[str, date, Any], Row] = {}
    with tempfile.TemporaryDirectory() as root:
        lake = Lake(root)
        for i, batch in enumerate(writes):
            lake.upsert("labels", table("labels", batch), run_id=f"r{i}")
            stored |= {(r["event_ticker"], r["event_date"], r["known_at"]): r for r in batch}
        as_of = None if minute is None else at(minute)
        expected = newest(list(stored.values()), minute)
        chosen = [day(d) for d in sorted(dates)]
        inside = [r for r in expected if r["event_date"] in chosen]
        # repr: a zero keeps its sign.
        assert repr(lake.read("labels", as_of=as_of).to_pylist()) == repr(table("labels", expected).to_pylist())
        assert repr(lake.read("labels", as_of=as_of, event_dates=chosen).to_pylist()) == repr(
            table("labels", inside).to_pylist()
        )
        by_sql = query(lake, "select event_ticker, event_date, known_at from labels order by all", as_of=as_of)
        assert by_sql.to_pylist() == [{k: r[k] for k in ("event_ticker", "event_date", "known_at")} for r in expected]
        known = [r for r in stored.values() if minute is None or r["known_at"] <= at(minute)]
        assert lake.read("labels", as_of=as_of, history=True).num_rows == len(known)
        assert query(lake, "select count(*) n from labels_history", as_of=as_of).to_pylist() == [{"n": len(known)}]


quote_rows = st.builds(
    lambda d, s, minute, late, bid: quote(
        day(d), minute, series=s, bid=None if bid is None else f"0.{bid}", known_at=at(minute + late)
    ),
    st.integers(0, 2),
    st.sampled_from(["KXU3", "KXCPI"]),
    st.integers(0, 2),
    st.sampled_from([0, 3]),
    st.one_of(st.none(), st.integers(1, 9)),
)


def full_key(row: Row) -> tuple[Any, ...]:
    return row["ticker"], row["ts"], row["known_at"]


@settings(max_examples=25, deadline=None)
@given(
    writes=st.lists(
        st.tuples(
            st.sets(st.integers(0, 2), min_size=1),
            st.one_of(st.none(), st.sampled_from(["KXU3", "KXCPI"])),
            st.lists(quote_rows, max_size=6, unique_by=full_key),
        ),
        min_size=1,
        max_size=4,
    ),
    minute=st.integers(-1, 6),
)
def test_replacements_read_as_the_oracle_says(writes: Any, minute: int) -> None:
    stored: list[Row] = []
    with tempfile.TemporaryDirectory() as root:
        lake = Lake(root)
        for i, (dates, series, rows) in enumerate(writes):
            chosen = {day(d) for d in dates}
            owned = [r for r in rows if r["event_date"] in chosen and series in (None, r["series_ticker"])]
            scope = Scope(sorted(chosen), None if series is None else [series])
            before = lake.version("quotes")
            commit = lake.replace("quotes", table("quotes", owned), scope=scope, run_id=f"r{i}")
            kept = [r for r in stored if r["event_date"] not in chosen or series not in (None, r["series_ticker"])]
            same = sorted(map(repr, [*kept, *owned])) == sorted(map(repr, stored))
            assert commit.changed == (not same)
            assert same == (lake.version("quotes") == before)
            stored = [*kept, *owned]
        known = [r for r in stored if r["known_at"] <= at(minute)]
        latest = {(r["ticker"], r["ts"]): r for r in sorted(known, key=lambda r: r["known_at"])}
        expected = sorted(latest.values(), key=lambda r: (r["ticker"], r["known_at"], r["ts"]))
        assert lake.read("quotes", as_of=at(minute)).equals(table("quotes", expected))
        total = sum((r["yes_bid_close_usd"] or Decimal(0) for r in expected), Decimal(0))
        answer = query(lake, "select count(*), coalesce(sum(yes_bid_close_usd), 0) s from quotes", as_of=at(minute))
        assert tuple(answer.to_pylist()[0].values()) == (len(expected), total)


def test_a_late_correction_appears_when_it_was_known() -> None:
    with tempfile.TemporaryDirectory() as root:
        lake = Lake(root)
        rows = [label(day(0), 0, 3.1), label(day(0), 5, 3.2), label(day(0), 3, 9.9)]
        for row in rows:
            lake.upsert("labels", table("labels", [row]), run_id="r")

        def value(minute: float) -> list[float]:
            return lake.read("labels", as_of=at(minute), columns=["first_print"]).column(0).to_pylist()

        assert [value(m) for m in (-1, 0, 2.9, 3, 4.9, 5, 99)] == [[], [3.1], [3.1], [9.9], [9.9], [3.2], [3.2]]


def test_nothing_is_known_a_microsecond_early_in_a_file_of_another_engine() -> None:
    """delta-rs cuts the greatest ``known_at`` of a file to milliseconds in the log, downwards."""
    from deltalake import write_deltalake

    known = at(1) + timedelta(microseconds=123_456)
    with tempfile.TemporaryDirectory() as root:
        lake = Lake(root)
        lake.replace("quotes", table("quotes", [quote(day(0), 0)]), scope=Scope([day(0)]), run_id="r")
        late = table("quotes", [quote(day(1), 1, known_at=known)])
        stored = late.append_column("run_id", pa.array(["x"])).append_column("recorded_at", late["ts"])
        write_deltalake(lake.tables.address("quotes"), stored, mode="append")
        for early, rows in ((456, 1), (1, 1), (0, 2), (-1, 2)):
            assert lake.read("quotes", as_of=known - timedelta(microseconds=early)).num_rows == rows


def test_trades_of_several_dates_come_in_their_one_order() -> None:
    """Their order begins with the ticker and their key with the trade, so files do not follow one another."""
    trades = [
        {**event_fields(day(d), series), "ticker": f"{series}-{n % 2}", "trade_id": f"t{7 * n % 10}{d}{series}",
         "sequence": n, "ts": at(n), "known_at": at(n)}
        for d in range(2) for series in ("KXU3", "KXCPI") for n in range(6)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as root:
        lake = Lake(root)
        lake.replace("trades", table("trades", trades), scope=Scope([day(0), day(1)]), run_id="r")
        got = lake.read("trades", columns=["ticker", "known_at", "sequence", "trade_id"]).to_pylist()
    assert got == sorted(({c: t[c] for c in got[0]} for t in trades), key=lambda r: tuple(r.values()))
