"""An event's distribution on an asset's own clock, read through the as-of door; the join is ``core.asset_panel``."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.asset_panel import asset_panel
from kalshi_assets.errors import UsageError
from kalshi_assets.research.store import ReadStore

MAX_AGE = timedelta(days=1)


def asset_time_panel(store: ReadStore, symbol: str, event_ticker: str, *, max_age: timedelta = MAX_AGE) -> pa.Table:
    """One row a bar of an asset (a daily close where there are no bars), with the newest distribution known at it.

    Args:
        store: what ``open_store`` gives; its as-of time cuts prices and distributions alike.
        symbol: the asset.
        event_ticker: the event.
        max_age: oldest snapshot that a bar may carry.

    Returns:
        See ``core.asset_panel.asset_panel``.

    Raises:
        UsageError: the store holds no such event, or no price of the asset.
    """
    events = store.table("events")
    found = events.filter(pc.equal(events["event_ticker"], event_ticker))
    if not found.num_rows:
        raise UsageError(f"The lake holds no event {event_ticker}: the table events lists those that it holds.")
    for name in ("asset_bars", "asset_prices"):
        prices = store.table(name)
        if pc.any(pc.equal(prices["symbol"], symbol)).as_py():
            days = sorted(set(found["event_date"].to_pylist()))
            return asset_panel(
                prices, store.table("distributions", event_dates=days), symbol, event_ticker, max_age=max_age
            )
    raise UsageError(f"The lake holds no price of {symbol}: import some with `kalshi-assets import asset_bars FILE`.")
