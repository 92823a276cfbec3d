"""Consensus forecasts: which event each is about, and what it was as known at a time.

A file names the release by series and reference period, because several events
(a renamed ticker) may stand for one. Judging a consensus as a forecast belongs
to ``core.forecast_benchmarks``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import (
    MISSING_TIME,
    Ints,
    Reals,
    codes,
    newest_versions,
    reals,
    span_micros,
    times,
    vocabulary,
)
from kalshi_assets.core.compiled import compiled
from kalshi_assets.core.horizons import rows_in_force
from kalshi_assets.core.tables import REAL, TEXT, TIME

_SCHEMA = pa.schema(
    [
        pa.field("event_ticker", TEXT, nullable=False),
        pa.field("consensus", REAL, nullable=False),
        pa.field("known_at", TIME, nullable=False),
    ]
)


def consensus_of_events(consensus: pa.Table, events: pa.Table) -> pa.Table:
    """Every version of every consensus, beside each event that it is about.

    Args:
        consensus: rows of that table, all versions.
        events: rows of that table; the newest version of each event says its series and period.

    Returns:
        One row an event and version: ``event_ticker``, ``consensus``, ``known_at``, ordered by event and ``known_at``.
        A consensus about no event of the table is left out.
    """
    event = newest_versions(events, "event_ticker")
    about = event.filter(pa.array(np.asarray(event["period"].is_valid(), bool))).select(
        ["event_ticker", "series_ticker", "period"]
    )
    said = consensus.select(["series_ticker", "period", "consensus", "known_at"])
    joined = said.join(about, ["series_ticker", "period"], join_type="inner")
    return (
        joined.select(_SCHEMA.names).sort_by([("event_ticker", "ascending"), ("known_at", "ascending")]).cast(_SCHEMA)
    )


def consensus_known(of_events: pa.Table, event_tickers: Any, as_of: Ints, *, max_age: timedelta) -> tuple[Reals, Ints]:
    """The newest consensus known at each as-of time.

    Args:
        of_events: what ``consensus_of_events`` gives.
        event_tickers: event of each question, shape (n,).
        as_of: microseconds since 1970 UTC, shape (n,).
        max_age: oldest consensus that counts, from when it became known.

    Returns:
        The values, NaN where there is none, and when each became known, ``MISSING_TIME`` there.
    """
    words = vocabulary(of_events["event_ticker"])
    return _newest(of_events, codes(of_events["event_ticker"], words), codes(event_tickers, words), as_of, max_age)


def consensus_then(
    consensus: pa.Table, events: pa.Table, event_tickers: Any, as_of: Ints, *, max_age: timedelta
) -> tuple[Reals, Ints]:
    """The newest consensus known at each as-of time about the period that the event was known to stand for then.

    Args:
        consensus: rows of that table, all versions.
        events: rows of that table, all versions: a period that is corrected later is not the one of before.
        event_tickers: event of each question, shape (n,).
        as_of: microseconds since 1970 UTC, shape (n,).
        max_age: oldest consensus that counts, from when it became known.

    Returns:
        As ``consensus_known``.
    """
    said, about = _release(consensus), _release(events)
    words = vocabulary(said)
    event = rows_in_force(events, event_tickers, as_of)
    # What nothing was known of, at row -1, is about no release.
    return _newest(consensus, codes(said, words), np.append(codes(about, words), -1)[event], as_of, max_age)


def _release(rows: pa.Table) -> Any:
    """Series and period of each row as one text; null where it has no period."""
    return pc.binary_join_element_wise(rows["series_ticker"], rows["period"].cast(TEXT), "|")


def _newest(said: pa.Table, group: Ints, asked: Ints, as_of: Ints, max_age: timedelta) -> tuple[Reals, Ints]:
    known_at = times(said["known_at"])
    order = np.lexsort((known_at, group))
    offsets = np.searchsorted(group[order], np.arange(asked.max(initial=-1) + 2)).astype(np.int64)
    at = last_in_group(offsets, known_at[order], asked, as_of, span_micros(max_age))
    row = np.where(at >= 0, np.append(order, -1)[at], -1)
    return np.append(reals(said["consensus"]), np.nan)[row], np.append(known_at, MISSING_TIME)[row]


@compiled
def last_in_group(offsets: Ints, known_at: Ints, group: Ints, as_of: Ints, max_age: int) -> Ints:
    """Last row of each question's group with ``as_of - max_age <= known_at <= as_of``; -1 for none.

    Rows of group g are ``offsets[g]:offsets[g + 1]``, ascending in ``known_at``; a group of -1 has none.
    """
    found = np.full(as_of.size, -1, np.int64)
    for i in range(as_of.size):
        if group[i] < 0:
            continue
        start, stop = offsets[group[i]], offsets[group[i] + 1]
        end = start + np.searchsorted(known_at[start:stop], as_of[i], side="right")
        if end > start and as_of[i] - known_at[end - 1] <= max_age:
            found[i] = end - 1
    return found
