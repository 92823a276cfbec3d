"""Values that no exchange can mean: quotes are put aside, and what else breaks a law of its table ends the stage."""

from decimal import Decimal

import pyarrow as pa
import pytest

from kalshi_assets.errors import StoreError
from kalshi_assets.store.lake import Lake
from kalshi_assets_tests.stages.catalog_seed import EVENT, fill_catalog, vouch
from kalshi_assets_tests.stages.test_quotes_stage import HOURLY, Exchange, pull

ODD = f"{EVENT}-T3.0"


class OddExchange(Exchange):
    """Says of one contract what the test says, past the client's own look at prices."""

    def __init__(self, *, candle=None, trade=None):
        super().__init__()
        self.candle, self.trade = candle or {}, trade or {}

    def candlesticks(self, markets, **asked):
        return self._with(super().candlesticks(markets, **asked), self.candle)

    def trades(self, market, **asked):
        return self._with(super().trades(market, **asked), self.trade)

    def _with(self, table, changes):
        rows = [{**row, **(changes if row["ticker"] == ODD else {})} for row in table.to_pylist()]
        return pa.Table.from_pylist(rows, schema=table.schema)


@pytest.fixture
def lake(tmp_path):
    made = Lake(tmp_path / "lake")
    fill_catalog(made)
    vouch(made)
    return made


@pytest.mark.parametrize(
    ("candle", "reason"),
    [
        ({"yes_bid_close_usd": Decimal("7.5")}, "yes_bid_close_usd lies outside 0 and 1"),
        ({"yes_bid_close_usd": Decimal(-3)}, "yes_bid_close_usd lies outside 0 and 1"),
        ({"yes_ask_close_usd": Decimal("0.4")}, "the closing bid is above the closing ask"),
        ({"price_high_usd": Decimal("0.4"), "price_low_usd": Decimal("0.5")}, "price_high_usd is below price_low_usd"),
        ({"volume_contracts": Decimal(-1)}, "volume_contracts is negative"),
    ],
)
def test_impossible_quotes_are_still_put_aside_and_the_rest_is_stored(lake, candle, reason):
    result = pull(lake, OddExchange(candle=candle), windows=HOURLY)
    assert all(g.passed for g in result.gates)
    assert sorted(lake.read("quotes")["ticker"].to_pylist()) == [f"{EVENT}-T2.9", f"{EVENT}-T3.1"]
    (row,) = lake.read("rejected_rows").to_pylist()
    assert (row["ticker"], row["reason"]) == (ODD, reason)


def test_a_stage_that_hits_a_check_says_so_and_leaves_the_lake_as_it_was(lake):
    pull(lake, Exchange(silent=[f"{EVENT}-T3.1"]), windows=HOURLY)
    held = {name: lake.content_hash(name) for name in lake.versions()}
    with pytest.raises(StoreError) as caught:
        pull(lake, OddExchange(trade={"yes_price_usd": Decimal("7.5")}), windows=HOURLY)
    assert caught.value.exit_code == 1
    said = str(caught.value)
    assert "for table trades, key (" in said
    assert f"trade_id=t-{ODD}" in said
    assert "yes_price_usd must lie between 0 and 1 and is 7.500000; correct the row or leave it out." in said
    assert {name: lake.content_hash(name) for name in lake.versions()} == held
