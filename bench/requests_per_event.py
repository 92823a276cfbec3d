"""Requests that a whole event costs, counted on a loopback exchange, beside the least that the exchange allows.

The least follows from its limits: a batch of candles takes 100 tickers and 10,000 periods over all
of them, a single request 5,000 periods, a listing's page 1,000 rows, and trades come market by market.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from math import ceil
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.exchange import BOUNDARIES
from bench.measuring import Result
from kalshi_assets.emulator.archive import Archive, load_archive
from kalshi_assets.emulator.server import serve
from kalshi_assets.emulator.simulate import simulate
from kalshi_assets.exchange.connect import connect
from kalshi_assets.exchange.routing import BATCH_CAP, BATCH_TICKERS, SINGLE_CAP, MarketRef
from kalshi_assets.http import RequestEvent
from kalshi_assets.settings import facts_folder
from kalshi_assets.stages.ladder_pulls import CLOSING_PERIODS, WINDOWS, CandleWindow, first_trade_time

SERIES = "KXCPIYOY"
CONTRACTS = (10, 40, 100, 250)
_NAMES = {1440: "daily", 60: "hourly", 1: "minutes"}
_PAGE = 1000


def measure() -> Result:
    """One row a tier and number of contracts; each cell is what was sent, and the least that would do."""
    with tempfile.TemporaryDirectory(prefix="bench-requests-") as folder:
        archive = load_archive(simulate(Path(folder, "archive"), facts=facts_folder(), events=1, series=(SERIES,)))
    boundaries = {**BOUNDARIES, "live, near boundary": archive.historical_cutoff["trades_created_ts"]}
    rows = [_row(archive, tier, boundaries[tier], n) for tier in sorted(boundaries, reverse=True) for n in CONTRACTS]
    return Result(
        "Requests that a whole event costs: sent / least possible",
        ("tier, contracts", "listing", *_NAMES.values(), "trades", "all", "times least"),
        rows,
        (
            f"Candles: {', '.join(f'{name} {_told(w)}' for w in WINDOWS for name in [_NAMES[w.period_minutes]])}.",
            f"Least for candles of the live tier: ceil(contracts / {BATCH_TICKERS}), or ceil(contracts x periods / "
            f"{BATCH_CAP:,}) where that is more; of the historical tier: one request a contract.",
            "The listing is the series' events and the markets of both tiers; trades are one page a contract here. "
            "Near: the boundary lies inside the year before the opening from which trades are asked for.",
        ),
    )


def _row(whole: Archive, tier: str, boundary: str, contracts: int) -> tuple[str, ...]:
    sent: Counter[str] = Counter()
    least: Counter[str] = Counter()
    what = ""

    def count(event: RequestEvent) -> None:
        sent[what] += 1

    archive = _with_contracts(whole, contracts)
    fields = dict.fromkeys(("market_settled_ts", "trades_created_ts"), boundary)
    with serve(archive, cutoff=fields) as server:
        exchange = connect(server.base_url, on_request=count)
        with exchange.transport:
            cutoff = exchange.cutoff()
            what = "listing"
            exchange.events(SERIES)
            records = exchange.markets(SERIES).markets
            refs = [MarketRef(r.ticker, r.event_ticker, SERIES, r.settlement_ts) for r in records]
            opened, closed = min(r.open_time for r in records), max(r.close_time for r in records)
            least[what] = 1 + ceil(contracts / _PAGE) + 1
            for window in WINDOWS:
                what = _NAMES[window.period_minutes]
                start = max(opened, closed - window.before_close) if window.before_close else opened
                end = closed + CLOSING_PERIODS * timedelta(minutes=window.period_minutes)
                exchange.candlesticks(refs, period_minutes=window.period_minutes, start=start, end=end, cutoff=cutoff)
                periods = ceil((end - start) / timedelta(minutes=window.period_minutes))
                least[what] = _least(tier, contracts, periods)
            what = "trades"
            for ref in refs:
                exchange.trades(
                    ref, start=first_trade_time(opened, cutoff), end=closed + timedelta(minutes=1), cutoff=cutoff
                )
            least[what] = contracts
    assert len(records) == contracts
    del sent[""]
    names = ("listing", *_NAMES.values(), "trades")
    return (
        f"{tier}, {contracts}",
        *(f"{sent[name]} / {least[name]}" for name in names),
        f"{sent.total()} / {least.total()}",
        f"{sent.total() / least.total():.2f}",
    )


def _least(tier: str, contracts: int, periods: int) -> int:
    if tier == "historical":
        return contracts * ceil(periods / SINGLE_CAP)
    return max(ceil(contracts / BATCH_TICKERS), ceil(contracts * periods / BATCH_CAP))


def _with_contracts(archive: Archive, contracts: int) -> Archive:
    """The archive with so many contracts in its one event, each like the first but for its name."""
    first = archive.tables["markets"].slice(0, 1)
    ticker: str = first["ticker"][0].as_py()
    names = [f"{ticker}{n:03d}" for n in range(contracts)]
    markets = pa.concat_tables([_named(first, name) for name in names])
    rows: dict[str, Any] = {}
    for table in ("candlesticks", "trades"):
        mine = archive.tables[table].filter(pa.compute.equal(archive.tables[table]["ticker"], ticker)).slice(0, 20)
        rows[table] = pa.concat_tables([_named(mine, name) for name in names])
    # One id a trade, or the client would take them for twins.
    ids = pa.array([f"trade-{i}" for i in range(rows["trades"].num_rows)])
    rows["trades"] = rows["trades"].set_column(rows["trades"].schema.get_field_index("trade_id"), "trade_id", ids)
    return replace(archive, tables={**archive.tables, "markets": markets, **rows})


def _named(table: pa.Table, ticker: str) -> pa.Table:
    return table.set_column(
        table.schema.get_field_index("ticker"), "ticker", pa.array([ticker] * table.num_rows, pa.string())
    )


def _told(window: CandleWindow) -> str:
    return f"over {window.before_close.days} days" if window.before_close else "over the event's life"
