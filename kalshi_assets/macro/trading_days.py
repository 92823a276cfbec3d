"""Trading sessions from a kept library of exchange calendars; the only module that meets pandas.

The library is optional (extra ``calendars``) and loaded on first use: a run
without asset prices never pays for it. What a session means for a response is
``core.responses``.
"""

from __future__ import annotations

import warnings
from datetime import date, timedelta
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from kalshi_assets.core.columns import day_number
from kalshi_assets.core.trading_sessions import Sessions
from kalshi_assets.errors import UsageError

_LIBRARY = "pandas_market_calendars"
_FIRST_YEAR, _LAST_YEAR = 1900, 2199
NOT_INSTALLED = "trading calendars are not installed (pip install 'kalshi_assets[calendars]')"


def calendars_installed() -> bool:
    """Whether the library is there."""
    return find_spec(_LIBRARY) is not None


def trading_sessions(calendar: str, first: date, last: date) -> Sessions:
    """The sessions of a calendar from the year of ``first`` to that of ``last``.

    Raises:
        UsageError: the library is not installed, has no such calendar, or knows nothing of those days.
    """
    if not _FIRST_YEAR <= first.year <= last.year <= _LAST_YEAR:
        raise UsageError(
            f"The sessions of {calendar} from {first} to {last} cannot be had: "
            f"ask for days in order, between {_FIRST_YEAR} and {_LAST_YEAR}."
        )
    return _years(calendar, (first - timedelta(days=15)).year, (last + timedelta(days=15)).year)


@lru_cache(maxsize=64)
def _years(calendar: str, first: int, last: int) -> Sessions:
    if not calendars_installed():
        raise UsageError(f"The sessions of {calendar} cannot be had: {NOT_INSTALLED}.")
    with warnings.catch_warnings():
        # The library lags behind pandas by a deprecation or two; that is its business, not the caller's.
        warnings.simplefilter("ignore")
        import pandas_market_calendars as kept  # type: ignore[import-untyped, unused-ignore]

        try:
            schedule = kept.get_calendar(calendar).schedule(f"{first}-01-01", f"{last}-12-31")
        except (RuntimeError, KeyError) as error:
            raise UsageError(f"There is no trading calendar {calendar!r}; see core.trading_sessions.") from error
        opened, closed = (_micros(schedule[name]) for name in ("market_open", "market_close"))
        days = np.array([day_number(stamp.date()) for stamp in schedule.index], np.int64)
    return Sessions(calendar, days, opened, closed)


def _micros(column: Any) -> Any:
    return column.to_numpy(dtype="datetime64[us]").astype(np.int64)
