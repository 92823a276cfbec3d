"""OptionMetrics' standardised surface, one row a delta and maturity, as one row a day.

The change of shape, and the days of which the file says two things at once;
what becomes of a day's row is judged like any other by
``macro.reference_checks``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import Bools, Ints, Reals, real_column, reals
from kalshi_assets.core.ordering import key_numbers
from kalshi_assets.errors import UsageError
from kalshi_assets.macro.reference_cells import typed

_LONG = ("days", "delta", "cp_flag", "impl_volatility")
# Column of the day: maturity in days, delta in hundredths, and the flags whose volatilities are averaged.
_POINTS = {
    "iv_30": (30, 50, ("C", "P")),
    "iv_60": (60, 50, ("C", "P")),
    "iv_90": (91, 50, ("C", "P")),
    "put_25d": (30, 25, ("P",)),
    "call_25d": (30, 25, ("C",)),
}


@dataclass(frozen=True, slots=True)
class DaySurfaces:
    """A long file, one row a symbol, date and ``known_at``.

    Attributes:
        rows: columns of a file of ``option_surfaces``.
        lines: where each row begins in the file; of one with a fault, where that begins.
        faults: what is wrong with each row, None where nothing is.
    """

    rows: pa.Table
    lines: Ints
    faults: tuple[str | None, ...]


def is_long_surface(raw: pa.Table) -> bool:
    """Whether a file names a volatility by ``days``, ``delta`` and ``cp_flag``."""
    return set(_LONG) <= set(raw.column_names)


def by_day(raw: pa.Table, *, first_line: int = 2) -> DaySurfaces:
    """At-the-money and 25-delta volatilities of each symbol, date and ``known_at``, in order of symbol and date.

    At the money is the mean of the 50-delta call and put; put deltas may be written with or without their sign. The
    maturity of ``iv_90`` is 91 days, which is the standard one. Points that are not needed are skipped. A day on
    which a point or the close stands twice with different values has a fault and neither of them; equal ones are one.

    Args:
        raw: columns ``symbol`` or ``ticker``, ``date``, ``days``, ``delta``, ``cp_flag``, ``impl_volatility``, and
            any of ``close``, ``known_at``, ``source``; texts or typed.
        first_line: line of the first row in the file.

    Raises:
        UsageError: a column that is missing or there twice, or a cell that cannot be read.
    """
    symbol = "ticker" if "ticker" in raw.column_names else "symbol"
    if missing := [name for name in (symbol, "date") if name not in raw.column_names]:
        raise UsageError(f"it lacks the column {', '.join(missing)}, which option_surfaces needs; add it")
    if len(set(raw.column_names)) < raw.num_columns:
        raise UsageError("it has column names twice; give each column a name of its own")
    numbers = {name: _read(raw, name, "real", first_line) for name in ("days", "delta", "impl_volatility")}
    flag = pc.utf8_upper(_read(raw, "cp_flag", "text", first_line))
    maturity, volatility = reals(numbers["days"]), reals(numbers["impl_volatility"])
    delta = np.round(np.abs(reals(numbers["delta"])))

    key = [name for name in (symbol, "date", "known_at") if name in raw.column_names]
    named = pa.table({name: _without_nulls(raw[name]) for name in key})
    _, first, day = np.unique(key_numbers(named, key), return_index=True, return_inverse=True)
    lines = first + first_line
    faults: list[str | None] = [None] * first.size

    def one_value(values: Reals, here: Bools, what: str) -> Reals:
        """The value of each day among some rows; NaN where there is none, or another beside it."""
        at = np.flatnonzero(here & np.isfinite(values))
        low, high, begins = np.full(first.size, np.inf), np.full(first.size, -np.inf), np.full(first.size, -1)
        np.minimum.at(low, day[at], values[at])
        np.maximum.at(high, day[at], values[at])
        begins[day[at[::-1]]] = at[::-1]
        for i in np.flatnonzero(high > low).tolist():
            if faults[i] is None:
                faults[i], lines[i] = f"{what} is there twice with different values", begins[i] + first_line
        return np.where(low == high, low, np.nan)

    columns = {name: raw[name].take(pa.array(first)) for name in (*key, "source") if name in raw.column_names}
    for column, (maturity_days, hundredths, flags) in _POINTS.items():
        here = (maturity == maturity_days) & (delta == hundredths)
        sides = [
            one_value(
                volatility,
                here & np.asarray(pc.fill_null(pc.equal(flag, side), False), bool),
                f"{side} of {maturity_days} days and delta {hundredths}",
            )
            for side in flags
        ]
        columns[column] = real_column(_mean(sides))
    if "close" in raw.column_names:
        close = reals(_read(raw, "close", "real", first_line))
        columns["close"] = real_column(one_value(close, np.ones(close.size, bool), "close"))
    order = pc.sort_indices(pa.table(columns), [(name, "ascending") for name in key])
    rows = pa.table(columns).take(order)
    placed = order.to_numpy()
    return DaySurfaces(rows, lines[placed], tuple(faults[i] for i in placed))


def _read(raw: pa.Table, name: str, kind: str, first_line: int) -> Any:
    values, bad = typed(raw[name], kind, name)
    if bad.any():
        line = int(bad.argmax()) + first_line
        raise UsageError(f"column {name} has cells that cannot be read, the first on line {line}; correct the file")
    return values


def _without_nulls(column: Any) -> Any:
    return pc.fill_null(column, "") if pa.types.is_string(column.type) else column


def _mean(sides: list[Reals]) -> Reals:
    """The mean of those that are there."""
    values = np.stack(sides)
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there, values, 0.0).sum(axis=0) / there.sum(axis=0), np.float64)
