"""What was received of a ladder's quotes and trades against what must be there; fetching does not belong here.

Two counts are independent of the download itself: the contracts of the ladder, and the volume
that the exchange reports for a settled contract, which its candles and its trades must add up to.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.tables import TABLES

_DAY_S = 86_400
_EVENT = ["event_ticker", "series_ticker", "event_date"]


def quote_coverage(contracts: pa.Table, candles: pa.Table, trades: pa.Table) -> pa.Table:
    """Rows of table ``coverage`` for the ladders of some contracts.

    Three rows an event, by ``endpoint``: ``candlesticks`` counts contracts with any candle,
    ``candlesticks.volume`` and ``trades.volume`` count settled contracts whose daily candles, or
    trades, add up to the volume that the exchange reports. A contract that was never quoted is no gap,
    and trades older than the exchange's record are not there to be had, so the counts may differ
    with a reason; ``complete`` says whether they agree, and is null where nothing has settled yet.

    Args:
        contracts: newest rows of table ``contracts``.
        candles: rows of table ``quotes`` that came from candles; daily ones are used for the volume.
        trades: rows of table ``trades``.
    """
    listed = contracts.select([*_EVENT, "ticker", "close_time", "volume_contracts"])
    quoted = pc.is_in(listed["ticker"], pc.unique(candles["ticker"]))
    daily = candles.filter(pc.equal(candles["period_s"], _DAY_S))
    from_candles = _summed(listed, daily, "volume_contracts")
    from_trades = _summed(listed, trades, "count_contracts")
    settled = pc.is_valid(listed["volume_contracts"])
    rows = listed.select([*_EVENT, "ticker", "close_time"])
    return pa.concat_tables(
        [
            _rows(rows, "candlesticks", pa.repeat(True, rows.num_rows), quoted, "contracts were never quoted"),
            _rows(
                rows, "candlesticks.volume", settled, pc.equal(from_candles, listed["volume_contracts"]),
                "contracts have daily candles that do not add up to their volume",
            ),
            _rows(
                rows, "trades.volume", settled, pc.equal(from_trades, listed["volume_contracts"]),
                "contracts have trades that do not add up to their volume",
            ),
        ]
    )  # fmt: skip


def _summed(listed: pa.Table, observed: pa.Table, column: str) -> pa.ChunkedArray:
    """The sum of a column for each listed ticker, in their order; nothing observed sums to zero."""
    sums = observed.group_by("ticker").aggregate([(column, "sum")])
    at = pc.index_in(listed["ticker"], sums["ticker"])
    taken = pc.take(sums[f"{column}_sum"], at)
    return pc.fill_null(taken, pa.scalar(0, taken.type))


def _rows(contracts: pa.Table, endpoint: str, expected: pa.Array, met: pa.Array, gap: str) -> pa.Table:
    """One row an event: how many contracts are expected, and how many of them met the expectation."""
    met = pc.and_(expected, pc.fill_null(met, False))
    missed = pc.if_else(pc.and_(expected, pc.invert(met)), contracts["ticker"], pa.scalar(None, pa.string()))
    table = contracts.append_column("expected", pc.cast(expected, pa.int64()))
    table = table.append_column("received", pc.cast(met, pa.int64())).append_column("missed", missed)
    grouped = (
        table.group_by(_EVENT, use_threads=False)
        .aggregate([("expected", "sum"), ("received", "sum"), ("close_time", "max"), ("missed", "min")])
        .sort_by("event_ticker")
    )
    wanted, got = grouped["expected_sum"], grouped["received_sum"]
    missing = pc.subtract(wanted, got)
    sentence = pc.binary_join_element_wise(
        pc.cast(missing, pa.string()), pa.scalar("of"), pc.cast(wanted, pa.string()),
        pa.scalar(f"{gap}, the first is"), grouped["missed_min"], " ",
    )  # fmt: skip
    unsettled = pc.equal(wanted, 0)
    reason = pc.case_when(
        pc.make_struct(unsettled, pc.greater(missing, 0)),
        pa.scalar("no contract has settled, so no volume is final"),
        sentence,
    )
    agree = pc.if_else(unsettled, pa.scalar(None, pa.bool_()), pc.equal(wanted, got))
    n = grouped.num_rows
    columns = {
        **{name: grouped[name] for name in _EVENT},
        "endpoint": pa.repeat(endpoint, n),
        "ts": grouped["close_time_max"],
        "known_at": grouped["close_time_max"],
        "expected": wanted,
        "received": got,
        "pages": pa.nulls(n, pa.int64()),
        "complete": agree,
        "reason": reason,
    }
    schema = TABLES["coverage"].schema
    return pa.table([columns[f.name].cast(f.type) for f in schema], schema=schema)
