"""Candles of a simulated archive over loopback HTTP without a rate limit, against bare requests for the same URLs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests

from bench.measuring import Result, Timing, in_turns
from kalshi_assets.emulator.process import ServedArchive
from kalshi_assets.emulator.simulate import DEFAULT_SERIES, simulate
from kalshi_assets.exchange.client import Exchange
from kalshi_assets.exchange.connect import connect
from kalshi_assets.exchange.models import Cutoff, MarketRecord
from kalshi_assets.exchange.routing import MarketRef
from kalshi_assets.settings import facts_folder
from kalshi_assets.stages.quotes import CLOSING_PERIODS, WINDOWS, WORKERS

EVENTS = 8

Ladder = tuple[tuple[MarketRef, ...], MarketRecord]


def measure() -> Result:
    """Best of three of each; the server is a process of its own, as in a run."""
    with tempfile.TemporaryDirectory(prefix="bench-exchange-") as folder:
        archive = simulate(Path(folder, "archive"), facts=facts_folder(), events=EVENTS)
        with ServedArchive(archive) as served:
            exchange = connect(served.base_url)
            ladders = [ladder for series in DEFAULT_SERIES for ladder in _ladders(exchange, series)]
            cutoff = exchange.cutoff()
            asked: list[tuple[str, Any]] = []
            get_json = exchange.transport.get_json

            def recording(path: str, params: Mapping[str, Any] | None = None, **options: Any) -> dict[str, Any]:
                asked.append((path, params))
                return get_json(path, params, **options)

            exchange.transport.get_json = recording  # type: ignore[method-assign]
            rows = sum(_pull(exchange, ladder, cutoff) for ladder in ladders)
            exchange.transport.get_json = get_json  # type: ignore[method-assign]
            bare, alone, together = in_turns(
                3,
                lambda: _bare(served.base_url, asked),
                lambda: [_pull(exchange, ladder, cutoff) for ladder in ladders],
                lambda: _together(exchange, ladders, cutoff),
            )
    n = len(asked)
    return Result(
        f"Exchange: candles of {len(ladders)} events ({sum(len(refs) for refs, _ in ladders)} contracts) over loopback",
        ("what", "seconds", "CPU s", "requests/s", "rows/s", "times bare", "CPU times bare"),
        [
            _row("bare requests + json, one thread", n, rows, bare, bare),
            _row("Exchange.candlesticks, one thread", n, rows, alone, bare),
            _row(f"Exchange.candlesticks, {WORKERS} threads as in a run", n, rows, together, bare),
        ],
        (
            f"{n:,} requests, {rows:,} rows: {n / len(ladders):.1f} requests an event, {rows / n:,.0f} rows a request.",
            "The bare requests are the client's own, as far as the parsed JSON; the client also makes checked rows.",
            "CPU s is the client's process alone.",
        ),
    )


def _ladders(exchange: Exchange, series: str) -> list[Ladder]:
    by_event: dict[str, list[MarketRecord]] = {}
    for record in exchange.markets(series).markets:
        by_event.setdefault(record.event_ticker, []).append(record)
    return [
        (tuple(MarketRef(r.ticker, event, series, r.settlement_ts) for r in records), records[0])
        for event, records in sorted(by_event.items())
    ]


def _pull(exchange: Exchange, ladder: Ladder, cutoff: Cutoff) -> int:
    """Rows of all candles that the stage ``quotes`` would ask for."""
    refs, first = ladder
    rows = 0
    for window in WINDOWS:
        start = max(first.open_time, first.close_time - window.before_close) if window.before_close else first.open_time
        end = first.close_time + CLOSING_PERIODS * timedelta(minutes=window.period_minutes)
        rows += exchange.candlesticks(
            refs, period_minutes=window.period_minutes, start=start, end=end, cutoff=cutoff
        ).num_rows
    return rows


def _together(exchange: Exchange, ladders: list[Ladder], cutoff: Cutoff) -> int:
    with ThreadPoolExecutor(WORKERS) as pool:
        return sum(pool.map(lambda ladder: _pull(exchange, ladder, cutoff), ladders))


def _bare(base_url: str, asked: list[tuple[str, Any]]) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for path, params in asked:
            response = session.get(base_url + path, params=params, timeout=30)
            response.raise_for_status()
            response.json()


def _row(what: str, n: int, rows: int, timing: Timing, bare: Timing) -> tuple[str, ...]:
    wall, cpu = timing.wall_s, timing.cpu_s
    return (
        what,
        f"{wall:.2f}",
        f"{cpu:.2f}",
        f"{n / wall:,.0f}",
        f"{rows / wall:,.0f}",
        f"{wall / bare.wall_s:.2f}",
        f"{cpu / bare.cpu_s:.2f}",
    )
