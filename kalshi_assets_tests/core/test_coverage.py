"""Counts of what was received, by hand."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa

from kalshi_assets.core.coverage import PAGES, coverage_versions, quote_coverage
from kalshi_assets.core.tables import TABLES

CLOSE = datetime(2024, 10, 10, 12, 29, tzinfo=UTC)
KEY = {"event_ticker": "E", "series_ticker": "S", "event_date": date(2024, 10, 10)}
NO_MINUTES = (0, 0, None, "no contract traded on a day whose minutes are kept")
TIMES = {"ts": CLOSE, "known_at": CLOSE}


def table(name, rows):
    fields = TABLES[name].schema
    return pa.Table.from_pylist([{**KEY, **TIMES, **r} for r in rows], schema=fields)


def contracts(**volumes):
    return table(
        "contracts",
        [
            {"ticker": t, "status": "finalized", "close_time": CLOSE, "volume_contracts": v and Decimal(v)}
            for t, v in volumes.items()
        ],
    )


def candles(*rows):
    return table(
        "quotes",
        [{"ticker": t, "source": "candle", "period_s": p, "volume_contracts": Decimal(v)} for t, p, v in rows],
    )


def trades(*rows):
    return table(
        "trades",
        [
            {"ticker": t, "trade_id": f"{t}{i}", "sequence": i, "count_contracts": Decimal(v)}
            for i, (t, v) in enumerate(rows)
        ],
    )


def coverage_of(listed, quoted, traded, pages=(), before_close=timedelta(0)):
    return quote_coverage(listed, quoted, traded, pa.Table.from_pylist(list(pages), schema=PAGES), before_close)


def counted(*arguments):
    rows = coverage_of(*arguments).to_pylist()
    return {r["endpoint"]: (r["expected"], r["received"], r["complete"], r["reason"]) for r in rows}


def test_everything_there():
    got = counted(
        contracts(A="5.00", B="0.00"),
        candles(("A", 86_400, "2.00"), ("A", 86_400, "3.00"), ("A", 3600, "9.00"), ("B", 3600, "0.00")),
        trades(("A", "4.50"), ("A", "0.50")),
    )
    assert got == {
        "candlesticks": (2, 2, True, None),
        "candlesticks.minutes": NO_MINUTES,
        "candlesticks.volume": (2, 2, True, None),
        "trades.volume": (2, 2, True, None),
    }


def test_each_gap_is_counted_and_its_first_contract_named():
    got = counted(contracts(A="5.00", B="7.00", C="0.00"), candles(("A", 86_400, "5.00")), trades(("B", "7.00")))
    assert got == {
        "candlesticks.minutes": NO_MINUTES,
        "candlesticks": (3, 1, False, "2 of 3 contracts were never quoted, the first is B"),
        "candlesticks.volume": (
            3, 2, False, "1 of 3 contracts have daily candles that do not add up to their volume, the first is B",
        ),
        "trades.volume": (
            3, 2, False, "1 of 3 contracts have trades that do not add up to their volume, the first is A",
        ),
    }  # fmt: skip


def test_more_than_reported_is_a_gap_too():
    got = counted(contracts(A="5.00"), candles(("A", 86_400, "5.00")), trades(("A", "5.00"), ("A", "1.00")))
    assert got["trades.volume"][:3] == (1, 0, False)


def test_an_unsettled_contract_has_no_final_volume():
    got = counted(contracts(A=None), candles(("A", 86_400, "5.00")), trades(("A", "1.00")))
    unknown = (0, 0, None, "no contract has settled, so no volume is final")
    assert got == {
        "candlesticks": (1, 1, True, None), "candlesticks.volume": unknown, "trades.volume": unknown,
        "candlesticks.minutes": NO_MINUTES,
    }  # fmt: skip


def test_events_are_kept_apart():
    other = contracts(X="1.00").set_column(0, "event_ticker", pa.array(["F"]))
    both = pa.concat_tables([contracts(A="5.00"), other.cast(TABLES["contracts"].schema)])
    rows = coverage_of(both, candles(("A", 86_400, "5.00")), trades()).to_pylist()
    assert [(r["event_ticker"], r["received"]) for r in rows if r["endpoint"] == "candlesticks"] == [("E", 1), ("F", 0)]


def test_a_count_is_known_when_the_last_of_what_it_rests_on_was():
    settled = [r | {"known_at": CLOSE + 2 * MINUTE} for r in contracts(A="5.00").to_pylist()]
    late = [r | {"known_at": CLOSE + 3 * MINUTE} for r in trades(("A", "5.00")).to_pylist()]
    other = [r | {"event_ticker": "F", "ticker": "X", "known_at": CLOSE + 9 * MINUTE} for r in settled]
    both = table("contracts", [*settled, *other])
    rows = coverage_of(both, candles(("A", 86_400, "5.00")), table("trades", late)).to_pylist()
    told = {(r["event_ticker"], r["known_at"] - CLOSE, r["ts"] - CLOSE) for r in rows}
    assert told == {("E", 3 * MINUTE, 3 * MINUTE), ("F", 9 * MINUTE, 9 * MINUTE)}


def test_a_count_that_becomes_another_one_is_known_at_its_receipt_and_the_same_count_adds_nothing():
    first = coverage_of(contracts(A="5.00"), candles(("A", 86_400, "5.00")), trades())
    assert coverage_versions(first.slice(0, 0), first, CLOSE + DAY) == first
    later = [r | {"known_at": CLOSE + MINUTE} for r in contracts(A="5.00").to_pylist()]
    again = coverage_of(table("contracts", later), candles(("A", 86_400, "5.00")), trades())
    assert coverage_versions(first, again, CLOSE + DAY).num_rows == 0
    whole = coverage_of(contracts(A="5.00"), candles(("A", 86_400, "5.00")), trades(("A", "5.00")))
    (row,) = coverage_versions(first, whole, CLOSE + DAY).to_pylist()
    assert (row["endpoint"], row["complete"], row["ts"], row["known_at"]) == (
        "trades.volume", True, CLOSE + DAY, CLOSE + DAY,
    )  # fmt: skip


def test_no_contract_no_row():
    assert coverage_of(contracts(), candles(), trades()).num_rows == 0


def bar(period_s, end, volume):
    row = {"ticker": "A", "source": "candle", "period_s": period_s, "volume_contracts": Decimal(volume)}
    return row | {"ts": end, "known_at": end}


def minutes_of(rows, before_close=timedelta(days=2)):
    got = coverage_of(contracts(A="9.00"), table("quotes", rows), trades(), (), before_close).to_pylist()
    (row,) = (r for r in got if r["endpoint"] == "candlesticks.minutes")
    return row["expected"], row["received"], row["complete"], row["reason"]


# New York is four hours behind: its 9 October 2024 lasts from 04:00 to 04:00.
MIDNIGHT = datetime(2024, 10, 10, 4, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def test_minutes_add_up_to_their_day():
    # The minute that ends at midnight is in the day, and the next one is not.
    day = [bar(86_400, MIDNIGHT, "5.00"), bar(60, MIDNIGHT, "2.00"), bar(60, MIDNIGHT - DAY + MINUTE, "3.00")]
    assert minutes_of(day) == (1, 1, True, None)
    assert minutes_of([*day, bar(60, MIDNIGHT - DAY, "7.00"), bar(60, MIDNIGHT + MINUTE, "7.00")])[:3] == (1, 1, True)
    one_of = "days have minutes that do not add up to their volume, the first is A"
    assert minutes_of(day[:2]) == (1, 0, False, f"1 of 1 {one_of}")
    # The day of the close ends after it.
    assert minutes_of([*day, bar(86_400, MIDNIGHT + DAY, "1.00")]) == (2, 1, False, f"1 of 2 {one_of}")


def test_a_day_of_25_hours():
    end = datetime(2024, 11, 4, 5, tzinfo=UTC)
    day = [bar(86_400, end, "5.00"), bar(60, end, "2.00"), bar(60, end - timedelta(hours=25) + MINUTE, "3.00")]
    assert minutes_of(day, None)[:3] == (1, 1, True)


def test_days_without_trades_and_days_that_began_before_the_minutes_are_not_expected():
    assert minutes_of([bar(86_400, MIDNIGHT, "0.00")]) == NO_MINUTES
    # Minutes start on the 8th at 12:29, so the 8th is not whole.
    assert minutes_of([bar(86_400, MIDNIGHT - DAY, "5.00")]) == NO_MINUTES
    assert minutes_of([bar(86_400, MIDNIGHT - DAY, "5.00")], None)[:3] == (1, 0, False)
    assert minutes_of([bar(86_400, MIDNIGHT, "5.00")], timedelta(hours=32, minutes=28)) == NO_MINUTES
    assert minutes_of([bar(86_400, MIDNIGHT, "5.00")], timedelta(hours=32, minutes=29))[:3] == (1, 0, False)


def test_pages_are_summed_by_event_and_feed():
    pages = [
        {"ticker": "A", "feed": "candlesticks", "pages": 2},
        {"ticker": "B", "feed": "candlesticks", "pages": 1},
        {"ticker": "B", "feed": "trades", "pages": 4},
        {"ticker": "elsewhere", "feed": "trades", "pages": 8},
    ]
    rows = coverage_of(contracts(A="5.00", B="1.00"), candles(), trades(), pages).to_pylist()
    assert {r["endpoint"]: r["pages"] for r in rows} == {
        "candlesticks": 3, "trades.volume": 4, "candlesticks.volume": None, "candlesticks.minutes": None,
    }  # fmt: skip
    assert {r["pages"] for r in coverage_of(contracts(A="5.00"), candles(), trades()).to_pylist()} == {None}
