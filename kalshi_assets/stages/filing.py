"""Under which dates the rows about some events may lie; putting them under one is ``core.contract_history.refile``."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.store.lake import Lake, Scope


def dates_of_events(lake: Lake, scope: Scope) -> list[date]:
    """Every date under which an event ever was that is or was under one of the scope's."""
    rows = lake.read("event_market_map", history=True, columns=["event_ticker", "event_date"])
    here = rows["event_ticker"].filter(pc.is_in(rows["event_date"], pa.array(list(scope.event_dates), pa.date32())))
    theirs = rows["event_date"].filter(pc.is_in(rows["event_ticker"], value_set=pc.unique(here)))
    return sorted({*scope.event_dates, *theirs.to_pylist()})
