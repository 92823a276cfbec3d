"""Candles of both tiers, trades and listings over loopback HTTP, against bare requests for the same URLs.

The server is a process of its own without a rate limit, as in a run. How many requests an event
costs is the bench ``requests-per-event``.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests

from bench.measuring import Result, Timing, in_turns
from kalshi_assets.emulator.process import ServedArchive
from kalshi_assets.emulator.simulate import DEFAULT_SERIES, simulate
from kalshi_assets.exchange.client import Exchange
from kalshi_assets.exchange.connect import connect
from kalshi_assets.exchange.models import MarketRecord
from kalshi_assets.exchange.routing import MarketRef
from kalshi_assets.settings import facts_folder
from kalshi_assets.stages.ladder_pulls import CLOSING_PERIODS, WINDOWS, WORKERS, first_trade_time

EVENTS = 4
LISTINGS = 5
ROUNDS = 3
# The boundary before everything puts all markets on the live tier, the one after everything on the historical tier.
BOUNDARIES = {"live": "2000-01-01T00:00:00Z", "historical": "2100-01-01T00:00:00Z"}

Ladder = tuple[tuple[MarketRef, ...], MarketRecord]
Job = Callable[[], int]
Asked = list[tuple[str, Any]]


def measure() -> Result:
    """Best of some rounds for each kind of data: bare requests, one thread, and as many threads as a run has."""
    with tempfile.TemporaryDirectory(prefix="bench-exchange-") as folder:
        archive = simulate(Path(folder, "archive"), facts=facts_folder(), events=EVENTS)
        with _served(archive, "live") as live, _served(archive, "historical") as historical:
            rows = [row for what, exchange, jobs in _kinds(live, historical) for row in _measured(what, exchange, jobs)]
            ladders = _ladders(live)
    return Result(
        f"Exchange: {len(ladders)} events ({sum(len(refs) for refs, _ in ladders)} contracts) over loopback",
        ("what", "requests", "rows", "seconds", "CPU s", "requests/s", "rows/s", "times bare", "CPU times bare"),
        rows,
        (
            "Bare: the client's own requests as far as the parsed JSON; the client also makes checked rows.",
            "CPU s is the client's process alone; the server has a process of its own.",
        ),
    )


@contextmanager
def _served(archive: Path, tier: str) -> Iterator[Exchange]:
    plan = archive.parent / f"{tier}.json"
    plan.write_text(json.dumps({"cutoff": dict.fromkeys(("market_settled_ts", "trades_created_ts"), BOUNDARIES[tier])}))
    with ServedArchive(archive, plan) as server:
        exchange = connect(server.base_url)
        with exchange.transport:
            yield exchange


def _kinds(live: Exchange, historical: Exchange) -> Iterator[tuple[str, Exchange, Sequence[Job]]]:
    """What is pulled, from which server, as jobs that can run side by side."""
    yield "candles, live tier (batches)", live, [_candles(live, ladder) for ladder in _ladders(live)]
    yield "candles, historical tier", historical, [_candles(historical, ladder) for ladder in _ladders(historical)]
    yield "trades", historical, [_trades(historical, ladder) for ladder in _ladders(historical)]
    yield "markets listings", historical, [_listing(historical, s) for s in DEFAULT_SERIES for _ in range(LISTINGS)]


def _measured(what: str, exchange: Exchange, jobs: Sequence[Job]) -> list[tuple[str, ...]]:
    with _recording(exchange) as asked:
        rows = sum(job() for job in jobs)
    bare, alone, together = in_turns(
        ROUNDS,
        lambda: _bare(exchange.transport.base_url, asked),
        lambda: [job() for job in jobs],
        lambda: _together(jobs),
    )
    return [
        _row(f"{what}: bare, one thread", len(asked), rows, bare, bare),
        _row(f"{what}: one thread", len(asked), rows, alone, bare),
        _row(f"{what}: {WORKERS} threads", len(asked), rows, together, bare),
    ]


def _ladders(exchange: Exchange) -> list[Ladder]:
    found: list[Ladder] = []
    for series in DEFAULT_SERIES:
        by_event: dict[str, list[MarketRecord]] = {}
        for record in exchange.markets(series).markets:
            by_event.setdefault(record.event_ticker, []).append(record)
        found += [
            (tuple(MarketRef(r.ticker, event, series, r.settlement_ts) for r in records), records[0])
            for event, records in sorted(by_event.items())
        ]
    return found


def _candles(exchange: Exchange, ladder: Ladder) -> Job:
    """All candles that the stage ``quotes`` would ask for."""
    (refs, first), cutoff = ladder, exchange.cutoff()

    def job() -> int:
        rows = 0
        for window in WINDOWS:
            earliest = first.close_time - window.before_close if window.before_close else first.open_time
            end = first.close_time + CLOSING_PERIODS * timedelta(minutes=window.period_minutes)
            start, period = max(first.open_time, earliest), window.period_minutes
            rows += len(exchange.candlesticks(refs, period_minutes=period, start=start, end=end, cutoff=cutoff))
        return rows

    return job


def _trades(exchange: Exchange, ladder: Ladder) -> Job:
    (refs, first), cutoff = ladder, exchange.cutoff()
    start, end = first_trade_time(first.open_time, cutoff), first.close_time + timedelta(minutes=1)
    return lambda: sum(len(exchange.trades(ref, start=start, end=end, cutoff=cutoff)) for ref in refs)


def _listing(exchange: Exchange, series: str) -> Job:
    return lambda: len(exchange.markets(series))


@contextmanager
def _recording(exchange: Exchange) -> Iterator[Asked]:
    """Path and query of each request while the block runs."""
    asked: Asked = []
    get_json = exchange.transport.get_json

    def recording(path: str, params: Mapping[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        asked.append((path, params))
        return get_json(path, params, **options)

    exchange.transport.get_json = recording  # type: ignore[method-assign]
    try:
        yield asked
    finally:
        exchange.transport.get_json = get_json  # type: ignore[method-assign]


def _together(jobs: Sequence[Job]) -> int:
    with ThreadPoolExecutor(WORKERS) as pool:
        return sum(pool.map(lambda job: job(), jobs))


def _bare(base_url: str, asked: Asked) -> None:
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
        f"{n:,}",
        f"{rows:,}",
        f"{wall:.2f}",
        f"{cpu:.2f}",
        f"{n / wall:,.0f}",
        f"{rows / wall:,.0f}",
        f"{wall / bare.wall_s:.2f}",
        f"{cpu / bare.cpu_s:.2f}",
    )
