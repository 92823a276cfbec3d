"""The archive tables of simulated series: texts, tickers, times and typed columns.

Every title and rule says that the market is simulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kalshi_assets.core.series import SeriesFacts
from kalshi_assets.emulator.archive import SCHEMAS
from kalshi_assets.emulator.facts import FirstPrint, Release
from kalshi_assets.emulator.fixed_point import decimals
from kalshi_assets.emulator.simulated_feed import NO_PRICE, Candles, Trades

Ints = npt.NDArray[np.int64]

_MICRO_PER_CENT = 10_000
_RELEASE_NAMES = {10: "CPI", 50: "Employment Situation"}
_SETTLED_AFTER = timedelta(minutes=30)
_EXPECTED_AFTER = timedelta(minutes=90)
_LATEST_AFTER = timedelta(days=90)
_CREATED_BEFORE = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class EventRows:
    """What was quoted and traded on a ladder."""

    candles: Candles
    trades: Trades


@dataclass(frozen=True, slots=True)
class SimulatedEvent:
    """One ladder.

    Attributes:
        event_ticker: its ticker.
        period: first day of the reference month.
        listed_at: opening of its markets.
        closed_at: end of trading.
        released_at: the release.
        value: the first print, in the series' unit.
        strikes: shape (rungs,), rising.
        rows: its candles and trades.
    """

    event_ticker: str
    period: date
    listed_at: datetime
    closed_at: datetime
    released_at: datetime
    value: float
    strikes: npt.NDArray[np.float64]
    rows: EventRows

    def tickers(self, facts: SeriesFacts) -> list[str]:
        """Tickers of its markets, in the order of the strikes."""
        return [f"{self.event_ticker}-T{number_text(k, facts)}" for k in self.strikes]


@dataclass(frozen=True, slots=True)
class SimulatedSeries:
    """A series with its ladders, in order of time."""

    facts: SeriesFacts
    title: str
    events: tuple[SimulatedEvent, ...]


def number_text(value: float, facts: SeriesFacts) -> str:
    """A strike as tickers write it: one decimal for a percentage, whole persons otherwise."""
    return f"{value:.1f}" if facts.unit == "percent" else f"{value:.0f}"


def tables(
    simulated: Sequence[SimulatedSeries], calendar: Sequence[Release], prints: Sequence[FirstPrint], seed: int
) -> dict[str, pa.Table]:
    """Every table of the archive, by name."""
    return {
        "series": pa.Table.from_pylist([_series_row(s) for s in simulated], SCHEMAS["series"]),
        "events": pa.Table.from_pylist([_event_row(s, e) for s in simulated for e in s.events], SCHEMAS["events"]),
        "markets": pa.Table.from_pylist(
            [row for s in simulated for e in s.events for row in _market_rows(s, e)], SCHEMAS["markets"]
        ),
        "candlesticks": _candlesticks(simulated),
        "trades": _trades(simulated, seed),
        "macro_observations": _observations(simulated, calendar, prints),
        "release_calendar": _calendar(simulated, calendar),
    }


def _series_row(s: SimulatedSeries) -> dict[str, Any]:
    return {
        "ticker": s.facts.series_ticker,
        "title": f"{s.title} (simulated)",
        "category": "Economics",
        "frequency": "monthly",
        "fee_type": "quadratic_with_maker_fees",
        "fee_multiplier": 1.0,
    }


def _event_row(s: SimulatedSeries, e: SimulatedEvent) -> dict[str, Any]:
    return {
        "event_ticker": e.event_ticker,
        "series_ticker": s.facts.series_ticker,
        "title": f"{s.title} in {e.period:%B %Y} (simulated)",
        "sub_title": f"In {e.period:%B %Y}",
        "collateral_return_type": "",
        "mutually_exclusive": False,
        "category": "Economics",
        "strike_period": f"{e.period:%B %Y}",
    }


def _market_rows(s: SimulatedSeries, e: SimulatedEvent) -> list[dict[str, Any]]:
    percent = s.facts.unit == "percent"
    volume = np.bincount(e.rows.trades.rung, e.rows.trades.size, minlength=len(e.strikes)).astype(np.int64)
    settled = e.value
    rows = []
    for strike, ticker, traded in zip(e.strikes, e.tickers(s.facts), volume, strict=True):
        shown = f"{strike:.1f}%" if percent else f"{strike:,.0f}"
        # Both sides are whole numbers of ticks, so strictness is exact.
        yes = round(settled / s.facts.tick) > round(strike / s.facts.tick)
        rows.append(
            {
                "ticker": ticker,
                "event_ticker": e.event_ticker,
                "market_type": "binary",
                "title": f"Will the simulated {s.title} market of {e.period:%B %Y} resolve above {shown}?",
                "yes_sub_title": f"Above {shown}",
                "no_sub_title": f"Above {shown}",
                "strike_type": "greater",
                "floor_strike": float(strike),
                "open_time": e.listed_at,
                "close_time": e.closed_at,
                "created_time": e.listed_at - _CREATED_BEFORE,
                "expected_expiration_time": e.released_at + _EXPECTED_AFTER,
                "latest_expiration_time": e.released_at + _LATEST_AFTER,
                "settlement_ts": e.released_at + _SETTLED_AFTER,
                "status": "finalized",
                "result": "yes" if yes else "no",
                "expiration_value": f"{settled:.1f}%" if percent else f"{settled:,.0f}",
                "settlement_value_dollars": Decimal(int(yes)),
                "rules_primary": f"Simulated: if {s.title} in {e.period:%B %Y} is above {shown}, "
                "then the market resolves to Yes.",
                "rules_secondary": "This market, its quotes and its trades are simulated. "
                "The first published value is used, at the precision of the release.",
                "settlement_timer_seconds": 1800,
                "can_close_early": True,
                "notional_value_dollars": Decimal(1),
                "price_level_structure": "linear_cent",
                "volume": Decimal(int(traded)) / 100,
            }
        )
    return rows


def _candlesticks(simulated: Sequence[SimulatedSeries]) -> pa.Table:
    schema = SCHEMAS["candlesticks"]
    names, parts = _by_ladder(simulated)
    code = np.concatenate([first + e.rows.candles.rung for first, e in parts])
    rows = [e.rows.candles for _, e in parts]
    # Tickers do not sort as strikes do, and a file sorted by key is small and the same everywhere.
    rank = _ranks(names)[code]
    end = np.concatenate([r.end for r in rows])
    period = np.concatenate([r.period for r in rows])
    order = np.lexsort((period, end, rank))

    def column(name: str) -> pa.Array:
        kind = schema.field(name).type
        match name:
            case "ticker":
                return pa.DictionaryArray.from_arrays(pa.array(code[order]), pa.array(names)).cast(kind)
            case "period_interval":
                return pa.array(period[order], kind)
            case "end_period_ts":
                return pa.array(end[order], kind)
            case "volume" | "open_interest":
                return decimals(np.concatenate([getattr(r, name) for r in rows])[order], kind)
        if name.startswith("price_"):
            values = np.concatenate([r.prices[name] for r in rows])[order]
            return decimals(np.where(values == NO_PRICE, 0, values), kind, values != NO_PRICE)
        return decimals(np.concatenate([r.quotes[name] for r in rows])[order] * _MICRO_PER_CENT, kind)

    return pa.Table.from_arrays([column(f.name) for f in schema], schema=schema)


def _trades(simulated: Sequence[SimulatedSeries], seed: int) -> pa.Table:
    schema = SCHEMAS["trades"]
    names, parts = _by_ladder(simulated)
    rows = [e.rows.trades for _, e in parts]
    code = np.concatenate([first + r.rung for (first, _), r in zip(parts, rows, strict=True)])
    time = np.concatenate([r.time_us for r in rows])
    order = np.lexsort((_ranks(names)[code], time))
    code, n = code[order], len(order)
    events = [e.event_ticker for s in simulated for e in s.events for _ in e.strikes]
    series = [s.facts.series_ticker for s in simulated for e in s.events for _ in e.strikes]
    cents = np.concatenate([r.yes_cents for r in rows])[order]

    def labels(values: list[str]) -> pa.Array:
        return pa.array(values, pa.string()).take(pa.array(code))

    columns = {
        "trade_id": pa.array(_identifiers(n, seed)),
        "ticker": labels(names),
        "event_ticker": labels(events),
        "series_ticker": labels(series),
        "created_time": pa.array(time[order], pa.int64()).cast(schema.field("created_time").type),
        "yes_price": decimals(cents * _MICRO_PER_CENT, schema.field("yes_price").type),
        "no_price": decimals((100 - cents) * _MICRO_PER_CENT, schema.field("no_price").type),
        "count": decimals(np.concatenate([r.size for r in rows])[order], schema.field("count").type),
        "taker_side": pa.array(np.where(np.concatenate([r.taker_yes for r in rows])[order], "yes", "no")),
        "is_block_trade": pa.array(np.zeros(n, np.bool_)),
    }
    return pa.Table.from_arrays([columns[f.name] for f in schema], schema=schema)


def _observations(
    simulated: Sequence[SimulatedSeries], calendar: Sequence[Release], prints: Sequence[FirstPrint]
) -> pa.Table:
    statistics = {(st.series_id, st.units): st for s in simulated if (st := s.facts.statistic) is not None}
    # A number that came out with another month's release, as October 2025's payrolls did, has that day's clock.
    clocks = {(r.release_id, r.released_at.date()): r.released_at for r in calendar}
    rows = []
    for p in prints:
        statistic = statistics.get((p.series_id, p.units))
        if statistic is None:
            continue
        rows.append(
            {
                "series_id": p.series_id if p.units == "lin" else f"{p.series_id}_{p.units.upper()}",
                "observation_date": p.period,
                "value": p.value,
                "released_at": clocks[statistic.release_id, p.released_on],
                "vintage": "first_print",
                "unit": "thousands" if p.units == "chg" else "percent",
                "precision": p.precision,
            }
        )
    return pa.Table.from_pylist(rows, SCHEMAS["macro_observations"])


def _calendar(simulated: Sequence[SimulatedSeries], calendar: Sequence[Release]) -> pa.Table:
    rows = [
        {
            "series_ticker": s.facts.series_ticker,
            "release_name": f"{_RELEASE_NAMES[r.release_id]} {r.period:%B %Y}",
            "release_time": r.released_at,
            "source": r.source,
            "flag": r.flag or None,
        }
        for s in simulated
        for r in calendar
        if s.facts.statistic is not None and r.release_id == s.facts.statistic.release_id and r.flag != "superseded"
    ]
    return pa.Table.from_pylist(rows, SCHEMAS["release_calendar"])


def _by_ladder(simulated: Sequence[SimulatedSeries]) -> tuple[list[str], list[tuple[int, SimulatedEvent]]]:
    """(every ticker, each event with the place of its first one)."""
    names: list[str] = []
    parts = []
    for s in simulated:
        for e in s.events:
            parts.append((len(names), e))
            names += e.tickers(s.facts)
    return names, parts


def _ranks(names: list[str]) -> Ints:
    order = np.argsort(np.array(names))
    ranks = np.empty(len(names), np.int64)
    ranks[order] = np.arange(len(names))
    return ranks


def _identifiers(n: int, seed: int) -> list[str]:
    """Identifiers in the form of UUIDs, from the seed."""
    digits = np.random.default_rng([seed, 1]).bytes(16 * n).hex()
    return [
        f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:]}" for h in (digits[32 * i : 32 * i + 32] for i in range(n))
    ]
