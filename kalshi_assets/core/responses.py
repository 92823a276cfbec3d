"""How an asset's price moved round a release: entry and exit prices and the return between them.

Belongs here: picking the prices of a response window. Profit on the event's
own contracts belongs to ``core.pnl``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import MISSING_TIME, Ints, Reals, reals, span_micros, times
from kalshi_assets.errors import DomainError


@dataclass(frozen=True, slots=True)
class ResponseWindow:
    """When to enter and leave, from the release, and how long to wait for a price at either end.

    ``INTRADAY`` and ``DAILY_CLOSE`` are the two in use. The asset's calendar is that of its prices: while its
    market is shut there is none, and ``max_wait`` bounds how long that may last.
    """

    start: timedelta
    end: timedelta
    max_wait: timedelta

    def __post_init__(self) -> None:
        if not (timedelta(0) <= self.start < self.end and self.max_wait > timedelta(0)):
            raise DomainError(
                f"a response window from {self.start} to {self.end} waiting {self.max_wait} is not one;"
                " give 0 <= start < end and a wait above zero"
            )


INTRADAY = ResponseWindow(timedelta(minutes=1), timedelta(minutes=60), timedelta(minutes=30))
DAILY_CLOSE = ResponseWindow(timedelta(0), timedelta(days=1), timedelta(days=4))


@dataclass(frozen=True, slots=True)
class AssetResponses:
    """One row a release, shape (n_releases,).

    Attributes:
        simple_return: exit over entry minus one; NaN where either price is missing or not above zero, or both
            are the same bar.
        entry_time: microseconds since 1970 UTC; ``MISSING_TIME`` where ``simple_return`` is NaN.
        exit_time: likewise.
        learned_at: when the exit price became known; likewise.
    """

    simple_return: Reals
    entry_time: Ints
    exit_time: Ints
    learned_at: Ints


def asset_responses(release_time: Ints, asset_prices: pa.Table, symbol: str, window: ResponseWindow) -> AssetResponses:
    """The response of one asset to each release.

    Entry is the first price at or after release + start, exit the first at or after release + end; each must come
    within [target, target + max_wait]. The first version of each price counts: a later correction is not what
    was traded.

    Args:
        release_time: microseconds since 1970 UTC, in any order.
        asset_prices: rows of that table; ``ts`` is the instant of the price.
        symbol: the asset.
        window: see ``ResponseWindow``.
    """
    rows = asset_prices.filter(pc.equal(asset_prices["symbol"], symbol))
    ts, known_at, price = times(rows["ts"]), times(rows["known_at"]), reals(rows["close"])
    order = np.lexsort((known_at, ts))
    ts, known_at, price = ts[order], known_at[order], price[order]
    first = np.append(np.ones(min(1, ts.size), bool), ts[1:] != ts[:-1])
    ts, known_at, price = ts[first], known_at[first], price[first]

    entry = _first_at_or_after(ts, release_time + span_micros(window.start), span_micros(window.max_wait))
    leave = _first_at_or_after(ts, release_time + span_micros(window.end), span_micros(window.max_wait))
    found = (entry >= 0) & (leave >= 0) & (leave > entry)
    result = np.full(release_time.shape, np.nan)
    result[found] = price[leave[found]] / np.where(price[entry[found]] > 0, price[entry[found]], np.nan) - 1.0
    result[found & ~(np.isfinite(result) & (result > -1.0))] = np.nan
    known = np.isfinite(result)
    out = [np.full(release_time.shape, MISSING_TIME, np.int64) for _ in range(3)]
    for column, values, index in zip(out, (ts, ts, known_at), (entry, leave, leave), strict=True):
        column[known] = values[index[known]]
    return AssetResponses(result, *out)


def _first_at_or_after(ts: Ints, target: Ints, max_wait: int) -> Ints:
    """Position of the first price in [target, target + max_wait]; -1 where there is none."""
    if not ts.size:
        return np.full(target.shape, -1, np.int64)
    at = np.searchsorted(ts, target, side="left")
    within = np.minimum(at, ts.size - 1)
    return np.where((at < ts.size) & (ts[within] - target <= max_wait), within, -1)
