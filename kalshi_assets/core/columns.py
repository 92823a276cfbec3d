"""Arrow columns as flat numpy arrays, and back: times, reals, prices, days, codes.

One representation of a missing value per kind, so that every kernel treats it
alike: ``MISSING_TIME`` for times, NaN for reals, -1 for codes and prices.
Joins, lookups and meaning do not belong here.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.tables import REAL, TIME

Reals = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MISSING_TIME = int(np.iinfo(np.int64).min)
MISSING_PRICE = -1
MICRO_USD = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1)


def times(column: Any) -> Ints:
    """Timestamps as microseconds since 1970 UTC; null is ``MISSING_TIME``."""
    return np.asarray(pc.fill_null(column.cast(TIME).cast(pa.int64()), MISSING_TIME), np.int64)


def days(column: Any) -> Ints:
    """Dates as days since 1970; null is -2**31."""
    return np.asarray(pc.fill_null(column.cast(pa.date32()).cast(pa.int32()), -(2**31)), np.int64)


def reals(column: Any) -> Reals:
    """Numbers or booleans as float64; null is NaN."""
    as_real = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
    return np.asarray(pc.fill_null(as_real.cast(REAL), float("nan")), np.float64)


def integers(column: Any, missing: int) -> Ints:
    """Integers as int64; null is ``missing``."""
    return np.asarray(pc.fill_null(column.cast(pa.int64()), missing), np.int64)


def micro_usd(column: Any) -> Ints:
    """Decimal dollars as integer micro-dollars; null is ``MISSING_PRICE``.

    Exact: six decimal places times a million is an integer far below 2**53.
    """
    dollars = reals(column)
    scaled = np.full(dollars.shape, MISSING_PRICE, np.int64)
    known = np.isfinite(dollars)
    scaled[known] = np.rint(dollars[known] * MICRO_USD).astype(np.int64)
    return scaled


def vocabulary(*columns: Any) -> pa.Array:
    """The distinct non-null texts of some columns, in ascending order."""
    parts = [pc.unique(c.cast(pa.string())).drop_null() for c in columns]
    distinct = pc.unique(pa.concat_arrays(parts))
    return distinct.take(pc.array_sort_indices(distinct))


def codes(column: Any, words: pa.Array) -> Ints:
    """Position of each text in ``words``; -1 where it is null or not there."""
    found = pc.index_in(column.cast(pa.string()), value_set=words, skip_nulls=True)
    return np.asarray(pc.fill_null(found, -1), np.int64)


def time_column(micros: Ints) -> pa.Array:
    """Microseconds since 1970 UTC as an Arrow timestamp column; ``MISSING_TIME`` is null."""
    return pa.array(micros, pa.int64(), mask=micros == MISSING_TIME).cast(TIME)


def real_column(values: Reals) -> pa.Array:
    """Float64 as an Arrow column; NaN is null."""
    return pa.array(values, REAL, mask=np.isnan(values))


def text_column(texts: npt.NDArray[Any], missing: Bools | None = None) -> pa.Array:
    """Numpy texts as an Arrow column, null where ``missing``."""
    return pa.array(texts.tolist(), pa.string(), mask=missing)


def micros_of(moment: datetime) -> int:
    """An aware time as microseconds since 1970 UTC."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def span_micros(span: timedelta) -> int:
    """A duration in microseconds."""
    return span // timedelta(microseconds=1)


def moment_of(micros: int) -> datetime:
    """Microseconds since 1970 UTC as an aware time."""
    return _EPOCH + timedelta(microseconds=int(micros))


def day_number(day: date) -> int:
    """A date as days since 1970."""
    return (day - _EPOCH_DAY).days


def newest_versions(table: pa.Table, key: str) -> pa.Table:
    """The row with the greatest ``known_at`` of each ``key``, in ascending order of the key.

    Rows equal in both keep the one that comes last in the table.
    """
    words = vocabulary(table[key])
    code = codes(table[key], words)
    order = np.lexsort((times(table["known_at"]), code))
    order = order[code[order] >= 0]
    ordered = code[order]
    last = np.append(ordered[1:] != ordered[:-1], np.ones(min(1, ordered.size), bool))
    return table.take(pa.array(order[last]))
