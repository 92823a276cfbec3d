"""As-of lookup against an oracle that looks at every row."""

from __future__ import annotations

import tempfile
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.tables import TABLES, TIME
from kalshi_assets.store import encoding
from kalshi_assets.store.asof_lookup import lookup
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets_tests.store.rows import at, day, quote, table

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
