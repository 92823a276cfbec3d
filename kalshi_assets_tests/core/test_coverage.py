"""Counts of what was received, by hand."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa

from kalshi_assets.core.coverage import quote_coverage
from kalshi_assets.core.tables import TABLES

CLOSE = datetime(2024, 10, 10, 12, 29, tzinfo=UTC)
KEY = {"event_ticker": "E", "series_ticker": "S", "event_date": date(2024, 10, 10)}
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


def counted(*arguments):
    rows = quote_coverage(*arguments).to_pylist()
    return {r["endpoint"]: (r["expected"], r["received"], r["complete"], r["reason"]) for r in rows}


def test_everything_there():
    got = counted(
        contracts(A="5.00", B="0.00"),
        candles(("A", 86_400, "2.00"), ("A", 86_400, "3.00"), ("A", 3600, "9.00"), ("B", 3600, "0.00")),
        trades(("A", "4.50"), ("A", "0.50")),
    )
    assert got == {
        "candlesticks": (2, 2, True, None),
        "candlesticks.volume": (2, 2, True, None),
        "trades.volume": (2, 2, True, None),
    }


def test_each_gap_is_counted_and_its_first_contract_named():
    got = counted(contracts(A="5.00", B="7.00", C="0.00"), candles(("A", 86_400, "5.00")), trades(("B", "7.00")))
    assert got == {
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
    }  # fmt: skip


def test_events_are_kept_apart_and_times_are_the_close():
    other = contracts(X="1.00").set_column(0, "event_ticker", pa.array(["F"]))
    both = pa.concat_tables([contracts(A="5.00"), other.cast(TABLES["contracts"].schema)])
    rows = quote_coverage(both, candles(("A", 86_400, "5.00")), trades()).to_pylist()
    assert [(r["event_ticker"], r["received"]) for r in rows if r["endpoint"] == "candlesticks"] == [("E", 1), ("F", 0)]
    assert {r["known_at"] for r in rows} == {CLOSE}


def test_no_contract_no_row():
    assert quote_coverage(contracts(), candles(), trades()).num_rows == 0
