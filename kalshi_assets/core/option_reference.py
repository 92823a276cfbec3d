"""The option surface that an observer had at a time: its factors, looked up as of each snapshot.

Belongs here: ordering a surface's days by arrival and joining them. The
factors' formulas are ``core.options``.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import MISSING_TIME, Ints, Reals, reals, span_micros, times
from kalshi_assets.core.options import option_factors
from kalshi_assets.core.tables import OPTION_FACTORS

# The first of these that has a fresh surface is the reference.
OPTION_SYMBOLS = ("SPX", "SPY")
_HOUR = 3_600_000_000.0
_FACTOR_OF = {"opt_heuristic_tail_proxy": "tail_proxy"}
_QUOTED = {"opt_iv_atm_30": "iv_30", "opt_iv_atm_60": "iv_60", "opt_iv_atm_90": "iv_90"}


def option_reference(
    surfaces: pa.Table, as_of: Ints, *, max_age: timedelta, symbols: tuple[str, ...] = OPTION_SYMBOLS
) -> tuple[dict[str, Reals], Ints]:
    """The factors of the newest surface known at each as-of time.

    Days count in the order of their arrival: one that became known after a later day, or a correction, is left
    out, so that each factor rests on nothing that was unknown when its own day became known.

    Args:
        surfaces: rows of ``option_surfaces``, all versions.
        as_of: microseconds since 1970 UTC, shape (n,).
        max_age: oldest surface that counts, from the instant it describes.
        symbols: underlyings, in order of preference.

    Returns:
        ``OPTION_FACTORS`` by name, NaN where no surface was known, and when each became known.
    """
    n = as_of.size
    found = {name: np.full(n, np.nan) for name in OPTION_FACTORS}
    known = np.full(n, MISSING_TIME, np.int64)
    for symbol in symbols:
        rows = surfaces.filter(pc.equal(surfaces["symbol"], symbol))
        if not rows.num_rows:
            continue
        factors, ts, known_at = _by_arrival(rows)
        at = np.searchsorted(known_at, as_of, side="right") - 1
        fresh = (at >= 0) & (as_of - ts[np.maximum(at, 0)] <= span_micros(max_age)) & (known == MISSING_TIME)
        for name, values in factors.items():
            found[name][fresh] = values[at[fresh]]
        known[fresh] = known_at[at[fresh]]
    return found, known


def _by_arrival(rows: pa.Table) -> tuple[dict[str, Reals], Ints, Ints]:
    ts, known_at = times(rows["ts"]), times(rows["known_at"])
    order = np.lexsort((ts, known_at))
    ts, known_at = ts[order], known_at[order]
    # In order of arrival, a day that is not later than all before it is a correction or came too late.
    newest_before = np.append(MISSING_TIME, np.maximum.accumulate(ts)[:-1])
    order, kept = order[ts > newest_before], ts > newest_before
    ts, known_at = ts[kept], known_at[kept]
    surface = {name: reals(rows[name])[order] for name in ("iv_30", "iv_60", "iv_90", "put_25d", "call_25d", "close")}
    factors = option_factors(ts / _HOUR, **surface)
    columns = {name: surface[column] for name, column in _QUOTED.items()}
    for name in OPTION_FACTORS:
        if name not in columns:
            columns[name] = getattr(factors, _FACTOR_OF.get(name, name.removeprefix("opt_")))
    return columns, ts, known_at
