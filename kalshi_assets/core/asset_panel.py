"""An event's distribution on an asset's own clock: at each bar, what the market for the release then said.

Belongs here: the backward join of one event's snapshots to an asset's prices.
Features that compare snapshots with each other belong to ``core.features``,
returns round the release to ``core.responses``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import MISSING_TIME, Ints, real_column, reals, span_micros, time_column, times
from kalshi_assets.core.prints import newest_known
from kalshi_assets.errors import DomainError

ASSET_PANEL_COLUMNS = (
    "mean", "std", "variance", "skewness", "entropy", "median", "tail_p_1", "tail_p_2", "tail_p_3", "quality_score",
)  # fmt: skip
_PRICE = ("symbol", "ts", "close")


def asset_panel(
    prices: pa.Table,
    distributions: pa.Table,
    symbol: str,
    event_ticker: str,
    *,
    max_age: timedelta,
    columns: Sequence[str] = ASSET_PANEL_COLUMNS,
) -> pa.Table:
    """Join an event's distributions to an asset's prices, backward in time.

    A price is known at its ``known_at``, and that is the row's as-of time: the newest snapshot known by then is
    joined, if its as-of time is no more than ``max_age`` earlier. A bar that ends with the release still has the
    last snapshot before it; a bar without a snapshot keeps its row.

    Args:
        prices: rows of ``asset_bars`` or ``asset_prices``, all versions; the first version of each price counts.
        distributions: rows of that table, any horizons, the daily grid among them.
        symbol: the asset.
        event_ticker: the event.
        max_age: oldest snapshot that counts.
        columns: numbers of the distribution to join.

    Returns:
        One row a price, ascending in ``ts``: ``symbol``, ``ts``, ``close``, ``as_of`` (when the row was known),
        ``event_ticker``, ``snapshot_as_of``, ``snapshot_age_s``, ``inputs_known_at``, then ``columns``; null where
        no snapshot counts.

    Raises:
        DomainError: an age that is not above zero.
    """
    if max_age <= timedelta(0):
        raise DomainError(f"a snapshot can be at most {max_age} old, which leaves none; give an age above zero")
    bars = prices.filter(pc.equal(prices["symbol"], symbol))
    order = np.lexsort((times(bars["known_at"]), times(bars["ts"])))
    ts = times(bars["ts"])[order]
    bars = bars.take(pa.array(order[np.append(np.ones(min(1, ts.size), bool), ts[1:] != ts[:-1])]))
    as_of = times(bars["known_at"])

    mine = distributions.filter(pc.equal(distributions["event_ticker"], event_ticker))
    mine = mine.filter(pc.is_valid(mine["inputs_known_at"]))
    snapshot = times(mine["as_of"])
    known = np.maximum(snapshot, times(mine["known_at"]))
    at = newest_known(snapshot, known, as_of)
    at = np.where((at >= 0) & (as_of - _take(snapshot, at) <= span_micros(max_age)), at, -1)
    missing = at < 0
    age = np.where(missing, np.nan, (as_of - _take(snapshot, at)) / 1e6)
    inputs = np.where(missing, MISSING_TIME, _take(times(mine["inputs_known_at"]), at))
    joined = {name: bars[name] for name in _PRICE}
    joined |= {
        "as_of": bars["known_at"],
        "event_ticker": pa.repeat(pa.scalar(event_ticker, pa.string()), bars.num_rows),
        "snapshot_as_of": time_column(np.where(missing, MISSING_TIME, _take(snapshot, at))),
        "snapshot_age_s": real_column(age),
        "inputs_known_at": time_column(np.maximum(np.where(missing, MISSING_TIME, as_of), inputs)),
    }
    taken = mine.take(pa.array(at, mask=missing))
    joined |= {name: real_column(reals(taken[name])) for name in columns}
    return pa.table(joined)


def _take(values: Ints, at: Ints) -> Ints:
    """The values at some positions; where the position is -1, or there are none, any."""
    return values[np.maximum(at, 0)] if values.size else np.zeros(at.shape, np.int64)
