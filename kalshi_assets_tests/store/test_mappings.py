from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import StoreError
from kalshi_assets.store.event_dates import version_number
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.mappings import (
    assert_consistent_mapping_version,
    assert_single_version,
    mapping_as_of,
    next_version,
    record_mapping,
)
from kalshi_assets_tests.store.rows import at, day, table

GIVEN = [f for f in TABLES["event_market_map"].schema if f.name not in ("version", "effective_from", "effective_to")]


def fact(known: float, release: int, event: str = "E", event_date: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "event_ticker": event, "series_ticker": "KXCPI", "event_date": day(event_date), "release_time": at(release),
        "source": "calendar", "ts": at(known), "known_at": at(known), **more,
    }  # fmt: skip


def record(lake: Lake, *facts: dict[str, Any]):
    return record_mapping(lake, pa.Table.from_pylist(list(facts), schema=pa.schema(GIVEN)), "r")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def seen(lake: Lake, minute: float, **more: Any) -> list[tuple[str, str, datetime]]:
    rows = mapping_as_of(lake, at(minute), **more)
    assert_single_version(rows)
    return [(r["event_ticker"], r["version"], r["release_time"]) for r in rows.to_pylist()]


def test_versions_count_numerically() -> None:
    assert version_number("v10") > version_number("v2")
    assert next_version(["v2", "v10", "v9"]) == "v11"
    assert next_version([]) == "v1"
    for odd in ("2024a", "v", "v0", "v01", "v1.5", "10", "V2", "v-1", ""):
        with pytest.raises(StoreError, match="is no mapping version"):
            version_number(odd)


def test_unchanged_facts_write_nothing(lake: Lake) -> None:
    assert record(lake, fact(0, 100)).version == 1
    assert not record(lake, fact(0, 100)).changed
    assert not record(lake, fact(5, 100), fact(7, 100, source="exchange")).changed
    assert lake.read("event_market_map", history=True).num_rows == 1


def test_a_moved_release_closes_one_version_and_opens_the_next(lake: Lake) -> None:
    record(lake, fact(0, 100), fact(0, 50, "F"))
    record(lake, fact(10, 200, event_date=3))
    assert seen(lake, -1) == []
    assert seen(lake, 0) == [("E", "v1", at(100)), ("F", "v1", at(50))]
    assert seen(lake, 9.99) == [("E", "v1", at(100)), ("F", "v1", at(50))]
    assert seen(lake, 10) == [("E", "v2", at(200)), ("F", "v1", at(50))]
    assert seen(lake, 10, event_dates=[day(0)]) == [("F", "v1", at(50))]
    assert seen(lake, 5, event_dates=[day(0)], series=["KXCPI"]) == seen(lake, 5)
    assert seen(lake, 5, series=["KXU3"]) == []
    history = lake.read("event_market_map").to_pylist()
    assert [(r["event_ticker"], r["version"], r["effective_from"], r["effective_to"]) for r in history] == [
        ("E", "v1", at(0), at(10)), ("E", "v2", at(10), None), ("F", "v1", at(0), None),
    ]  # fmt: skip


def test_ten_moves_keep_numeric_order_and_a_rerun_of_them_all_writes_nothing(lake: Lake) -> None:
    moves = [fact(n, 100 + n) for n in range(12)]
    record(lake, *moves[::-1])
    for n in range(12):
        assert seen(lake, n + 0.5) == [("E", f"v{n + 1}", at(100 + n))]
    assert not record(lake, *moves).changed
    record(lake, fact(12, 100))
    assert seen(lake, 12) == [("E", "v13", at(100))]
    assert seen(lake, 3) == [("E", "v4", at(103))]


def test_recorded_versions_cannot_be_rewritten(lake: Lake) -> None:
    record(lake, fact(0, 100), fact(10, 200))
    before = lake.read("event_market_map", history=True)
    for late in (fact(5, 150), fact(10, 150), fact(-5, 150)):
        with pytest.raises(StoreError, match="Event E had mapping version v2"):
            record(lake, late)
    assert lake.read("event_market_map", history=True).equals(before)


def test_of_two_effective_versions_the_greater_number_counts(lake: Lake) -> None:
    rows = [{**fact(n, 100 + n), "version": f"v{n}", "effective_from": at(n)} for n in (2, 10)]
    lake.upsert("event_market_map", table("event_market_map", rows), run_id="r")
    assert seen(lake, 20) == [("E", "v10", at(110))]


def test_a_foreign_version_is_refused_with_a_sentence(lake: Lake) -> None:
    row = {**fact(0, 100), "version": "2024a", "effective_from": at(0)}
    lake.upsert("event_market_map", table("event_market_map", [row]), run_id="r")
    with pytest.raises(StoreError, match="'2024a' is no mapping version"):
        mapping_as_of(lake, at(1))


def test_columns_that_are_assigned_here_are_not_accepted(lake: Lake) -> None:
    with pytest.raises(StoreError, match="no column 'version'"):
        record_mapping(lake, pa.table({"version": ["v7"]}), "r")
    with pytest.raises(StoreError, match="lack the column"):
        record_mapping(lake, pa.table({"event_ticker": ["E"]}), "r")


def test_mixed_versions_are_named() -> None:
    mixed = pa.table({"event_ticker": ["E", "F", "E"], "version": ["v2", "v1", "v10"]})
    with pytest.raises(StoreError, match=r"Event E .* v10, v2"):
        assert_single_version(mixed)
    panel = mixed.rename_columns(["event_ticker", "mapping_version"])
    with pytest.raises(StoreError, match=r"Event E .* v10, v2"):
        assert_consistent_mapping_version(panel)
    assert_consistent_mapping_version(panel[:2])
    assert_consistent_mapping_version(panel[:0])
    assert_consistent_mapping_version(pa.concat_tables([panel[:2], panel[:2]]))
