"""A whole event is pulled under random fault plans: exactly the same tables, or a typed error and then a resume."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from kalshi_assets.emulator.archive import Archive, load_archive
from kalshi_assets.emulator.fault_plan import FaultPlan
from kalshi_assets.emulator.server import serve
from kalshi_assets.emulator.simulate import simulate
from kalshi_assets.errors import ExchangeError
from kalshi_assets.exchange import Exchange, MarketRecord, MarketRef
from kalshi_assets.exchange.connect import connect
from kalshi_assets.exchange.journal import Download, Journal
from kalshi_assets.http import RetryPolicy
from kalshi_assets.settings import facts_folder
from kalshi_assets.store.journal import DownloadJournal
from kalshi_assets_tests.exchange.random_plans import MOODS, random_plan, world_of

PLANS = 200
DAY_S = 86_400
SERIES = "KXCPIYOY"
PERIODS = {1440: timedelta(days=35), 60: timedelta(days=35), 1: timedelta(days=2)}
QUICK = RetryPolicy(
    attempts=4, base_s=0.0005, cap_s=0.001, budget_s=2.0, retry_after_cap_s=0.001, connect_timeout_s=1.0,
    read_timeout_s=0.25,
)  # fmt: skip


class Kept:
    """A journal in memory."""

    def __init__(self) -> None:
        self.bodies: dict[Download, dict[int, bytes]] = {}

    def pages(self, download: Download) -> list[bytes]:
        kept = self.bodies.get(download, {})
        return [kept[n] for n in range(1, len(kept) + 1)]

    def keep(self, download: Download, page: int, body: bytes, *, rows: int, cursor: str | None) -> None:
        kept = self.bodies.setdefault(download, {})
        assert page <= len(kept) + 1, "a page was kept before the one in front of it"
        kept[page] = body

    def forget(self, download: Download) -> None:
        self.bodies.pop(download, None)


@dataclass(frozen=True)
class Pulled:
    """What a pull of one event brought: rows of its markets, candles of three periods, trades."""

    event: tuple[Any, ...]
    markets: list[tuple[Any, ...]]
    candles: dict[int, pa.Table]
    trades: pa.Table


def pull(exchange: Exchange, event_ticker: str) -> Pulled:
    """The event as the stages read it: the boundary before and after, and once more where it moved meanwhile.

    Of two passes the first one's candles are returned: a market that changes its tier in the
    middle is followed. Its trades are the last pass's: a trade may have been on neither list.
    """
    before = exchange.cutoff()
    passes: list[dict[int, pa.Table]] = []
    for _ in range(2):
        (event,) = [e for e in exchange.events(SERIES) if e.event_ticker == event_ticker]
        markets = [m for m in exchange.markets(SERIES).markets if m.event_ticker == event_ticker]
        refs = [MarketRef(m.ticker, m.event_ticker, SERIES, m.settlement_ts) for m in markets]
        closed = max(m.close_time for m in markets)
        candles = {
            minutes: exchange.candlesticks(
                refs, period_minutes=minutes, start=closed - reach, end=closed + timedelta(minutes=2 * minutes),
                cutoff=before,
            )
            for minutes, reach in PERIODS.items()
        }  # fmt: skip
        passes.append(candles)
        span = {"start": closed - timedelta(days=400), "end": closed + timedelta(minutes=1)}
        trades = pa.concat_tables([exchange.trades(ref, **span, cutoff=before) for ref in refs])
        after = exchange.cutoff()
        if after == before:
            break
        before = after
    return Pulled(
        (event.event_ticker, event.series_ticker, event.title), [_values(m) for m in markets], passes[0], trades
    )


def _values(market: MarketRecord) -> tuple[Any, ...]:
    # The tier is where a row came from, and what the documentation does not know is not read.
    return tuple(market.model_dump().values())


def pulled_from(plan: dict[str, Any], archive: Archive, event: str, journal: Journal | None) -> tuple[Pulled, int]:
    """What a server that follows the plan gives, and the requests that it took."""
    with serve(archive, plan=FaultPlan.parse(plan)) as server:
        # Where nothing goes wrong on purpose, a busy machine must not look like a fault.
        exchange = connect(server.base_url, retry=QUICK if plan.get("rules") else None, journal=journal)
        with exchange.transport:
            return pull(exchange, event), exchange.transport.counters.requests


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Two events of three contracts each, with candles of all three periods."""
    folder = simulate(tmp_path_factory.mktemp("plans"), facts=facts_folder(), seed=5, events=2, series=(SERIES,))
    whole = load_archive(folder)
    markets = whole.tables["markets"].sort_by("ticker").group_by("event_ticker", use_threads=False)
    ladders = markets.aggregate([("ticker", "list")])["ticker_list"].to_pylist()
    tickers = [ticker for ladder in ladders for ticker in ladder[3:6]]
    kept = {
        name: table.filter(pc.field("ticker").isin(tickers)) if name in ("markets", "candlesticks", "trades") else table
        for name, table in whole.tables.items()
    }
    candles = kept["candlesticks"]
    # The simulation has no days: one hour of each day stands for it.
    ends = candles["end_period_ts"]
    noon = pc.equal(pc.subtract(ends, pc.multiply(pc.divide(ends, DAY_S), DAY_S)), DAY_S * 2 // 3)
    days = candles.filter(pc.and_(noon, pc.equal(candles["period_interval"], 60)))
    days = days.set_column(
        1, candles.schema.field("period_interval"), pa.repeat(pa.scalar(1440, pa.int32()), len(days))
    )
    return replace(whole, tables={**kept, "candlesticks": pa.concat_tables([candles, days])})


@pytest.fixture(scope="module")
def references(archive: Archive) -> dict[str, Pulled]:
    """Each event as a server without faults gives it, on pages of the full size."""
    events = archive.tables["events"]["event_ticker"].to_pylist()
    found = {event: pulled_from({}, archive, event, None)[0] for event in events}
    for pulled in found.values():
        assert len(pulled.markets) == 3
        assert min(t.num_rows for t in (*pulled.candles.values(), pulled.trades)) >= 10
    return found


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages so small that an event takes several of each listing."""
    monkeypatch.setattr("kalshi_assets.exchange.listings._ROWS", 3)
    monkeypatch.setattr("kalshi_assets.exchange.listings._EVENTS", 1)
    monkeypatch.setattr("kalshi_assets.exchange.market_data._ROWS", 40)


def check_plans(seeds: range, archive: Archive, references: dict[str, Pulled], folder: Path) -> Counter[str]:
    """Pull under each plan; what fails is pulled again from what it kept. Counts what became of the plans."""
    settled = sorted(archive.tables["markets"]["settlement_ts"].to_pylist())
    cutoffs = tuple(
        at.strftime("%Y-%m-%dT00:00:00Z") for at in (settled[0], settled[-1], settled[-1] + timedelta(days=5))
    )
    counts: Counter[str] = Counter()
    for seed in seeds:
        plan = random_plan(seed, cutoffs)
        event = random.Random(seed).choice(sorted(references))
        expected = references[event]
        journal = Kept() if seed % 2 else DownloadJournal(folder / str(seed), "test")
        mood = MOODS[seed % len(MOODS)]
        try:
            found, _ = pulled_from(plan, archive, event, journal)
        except ExchangeError as error:
            counts[f"{mood}: {type(error).__name__}"] += 1
            found, asked = pulled_from(world_of(plan), archive, event, journal)
            counts["resumed"] += 1
            if seed % 4 == 0:
                counts["requests saved"] += pulled_from(world_of(plan), archive, event, None)[1] - asked
        else:
            counts[f"{mood}: equal at once"] += 1
            counts["at once"] += 1
        assert found == expected, f"plan {seed} of {event}: {plan}"
        if isinstance(journal, DownloadJournal):
            journal.close()
    return counts


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("part", range(4))
def test_two_hundred_plans(part: int, archive: Archive, references: Any, tmp_path: Path) -> None:
    counts = check_plans(range(part * PLANS // 4, (part + 1) * PLANS // 4), archive, references, tmp_path)
    print(dict(sorted(counts.items())))
    assert counts["at once"] >= PLANS // 20
    assert counts["resumed"] >= PLANS // 20
    assert counts["requests saved"] > 0


@pytest.mark.soak
@pytest.mark.usefixtures("small_pages")
def test_two_thousand_plans(archive: Archive, references: Any, tmp_path: Path) -> None:
    counts = check_plans(range(10_000, 12_000), archive, references, tmp_path)
    print(dict(sorted(counts.items())))
    assert min(counts["at once"], counts["resumed"]) >= 300
