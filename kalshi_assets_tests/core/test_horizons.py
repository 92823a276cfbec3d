"""The snapshot grid."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.columns import micros_of
from kalshi_assets.core.horizons import DAILY, HORIZONS, SNAPSHOTS, relaid, rows_in_force, snapshot_grid
from kalshi_assets.errors import DomainError

NEW_YORK = ZoneInfo("America/New_York")
SCHEMA = pa.schema([f for f in SNAPSHOTS if f.name not in ("horizon", "as_of")])


def grid(release: datetime, listed: datetime | None, **options: Any) -> list[dict[str, Any]]:
    row = {
        "event_ticker": "E", "series_ticker": "KXCPI", "event_date": date(2026, 3, 11), "event_type": "CPI",
        "release_time": release, "listed_at": listed, "mapping_version": "1",
    }  # fmt: skip
    rows: list[dict[str, Any]] = snapshot_grid(pa.Table.from_pylist([row], schema=SCHEMA), **options).to_pylist()
    return rows


RELEASE = datetime(2026, 3, 11, 12, 30, tzinfo=UTC)  # 08:30 in New York, three days after the clocks changed


def test_named_horizons_are_what_they_say_and_no_purge_moves_them() -> None:
    rows = {r["horizon"]: r for r in grid(RELEASE, None)}
    assert set(rows) == set(HORIZONS)
    assert rows["30d"]["as_of"] == RELEASE - timedelta(days=30)
    assert rows["4h"]["as_of"] == RELEASE - timedelta(hours=4)
    assert rows["5min"]["as_of"] == RELEASE - timedelta(minutes=5)
    assert all(r["release_time"] == RELEASE and r["mapping_version"] == "1" for r in rows.values())


def test_daily_is_every_new_york_midnight_from_listing_to_release_across_the_clock_change() -> None:
    listed = datetime(2026, 3, 6, 15, 0, tzinfo=UTC)
    found = [r["as_of"] for r in grid(RELEASE, listed) if r["horizon"] == DAILY]
    assert found == [
        datetime(2026, 3, 7, 5, 0, tzinfo=UTC), datetime(2026, 3, 8, 5, 0, tzinfo=UTC),
        datetime(2026, 3, 9, 4, 0, tzinfo=UTC), datetime(2026, 3, 10, 4, 0, tzinfo=UTC),
        datetime(2026, 3, 11, 4, 0, tzinfo=UTC),
    ]  # fmt: skip


def test_a_midnight_listing_is_included_and_a_midnight_release_is_not() -> None:
    listed, release = datetime(2026, 1, 5, 5, 0, tzinfo=UTC), datetime(2026, 1, 7, 5, 0, tzinfo=UTC)
    found = [r["as_of"] for r in grid(release, listed) if r["horizon"] == DAILY]
    assert found == [listed, datetime(2026, 1, 6, 5, 0, tzinfo=UTC)]


def test_an_event_of_unknown_listing_has_no_daily_grid_but_keeps_its_horizons() -> None:
    assert {r["horizon"] for r in grid(RELEASE, None)} == set(HORIZONS)
    assert all(r["horizon"] != DAILY for r in grid(RELEASE, RELEASE - timedelta(days=9), daily_grid=False))


def test_listed_after_the_release_gives_no_daily_rows() -> None:
    assert all(r["horizon"] != DAILY for r in grid(RELEASE, RELEASE + timedelta(days=2)))


def test_columns_that_an_event_table_lacks_are_null() -> None:
    bare = pa.table({k: [v] for k, v in {
        "event_ticker": "E", "series_ticker": "S", "event_date": date(2026, 3, 11), "release_time": RELEASE,
    }.items()})  # fmt: skip
    assert snapshot_grid(bare).schema == SNAPSHOTS
    assert snapshot_grid(bare)["listed_at"].null_count == len(HORIZONS)


def test_an_event_without_a_release_is_refused() -> None:
    bare = pa.table({"event_ticker": ["E"], "series_ticker": ["S"], "event_date": [date(2026, 3, 11)]})
    with pytest.raises(DomainError, match="release_time"):
        snapshot_grid(bare)
    with pytest.raises(DomainError, match="release_time"):
        snapshot_grid(bare.append_column("release_time", pa.nulls(1, pa.timestamp("us", "UTC"))))


def test_no_events_no_snapshots() -> None:
    assert snapshot_grid(SCHEMA.empty_table()).num_rows == 0


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 6 * 365 * 24 * 60).map(lambda m: datetime(2021, 1, 1, tzinfo=UTC) + timedelta(minutes=m)),
    st.timedeltas(timedelta(), timedelta(days=200)),
)
def test_against_the_calendar_day_by_day(release: datetime, life: timedelta) -> None:
    listed = release - life
    expected, day = [], listed.astimezone(NEW_YORK).date()
    while day <= release.astimezone(NEW_YORK).date():
        midnight = datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).astimezone(UTC)
        if listed <= midnight < release:
            expected.append(midnight)
        day += timedelta(days=1)
    assert [r["as_of"] for r in grid(release, listed) if r["horizon"] == DAILY] == expected


def versions(*rows: tuple[datetime, datetime, str]) -> pa.Table:
    """Rows of one event: release time, when it became known, version of the mapping."""
    schema = SCHEMA.append(pa.field("known_at", pa.timestamp("us", "UTC")))
    return pa.Table.from_pylist(
        [
            {"event_ticker": "E", "series_ticker": "KXCPI", "event_date": release.date(), "release_time": release,
             "known_at": known, "mapping_version": version, "listed_at": RELEASE - timedelta(days=20)}
            for release, known, version in rows
        ],
        schema=schema,
    )  # fmt: skip


def test_a_snapshot_is_laid_under_the_release_time_that_was_known_then() -> None:
    told = RELEASE - timedelta(days=5)
    later = RELEASE + timedelta(days=10)
    found = snapshot_grid(versions((later, told, "v2"), (RELEASE, RELEASE - timedelta(days=20), "v1"))).to_pylist()
    for row in found:
        known = "v1" if row["as_of"] < told else "v2"
        assert (row["mapping_version"], row["release_time"]) == (known, RELEASE if known == "v1" else later)
    named = {(r["horizon"], r["mapping_version"]) for r in found if r["horizon"] != DAILY}
    # 14 days before the old date the move was not known yet, 14 days before the new one it was: both are there.
    assert {("14d", "v1"), ("7d", "v1"), ("14d", "v2"), ("7d", "v2"), ("5min", "v2")} <= named
    assert not {("30d", "v2"), ("3d", "v1"), ("1h", "v1")} & named
    assert ("30d", "v1") not in named, "30 days ahead nobody knew that there would be such an event"
    midnights = [r["as_of"] for r in found if r["horizon"] == DAILY]
    assert len(midnights) == len(set(midnights)) == 30


def test_the_instant_at_which_the_new_date_became_known_is_the_new_dates() -> None:
    told = RELEASE - timedelta(days=7)
    later = RELEASE + timedelta(days=1)
    found = snapshot_grid(versions((RELEASE, RELEASE - timedelta(days=20), "v1"), (later, told, "v2"))).to_pylist()
    assert ("7d", "v1") not in {(r["horizon"], r["mapping_version"]) for r in found}


def test_nothing_is_laid_before_the_event_was_known() -> None:
    known = RELEASE - timedelta(days=6)
    found = snapshot_grid(versions((RELEASE, known, "v1"))).to_pylist()
    assert min(r["as_of"] for r in found) >= known
    assert {r["horizon"] for r in found} == {"3d", "1d", "4h", "1h", "15min", "5min", DAILY}


def test_a_grid_is_laid_anew_by_what_was_known_at_each_time() -> None:
    told, later = RELEASE - timedelta(days=5), RELEASE + timedelta(days=10)
    honest = versions((RELEASE, RELEASE - timedelta(days=20), "v1"), (later, told, "v2"))
    grid = snapshot_grid(honest)
    assert relaid(grid, honest).equals(grid)
    # A grid that was laid by the newest row alone, which is known from the start.
    leaking = snapshot_grid(versions((later, RELEASE - timedelta(days=20), "v2")))
    for before, after in zip(leaking.to_pylist(), relaid(leaking, honest).to_pylist(), strict=True):
        known = ("v1", RELEASE) if before["as_of"] < told else ("v2", later)
        assert (after["mapping_version"], after["release_time"]) == known
        assert after["as_of"] == before["as_of"]
    late = versions((later, told, "v2"))
    assert min(relaid(leaking, late)["as_of"].to_pylist()) >= told
    assert relaid(leaking, honest.slice(0, 0)).num_rows == 0


def test_the_row_in_force_against_a_search_by_hand() -> None:
    rng = random.Random(4)
    known = [(rng.choice("ABC"), rng.randrange(20)) for _ in range(30)]
    rows = [{"event_ticker": e, "known_at": RELEASE + timedelta(seconds=t)} for e, t in dict.fromkeys(known)]
    schema = pa.schema([("event_ticker", pa.string()), ("known_at", pa.timestamp("us", "UTC"))])
    asked = [(e, t) for e in "ABCD" for t in range(-1, 22)]
    as_of = np.array([micros_of(RELEASE) + t * 1_000_000 for _, t in asked])
    found = rows_in_force(pa.Table.from_pylist(rows, schema=schema), pa.array([e for e, _ in asked]), as_of)
    for (event, t), row in zip(asked, found.tolist(), strict=True):
        before = [
            r["known_at"]
            for r in rows
            if r["event_ticker"] == event and r["known_at"] <= RELEASE + timedelta(seconds=t)
        ]
        assert (rows[row]["known_at"] if row >= 0 else None) == max(before, default=None)
        assert row < 0 or rows[row]["event_ticker"] == event
