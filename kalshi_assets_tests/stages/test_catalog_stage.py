"""Writing a partition of the catalog: what may be absent, and what happens to a date that an event has left."""

from datetime import UTC, date, datetime

import pytest

from kalshi_assets.errors import DomainError
from kalshi_assets.stages.catalog import market_catalog
from kalshi_assets.stages.context import StageContext
from kalshi_assets.stages.contracts import contracts
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.mappings import mapping_as_of
from kalshi_assets_tests.stages.test_listing import DECEMBER, SERIES, Listing, event, fetch, market

OLD, NEW = date(2027, 1, 13), date(2027, 1, 15)
TOLD = datetime(2026, 12, 1, tzinfo=UTC)
MOVED = (DECEMBER[0], datetime(2027, 1, 15, 13, 30, tzinfo=UTC), TOLD)


def context(lake, *entries):
    listing = Listing([event()], [market()])
    return StageContext(
        lake=lake,
        run_id="r",
        exchange=lambda: None,
        catalog=lambda series: fetch(listing, *entries),
        simulated=lambda: False,
    )


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


def test_a_date_that_nothing_was_ever_listed_for_is_refused(lake):
    with pytest.raises(DomainError, match="No event of KXCPIYOY falls on 2027-01-14"):
        market_catalog(context(lake), Scope([OLD, date(2027, 1, 14)], (SERIES,)))


def test_an_event_that_moves_leaves_an_empty_date_that_blocks_nothing(lake):
    first = context(lake)
    assert not market_catalog(first, Scope([OLD], (SERIES,))).failed
    assert not contracts(first, Scope([OLD], (SERIES,))).failed
    after = context(lake, DECEMBER, MOVED)
    both = Scope([OLD, NEW], (SERIES,))
    result = market_catalog(after, both)
    assert not result.failed
    assert {g.detail for g in result.gates if g.event_date == OLD} == {"no event falls on this date any more"}
    assert not contracts(after, both).failed
    for name in ("events", "contracts", "contract_specs"):
        assert lake.event_dates(name) == [NEW]
    assert not market_catalog(after, both).failed


def test_the_mapping_remembers_where_the_event_was(lake):
    market_catalog(context(lake), Scope([OLD], (SERIES,)))
    market_catalog(context(lake, DECEMBER, MOVED), Scope([NEW], (SERIES,)))
    before = mapping_as_of(lake, datetime(2026, 11, 1, tzinfo=UTC))
    since = mapping_as_of(lake, datetime(2026, 12, 2, tzinfo=UTC))
    assert (before["event_date"].to_pylist(), before["version"].to_pylist()) == ([OLD], ["v1"])
    assert (since["event_date"].to_pylist(), since["version"].to_pylist()) == ([NEW], ["v2"])
