"""Rows of a write by partition, against sorting plain dictionaries."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import StoreError
from kalshi_assets.store import arrangement
from kalshi_assets.store.arrangement import arrange, grouped
from kalshi_assets_tests.store.rows import at, day, event_fields, quote, table

QUOTES = TABLES["quotes"]
quote_rows = st.builds(
    lambda d, series, strike, minute, late, period: quote(
        day(d), minute, series=series, strike=strike, known_at=at(minute + late), period_s=period
    ),
    st.integers(0, 3), st.sampled_from(["KXU3", "KXCPI"]), st.sampled_from(["T1", "T2"]), st.integers(0, 3),
    st.sampled_from([0, 2]), st.sampled_from([1, 60]),
)  # fmt: skip


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[c] for c in ("ticker", "source", "period_s", "ts", "known_at"))


def in_chunks(rows: pa.Table, cuts: list[int]) -> pa.Table:
    edges = [0, *sorted(c % (rows.num_rows + 1) for c in cuts), rows.num_rows]
    return pa.concat_tables([rows.slice(a, b - a) for a, b in pairwise(edges)])


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(quote_rows, max_size=30, unique_by=key),
    cuts=st.lists(st.integers(0, 30), max_size=4),
    block=st.sampled_from([1, 4, 10_000]),
)
def test_each_partition_gets_its_rows_in_file_order(rows: list[dict[str, Any]], cuts: list[int], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrangement, "_BLOCK_ROWS", block)
        arranged = arrange(QUOTES, in_chunks(table("quotes", rows), cuts))
    partitions = sorted({(r["event_date"], r["series_ticker"]) for r in rows})
    assert list(arranged.ranges) == partitions
    for partition in partitions:
        own = [r for r in rows if (r["event_date"], r["series_ticker"]) == partition]
        own.sort(key=lambda r: tuple(r[c] for c in QUOTES.order))
        assert arranged.of(partition).equals(table("quotes", own))
    assert arranged.of((day(9), "KXU3")).num_rows == 0


def test_rows_in_file_order_stay_where_they_are() -> None:
    rows = table("quotes", [quote(day(d), m) for d in range(3) for m in range(5)])
    assert arrange(QUOTES, rows).order is None
    assert arrange(QUOTES, rows.take(pa.array(range(14, -1, -1)))).order is not None
    assert grouped(QUOTES, rows).ranges == {(day(d), "KXCPIYOY"): (5 * d, 5 * d + 5) for d in range(3)}


@pytest.mark.parametrize("block", [2, 10_000])
@pytest.mark.parametrize("apart", [False, True])
def test_one_key_twice_is_found_beside_itself_and_in_another_partition(
    block: int, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrangement, "_BLOCK_ROWS", block)
    rows = [quote(day(d), m, strike=f"T{d}") for d in range(4) for m in range(3)]
    arrange(QUOTES, table("quotes", rows))
    again = {**rows[4], "event_date": day(3)} if apart else dict(rows[4])
    for order in (range(13), np.random.default_rng(5).permutation(13)):
        both = table("quotes", [*rows, again]).take(pa.array(order))
        with pytest.raises(StoreError, match=r"repeat the key \(ticker=KXCPIYOY-24FEB02-T1, .*ts=2024-01-01 12:01"):
            arrange(QUOTES, both)


def test_a_contract_that_moved_date_has_rows_in_both() -> None:
    rows = [quote(day(0), 1), {**quote(day(0), 2), "event_date": day(1)}]
    assert len(arrange(QUOTES, table("quotes", rows)).ranges) == 2


def trade(d: int, minute: int, trade_id: str) -> dict[str, Any]:
    return {
        **event_fields(day(d)), "ticker": "T", "trade_id": trade_id, "sequence": 0, "ts": at(minute),
        "known_at": at(minute),
    }  # fmt: skip


def test_a_key_that_the_order_does_not_begin_with_is_unique_too() -> None:
    spec = replace(TABLES["trades"], key=("trade_id",), versioned=False, sort_by=("ticker", "trade_id"))
    rows = [trade(0, 1, "a"), trade(0, 2, "b"), trade(1, 3, "c")]
    assert len(arrange(spec, table("trades", rows)).ranges) == 2
    for again in (trade(0, 9, "a"), trade(1, 9, "a")):
        with pytest.raises(StoreError, match=r"repeat the key \(trade_id=a\)"):
            arrange(spec, table("trades", [*rows, again]))


def test_a_key_that_holds_its_partition_may_be_in_several() -> None:
    fold = {"strategy_id": "ridge", "event_ticker": "E", "role": "train", "ts": at(0), "known_at": at(0)}
    rows = [{**fold, "event_date": day(d)} for d in range(2)]
    assert len(arrange(TABLES["folds"], table("folds", rows)).ranges) == 2
    with pytest.raises(StoreError, match="repeat the key"):
        arrange(TABLES["folds"], table("folds", [*rows, rows[0]]))


def test_scattered_rows_of_many_chunks_are_joined_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise each partition's rows would be picked from all chunks, joined anew for each of them."""
    rows = [quote(day(d), m) for m in range(6) for d in range(6)]
    whole = table("quotes", rows)
    chunked = pa.concat_tables([whole.slice(i, 6) for i in range(0, 36, 6)])
    assert arrange(QUOTES, chunked).rows["ticker"].num_chunks == 1
    ordered = pa.concat_tables([table("quotes", [quote(day(d), m) for m in (2, 1, 0)]) for d in range(6)])
    assert arrange(QUOTES, ordered).rows["ticker"].num_chunks == 6
