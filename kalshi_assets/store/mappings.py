"""Versions of the event-to-market mapping: which release an event stands for, and since when.

An event that moves gets the next version; the one before is closed, never
rewritten. Where release times come from belongs to the stages.

A version is effective over the half-open interval [effective_from, effective_to),
open while ``effective_to`` is null. Versions count numerically: v2 before v10.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.ordering import last_of_each, sort_rows
from kalshi_assets.core.tables import TABLES, TIME
from kalshi_assets.errors import StoreError
from kalshi_assets.store.event_dates import version_number
from kalshi_assets.store.instants import utc_instant
from kalshi_assets.store.lake import Commit, Lake

MAP_TABLE = "event_market_map"

# What a version says. Another source for the same release, or a title, is no new version.
_FACTS = ("series_ticker", "event_date", "release_time", "period")
_GIVEN = (*_FACTS, "event_ticker", "source", "ts", "known_at", "event_type")


def next_version(versions: Iterable[str]) -> str:
    """The version after the greatest of those given; ``v1`` after none."""
    return f"v{max(map(version_number, versions), default=0) + 1}"


def mapping_as_of(
    lake: Lake,
    as_of: datetime | str | None,
    *,
    event_dates: Sequence[date] | None = None,
    series: Sequence[str] | None = None,
    bookkeeping: bool = False,
) -> pa.Table:
    """The version of each event that was known and effective at a time.

    Args:
        lake: the lake.
        as_of: the time, aware or ISO text with a zone; None for what nothing that is stored ends.
        event_dates: only events mapped to these dates at that time.
        series: only these series.
        bookkeeping: add ``run_id`` and ``recorded_at``.

    Returns:
        Rows of ``event_market_map``, one an event, ordered by ``event_ticker``. Of several
        effective versions the greatest number counts.

    Raises:
        UsageError: a time that is no instant.
        StoreError: a stored version that is not ``v`` and an integer.
    """
    rows = lake.read(MAP_TABLE, as_of=as_of, bookkeeping=bookkeeping)
    until = rows.column("effective_to")
    effective = pc.is_null(until)
    if as_of is not None:
        at = pa.scalar(utc_instant(as_of), TIME)
        effective = pc.and_(
            pc.less_equal(rows.column("effective_from"), at), pc.or_kleene(effective, pc.greater(until, at))
        )
    rows = rows.filter(effective)
    numbered = rows.append_column("number", pa.array(_numbers(rows), pa.int64()))
    rows = rows.filter(pa.array(last_of_each(numbered, ["event_ticker"], ["number"])))
    for column, chosen in (("event_date", event_dates), ("series_ticker", series)):
        if chosen is not None:
            wanted = pa.array(list(chosen), rows.schema.field(column).type)
            rows = rows.filter(pc.is_in(rows.column(column), value_set=wanted))
    return sort_rows(rows, ["event_ticker"])


def record_mapping(lake: Lake, rows: pa.Table, run_id: str) -> Commit:
    """Record what is known of events; only a change of release makes a version.

    Args:
        lake: the lake.
        rows: one row for each time that an event's release became known: ``event_ticker,
            series_ticker, event_date, release_time, source, ts, known_at`` and, where known,
            ``period, event_type``. Version and effective range are assigned here: a version is
            effective from the ``known_at`` of the row that made it.
        run_id: the run that writes.

    Returns:
        The commit; unchanged where every row says what its time's version says.

    Raises:
        StoreError: a row contradicts a version in the past of the newest one, or breaks the schema.
    """
    unknown = set(rows.column_names) - set(_GIVEN)
    if unknown:
        raise StoreError(f"Mapping rows have no column {min(unknown)!r}; they give {', '.join(sorted(_GIVEN))}.")
    missing = {c for c in _GIVEN if c not in rows.column_names} - {"period", "event_type"}
    if missing:
        raise StoreError(f"Mapping rows lack the column {min(missing)}, which is required.")
    stored: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in lake.read(MAP_TABLE).to_pylist():
        stored[row["event_ticker"]].append(row)
    for versions in stored.values():
        versions.sort(key=lambda r: version_number(r["version"]))
    changes: list[dict[str, Any]] = []
    for fact in sorted(rows.to_pylist(), key=lambda r: (r["event_ticker"], r["known_at"])):
        changes += _apply(stored[fact["event_ticker"]], {**dict.fromkeys(_GIVEN), **fact})
    # Closing a version that was made in this very call leaves its open row as history too.
    return lake.upsert(MAP_TABLE, pa.Table.from_pylist(changes, schema=TABLES[MAP_TABLE].schema), run_id=run_id)


def assert_single_version(table: pa.Table) -> None:
    """Refuse a mapping read that holds two versions of one event.

    Args:
        table: ``event_ticker`` and ``version``.

    Raises:
        StoreError: names the event and its versions.
    """
    _one_version_an_event(table, "version")


def assert_consistent_mapping_version(table: pa.Table) -> None:
    """Refuse a panel whose rows of one event rest on different mapping versions.

    Args:
        table: ``event_ticker`` and ``mapping_version``.

    Raises:
        StoreError: names the event and its versions.
    """
    _one_version_an_event(table, "mapping_version")


def _apply(versions: list[dict[str, Any]], fact: dict[str, Any]) -> list[dict[str, Any]]:
    """Bring one event's versions up to a fact; returns the rows to write."""
    known_at = fact["known_at"]
    then = next((v for v in reversed(versions) if v["effective_from"] <= known_at), versions[0] if versions else None)
    if then is not None and all(then[c] == fact[c] for c in _FACTS):
        return []
    if versions and known_at <= versions[-1]["effective_from"]:
        raise StoreError(
            f"Event {fact['event_ticker']} had mapping version {versions[-1]['version']} by {known_at}, and a row "
            f"known then says otherwise (release {fact['release_time']}); recorded versions cannot be rewritten."
        )
    opened = {
        **fact,
        "version": next_version(v["version"] for v in versions),
        "effective_from": known_at,
        "effective_to": None,
    }
    closed = [{**versions[-1], "effective_to": known_at, "known_at": known_at, "ts": fact["ts"]}] if versions else []
    versions[-1:] = [*closed, opened]
    return [*closed, opened]


def _numbers(rows: pa.Table) -> list[int]:
    return [version_number(v) for v in rows.column("version").to_pylist()]


def _one_version_an_event(table: pa.Table, column: str) -> None:
    pairs = table.select(["event_ticker", column]).group_by(["event_ticker", column]).aggregate([])
    events = pairs.column("event_ticker")
    repeated = np.flatnonzero(~last_of_each(pairs, ["event_ticker"], []))
    if repeated.size:
        event = events[int(repeated[0])].as_py()
        found = pairs.filter(pc.equal(events, event)).column(column).to_pylist()
        raise StoreError(
            f"Event {event} appears with mapping versions {', '.join(sorted(map(str, found)))}; "
            "read the mapping as of one time."
        )
