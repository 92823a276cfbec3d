"""What the exchange serves otherwise, or not at all, when it is asked again: nothing that was known is rewritten."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from kalshi_assets.core.tables import TABLES
from kalshi_assets.exchange.orderbooks import ORDERBOOKS
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets_tests.stages.catalog_seed import CLOSED, DAY, EVENT, LATER, SERIES, fill_catalog, vouch, write
from kalshi_assets_tests.stages.test_quotes_stage import HOURLY, Exchange, pull, settle

ENDED = CLOSED.replace(minute=0)
FIRST, SECOND, THIRD = (datetime(2024, month, 1, tzinfo=UTC) for month in (8, 9, 10))
JUST_BEFORE = SECOND - timedelta(microseconds=1)
A = f"{EVENT}-T3.0"
TABLES_OF_PULL = ("quotes", "trades", "coverage", "rejected_rows")
ROW = ("known_at", "yes_bid_close_usd")


@pytest.fixture
def lake(tmp_path):
    made = Lake(tmp_path / "lake")
    fill_catalog(made)
    vouch(made)
    return made


class Open(Exchange):
    """An exchange whose contracts still trade, without a book."""

    def orderbooks(self, tickers):
        return ORDERBOOKS.empty_table()


def again(lake, now, **changes):
    exchange = Open()
    for name, value in changes.items():
        setattr(exchange, name, value)
    return pull(lake, exchange, windows=HOURLY, now=now)


def known(lake, as_of):
    """All that a pull writes, as it was known at a time."""
    return {name: lake.read(name, as_of=as_of, history=True) for name in TABLES_OF_PULL}


def bid(lake, as_of=None, ticker=A):
    (row,) = [r for r in lake.read("quotes", as_of=as_of).to_pylist() if r["ticker"] == ticker]
    return row["yes_bid_close_usd"]


def unchanged(lake, now, **changes):
    """Pull once more: no row changes, and no table gets a version."""
    names = TABLES_OF_PULL
    before = [(lake.version(n), lake.content_hash(n)) for n in names]
    result = again(lake, now, **changes)
    assert {result.changed[n] for n in names} == {0}
    assert [(lake.version(n), lake.content_hash(n)) for n in names] == before


def test_a_candle_that_is_corrected_is_new_from_its_receipt_on_only(lake):
    again(lake, FIRST)
    before = known(lake, JUST_BEFORE)
    assert bid(lake, ENDED) == Decimal("0.41")
    result = again(lake, SECOND, bid={A: "0.77"})
    assert known(lake, JUST_BEFORE) == before
    assert [bid(lake, t) for t in (ENDED, JUST_BEFORE, SECOND, None)] == [
        Decimal(b) for b in ("0.41", "0.41", "0.77", "0.77")
    ]
    assert result.rows["quotes"] == 4
    assert not result.failed
    unchanged(lake, THIRD, bid={A: "0.77"})
    again(lake, THIRD)
    assert bid(lake) == bid(lake, ENDED)
    assert bid(lake, THIRD - timedelta(microseconds=1)) == Decimal("0.77")


def test_a_trade_that_is_corrected_is_new_from_its_receipt_on_only(lake):
    again(lake, FIRST)
    before = known(lake, JUST_BEFORE)
    again(lake, SECOND, price="0.50")
    assert known(lake, JUST_BEFORE) == before
    assert set(lake.read("trades", as_of=JUST_BEFORE)["yes_price_usd"].to_pylist()) == {Decimal("0.42")}
    assert lake.read("trades")["yes_price_usd"].to_pylist() == [Decimal("0.50")] * 3
    assert lake.read("trades", history=True).num_rows == 6
    unchanged(lake, THIRD, price="0.50")


def test_what_is_not_served_any_more_stays(lake):
    again(lake, FIRST)
    unchanged(lake, SECOND, silent={A})
    unchanged(lake, THIRD, silent={A}, ends=[])


def test_a_candle_that_was_not_served_before_is_known_at_its_end(lake):
    again(lake, FIRST, silent={A})
    again(lake, SECOND)
    assert bid(lake, ENDED) == Decimal("0.41")


def test_a_period_that_has_not_ended_is_not_stored(lake):
    now = CLOSED - timedelta(minutes=40)
    going_on = {"ends": [ENDED - timedelta(hours=1), ENDED]}
    again(lake, now, bid={A: "0.10"}, **going_on)
    assert set(lake.read("quotes")["ts"].to_pylist()) == {ENDED - timedelta(hours=1)}
    held = lake.read("quotes", history=True)
    again(lake, ENDED, bid={A: "0.10"}, **going_on)
    rows = lake.read("quotes", history=True)
    assert rows.num_rows == 6
    assert rows.filter(pa.compute.less(rows["ts"], pa.scalar(ENDED))) == held
    assert rows["known_at"] == rows["ts"]


def test_a_quote_that_was_put_aside_is_corrected_too(lake):
    impossible = {"bid": {A: "0.60"}, "ask": Decimal("0.50")}
    again(lake, FIRST, **impossible)
    assert lake.read("quotes").num_rows == 2
    unchanged(lake, FIRST, **impossible)
    before = known(lake, JUST_BEFORE)
    again(lake, SECOND, ask=Decimal("0.50"))
    assert known(lake, JUST_BEFORE) == before
    assert [bid(lake, t) for t in (SECOND, None)] == [Decimal("0.41")] * 2
    # Its impossible state comes back: it is put aside again, and the quote of before counts until then and after.
    again(lake, THIRD, **impossible)
    assert [bid(lake, t) for t in (SECOND, None)] == [Decimal("0.41")] * 2
    assert [r["known_at"] for r in lake.read("rejected_rows").to_pylist()] == [ENDED, THIRD]
    unchanged(lake, THIRD + timedelta(days=1), **impossible)


def damage(lake, name):
    (file,) = lake.files(name)
    path = Path(lake.root) / file.path
    path.write_bytes(b"x" * path.stat().st_size)


def test_rows_put_aside_that_cannot_be_read_stop_no_pull(lake):
    impossible = {"bid": {A: "0.60"}, "ask": Decimal("0.50")}
    again(lake, FIRST, **impossible)
    rows = lake.read("rejected_rows")
    damage(lake, "rejected_rows")
    again(lake, SECOND, **impossible)
    assert lake.read("rejected_rows") == rows


def counted(lake, endpoint="trades.volume", **asked):
    (row,) = [r for r in lake.read("coverage", **asked).to_pylist() if r["endpoint"] == endpoint]
    return row["expected"], row["received"], row["complete"], row["known_at"]


def test_coverage_is_never_known_before_what_it_counts_nor_before_it_was_counted(lake):
    now = CLOSED - timedelta(minutes=1)
    again(lake, now)
    assert max(lake.read("coverage")["known_at"].to_pylist()) < now
    open_then = counted(lake)
    assert open_then[:3] == (0, 0, None)
    settle(lake)
    volumes = [r | {"volume_contracts": Decimal(3)} for r in lake.read("contracts").to_pylist()]
    write(lake, "contracts", volumes)
    vouch(lake)
    again(lake, SECOND)
    assert counted(lake, as_of=JUST_BEFORE) == open_then
    assert counted(lake) == (3, 3, True, SECOND)
    assert lake.read("coverage", as_of=JUST_BEFORE).num_rows == 4
    assert lake.read("coverage", history=True).num_rows > 4
    unchanged(lake, THIRD)


def test_a_settled_ladder_is_counted_as_of_its_settlement(lake):
    settle(lake)
    again(lake, FIRST)
    assert set(lake.read("coverage")["known_at"].to_pylist()) == {CLOSED + timedelta(minutes=90)}


def move(lake):
    """The event goes to another date, as the catalog files it: its rows follow, and the mapping remembers."""
    since = datetime(2024, 7, 1, tzinfo=UTC)
    for name in ("events", "contracts"):
        rows = [r | {"event_date": LATER} for r in lake.read(name).to_pylist()]
        table = pa.Table.from_pylist(rows, schema=TABLES[name].schema)
        lake.replace(name, table, scope=Scope([DAY, LATER]), run_id="seed")
    known_at = lake.read("events")["known_at"][0].as_py()
    place = {"event_ticker": EVENT, "series_ticker": SERIES, "release_time": CLOSED, "source": "calendar:facts"}
    write(
        lake,
        "event_market_map",
        [
            place
            | {"event_date": DAY, "version": "v1", "effective_from": known_at, "ts": known_at, "known_at": known_at},
            place | {"event_date": LATER, "version": "v2", "effective_from": since, "ts": since, "known_at": since},
        ],
    )
    vouch(lake, "market_catalog", DAY, LATER)


def test_prices_follow_an_event_that_moves_with_all_their_versions(lake):
    again(lake, FIRST)
    again(lake, SECOND, bid={A: "0.77"}, price="0.50")
    held = {name: lake.read(name, history=True).drop_columns(["event_date"]) for name in ("quotes", "trades")}
    move(lake)
    exchange = {"bid": {A: "0.77"}, "price": "0.50"}

    def pull_dates(*dates):
        asked = Open()
        asked.bid, asked.price = exchange["bid"], exchange["price"]
        assert not pull(lake, asked, dates=dates, windows=HOURLY, now=THIRD).failed

    def stands():
        for name, rows in held.items():
            here = lake.read(name, event_dates=[LATER], history=True)
            assert here.drop_columns(["event_date"]) == rows
            assert set(here["event_date"].to_pylist()) == {LATER}

    # The old date is not the event's any more, but the new one holds nothing yet.
    pull_dates(DAY)
    assert lake.event_dates("quotes") == lake.event_dates("trades") == [DAY]
    pull_dates(LATER)
    stands()
    pull_dates(DAY)
    assert lake.event_dates("quotes") == lake.event_dates("trades") == [LATER]
    stands()
    versions = [lake.version(name) for name in TABLES_OF_PULL]
    pull_dates(DAY, LATER)
    assert [lake.version(name) for name in TABLES_OF_PULL] == versions
