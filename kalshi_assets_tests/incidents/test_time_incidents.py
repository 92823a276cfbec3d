"""Public incidents with times and vintages, one test each, named after the incident."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_assets.core.distribution import build_distributions
from kalshi_assets.core.features import JoinAges, feature_panel
from kalshi_assets.core.folds import TRAIN, US_PER_DAY, assign_roles, overlapping
from kalshi_assets.core.horizons import snapshot_grid
from kalshi_assets.core.labels import label_table
from kalshi_assets.core.prints import newest_known, round_as_published
from kalshi_assets.core.release_times import new_york_date
from kalshi_assets.core.tables import TABLES
from kalshi_assets.macro.fred import request_params
from kalshi_assets_tests.core.event_rows import RELEASE, empty, event_row, quote_row, spec_row, table
from kalshi_assets_tests.core.ladder_rows import AS_OF, EVENT, build, quote, thresholds


def test_the_closest_candle_came_after_the_as_of_time():
    rows = [
        quote(f"{EVENT}-T{i:03d}", p - 0.01, p + 0.01, at=AS_OF - timedelta(minutes=9))
        for i, p in enumerate((0.8, 0.5, 0.2))
    ]
    nearer = [quote(f"{EVENT}-T{i:03d}", 0.97, 0.99, at=AS_OF + timedelta(seconds=1)) for i in range(3)]
    ladder = thresholds((0.1, 0.2, 0.3))
    assert build(ladder, rows + nearer).distributions.equals(build(ladder, rows).distributions)
    at = newest_known(np.array([1, 2]), np.array([10, 20]), np.array([19, 20, 5]))
    assert at.tolist() == [0, 1, -1]


@pytest.mark.parametrize(
    ("day", "utc_hour"), [(date(2024, 3, 9), 5), (date(2024, 3, 11), 4), (date(2024, 11, 2), 4), (date(2024, 11, 4), 5)]
)
def test_a_candle_day_in_utc_was_taken_for_new_yorks(day, utc_hour):
    """The two changes of the clock: a New York day begins at five in the winter and at four in the summer."""
    release = datetime(day.year, day.month, day.day, 20, tzinfo=UTC)
    grid = snapshot_grid(table("events", [event_row(release=release, listed_at=release - timedelta(hours=30))]))
    midnights = [r["as_of"] for r in grid.to_pylist() if r["horizon"] == "daily"]
    assert midnights[-1] == datetime(day.year, day.month, day.day, utc_hour, tzinfo=UTC)
    assert new_york_date(midnights[-1] - timedelta(microseconds=1)) == day - timedelta(days=1)


def test_a_vintage_date_that_the_service_ignored():
    for name in ("vintage_date", "vintage_dates"):
        with pytest.raises(ValueError, match=name):
            request_params(series_id="X", **{name: date(2024, 1, 1)})


def test_vintages_that_were_dropped():
    asked = request_params(series_id="X", realtime_start=date(1776, 7, 4), realtime_end=date(9999, 12, 31))
    assert asked["realtime_start"] == "1776-07-04"
    schema = TABLES["macro_observations"].schema
    assert not schema.field("vintage_date").nullable
    assert not schema.field("known_at").nullable
    assert TABLES["macro_observations"].versioned


def test_an_unrounded_label_against_a_threshold():
    """3.04999 is published as 3.0: it is not above 3.0, whatever the unrounded number says."""
    published = round_as_published(np.array([3.04999, 3.05, -0.05]), 0.1, "half_up")
    assert published.tolist() == [3.0, 3.1, -0.1]


@given(st.lists(st.integers(0, 60), min_size=2, max_size=12), st.integers(0, 5), st.integers(0, 10))
def test_a_purged_fold_that_still_overlapped(days, length, purge):
    day = np.sort(np.array(days, np.int64))
    start, end = (day - 1) * US_PER_DAY, (day + length) * US_PER_DAY
    test_day = int(day[-1])
    purges = np.full(day.size, purge * US_PER_DAY)
    known = end < (test_day - 1) * US_PER_DAY
    fold = assign_roles(day, start, end, known, purges, test_day=test_day)
    meets = overlapping(day, start, end, purges)
    tested = np.flatnonzero(day == test_day)
    assert not meets[np.ix_(fold.members(TRAIN), tested)].any()


def test_frozen_metadata_lost_rows_in_an_inner_join():
    """What is missing beside an event makes columns null and takes no row: quotes, specs, prints, prices, outcomes."""
    bare, quoted = "KXCPIYOY-24JUN", "KXCPIYOY-24JUL"
    events = table(
        "events", [event_row(bare, mapping_version="v1"), event_row(quoted, mapping_version="v1", listed_at=None)]
    )
    grid = snapshot_grid(events)
    quotes = table("quotes", [quote_row("T3.0", RELEASE - timedelta(days=40), "0.40", "0.42", event=quoted)])
    specs = table("contract_specs", [spec_row("T3.0", 31, None, event=quoted)])
    for known in (empty("quotes"), quotes):
        rows = build_distributions(specs if known is quotes else empty("contract_specs"), known, grid).distributions
        assert rows.num_rows == grid.num_rows == 18
        # The panel says nothing where nothing at all was known, and leaves out nothing else.
        panel = feature_panel(rows, known, empty("macro_observations"), empty("asset_prices"), max_age=AGES)
        resting = rows.filter(pc.is_valid(rows["inputs_known_at"]))
        assert panel.num_rows == resting.num_rows == (9 if known is quotes else 0)
        assert sorted(panel["horizon"].to_pylist()) == sorted(resting["horizon"].to_pylist())
    labels = label_table(events, *(empty(n) for n in ("macro_observations", "contracts", "distributions")), specs)
    assert sorted(labels["event_ticker"].to_pylist()) == [quoted, bare]
    assert labels["unlabelled_reason"].null_count == 0


AGES = JoinAges(distribution=timedelta(days=60))
