"""The catalog asked again after a source changed its mind, and while ladders grow: what was known stays known."""

import random
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from kalshi_assets.core.tables import TABLES
from kalshi_assets.stages.catalog import market_catalog
from kalshi_assets.stages.context import StageContext
from kalshi_assets.stages.listing import fetch_catalog
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets_tests.stages.test_catalog_stage import FIRST, LAST, LATER, MOVED_TO, NEW, OLD, TOLD
from kalshi_assets_tests.stages.test_listing import DECEMBER, EVENT, LISTED, SERIES, Listing, Macro, event, market

MICROSECOND = timedelta(microseconds=1)
WHOLE = Scope([OLD], (SERIES,))
DATED = ("release_calendar", "asset_prices")
CLOSED = datetime(2026, 11, 20, 21, tzinfo=UTC)
# No event of it is listed here: what a calendar says of one is in the mapping, which refuses to be rewritten.
NOVEMBER = (date(2026, 11, 1), datetime(2026, 12, 10, 13, 30, tzinfo=UTC), datetime(2026, 1, 5, tzinfo=UTC))


class Closes(Macro):
    """A calendar, and one close of one index."""

    def __init__(self, *entries, close):
        super().__init__(*entries)
        self.close = close

    def daily(self, symbols, start, end):
        row = {
            "symbol": "SP500", "date": date(2026, 11, 20), "close": self.close, "ts": CLOSED, "known_at": CLOSED,
            "source": "fred",
        }  # fmt: skip
        return pa.Table.from_pylist([row], schema=TABLES["asset_prices"].schema)


def pull(lake, now, *, november=NOVEMBER, close=5000.0, markets=None):
    listing = Listing([event()], [market()] if markets is None else markets)
    macro = Closes(DECEMBER, november, close=close)
    context = StageContext(
        lake=lake, run_id="r", exchange=lambda: None, simulated=lambda: False, now=lambda: now,
        catalog=lambda series: fetch_catalog(listing, macro, series, simulated=False),
    )  # fmt: skip
    return market_catalog(context, WHOLE)


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


def known(lake, as_of, names=DATED):
    return {name: lake.read(name, as_of=as_of, history=True) for name in names}


def test_a_close_and_a_release_that_are_restated_are_new_from_their_receipt_on_only(lake):
    pull(lake, FIRST)
    before = known(lake, LATER - MICROSECOND)
    # The announcement of 5 January is said to have been another one all along.
    moved = (NOVEMBER[0], NOVEMBER[1] + timedelta(hours=1), NOVEMBER[2])
    pull(lake, LATER, close=5001.0, november=moved)
    assert known(lake, LATER - MICROSECOND) == before
    assert lake.read("asset_prices", as_of=CLOSED)["close"].to_pylist() == [5000.0]
    assert lake.read("asset_prices", as_of=LATER)["close"].to_pylist() == [5001.0]
    assert lake.read("release_calendar", as_of=LATER)["release_time"].to_pylist() == [moved[1], DECEMBER[1]]
    versions = lake.versions()
    result = pull(lake, LAST, close=5001.0, november=moved)
    assert {result.changed[name] for name in DATED} == {0}
    assert {name: lake.versions()[name] for name in DATED} == {name: versions[name] for name in DATED}


def visible(lake, as_of):
    """By event, the contracts that were known at a time."""
    rows = lake.read("contracts", as_of=as_of).to_pylist()
    return {e: [r for r in rows if r["event_ticker"] == e] for e in {r["event_ticker"] for r in rows}}


def check_counts(lake):
    """At no time does an event count more contracts than were known, or say of them what they did not."""
    moments = {t for name in ("events", "contracts") for t in lake.read(name, history=True)["known_at"].to_pylist()}
    for moment in sorted({*moments, *(t - MICROSECOND for t in moments)}):
        listed = visible(lake, moment)
        for row in lake.read("events", as_of=moment).to_pylist():
            contracts = listed[row["event_ticker"]]
            assert row["n_contracts"] <= len(contracts), (moment, row["event_ticker"])
            assert row["listed_at"] >= min(c["open_time"] for c in contracts)
    return len(moments)


def created(number, moment, **changes):
    return market(
        f"{EVENT}-T{number / 10}", created_time=moment.isoformat(), updated_time=moment.isoformat(),
        open_time=(moment + timedelta(hours=1)).isoformat(), **changes,
    )  # fmt: skip


def test_an_event_counts_the_contracts_that_were_listed_by_then(lake):
    grown = LISTED + timedelta(days=9)
    markets = [created(1, LISTED), created(2, grown), created(3, grown, close_time="2027-01-13T13:29:00Z")]
    pull(lake, FIRST, markets=markets)
    told = [(r["known_at"], r["n_contracts"], r["listed_at"]) for r in lake.read("events", history=True).to_pylist()]
    opened = LISTED + timedelta(hours=1)
    assert told == [(LISTED, 1, opened), (grown, 3, opened)]
    assert [r["close_time"].minute for r in lake.read("events", history=True).to_pylist()] == [25, 29]
    assert len(lake.read("events", as_of=grown - MICROSECOND)) == 1
    assert lake.read("coverage")["known_at"].to_pylist() == [grown]
    check_counts(lake)


def test_an_event_that_moved_while_its_ladder_grew_has_one_row_at_any_time(lake):
    grown = TOLD + timedelta(days=2)
    markets = [created(1, LISTED), created(2, grown)]
    listing = Listing([event()], markets)
    macro = Macro(DECEMBER, (DECEMBER[0], MOVED_TO, TOLD))
    context = StageContext(
        lake=lake, run_id="r", exchange=lambda: None, simulated=lambda: False, now=lambda: LATER,
        catalog=lambda series: fetch_catalog(listing, macro, series, simulated=False),
    )  # fmt: skip
    assert not market_catalog(context, Scope([NEW], (SERIES,))).failed
    for moment, *facts in (
        (LISTED, 1, "v1", OLD),
        (TOLD - MICROSECOND, 1, "v1", OLD),
        (TOLD, 1, "v2", NEW),
        (grown - MICROSECOND, 1, "v2", NEW),
        (grown, 2, "v2", NEW),
    ):
        (row,) = lake.read("events", as_of=moment).to_pylist()
        assert [row["n_contracts"], row["mapping_version"], row["event_date"]] == facts


@pytest.mark.parametrize("seed", range(6))
def test_at_no_time_does_an_event_count_more_contracts_than_are_visible(lake, seed):
    """Contracts appear, are edited and vanish over several pulls; some are listed long after their creation."""
    rng = random.Random(seed)
    ladder: list = []
    now = FIRST
    for _ in range(5):
        for _ in range(rng.randrange(4)):
            age = timedelta(hours=rng.choice((1, 30, 24 * 20)))
            ladder.append(created(len(ladder) + 1, max(now - age, LISTED), is_provisional=rng.random() < 0.5))
        if not ladder:
            continue
        listed = [m for m in ladder if rng.random() < 0.9] or ladder[:1]
        pull(lake, now, markets=listed)
        now += timedelta(days=rng.randrange(1, 6))
    assert check_counts(lake) > 0
