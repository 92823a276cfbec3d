"""OptionMetrics' standardised surface, one row a delta and maturity, as one row a day.

Only the change of shape; the day's row is judged like any other by
``macro.reference_checks``.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.tables import REAL, TEXT
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


def is_long_surface(raw: pa.Table) -> bool:
    """Whether a file names a volatility by ``days``, ``delta`` and ``cp_flag``."""
    return set(_LONG) <= set(raw.column_names)


def by_day(raw: pa.Table) -> pa.Table:
    """One row a symbol, date and ``known_at``: at-the-money and 25-delta volatilities.

    At the money is the mean of the 50-delta call and put; put deltas may be written with or without their sign. The
    maturity of ``iv_90`` is 91 days, which is the standard one. Points that are not needed are skipped.

    Args:
        raw: columns ``symbol`` or ``ticker``, ``date``, ``days``, ``delta``, ``cp_flag``, ``impl_volatility``, and
            any of ``close``, ``known_at``, ``source``; texts or typed.

    Raises:
        UsageError: a cell that cannot be read.
    """
    symbol = "ticker" if "ticker" in raw.column_names else "symbol"
    kept = [n for n in (symbol, "date", "known_at", "source", "close") if n in raw.column_names]
    number = {}
    for name, kind in (("days", "real"), ("delta", "real"), ("impl_volatility", "real"), ("cp_flag", "text")):
        number[name], bad = typed(raw[name], kind, name)
        if bad.any():
            raise UsageError(f"column {name} has cells that cannot be read, the first on line {int(bad.argmax()) + 2}")
    delta = pc.round(pc.abs(number["delta"]))
    long = raw.select(kept).append_column("iv", number["impl_volatility"].cast(REAL))
    wide = long.group_by(kept, use_threads=False).aggregate([])
    for column, (days, wanted, flags) in _POINTS.items():
        here = pc.and_(
            pc.and_(pc.equal(number["days"], float(days)), pc.equal(delta, float(wanted))),
            pc.is_in(pc.utf8_upper(number["cp_flag"]), value_set=pa.array(flags, TEXT)),
        )
        points = long.filter(here).group_by(kept, use_threads=False).aggregate([("iv", "mean")])
        points = points.rename_columns([*kept, column])
        wide = wide.join(points, kept, join_type="left outer")
    return wide.sort_by([(n, "ascending") for n in (symbol, "date")])
