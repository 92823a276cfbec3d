"""What was received of a ladder's quotes and trades against what must be there; fetching does not belong here.

Three counts are independent of the download itself: the contracts of the ladder, the volume that the
exchange reports for a settled contract, which its candles and its trades must add up to, and the
volume of a day, which the day's minutes must add up to.

A count is known when the last of what it rests on became known, and a count that became another one
when that was found.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.corrections import COVERAGE, corrected
from kalshi_assets.core.tables import TABLES, TIME

_DAY_S = 86_400
_MINUTE_S = 60
_EXCHANGE_CLOCK = "America/New_York"
_EVENT = ["event_ticker", "series_ticker", "event_date"]


# Requests behind some rows: the contract that was asked for (the first of several), which feed, how many pages.
PAGES = pa.schema([("ticker", pa.string()), ("feed", pa.string()), ("pages", pa.int64())])


def quote_coverage(
    contracts: pa.Table, candles: pa.Table, trades: pa.Table, pages: pa.Table, minutes_before_close: timedelta | None
) -> pa.Table:
    """Rows of table ``coverage`` for the ladders of some contracts.

    Four rows an event, by ``endpoint``: ``candlesticks`` counts contracts with any candle,
    ``candlesticks.volume`` and ``trades.volume`` count settled contracts whose daily candles, or
    trades, add up to the volume that the exchange reports, and ``candlesticks.minutes`` counts days on
    which a contract traded whose minutes add up to the day. A contract that was never quoted is no gap,
    and trades older than the exchange's record are not there to be had, so the counts may differ
    with a reason; ``complete`` says whether they agree, and is null where there is nothing to count yet.
    ``pages`` are those of ranges that were over when they were asked for, null where none was.

    Args:
        contracts: newest rows of table ``contracts``.
        candles: newest rows of table ``quotes`` that came from candles.
        trades: newest rows of table ``trades``.
        pages: shaped as ``PAGES``, feeds ``candlesticks`` and ``trades``.
        minutes_before_close: how long before a ladder's last close its minutes were asked for; None: always.
    """
    listed = contracts.select([*_EVENT, "ticker", "close_time", "volume_contracts"])
    quoted = pc.is_in(listed["ticker"], pc.unique(candles["ticker"]))
    daily = candles.filter(pc.equal(candles["period_s"], _DAY_S))
    from_candles = _summed(listed, daily, "volume_contracts")
    from_trades = _summed(listed, trades, "count_contracts")
    settled = pc.is_valid(listed["volume_contracts"])
    rows = listed.select([*_EVENT, "ticker", "close_time"])
    rows = rows.append_column("known_at", _learned(rows["event_ticker"], contracts, candles, trades))
    asked = {feed: _pages(rows, pages.filter(pc.equal(pages["feed"], feed))) for feed in ("candlesticks", "trades")}
    every = pa.repeat(True, rows.num_rows)
    unsettled = "no contract has settled, so no volume is final"
    return pa.concat_tables(
        [
            _rows(rows, "candlesticks", every, quoted, asked["candlesticks"], "contracts were never quoted", ""),
            _rows(
                rows, "candlesticks.volume", settled, pc.equal(from_candles, listed["volume_contracts"]), None,
                "contracts have daily candles that do not add up to their volume", unsettled,
            ),
            _rows(
                rows, "trades.volume", settled, pc.equal(from_trades, listed["volume_contracts"]), asked["trades"],
                "contracts have trades that do not add up to their volume", unsettled,
            ),
            _minutes(rows, candles, minutes_before_close),
        ]
    )  # fmt: skip


def coverage_versions(held: pa.Table, counted: pa.Table, received_at: datetime) -> pa.Table:
    """Rows to add to table ``coverage``: counts of what was not counted yet, and those that say something new.

    Args:
        held: rows of the table, all versions.
        counted: rows of the table as counted now.
        received_at: when what they count was received.
    """
    rows = corrected(held, counted, COVERAGE, received_at=received_at)
    at = rows.schema.get_field_index("ts")
    return rows.set_column(at, rows.schema.field(at), rows["known_at"])


def _learned(events: pa.ChunkedArray, *observed: pa.Table) -> pa.ChunkedArray:
    """When the last row about each event became known."""
    rows = pa.concat_tables([table.select(["event_ticker", "known_at"]) for table in observed])
    newest = rows.group_by("event_ticker").aggregate([("known_at", "max")])
    return newest["known_at_max"].take(pc.index_in(events, newest["event_ticker"]))


def _minutes(contracts: pa.Table, candles: pa.Table, before_close: timedelta | None) -> pa.Table:
    """Whole days behind the start of the minutes in which a contract traded, and those that its minutes explain."""
    closes = contracts.group_by("event_ticker").aggregate([("close_time", "max")])
    closed = closes["close_time_max"].take(pc.index_in(contracts["event_ticker"], closes["event_ticker"]))
    wanted = ["ticker", "ts", "volume_contracts"]
    chosen = pc.and_(pc.equal(candles["period_s"], _DAY_S), pc.greater(candles["volume_contracts"], 0))
    days = candles.filter(chosen).select(wanted)
    if before_close is not None:
        first = pc.subtract(closed, pa.scalar(before_close)).take(pc.index_in(days["ticker"], contracts["ticker"]))
        # A candle is stamped with its end; a day begins at the midnight before.
        begins = pc.floor_temporal(_local(pc.subtract(days["ts"], pa.scalar(timedelta(microseconds=1)))), unit="day")
        days = days.filter(pc.less_equal(first, begins.cast(TIME)))
    minutes = candles.filter(pc.equal(candles["period_s"], _MINUTE_S)).select(wanted)
    minutes = minutes.set_column(1, "ts", pc.ceil_temporal(_local(minutes["ts"]), unit="day").cast(TIME))
    sums = minutes.group_by(["ticker", "ts"]).aggregate([("volume_contracts", "sum")])
    matched = days.join(sums, ["ticker", "ts"])
    met = pc.equal(matched["volume_contracts_sum"], matched["volume_contracts"])
    place = pc.index_in(matched["ticker"], contracts["ticker"])
    # The contracts themselves expect nothing: they are there so that every event has a row.
    table = pa.concat_tables([contracts, contracts.take(place)])
    expected = pa.concat_arrays([pa.repeat(False, contracts.num_rows), pa.repeat(True, matched.num_rows)])
    received = pa.chunked_array([pa.repeat(False, contracts.num_rows), *pc.fill_null(met, False).chunks])
    return _rows(
        table, "candlesticks.minutes", expected, received, None,
        "days have minutes that do not add up to their volume", "no contract traded on a day whose minutes are kept",
    )  # fmt: skip


def _local(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same instants on the exchange's clock, whose days its daily candles are."""
    return times.cast(pa.timestamp("us", _EXCHANGE_CLOCK))


def _pages(contracts: pa.Table, pages: pa.Table) -> pa.Table:
    """How many pages each event's downloads took: columns event_ticker, pages."""
    at = pc.index_in(pages["ticker"], contracts["ticker"])
    mine = pa.table({"event_ticker": contracts["event_ticker"].take(at), "pages": pages["pages"]})
    return mine.group_by("event_ticker").aggregate([("pages", "sum")])


def _summed(listed: pa.Table, observed: pa.Table, column: str) -> pa.ChunkedArray:
    """The sum of a column for each listed ticker, in their order; nothing observed sums to zero."""
    sums = observed.group_by("ticker").aggregate([(column, "sum")])
    at = pc.index_in(listed["ticker"], sums["ticker"])
    taken = pc.take(sums[f"{column}_sum"], at)
    return pc.fill_null(taken, pa.scalar(0, taken.type))


def _rows(
    contracts: pa.Table, endpoint: str, expected: pa.Array, met: pa.Array, pages: pa.Table | None, gap: str, none: str
) -> pa.Table:
    """One row an event: how much is expected, and how much of it met the expectation.

    Args:
        contracts: one row for each thing that may be expected.
        endpoint: the name of the count.
        expected: whether the thing of the row is expected.
        met: whether it was found as it must be.
        pages: columns event_ticker and pages_sum, or None where pages are not this count's.
        gap: how a sentence about missing things goes on.
        none: the sentence where nothing is expected.
    """
    met = pc.and_(expected, pc.fill_null(met, False))
    missed = pc.if_else(pc.and_(expected, pc.invert(met)), contracts["ticker"], pa.scalar(None, pa.string()))
    table = contracts.append_column("expected", pc.cast(expected, pa.int64()))
    table = table.append_column("received", pc.cast(met, pa.int64())).append_column("missed", missed)
    grouped = (
        table.group_by(_EVENT, use_threads=False)
        .aggregate([("expected", "sum"), ("received", "sum"), ("known_at", "max"), ("missed", "min")])
        .sort_by("event_ticker")
    )
    wanted, got = grouped["expected_sum"], grouped["received_sum"]
    missing = pc.subtract(wanted, got)
    sentence = pc.binary_join_element_wise(
        pc.cast(missing, pa.string()), pa.scalar("of"), pc.cast(wanted, pa.string()),
        pa.scalar(f"{gap}, the first is"), grouped["missed_min"], " ",
    )  # fmt: skip
    nothing = pc.equal(wanted, 0)
    reason = pc.case_when(
        pc.make_struct(nothing, pc.greater(missing, 0)),
        pa.scalar(none),
        sentence,
    )
    agree = pc.if_else(nothing, pa.scalar(None, pa.bool_()), pc.equal(wanted, got))
    n = grouped.num_rows
    paged = pa.nulls(n, pa.int64())
    if pages is not None:
        paged = pc.take(pages["pages_sum"], pc.index_in(grouped["event_ticker"], pages["event_ticker"]))
    columns = {
        **{name: grouped[name] for name in _EVENT},
        "endpoint": pa.repeat(endpoint, n),
        "ts": grouped["known_at_max"],
        "known_at": grouped["known_at_max"],
        "expected": wanted,
        "received": got,
        "pages": paged,
        "complete": agree,
        "reason": reason,
    }
    schema = TABLES["coverage"].schema
    return pa.table([columns[f.name].cast(f.type) for f in schema], schema=schema)
