"""The simulated archive: real release dates and first prints, invented markets.

Everything that a market would know or trade is made up and says so, in
``archive.json``, in titles and in rules; dates and prints are public facts. The
belief behind the prices is in ``consensus``, quoting in ``simulated_book``,
candles and trades in ``simulated_feed``. Here is what is listed, and the files.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from kalshi_assets.core.series import SERIES_FACTS, SeriesFacts, Statistic
from kalshi_assets.emulator.archive import FORMAT
from kalshi_assets.emulator.consensus import BeliefLaw, belief_path, innovations
from kalshi_assets.emulator.facts import PLANNED_ONLY, FirstPrint, Release, read_calendar, read_first_prints
from kalshi_assets.emulator.simulated_book import HOUR, MINUTE, Grid, news_weights, quote, trade_counts
from kalshi_assets.emulator.simulated_days import with_days
from kalshi_assets.emulator.simulated_feed import candles, draw_trades
from kalshi_assets.emulator.simulated_tables import EventRows, SimulatedEvent, SimulatedSeries, tables
from kalshi_assets.errors import UsageError

DEFAULT_SERIES = ("KXCPIYOY", "KXU3", "KXPAYROLLS")

_NEW_YORK = ZoneInfo("America/New_York")
_LISTED = timedelta(days=30)
_MINUTES_FROM = timedelta(days=2)
_STOP = timedelta(minutes=5)
_HISTORICAL_AFTER = timedelta(days=60)
_RUNGS = (7, 13)
# From November 2024 on the exchange writes the new prefix; older events keep the old one.
_RENAMED = date(2024, 11, 1)


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """How a series is simulated.

    Attributes:
        title: what it is about.
        law: the spread of its news, in the series' unit.
        step: distance of its strikes.
    """

    title: str
    law: BeliefLaw
    step: float


PLANS = {
    "KXCPIYOY": SeriesPlan("CPI year-over-year", BeliefLaw(surprise_sd=0.10, drift_sd=0.07), 0.1),
    "KXU3": SeriesPlan("Unemployment rate", BeliefLaw(surprise_sd=0.10, drift_sd=0.05), 0.1),
    "KXPAYROLLS": SeriesPlan("Nonfarm payrolls", BeliefLaw(surprise_sd=60_000.0, drift_sd=40_000.0), 25_000.0),
}


def simulate(
    out: Path,
    *,
    facts: Path,
    seed: int = 7,
    events: int = 96,
    edge: float = 0.0,
    series: Sequence[str] = DEFAULT_SERIES,
) -> Path:
    """Write a simulated archive.

    Args:
        out: the folder, made if needed; its earlier archive is replaced.
        facts: folder of ``release_calendar.csv`` and ``first_prints.csv``.
        seed: the same seed and facts give the same rows.
        events: how many of the last releases of each series get a ladder.
        edge: size of the planted mispricing, in standard deviations of the final surprise: the market
            overshoots along its own drift (``consensus`` has the formula). 0 plants none.
        series: series tickers.

    Returns:
        The folder.

    Raises:
        UsageError: an unknown series, too many events for the facts, or facts that cannot be read.
    """
    calendar, prints = read_calendar(facts), read_first_prints(facts)
    simulated = []
    for ticker in series:
        if ticker not in PLANS:
            raise UsageError(f"There is no simulation of {ticker}. Choose among {', '.join(PLANS)}.")
        simulated.append(_series(ticker, calendar, prints, seed, events, edge))
    if not simulated or events < 1:
        raise UsageError("A simulated archive needs a series and an event. Ask for one at least.")
    last = max(e.released_at for s in simulated for e in s.events)
    boundary = datetime.combine((last - _HISTORICAL_AFTER).date(), datetime.min.time()).isoformat() + "Z"
    _write(Path(out), tables(simulated, calendar, prints, seed), boundary, seed, edge)
    return Path(out)


def _series(
    ticker: str, calendar: list[Release], prints: list[FirstPrint], seed: int, events: int, edge: float
) -> SimulatedSeries:
    facts, plan = SERIES_FACTS[ticker], PLANS[ticker]
    statistic = facts.statistic
    assert statistic is not None
    published = _published(statistic, calendar, prints)
    # The belief needs a year of prints before it can predict one.
    if events > len(published) - 12:
        raise UsageError(
            f"The facts hold {max(len(published) - 12, 0)} releases of {ticker} that can be simulated, not {events}. "
            "Ask for fewer events."
        )
    rng = np.random.default_rng([seed, zlib.crc32(ticker.encode())])
    values = np.array([p.value for _, p in published]) * statistic.scale
    # The number before rounding: published values carry half a tick of uncertainty either way.
    exact = values + facts.tick * (rng.random(len(values)) - 0.5)
    innovation = innovations(exact, plan.law, rng)
    ladders = []
    for i in range(len(published) - events, len(published)):
        release, _ = published[i]
        listed = max(release.released_at - _LISTED, published[i - 1][0].released_at + timedelta(hours=1))
        grid = _grid(listed, release.released_at)
        ladders.append(_event(facts, plan, release, listed, grid, (values[i], exact[i], innovation[i]), edge, rng))
    return SimulatedSeries(facts=facts, title=plan.title, events=tuple(ladders))


def _event(
    facts: SeriesFacts,
    plan: SeriesPlan,
    release: Release,
    listed: datetime,
    grid: Grid,
    numbers: tuple[float, float, float],
    edge: float,
    rng: np.random.Generator,
) -> SimulatedEvent:
    value, exact, innovation = numbers
    news = news_weights(grid, rng)
    path = belief_path(exact, innovation, grid.minutes_to_release, news, plan.law, edge, rng)
    rungs = int(rng.integers(_RUNGS[0], _RUNGS[1] + 1))
    centre = np.rint(path.quoted[0] / plan.step)
    # Whole steps and ticks keep a strike such as 2.3 the number that its text reads.
    per_step = round(plan.step / facts.tick)
    ticks = (centre + np.arange(rungs) - rungs // 2).astype(np.int64) * per_step
    strikes = np.round(ticks * facts.tick, 6)
    book = quote(strikes + facts.tick / 2, path, news, grid, rng)
    traded = draw_trades(book, trade_counts(book, grid, rng), grid, rng)
    prefix = facts.prefixes[0] if release.period < _RENAMED and facts.prefixes else facts.series_ticker
    return SimulatedEvent(
        event_ticker=f"{prefix}-{release.period:%y%b}".upper(),
        period=release.period,
        listed_at=listed,
        closed_at=release.released_at - _STOP,
        released_at=release.released_at,
        value=value,
        strikes=strikes,
        rows=EventRows(with_days(candles(book, traded, grid)), traded),
    )


def _published(
    statistic: Statistic, calendar: list[Release], prints: list[FirstPrint]
) -> list[tuple[Release, FirstPrint]]:
    """Releases with the number that came out on their day, in order of time."""
    wanted = {
        (p.period, p.released_on): p for p in prints if (p.series_id, p.units) == (statistic.series_id, statistic.units)
    }
    held = [r for r in calendar if r.release_id == statistic.release_id and r.flag not in PLANNED_ONLY]
    pairs = [(r, wanted.get((r.period, r.released_at.astimezone(_NEW_YORK).date()))) for r in held]
    return sorted(((r, p) for r, p in pairs if p is not None), key=lambda pair: pair[0].released_at)


def _grid(listed: datetime, released: datetime) -> Grid:
    start, release = int(listed.timestamp()), int(released.timestamp())
    close = release - int(_STOP.total_seconds())
    turn = (release - int(_MINUTES_FROM.total_seconds())) // 3600 * 3600
    hours = np.arange(start // 3600 * 3600 + 3600, turn + 1, 3600)
    minutes = np.arange(turn + 60, close + 1, 60)
    ends = np.concatenate([hours, minutes]).astype(np.int64)
    return Grid(
        ends=ends,
        period=np.where(ends <= turn, HOUR, MINUTE),
        minutes_to_release=(release - ends) / 60.0,
        by_day=_by_day(ends),
    )


def _by_day(ends: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """True between 08:00 and 20:00 New York, by the offset of each day's noon."""
    days, inverse = np.unique(ends // 86_400, return_inverse=True)
    offsets = np.array([_offset(int(day) * 86_400 + 43_200) for day in days])
    hour = (ends + offsets[inverse]) // 3600 % 24
    return np.asarray((hour >= 8) & (hour < 20))


def _offset(seconds: int) -> int:
    offset = datetime.fromtimestamp(seconds, _NEW_YORK).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def _write(out: Path, content: dict[str, pa.Table], boundary: str, seed: int, edge: float) -> None:
    out.mkdir(parents=True, exist_ok=True)
    # archive.json comes last: a folder without it is known to be half-written.
    about = out / "archive.json"
    about.unlink(missing_ok=True)
    for stale in out.glob("*.parquet"):
        stale.unlink()
    for name, table in content.items():
        pq.write_table(table, out / f"{name}.parquet", compression="zstd")
    text = json.dumps(
        {
            "format": FORMAT,
            "name": "simulated-macro",
            "simulated": True,
            "seed": seed,
            "edge": edge,
            "rows": {name: table.num_rows for name, table in content.items()},
            "historical_cutoff": {
                "market_settled_ts": boundary,
                "trades_created_ts": boundary,
                "orders_updated_ts": boundary,
            },
            "recorded": ["release dates and first prints, from public news releases of the Bureau of Labor Statistics"],
            "derived": ["every market, quote, candle and trade is simulated; results follow from the first prints"],
            "rights": "Simulated markets; public-domain facts.",
        },
        indent=1,
    )
    about.write_text(text + "\n", "utf-8")
