"""What the P&L of a strategy looks like: returns, performance and stability, for any cut in time.

Numbers only. Whether they suffice is ``core.gates``; how likely chance made them, ``core.significance``.

Returns are portfolio returns: return on the capital at risk times the share of the bankroll at risk.
Win rate, profit factor and worst loss count events; Sharpe ratio, drawdown, annual return and every
significance test count release dates, because events of one morning share a print
and are not independent draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kalshi_assets.core.columns import days, reals, times
from kalshi_assets.core.ordering import first_duplicate, sort_rows
from kalshi_assets.core.significance import SharpeSample, sharpe_sample
from kalshi_assets.errors import DomainError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

DAYS_PER_YEAR = 365.25
# Profit factor of a record without a loss.
LOSSLESS = 99.0


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """One model's settled events, by (event date, event ticker); n rows.

    Attributes:
        event_ticker: tickers, in order.
        event_type: object array (n,), None where unknown.
        day: release dates as days since the epoch.
        decided_at: as-of times of the decisions, microseconds.
        learned_at: when the ladder had settled, microseconds.
        traded: True where anything was bought.
        value: portfolio return of the event; 0 where nothing was bought, NaN where a traded event has no return.
        capital_fraction: share of the bankroll at risk.
        capacity_usd: dollars that the traded contracts could have absorbed, NaN where unknown.
    """

    event_ticker: npt.NDArray[Any]
    event_type: npt.NDArray[Any]
    day: IntArray
    decided_at: IntArray
    learned_at: IntArray
    traded: BoolArray
    value: FloatArray
    capital_fraction: FloatArray
    capacity_usd: FloatArray

    def until(self, cut_us: int) -> TrackRecord:
        """The events whose outcome was known at a time."""
        known = self.learned_at <= cut_us
        return self if known.all() else self._where(known)

    def only_traded(self) -> TrackRecord:
        """The events in which anything was bought."""
        return self._where(self.traded)

    def _where(self, mask: BoolArray) -> TrackRecord:
        return TrackRecord(*(getattr(self, name)[mask] for name in TrackRecord.__slots__))

    def by_date(self) -> FloatArray:
        """Sum of portfolio returns on each release date, in order of the date."""
        return sum_by_day(self.day, self.value)


def track_record(pnl: pa.Table) -> TrackRecord:
    """Read a table of ``core.pnl``.

    Args:
        pnl: schema ``PNL_SCHEMA``, any order.

    Raises:
        DomainError: an event occurs twice; horizon rows of one event are not independent evidence.
    """
    rows = sort_rows(pnl, ("event_date", "event_ticker"))
    duplicate = first_duplicate(rows, ("event_ticker",))
    if duplicate is not None:
        raise DomainError(
            f"Event {rows['event_ticker'][duplicate]} occurs twice in a P&L table: pass one row an event."
        )
    traded = rows["n_trades"].to_numpy() > 0
    value = np.where(traded, reals(rows["return"]) * reals(rows["capital_fraction"]), 0.0)
    return TrackRecord(
        event_ticker=np.asarray(rows["event_ticker"].to_pylist(), dtype=object),
        event_type=np.asarray(rows["event_type"].to_pylist(), dtype=object),
        day=days(rows["event_date"]),
        decided_at=times(rows["decided_at"]),
        learned_at=times(rows["learned_at"]),
        traded=traded,
        value=value,
        capital_fraction=reals(rows["capital_fraction"]),
        capacity_usd=reals(rows["capacity_usd"]),
    )


def sum_by_day(day: IntArray, values: FloatArray) -> FloatArray:
    """Sum values over equal days; days ascend. Shape (n_days,) or (n_days, k)."""
    if not len(day):
        return values[:0]
    starts = np.flatnonzero(np.append(True, day[1:] != day[:-1]))
    return np.asarray(np.add.reduceat(values, starts, axis=0), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Performance:
    """Summary of a record's traded events. NaN where undefined, and everywhere when a traded return is missing.

    Attributes:
        n_events: settled events, traded or not.
        n_trades: traded events.
        dates: portfolio return of each traded release date.
        sample: Sharpe ratio, skewness and kurtosis a release date.
        dates_per_year: traded release dates a year.
        win_rate: share of traded events with a profit.
        sharpe: annualised by ``dates_per_year``.
        profit_factor: sum of profits over sum of losses; 99 without a loss.
        max_drawdown: lowest equity relative to its previous peak, minus 1; at most 0.
        annual_return: compounded, a year.
        worst_event_loss: lowest portfolio return of an event.
    """

    n_events: int
    n_trades: int
    dates: FloatArray
    sample: SharpeSample
    dates_per_year: float
    win_rate: float
    sharpe: float
    profit_factor: float
    max_drawdown: float
    annual_return: float
    worst_event_loss: float


def performance(record: TrackRecord) -> Performance:
    """Summarise a record."""
    traded = record.only_traded()
    value, dates = traded.value, traded.by_date()
    n = len(value)
    span = (int(traded.day[-1]) - int(traded.day[0])) / DAYS_PER_YEAR if n else 0.0
    per_year = (len(dates) - 1) / span if span > 0 else math.nan
    sample = sharpe_sample(dates)
    nan = math.nan
    if n == 0 or not np.isfinite(value).all():
        return Performance(record.value.size, n, dates, sample, per_year, nan, nan, nan, nan, nan, nan)
    gains, losses = float(value[value > 0].sum()), -float(value[value < 0].sum())
    equity = np.cumprod(np.append(1.0, 1 + dates))
    growth = float(equity[-1])
    return Performance(
        n_events=record.value.size,
        n_trades=n,
        dates=dates,
        sample=sample,
        dates_per_year=per_year,
        win_rate=float(np.mean(value > 0)),
        sharpe=sample.sharpe * math.sqrt(per_year) if per_year > 0 else nan,
        profit_factor=gains / losses if losses > 0 else (LOSSLESS if gains > 0 else 0.0),
        max_drawdown=float((equity / np.maximum.accumulate(equity)).min()) - 1,
        annual_return=growth ** (per_year / len(dates)) - 1 if growth > 0 else -1.0,
        worst_event_loss=float(value.min()),
    )


def block_means(record: TrackRecord, block_events: int) -> FloatArray:
    """Mean return of consecutive blocks of traded events; a trailing block of less than half joins its predecessor."""
    value = record.only_traded().value
    n_blocks = max(1, round(len(value) / block_events)) if len(value) else 0
    return np.array([block.mean() for block in np.array_split(value, n_blocks)] if n_blocks else [], dtype=np.float64)


def event_type_stability(record: TrackRecord) -> float:
    """``clip(exp(−std of the types' mean returns / std of all returns), 0, 1)`` over traded events.

    1 for a single type or returns without spread; NaN without a trade or with a missing return.
    """
    traded = record.only_traded()
    if not len(traded.value) or not np.isfinite(traded.value).all():
        return math.nan
    kinds = traded.event_type.astype(str)
    means = [traded.value[kinds == kind].mean() for kind in np.unique(kinds)]
    spread = float(traded.value.std())
    if len(means) < 2 or spread <= 1e-12:
        return 1.0
    return float(np.clip(np.exp(-np.std(means) / spread), 0.0, 1.0))


def capacity_utilization(record: TrackRecord, bankroll_usd: float) -> float:
    """Median over traded events of capital put at risk over capacity; NaN when a capacity is unknown."""
    traded = record.only_traded()
    if not len(traded.value) or not np.isfinite(traded.capacity_usd).all():
        return math.nan
    wanted = traded.capital_fraction * bankroll_usd
    return float(np.median(wanted / np.maximum(traded.capacity_usd, 1e-9)))
