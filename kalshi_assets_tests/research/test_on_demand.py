"""The distribution on demand knows of its event what was known at the time asked for."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from kalshi_assets.errors import UsageError
from kalshi_assets.research.on_demand import distribution_at
from kalshi_assets.research.store import open_store
from kalshi_assets.stages.catalog import market_catalog
from kalshi_assets.stages.contracts import contracts
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.snapshots import record_snapshot
from kalshi_assets_tests.core.event_rows import table
from kalshi_assets_tests.core.forecast_rows import law
from kalshi_assets_tests.stages.test_catalog_stage import MOVED, MOVED_TO, NEW, OLD, TOLD, WHOLE, context
from kalshi_assets_tests.stages.test_listing import DECEMBER, EVENT, LISTED, RELEASE, SERIES

JUST_BEFORE = TOLD - timedelta(microseconds=1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose one event was moved from the 13th to the 15th."""
    lake = Lake(tmp_path / "lake")
    assert not market_catalog(context(lake), WHOLE).failed
    after, both = context(lake, DECEMBER, MOVED), Scope([OLD, NEW], (SERIES,))
    assert not market_catalog(after, both).failed
    assert not contracts(after, both).failed
    return tmp_path


def test_a_move_changes_nothing_before_it_was_told(home: Path) -> None:
    lake = Lake(home / "lake")
    for moment, release in ((LISTED, RELEASE), (JUST_BEFORE, RELEASE), (TOLD, MOVED_TO)):
        answer = distribution_at(lake, EVENT, moment)
        assert (answer["release_time"], len(answer["rungs"])) == (release.isoformat(), 1)


def test_a_traded_series_is_answered_from_trades(home: Path) -> None:
    lake = Lake(home / "lake")
    assert distribution_at(lake, EVENT, TOLD)["basis"] == "quotes"
    assert distribution_at(lake, EVENT, TOLD, traded=["KXU3"])["basis"] == "quotes"
    assert distribution_at(lake, EVENT, TOLD, traded=[SERIES])["basis"] == "trades"
    stored = law(0, [3.0], [1.0]) | {
        "event_ticker": EVENT, "series_ticker": SERIES, "event_date": NEW, "as_of": TOLD, "ts": TOLD, "known_at": TOLD,
        "basis": "trades",
    }  # fmt: skip
    ticker = lake.read("contracts")["ticker"][0].as_py()
    traded = {
        "event_ticker": EVENT, "series_ticker": SERIES, "event_date": NEW, "ticker": ticker, "trade_id": "t",
        "sequence": 0, "ts": TOLD, "known_at": TOLD, "yes_price_usd": Decimal("0.4"), "count_contracts": Decimal(1),
    }  # fmt: skip
    for name, row in (("distributions", stored), ("trades", traded)):
        lake.upsert(name, table(name, [row]), run_id="traded")
    record_snapshot(lake, stage="test", run_id="traded", code_version="0", config_hash="0")
    answer = distribution_at(lake, EVENT, TOLD)
    assert answer["basis"] == "trades"
    assert answer["rungs"][0]["age_s"] == 0.0


def test_an_event_that_was_not_listed_yet_is_no_event(home: Path) -> None:
    with pytest.raises(UsageError, match=r"was not known at 2026-10-20T20:33:23\.485949"):
        distribution_at(Lake(home / "lake"), EVENT, LISTED - timedelta(microseconds=1))


@pytest.mark.parametrize(("moment", "stood"), [(LISTED, OLD), (JUST_BEFORE, OLD), (TOLD, NEW)])
def test_a_notebook_finds_the_event_under_the_date_of_its_time(home: Path, moment, stood) -> None:
    store = open_store(moment, home=home)
    for name in ("events", "contracts", "contract_specs"):
        for asked in (OLD, NEW):
            found = store.sql(f"select event_date from {name} where event_date = '{asked}'").num_rows
            assert found == store.table(name, event_dates=[asked]).num_rows == (asked == stood)
