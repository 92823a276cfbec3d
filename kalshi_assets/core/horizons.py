"""When an event is looked at: named horizons before the release and New York midnights of its life.

What is seen at those times belongs to ``distribution``. Horizons are never
shortened by a purge window: purging belongs to splitting.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import Ints, codes, times, vocabulary
from kalshi_assets.core.lookup import last_rows
from kalshi_assets.core.tables import DATE, TEXT, TIME
from kalshi_assets.errors import DomainError

NEW_YORK = "America/New_York"
DAILY = "daily"
HORIZONS: dict[str, int] = {
    "30d": 30 * 86_400, "14d": 14 * 86_400, "7d": 7 * 86_400, "3d": 3 * 86_400, "1d": 86_400,
    "4h": 4 * 3_600, "1h": 3_600, "15min": 900, "5min": 300,
}  # fmt: skip

SNAPSHOTS = pa.schema(
    [
        pa.field("event_ticker", TEXT, nullable=False),
        pa.field("series_ticker", TEXT, nullable=False),
        pa.field("event_date", DATE, nullable=False),
        pa.field("event_type", TEXT),
        pa.field("horizon", TEXT, nullable=False),
        pa.field("as_of", TIME, nullable=False),
        pa.field("release_time", TIME, nullable=False),
        pa.field("listed_at", TIME),
        pa.field("mapping_version", TEXT),
    ]
)
# What a snapshot takes over from its event, as that was known at the as-of time.
EVENT_FACTS = ("event_type", "release_time", "listed_at", "mapping_version")
_DAY_US = 86_400 * 1_000_000


def _new_york_midnights(days: Ints) -> Ints:
    """UTC microseconds of New York midnight of each day (days since 1970). Clocks change at two, never at midnight."""
    local = pa.array(days * _DAY_US, pa.timestamp("us"))
    utc = pc.cast(pc.assume_timezone(local, timezone=NEW_YORK), pa.int64())
    return np.asarray(utc.to_numpy(zero_copy_only=False), np.int64)


def new_york_days(moments: pa.ChunkedArray) -> Ints:
    """New York calendar day (days since 1970) of each time; missing times give a day far in the future."""
    local = pc.local_timestamp(pc.cast(moments, pa.timestamp("us", tz=NEW_YORK)))
    days = pc.cast(pc.cast(pc.floor_temporal(local, unit="day"), pa.date32()), pa.int32())
    return np.asarray(pc.fill_null(days, 1 << 30).to_numpy(), np.int64)


def snapshot_grid(events: pa.Table, *, horizons: dict[str, int] | None = None, daily_grid: bool = True) -> pa.Table:
    """Snapshots of every event, each under the release time that was known at its own as-of time.

    Args:
        events: rows with event_ticker, series_ticker, event_date, release_time
            and, where known, event_type, listed_at, mapping_version, known_at. Each row of an event stands
            from its known_at until the next one's; without that column the one row stands always.
        horizons: seconds before the release by name; ``HORIZONS`` when None.
        daily_grid: also every New York midnight in [listed_at, release_time),
            as horizon ``daily``; none for an event without listed_at.

    Returns:
        One row per (event, horizon, as_of), columns as ``SNAPSHOTS``, sorted by
        event, horizon and time. There is none from before the event was known: that it would come, and when
        its release would be, was not known either.

    Raises:
        DomainError: a required column is absent, or an event has no release time.
    """
    required = ("event_ticker", "series_ticker", "event_date", "release_time")
    missing = [c for c in required if c not in events.column_names]
    if missing:
        raise DomainError(f"The events have no column {', '.join(missing)}; pass rows of table events.")
    if events["release_time"].null_count:
        raise DomainError("An event has no release_time; resolve its release before asking for its snapshots.")
    for field in SNAPSHOTS:
        if field.name not in events.column_names and field.name not in ("horizon", "as_of"):
            events = events.append_column(field, pa.nulls(events.num_rows, field.type))
    named = HORIZONS if horizons is None else horizons
    release = pc.cast(pc.cast(events["release_time"], TIME), pa.int64()).to_numpy()
    n = events.num_rows
    rows = np.tile(np.arange(n), len(named))
    as_of = (release[None, :] - np.array(list(named.values()), np.int64).reshape(-1, 1) * 1_000_000).ravel()
    names = np.repeat(np.arange(len(named)), n)
    if daily_grid and n:
        day_rows, midnights = _daily(events, np.asarray(release, np.int64))
        rows = np.concatenate([rows, day_rows])
        as_of = np.concatenate([as_of, midnights])
        names = np.concatenate([names, np.full(day_rows.size, len(named))])
    since, until = _in_force(events)
    stands = (since[rows] <= as_of) & (as_of < until[rows])
    rows, as_of, names = rows[stands], as_of[stands], names[stands]
    taken = events.take(pa.array(rows, pa.int64()))
    columns = {
        "horizon": pa.array([*named, DAILY], TEXT).take(pa.array(names, pa.int64())),
        "as_of": pa.array(as_of, pa.int64()).cast(pa.timestamp("us")).cast(TIME),
    }
    table = pa.table(
        [pc.cast(columns[f.name] if f.name in columns else taken[f.name], f.type) for f in SNAPSHOTS], schema=SNAPSHOTS
    )
    return table.sort_by([("event_ticker", "ascending"), ("horizon", "ascending"), ("as_of", "ascending")])


def relaid(snapshots: pa.Table, events: pa.Table) -> pa.Table:
    """Snapshots under what was known of their events at their own as-of times.

    Args:
        snapshots: rows shaped as ``SNAPSHOTS``.
        events: rows of table ``events``, all versions, with ``event_ticker``, ``known_at`` and ``EVENT_FACTS``.

    Returns:
        The same rows in the same order, without those whose event was not known yet.
    """
    found = rows_in_force(events, snapshots["event_ticker"], times(snapshots["as_of"]))
    kept = np.flatnonzero(found >= 0)
    rows, facts = snapshots.take(pa.array(kept)), events.take(pa.array(found[kept]))
    for name in EVENT_FACTS:
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(place), facts[name])
    return rows


def rows_in_force(events: pa.Table, event_tickers: Any, as_of: Ints) -> Ints:
    """The newest row known of each event at each time.

    Args:
        events: ``event_ticker`` and ``known_at`` among others; of rows known at one time the last counts.
        event_tickers: shape (n,).
        as_of: microseconds since 1970 UTC, shape (n,).

    Returns:
        Row numbers, shape (n,); -1 where nothing was known of the event.
    """
    words = vocabulary(events["event_ticker"])
    event, known_at = codes(events["event_ticker"], words), times(events["known_at"])
    order = np.lexsort((known_at, event))
    bounds = np.searchsorted(event[order], np.arange(len(words) + 1)).astype(np.int64)
    asked = codes(event_tickers, words)
    # An event that is not there, at code -1, has no rows.
    starts, stops = np.append(bounds[:-1], 0)[asked], np.append(bounds[1:], 0)[asked]
    at = last_rows(starts, stops, known_at[order], as_of)
    return np.where(at >= 0, np.append(order, -1)[at], -1)


def _in_force(events: pa.Table) -> tuple[Ints, Ints]:
    """From when and until when each row is the newest one known of its event, microseconds."""
    always, never = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    if "known_at" not in events.column_names:
        return np.full(events.num_rows, always), np.full(events.num_rows, never)
    since, until = times(events["known_at"]), np.full(events.num_rows, never)
    event = codes(events["event_ticker"], vocabulary(events["event_ticker"]))
    order = np.lexsort((since, event))
    again = event[order][1:] == event[order][:-1]
    until[order[:-1][again]] = since[order[1:][again]]
    return since, until


def _daily(events: pa.Table, release: Ints) -> tuple[Ints, Ints]:
    """Event row and time of every midnight from listing (included) to release (excluded)."""
    listed = pc.cast(pc.cast(events["listed_at"], TIME), pa.int64())
    listed_us = np.asarray(pc.fill_null(listed, np.iinfo(np.int64).max).to_numpy(), np.int64)
    start = new_york_days(events["listed_at"])
    stop = new_york_days(events["release_time"])
    count = np.maximum(stop - start + 1, 0)
    rows = np.repeat(np.arange(count.size), count)
    within = np.arange(rows.size) - np.repeat(np.cumsum(count) - count, count)
    midnights = _new_york_midnights(start[rows] + within)
    keep = (midnights >= listed_us[rows]) & (midnights < release[rows])
    return rows[keep], midnights[keep]
