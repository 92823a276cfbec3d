"""Made-up values for rows of lake tables: what a probe writes where only the future may be read.

Belongs here: which columns carry a value, and drawing others of the same kind.
Which rows are changed belongs to ``core.leak_perturbations``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import integers, reals
from kalshi_assets.core.tables import TABLES

_CENTS = 100
_MOST_CONTRACTS = 1_000_000
_LAST_INTEGERS = 40
_DAY_S = 86_400
# Times that are what a row says, not when: a release moves.
_MOVING = {"events": ("release_time",)}


def value_columns(name: str, table: pa.Table) -> list[str]:
    """Columns whose content is a value: no part of the key, no time but one that is announced, no entity's name."""
    spec = TABLES.get(name)
    fixed = {
        "event_ticker",
        "series_ticker",
        "ticker",
        "event_date",
        "horizon",
        "period_s",
        *(spec.key if spec else ()),
    }
    moving = _MOVING.get(name, ())
    return [
        f.name
        for f in table.schema
        if f.name in moving
        or (f.name not in fixed and not pa.types.is_temporal(f.type) and not pa.types.is_nested(f.type))
    ]


def made_up(name: str, table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """The same rows with other values; keys, names and times stay.

    Prices and probabilities are whole cents within (0, 1), counts go far beyond any real one, other
    numbers lie up to ten times outside the column's range, an announced time moves by a day or so, texts change
    places. A null gets a value, and no number is drawn that was there: a row with a number in it is another one.
    """
    for column in value_columns(name, table):
        place = table.schema.get_field_index(column)
        field = table.schema.field(column)
        table = table.set_column(place, field, _drawn(field, table[column], table.num_rows, rng))
    return table


def _drawn(field: pa.Field, column: Any, n: int, rng: np.random.Generator) -> Any:
    kind = field.type
    if pa.types.is_decimal(kind) or field.name.endswith(("_usd", "_prob")):
        is_price = kind.precision - kind.scale < 3 if pa.types.is_decimal(kind) else True
        if is_price:
            cents = rng.integers(1, _CENTS, n)
            # The next cent, and after 99 the first; what was no whole cent is another price anyway.
            cents = np.where(np.rint(reals(column) * _CENTS) == cents, cents % (_CENTS - 1) + 1, cents)
            return pa.array(cents / _CENTS).cast(kind)
        counts = rng.integers(1, _MOST_CONTRACTS, n).astype(float)
        return pa.array(counts + (counts == reals(column))).cast(kind)
    if pa.types.is_floating(kind):
        widest = np.nanmax(np.abs(reals(column)), initial=1.0, where=np.isfinite(reals(column)))
        drawn = rng.uniform(-10.0, 10.0, n) * widest
        return pa.array(np.where(drawn == reals(column), drawn + widest, drawn)).cast(kind)
    if pa.types.is_boolean(kind):
        was = reals(column)
        return pa.array(np.where(np.isnan(was), rng.integers(0, 2, n), was == 0.0).astype(bool))
    if pa.types.is_integer(kind):
        whole = rng.integers(-_LAST_INTEGERS, _LAST_INTEGERS, n)
        return pa.array(whole + (whole == integers(column, _LAST_INTEGERS + 1))).cast(kind)
    if pa.types.is_timestamp(kind):
        apart = rng.choice([-1, 1], n) * rng.integers(_DAY_S // 2, _DAY_S * 3 // 2, n)
        return pc.add(column, pa.array(apart).cast(pa.duration("s"))).cast(kind)
    return column.take(pa.array(rng.permutation(n)))
