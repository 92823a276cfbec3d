"""A notebook's door to the lake: everything that it can reach was known at one time.

Reading only; nothing here writes, and there is no way past the as-of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import UsageError
from kalshi_assets.settings import Settings
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.sql import query


class ReadStore:
    """The lake as it could have been known at one time.

    Attributes:
        as_of: the time, UTC; None for everything known by now.
    """

    def __init__(self, lake: Lake, as_of: datetime | None) -> None:
        self._lake = lake
        self.as_of = as_of

    def sql(self, text: str) -> pa.Table:
        """Run one read-only query over the tables, cut at ``as_of``."""
        return query(self._lake, text, as_of=self.as_of)

    def table(self, name: str, *, event_dates: Sequence[date] | None = None) -> pa.Table:
        """One table, cut at ``as_of``.

        Raises:
            UsageError: for a table that does not exist.
        """
        if name not in TABLES:
            raise UsageError(f"There is no table {name}: the lake has {', '.join(TABLES)}.")
        return self._lake.read(name, as_of=self.as_of, event_dates=event_dates)


def open_store(as_of: datetime | None = None, *, home: Path | None = None) -> ReadStore:
    """Open a home's lake as it could have been known at a time.

    Args:
        as_of: timezone-aware; None means now.
        home: the home; the environment's when None.

    Raises:
        UsageError: for a naive time.
    """
    if as_of is not None and as_of.tzinfo is None:
        raise UsageError(f"The time {as_of.isoformat()} has no time zone: say which, for example {as_of.isoformat()}Z.")
    return ReadStore(Lake(Settings.from_environment(home=home).lake), as_of)
