"""What a source states now against what is held: what is added, and since when it is known."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.corrections import (
    ASSET_PRICES,
    MACRO_OBSERVATIONS,
    QUOTES,
    RELEASE_CALENDAR,
    TRADES,
    corrected,
    newest_of_each,
)
from kalshi_assets.core.tables import TABLES

T0 = datetime(2024, 7, 11, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
KEY = {"event_ticker": "E", "series_ticker": "S", "event_date": date(2024, 7, 11)}


def at(hours):
    return T0 + timedelta(hours=hours)


def quote(bid, hours=0, ticker="A", known=None, **changes):
    return {
        **KEY, "ticker": ticker, "source": "candle", "period_s": 60, "ts": at(hours),
        "known_at": at(hours if known is None else known), "yes_bid_close_usd": bid and Decimal(bid), **changes,
    }  # fmt: skip


def table(name, rows):
    return pa.Table.from_pylist(list(rows), schema=TABLES[name].schema)


def seen(name, rule, held, rows, received):
    new = corrected(held, table(name, rows), rule, received_at=at(received))
    return pa.concat_tables([held, new])


def read(rows, column, *, by):
    known = newest_of_each(rows.filter(pc.less_equal(rows["known_at"], pa.scalar(at(by)))), QUOTES)
    return {(r["ticker"], (r["ts"] - T0) / timedelta(hours=1)): r[column] for r in known.to_pylist()}


NOTHING = table("quotes", [])


def test_what_was_never_held_is_known_when_it_could_be_observed():
    held = seen("quotes", QUOTES, NOTHING, [quote("0.41"), quote("0.42", 1)], 100)
    assert held["known_at"].to_pylist() == [at(0), at(1)]
    late = seen("quotes", QUOTES, held, [quote("0.41"), quote("0.40", 0.5), quote("0.9", ticker="B")], 200)
    assert late["known_at"].to_pylist() == [at(0), at(1), at(0.5), at(0)]


def test_the_same_again_adds_nothing_whatever_the_order_and_the_date_it_is_filed_under():
    held = seen("quotes", QUOTES, NOTHING, [quote("0.41"), quote(None, 1), quote("0.43", 2, "B")], 100)
    again = [quote("0.43", 2, "B"), quote("0.41", event_date=date(2024, 7, 12)), quote(None, 1)]
    assert seen("quotes", QUOTES, held, again, 200) == held


def test_a_correction_is_known_at_its_receipt_and_what_is_served_no_more_stays():
    first = seen("quotes", QUOTES, NOTHING, [quote("0.41"), quote("0.42", 1)], 100)
    held = seen("quotes", QUOTES, first, [quote("0.77")], 200)
    assert held.slice(0, 2) == first
    assert [(r["ts"], r["known_at"], r["yes_bid_close_usd"]) for r in held.slice(2).to_pylist()] == [
        (at(0), at(200), Decimal("0.770000"))
    ]
    # It says less than before, says it again, and comes back to what it said first.
    for bid, received in ((None, 300), (None, 301), ("0.41", 400), ("0.41", 401)):
        held = seen("quotes", QUOTES, held, [quote(bid)], received)
    assert held["known_at"].to_pylist() == [at(0), at(1), at(200), at(300), at(400)]


def test_a_receipt_before_what_is_held_follows_it_by_a_microsecond():
    held = seen("quotes", QUOTES, NOTHING, [quote("0.41", 5)], 6)
    held = seen("quotes", QUOTES, held, [quote("0.77", 5)], 4)
    assert held["known_at"].to_pylist() == [at(5), at(5) + MICROSECOND]


def trade(price="0.42", side="yes", n=7):
    return {
        **KEY, "ticker": "A", "trade_id": "t", "sequence": n, "ts": at(0), "known_at": at(0),
        "yes_price_usd": Decimal(price), "count_contracts": Decimal(3), "taker_side": side,
    }  # fmt: skip


def test_a_body_that_leaves_out_who_took_a_trade_corrects_nothing_and_one_that_says_so_does():
    silent = seen("trades", TRADES, table("trades", []), [trade(side=None)], 100)
    told = seen("trades", TRADES, silent, [trade(n=8)], 200)
    assert told["known_at"].to_pylist() == [at(0), at(200)]
    assert seen("trades", TRADES, told, [trade(side=None)], 300) == told
    dearer = seen("trades", TRADES, told, [trade("0.43", side=None)], 300)
    assert dearer["known_at"].to_pylist() == [at(0), at(200), at(300)]


def entry(hour, known, *, source="bls", flag=None):
    return {
        "series_ticker": "S", "period": date(2024, 6, 1), "release_time": at(hour), "event_date": at(hour).date(),
        "ts": at(hour), "known_at": at(known), "source": source, "flag": flag,
    }  # fmt: skip


def test_what_a_source_dates_itself_keeps_its_time_unless_it_rewrites_what_is_held():
    name, rule = "release_calendar", RELEASE_CALENDAR
    first = [entry(50, 1), entry(60, 2)]
    held = seen(name, rule, table(name, []), first, 10)
    assert held["known_at"].to_pylist() == [at(1), at(2)]
    assert seen(name, rule, held, [entry(50, 1, source="fred"), entry(60, 2, source="fred")], 11) == held
    # A version that others follow is a matter of the past: what is known now does not change with it.
    assert seen(name, rule, held, [entry(55, 1), entry(60, 2)], 11) == held
    moved = seen(name, rule, held, [*first, entry(70, 8)], 12)
    assert moved["known_at"].to_pylist() == [at(1), at(2), at(8)]
    rewritten = seen(name, rule, moved, [*first, entry(71, 8)], 20)
    assert [(r["release_time"], r["known_at"]) for r in rewritten.slice(3).to_pylist()] == [(at(71), at(20))]
    assert seen(name, rule, rewritten, [*first, entry(71, 8)], 21) == rewritten


def test_a_print_that_is_rewritten_becomes_a_vintage_of_its_receipt():
    name, rule = "macro_observations", MACRO_OBSERVATIONS
    row = {
        "series_id": "CPIAUCSL", "units": "pch", "observation_date": date(2024, 6, 1), "vintage_date": T0.date(),
        "value": 0.1, "ts": at(0), "known_at": at(1), "source": "packaged_facts",
    }  # fmt: skip
    held = seen(name, rule, table(name, []), [row], 10)
    again = row | {"source": "fred", "precision": 0.1}
    assert seen(name, rule, held, [again, row | {"value": 0.2, "known_at": at(5)}], 11)["known_at"].to_pylist() == [
        at(1), at(5),
    ]  # fmt: skip
    assert seen(name, rule, held, [again], 11) == held
    restated = seen(name, rule, held, [again | {"value": 0.3}], 11)
    assert [(r["value"], r["known_at"]) for r in restated.to_pylist()] == [(0.1, at(1)), (0.3, at(11))]


def close(value, source, known=0):
    return {
        "symbol": "SP500", "date": T0.date(), "close": value, "ts": at(0), "known_at": at(known), "source": source,
    }  # fmt: skip


def test_a_close_of_another_source_is_no_version_of_ours_and_ends_what_ours_may_say():
    name, rule = "asset_prices", ASSET_PRICES
    held = table(name, [close(100.0, "fred"), close(101.0, "mine", known=30)])
    assert seen(name, rule, held, [close(100.0, "fred")], 40) == held
    before = seen(name, rule, held, [close(99.0, "fred")], 20)
    assert [(r["close"], r["known_at"]) for r in before.to_pylist()] == [
        (100.0, at(0)),
        (101.0, at(30)),
        (99.0, at(20)),
    ]
    assert seen(name, rule, held, [close(99.0, "fred")], 40) == held, "a restatement does not displace it"
    for known in (0, -1):
        mine = table(name, [close(101.0, None, known)])
        assert seen(name, rule, mine, [close(100.0, "fred")], 40) == mine
    late = table(name, [close(101.0, None, known=30)])
    assert seen(name, rule, late, [close(100.0, "fred")], 40)["close"].to_pylist() == [101.0, 100.0]


states = st.dictionaries(
    st.tuples(st.sampled_from("AB"), st.integers(0, 3)), st.sampled_from(["0.1", "0.2", None]), max_size=8
)


@settings(max_examples=100, deadline=None)
@given(st.lists(states, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_what_was_known_at_any_time_is_what_a_dictionary_of_versions_says(pulls, rng):
    held, versions = NOTHING, {}
    for i, pull in enumerate(pulls):
        received = 10 + 10 * i
        for key, bid in pull.items():
            mine = versions.setdefault(key, {key[1]: bid})
            if mine[max(mine)] != bid:
                mine[received] = bid
        rows = [quote(bid, hours, ticker) for (ticker, hours), bid in pull.items()]
        rng.shuffle(rows)
        before, held = held, seen("quotes", QUOTES, held, rows, received)
        assert held.slice(0, before.num_rows) == before
        assert seen("quotes", QUOTES, held, rows, received + 5) == held
    for moment in (0, 2, 9, 15, 25, 35, 45, 55):
        known = {
            key: mine[max(t for t in mine if t <= moment)] for key, mine in versions.items() if min(mine) <= moment
        }
        got = read(held, "yes_bid_close_usd", by=moment)
        assert got == {key: bid and Decimal(bid) for key, bid in known.items()}
