"""Vintages of one statistic: what was printed first, and what was known of it at a time.

Belongs here: ordering vintages, rounding as published, looking up as of a
time. Which event a print settles belongs to ``core.labels``, what a print
says about the economy to ``core.regimes``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import MISSING_TIME, Ints, Reals, days, reals, span_micros, times
from kalshi_assets.core.compiled import compiled
from kalshi_assets.core.series import SeriesFacts
from kalshi_assets.errors import DomainError

YEAR_OF_PRINTS = 12


@dataclass(frozen=True, slots=True)
class Vintages:
    """All vintages of one statistic, ordered by reference period and then by ``known_at``.

    Attributes:
        period: reference period, days since 1970.
        known_at: when the vintage became known, microseconds since 1970 UTC.
        value: the value in the series' unit, rounded as published.
        vintage_date: days since 1970.
        row: position of the vintage in the table it was taken from.
        first: positions (in these arrays) of the first print of each period, ascending by period.
    """

    period: Ints
    known_at: Ints
    value: Reals
    vintage_date: Ints
    row: Ints
    first: Ints


@dataclass(frozen=True, slots=True)
class KnownPrints:
    """What was known of the first prints at each as-of time, shape (n_times,).

    Attributes:
        last: first print of the most recent period released; NaN when none is known or it is too old.
        last_known_at: when it became known; ``MISSING_TIME`` where ``last`` is NaN.
        mean_12: mean of the first prints of the twelve most recent periods released; NaN with fewer than twelve.
        mean_12_known_at: greatest ``known_at`` of those twelve; ``MISSING_TIME`` where ``mean_12`` is NaN.
    """

    last: Reals
    last_known_at: Ints
    mean_12: Reals
    mean_12_known_at: Ints


def round_as_published(values: Reals, tick: float, rounding: str) -> Reals:
    """Put values on the publication lattice; NaN stays NaN.

    ``half_up`` sends a half away from zero; ``none`` leaves values alone. The 1e-9 of a tick undoes binary
    representation, so that 1.15 is a half.

    Raises:
        DomainError: an unknown rounding rule, or a tick that is not positive.
    """
    if rounding == "none":
        return values
    if rounding != "half_up" or not tick > 0:
        raise DomainError(
            f"cannot round to tick {tick} by rule {rounding!r}; use half_up with a tick above zero, or none"
        )
    return np.round(np.sign(values) * np.floor(np.abs(values) / tick + 0.5 + 1e-9) * tick, 9) + 0.0


def vintages_of(macro_observations: pa.Table, facts: SeriesFacts) -> Vintages:
    """The vintages of a series' own statistic; empty when the series has none.

    Args:
        macro_observations: rows of that table; ``value`` is in the series' unit already.
        facts: what is known of the series.
    """
    statistic = facts.statistic
    if statistic is None:
        rows = np.zeros(0, np.int64)
    else:
        matches = pc.and_(
            pc.equal(macro_observations["series_id"], statistic.series_id),
            pc.equal(macro_observations["units"], statistic.units),
        )
        rows = np.flatnonzero(np.asarray(matches, bool)).astype(np.int64)
    picked = macro_observations.take(pa.array(rows))
    value, known_at, period = reals(picked["value"]), times(picked["known_at"]), days(picked["observation_date"])
    order = np.lexsort((known_at, period))
    order = order[np.isfinite(value[order]) & (known_at[order] != MISSING_TIME)]
    period = period[order]
    is_first = np.append(np.ones(min(1, period.size), bool), period[1:] != period[:-1])
    return Vintages(
        period=period,
        known_at=known_at[order],
        value=round_as_published(value[order], facts.tick, facts.rounding),
        vintage_date=days(picked["vintage_date"])[order],
        row=rows[order],
        first=np.flatnonzero(is_first).astype(np.int64),
    )


def prints_known(vintages: Vintages, as_of: Ints, *, max_age: timedelta) -> KnownPrints:
    """First prints known at each as-of time; nothing with a later ``known_at`` takes part.

    Args:
        vintages: one statistic.
        as_of: microseconds since 1970 UTC, in any order.
        max_age: oldest last print that still counts, measured from when it became known.
    """
    first_known, first_value = vintages.known_at[vintages.first], vintages.value[vintages.first]
    arrival = np.lexsort((vintages.period[vintages.first], first_known))
    newest, mean, mean_known = _accumulate(arrival, first_known, first_value, YEAR_OF_PRINTS)
    n_known = np.searchsorted(first_known[arrival], as_of, side="right")
    fresh = n_known > 0
    at = np.where(fresh, n_known - 1, 0)
    if not newest.size:
        nothing = np.full(as_of.shape, np.nan)
        never = np.full(as_of.shape, MISSING_TIME, np.int64)
        return KnownPrints(nothing, never, nothing.copy(), never.copy())
    last_known = first_known[newest[at]]
    fresh &= as_of - last_known <= span_micros(max_age)
    has_mean = fresh & np.isfinite(mean[at])
    return KnownPrints(
        last=np.where(fresh, first_value[newest[at]], np.nan),
        last_known_at=np.where(fresh, last_known, MISSING_TIME),
        mean_12=np.where(has_mean, mean[at], np.nan),
        mean_12_known_at=np.where(has_mean, mean_known[at], MISSING_TIME),
    )


@compiled
def _accumulate(arrival: Ints, known_at: Ints, value: Reals, size: int) -> tuple[Ints, Reals, Ints]:
    """After each arrival: the newest period's position, and mean and newest arrival of the last ``size`` periods."""
    newest = np.zeros(arrival.size, np.int64)
    mean = np.full(arrival.size, np.nan)
    mean_known = np.full(arrival.size, MISSING_TIME, np.int64)
    held = np.full(size, -1, np.int64)
    for k in range(arrival.size):
        # Positions ascend with the period, so ``held`` stays sorted by inserting from the right.
        candidate = arrival[k]
        if candidate > held[0]:
            slot = 0
            while slot + 1 < size and held[slot + 1] < candidate:
                held[slot] = held[slot + 1]
                slot += 1
            held[slot] = candidate
        newest[k] = held[size - 1]
        if held[0] >= 0:
            total = 0.0
            for j in range(size):
                total += value[held[j]]
                mean_known[k] = max(mean_known[k], known_at[held[j]])
            mean[k] = total / size
    return newest, mean, mean_known


def newest_known(period: Ints, known_at: Ints, as_of: Ints) -> Ints:
    """Position of the newest version of the newest period known at each as-of time; -1 where none is.

    Args:
        period: what each row describes (a day or an instant), shape (n_rows,).
        known_at: when each row became known, microseconds since 1970 UTC, shape (n_rows,).
        as_of: shape (n_times,), in any order.
    """
    if not period.size:
        return np.full(as_of.shape, -1, np.int64)
    by_period = np.lexsort((known_at, period))
    rank = np.empty(period.size, np.int64)
    rank[by_period] = np.arange(period.size)
    by_arrival = np.lexsort((rank, known_at))
    best = np.maximum.accumulate(rank[by_arrival])
    n_known = np.searchsorted(known_at[by_arrival], as_of, side="right")
    return np.where(n_known > 0, by_period[best[np.maximum(n_known - 1, 0)]], -1)
