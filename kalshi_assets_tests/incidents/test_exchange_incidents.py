"""Public incidents of other projects with the exchange's data, one test each, named after the incident."""

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from kalshi_assets.core.columns import micro_usd
from kalshi_assets.core.contract_outcomes import contract_outcomes
from kalshi_assets.core.order_books import top_of_book
from kalshi_assets.core.release_times import release_mappings
from kalshi_assets.core.tables import PRICE, TABLES
from kalshi_assets.errors import ExchangeError, MalformedResponse
from kalshi_assets.exchange import Findings, MarketRecord
from kalshi_assets.exchange.candles import candle_table
from kalshi_assets.exchange.downloads import Downloads
from kalshi_assets.exchange.journal import Download
from kalshi_assets.exchange.models import EventRecord
from kalshi_assets.exchange.trades import trade_table
from kalshi_assets.http.attempt import parse_object
from kalshi_assets.stages.catalog_rows import contract_rows
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
    (one_sided,) = candle_table("T", [bodies.live_candle(END_S, bid="0.1600", ask="1.0000")], 60).to_pylist()
    assert one_sided["yes_ask_close_usd"] is None  # and not what somebody would pay for NO

    findings, sent = Findings(), ("0.5800", ..., "0.5500")
    at = [f"2026-11-20T12:18:0{i}Z" for i in range(3)]
    trades = trade_table([bodies.trade(t, t, no_price_dollars=no) for t, no in zip(at, sent, strict=True)], findings)
    assert trades["no_price_usd"].to_pylist() == [Decimal("0.58"), None, Decimal("0.55")]
    assert [(f.kind, f.count) for f in findings.summary()] == [("prices_do_not_sum_to_one", 1)]
    assert TABLES["trades"].schema.field("no_price_usd").nullable

    bids = [("yes", "0.41"), ("yes", "0.40"), ("no", "0.55")]
    books = pa.table({
        "ticker": ["T"] * 3, "ts": [datetime.fromtimestamp(END_S, UTC)] * 3, "side": [side for side, _ in bids],
        "price_usd": pa.array([Decimal(price) for _, price in bids], PRICE),
    })  # fmt: skip
    (top,) = top_of_book(books).to_pylist()
    assert (top["yes_bid_close_usd"], top["yes_ask_close_usd"]) == (Decimal("0.41"), Decimal("0.45"))
    (alone,) = top_of_book(books.slice(0, 2)).to_pylist()
    assert alone["yes_ask_close_usd"] is None  # NO that nobody bids for has no price


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

    def outcome_known_at(expected: str, **changes) -> datetime:
        body = bodies.settled(
            "KXU3-25SEP-T4.3", event_ticker="KXU3-25SEP", created_time="2025-08-20T14:00:00Z",
            close_time="2025-10-15T12:25:00Z", expected_expiration_time=expected, **changes,
        )  # fmt: skip
        event = EventRecord.parse(bodies.event("KXU3-25SEP", series_ticker="KXU3"), "/events")
        *_, settled = contract_rows(MarketRecord.parse(body, "/markets"), event, mapping)
        return settled["known_at"]

    # What happened goes before what was expected; where nobody says when it did, nothing is known before it could be.
    for expected in ("2025-09-05T14:56:00Z", "2025-10-15T14:00:00Z", "2026-01-15T15:00:00Z"):
        settled_at = "2025-10-15T12:47:11Z"
        assert outcome_known_at(expected, settlement_ts=settled_at) == datetime.fromisoformat(settled_at)
        assert outcome_known_at(expected, settlement_ts=...) >= close
    assert outcome_known_at("2026-01-15T15:00:00Z", settlement_ts=...) >= mapping.release_time


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
