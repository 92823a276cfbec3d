"""Public incidents of other projects with the exchange's data, one test each, named after the incident."""

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from kalshi_assets.core.columns import micro_usd
from kalshi_assets.core.contract_outcomes import contract_outcomes
from kalshi_assets.core.release_times import release_mappings
from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import ExchangeError, MalformedResponse
from kalshi_assets.exchange import MarketRecord
from kalshi_assets.exchange.candles import candle_table
from kalshi_assets.exchange.downloads import Downloads
from kalshi_assets.exchange.journal import Download
from kalshi_assets.http.attempt import parse_object
from kalshi_assets_tests.core.event_rows import contract_row, table
from kalshi_assets_tests.exchange import bodies
from kalshi_assets_tests.exchange.memory_journal import MemoryJournal

END_S = 1_700_000_000


def test_a_default_price_where_the_field_was_absent():
    with pytest.raises(MalformedResponse, match="yes_bid"):
        candle_table("T", [bodies.live_candle(END_S, yes_bid=...)], 60)
    unpriced = MarketRecord.parse(bodies.market(floor_strike=...), "/markets")
    assert unpriced.floor_strike is None


def test_no_taken_for_one_minus_yes():
    (row,) = candle_table("T", [bodies.live_candle(END_S, bid="0.1600", ask="0.2000")], 60).to_pylist()
    assert (row["yes_bid_close_usd"], row["yes_ask_close_usd"]) == (Decimal("0.160000"), Decimal("0.200000"))
    assert not any(name.startswith("no_") for name in row)
    trades = TABLES["trades"].schema.names
    assert {"yes_price_usd", "no_price_usd"} <= set(trades)


def test_a_scalar_result_that_was_dropped():
    settled = table("contracts", [
        contract_row("T2.9", "scalar", outcome_type="scalar", settlement_value_usd=Decimal("0.37")),
        contract_row("T3.0", "yes", outcome_type="binary"),
    ])  # fmt: skip
    found = contract_outcomes(settled, settled["ticker"])
    assert found.settled.tolist() == [True, True]
    assert found.yes_payout_usd.tolist() == [0.37, 1.0]


def test_cents_and_dollars_and_fixed_point_confused():
    live = candle_table("T", [bodies.live_candle(END_S, bid="0.1600", ask="0.2000")], 60)
    historical = candle_table("T", [bodies.historical_candle(END_S, bid="0.1600", ask="0.2000")], 60)
    assert micro_usd(live["yes_bid_close_usd"]).tolist() == [160_000]
    same = [c for c in live.column_names if c != "price_previous_usd"]  # which the live body left out
    assert live.select(same).equals(historical.select(same))
    with pytest.raises(MalformedResponse):
        candle_table("T", [bodies.live_candle(END_S, volume_fp=16)], 60)


def test_an_expected_expiration_that_was_stale():
    """What the exchange expected long ago says nothing of when the number comes; the close does."""
    close = datetime(2025, 10, 15, 12, 25, tzinfo=UTC)
    (mapping,) = release_mappings("KXU3", datetime(2025, 8, 20, 14, tzinfo=UTC), close, [])
    assert mapping.release_time == datetime(2025, 10, 15, 12, 30, tzinfo=UTC)


def test_a_resume_that_skipped_a_half_read_ticker():
    pages = {
        None: {"rows": [1, 2], "cursor": "b"},
        "b": {"rows": [3, 4], "cursor": "c"},
        "c": {"rows": [5], "cursor": ""},
    }
    broken = {"b"}

    def get(_path, query=None, *, keep=None):
        cursor = (query or {})["cursor"]
        if cursor in broken:
            raise ExchangeError("The line went dead.")
        data = pa.py_buffer(str(pages[cursor]).replace("'", '"').encode()).to_pybytes()
        if keep is not None:
            keep(data)
        return parse_object(data)

    journal = MemoryJournal()

    def walk():
        downloads = Downloads(get, journal, lambda: datetime.fromtimestamp(END_S + 10, UTC))
        return list(downloads.listing(Download("/x", "T", 0, END_S), "/x", {"limit": 2}, "rows", read=list))

    with pytest.raises(ExchangeError):
        walk()
    broken.clear()
    assert walk() == [1, 2, 3, 4, 5]
