"""How arguments of the command line are read: times, ranges of days, lists of series, lake snapshots."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, datetime
from typing import Any

import click

from kalshi_assets.errors import UsageError
from kalshi_assets.store.instants import utc_instant


class Time(click.ParamType[datetime]):
    """An instant: ISO 8601 with a zone; a bare day is its start in UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read one."""
        with suppress(ValueError, TypeError):
            value = f"{date.fromisoformat(value)}T00:00:00Z"
        try:
            return utc_instant(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Dates(click.ParamType[tuple[date, date]]):
    """FROM:TO, both days included; one day stands for itself."""

    name = "from:to"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[date, date]:
        """Read a range."""
        if isinstance(value, tuple):
            return value
        first, colon, last = value.partition(":")
        try:
            return date.fromisoformat(first), date.fromisoformat(last if colon else first)
        except ValueError:
            self.fail(f"{value!r} is no range of days: write it like 2024-01-01:2024-12-31.", param, ctx)


def series_tickers(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Tickers between commas, in capitals."""
    return tuple(part.strip().upper() for part in (value or "").split(",") if part.strip())


snapshot_option = click.option(
    "--snapshot", metavar="ID", help="Read this lake snapshot (see the table lake_snapshots)."
)
