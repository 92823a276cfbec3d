"""A notebook's door to the lake: everything that it can reach was known at one time.

Reading only; nothing here writes, and there is no way past the as-of time. The door
stays at one lake snapshot, so that two questions are asked of the same data.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path

import duckdb
import pyarrow as pa

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import UsageError
from kalshi_assets.settings import Settings
from kalshi_assets.store.instants import utc_instant
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.mappings import MAP_TABLE, mapping_as_of
from kalshi_assets.store.opening import open_lake
from kalshi_assets.store.snapshots import load_snapshot, newest_snapshot
from kalshi_assets.store.sql import open_connection, query


class ReadStore:
    """The lake as it could have been known at one time, and as one lake snapshot names it.

    Args:
        lake: the lake.
        as_of: timezone-aware, or ISO text with a zone.
        snapshot: id of the lake snapshot, or a start of it; None for the newest when this is made.

    Raises:
        UsageError: a time that is no instant, or no such snapshot.
    """

    def __init__(self, lake: Lake, as_of: datetime | str, snapshot: str | None = None) -> None:
        self._as_of = utc_instant(as_of)
        record = newest_snapshot(lake) if snapshot is None else load_snapshot(lake, snapshot)
        self._lake = lake if record is None else lake.at(record.versions)
        self._snapshot = None if record is None else record.snapshot_id

    @property
    def as_of(self) -> datetime:
        """The time, UTC."""
        return self._as_of

    @property
    def snapshot(self) -> str | None:
        """The lake snapshot that is read; None where none was ever recorded."""
        return self._snapshot

    def sql(self, text: str) -> pa.Table:
        """Run one read-only query over the tables, cut at ``as_of``."""
        return query(self._lake, text, as_of=self._as_of)

    def connection(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection on which every table is a view, cut at ``as_of``, for relations and work of one's own.

        It reaches no file, network or variable of the caller; close it when done.
        """
        return open_connection(self._lake, as_of=self._as_of)

    def relation(self, text: str) -> duckdb.DuckDBPyRelation:
        """A query as a DuckDB relation: it runs when its rows are asked for, and other questions can rest on it.

        ``.df()`` makes it a pandas frame and ``.pl()`` one of Polars, where they are installed. All relations of a
        store stand on one connection such as ``connection`` gives.
        """
        return self._relations.sql(text)

    @cached_property
    def _relations(self) -> duckdb.DuckDBPyConnection:
        return self.connection()

    def table(self, name: str, *, event_dates: Sequence[date] | None = None) -> pa.Table:
        """One table, cut at ``as_of``: of each key its newest row, of ``event_market_map`` the mapping in force.

        Raises:
            UsageError: for a table that does not exist.
        """
        if name not in TABLES:
            raise UsageError(f"There is no table {name}: the lake has {', '.join(TABLES)}.")
        if name == MAP_TABLE:
            return mapping_as_of(self._lake, self._as_of, event_dates=event_dates)
        return self._lake.read(name, as_of=self._as_of, event_dates=event_dates)


def open_store(
    as_of: datetime | str | None = None, *, snapshot: str | None = None, home: Path | None = None
) -> ReadStore:
    """Open a home's lake as it could have been known at a time.

    Args:
        as_of: timezone-aware, or ISO text with a zone; None means now, by this machine's clock, and stays there.
        snapshot: id of a lake snapshot (table ``lake_snapshots``), or 6 or more first characters of it;
            None for the newest.
        home: the home; the environment's when None.

    Raises:
        UsageError: for a time that is no instant, or where there is no such snapshot.
    """
    lake = open_lake(Settings.from_environment(home=home))
    return ReadStore(lake, datetime.now(UTC) if as_of is None else as_of, snapshot)
