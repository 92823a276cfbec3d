"""Impossible quotes are put aside with their reason; everything else stays as it is."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from kalshi_assets.core.rejection import reject_quotes
from kalshi_assets.core.tables import TABLES

NOON = datetime(2024, 10, 10, 12, tzinfo=UTC)
SOUND = {
    "event_ticker": "E", "series_ticker": "S", "event_date": date(2024, 10, 10), "ticker": "T", "source": "candle",
    "period_s": 60, "ts": NOON, "known_at": NOON,
    "yes_bid_open_usd": "0.40", "yes_bid_high_usd": "0.45", "yes_bid_low_usd": "0.40", "yes_bid_close_usd": "0.42",
    "yes_ask_open_usd": "0.44", "yes_ask_high_usd": "0.50", "yes_ask_low_usd": "0.44", "yes_ask_close_usd": "0.46",
    "volume_contracts": "3.00", "open_interest_contracts": "7.00",
}  # fmt: skip


def quotes(*changes):
    rows = [{**SOUND, **c} for c in changes]
    rows = [
        {k: Decimal(v) if isinstance(v, str) and k.endswith(("_usd", "_contracts")) else v for k, v in r.items()}
        for r in rows
    ]
    return pa.Table.from_pylist(rows, schema=TABLES["quotes"].schema)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"yes_bid_close_usd": "1.000001", "yes_bid_high_usd": None}, "yes_bid_close_usd lies outside 0 and 1"),
        ({"yes_bid_low_usd": "-0.000001"}, "yes_bid_low_usd lies outside 0 and 1"),
        ({"yes_bid_high_usd": "0.41"}, "yes_bid_high_usd is below yes_bid_close_usd"),
        ({"yes_ask_low_usd": "0.45"}, "yes_ask_low_usd is above yes_ask_open_usd"),
        ({"yes_ask_close_usd": "0.41", "yes_ask_low_usd": None}, "the closing bid is above the closing ask"),
        ({"price_high_usd": "0.40", "price_low_usd": "0.41"}, "price_high_usd is below price_low_usd"),
        ({"volume_contracts": "-0.01"}, "volume_contracts is negative"),
        ({"open_interest_contracts": "-1.00"}, "open_interest_contracts is negative"),
    ],
)
def test_an_impossible_row_is_put_aside_with_its_reason(change, reason):
    table = quotes({}, change, {"ticker": "U"})
    kept, rejected = reject_quotes(table)
    assert kept.equals(table.take([0, 2]))
    (row,) = rejected.to_pylist()
    assert (row["reason"], row["table_name"], row["ticker"]) == (reason, "quotes", "T")
    held = json.loads(row["row_json"])
    assert all(held[k] == str(Decimal(v).quantize(Decimal(held[k]))) for k, v in change.items() if v is not None)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"yes_bid_close_usd": None, "yes_bid_high_usd": None},
        {"yes_bid_close_usd": "0.46", "yes_bid_high_usd": "0.46"},  # bid and ask may meet
        {"yes_bid_low_usd": "0.000000", "yes_ask_high_usd": "1.000000"},
        {k: None for k in SOUND if k.endswith(("_usd", "_contracts"))},
    ],
)
def test_a_possible_row_stays(change):
    table = quotes(change)
    kept, rejected = reject_quotes(table)
    assert kept.equals(table)
    assert rejected.num_rows == 0


def test_rows_of_one_time_are_told_apart_and_the_same_row_keeps_its_id():
    bad = {"volume_contracts": "-1.00"}
    _, first = reject_quotes(quotes(bad, {**bad, "ticker": "U"}))
    _, again = reject_quotes(quotes({**bad, "ticker": "U"}, bad))
    assert len(set(first["row_id"].to_pylist())) == 2
    assert sorted(first["row_id"].to_pylist()) == sorted(again["row_id"].to_pylist())
