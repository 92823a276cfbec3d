"""Amounts of an Arrow column as whole numbers of its last decimal place, without a Python object or a copy.

A decimal column already stores such numbers, so a kernel reads them where
they lie. What an amount means, and which are refused, is the caller's business.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import reals
from kalshi_assets.core.compiled import in_place

MISSING_AMOUNT = int(np.iinfo(np.int64).min)
# Floats beyond this many units are no longer whole numbers.
_LARGEST = 2.0**53


class Amounts(NamedTuple):
    """A column for kernels, which unpack it once and read it with ``amount``.

    Attributes:
        units: read-only, shape (n, 2) for the two words of a decimal, whose first is the number, or (n, 1).
        missing: shape (n,), or (0,) when nothing is missing.
    """

    units: npt.NDArray[np.int64]
    missing: npt.NDArray[np.bool_]


def amounts(column: pa.Array, scale: int) -> Amounts:
    """Whole numbers ``value * 10**scale``.

    Args:
        column: decimals, floats or integers. A float that is not finite, or too large to be a whole
            number of units, is missing.
        scale: decimal places kept.
    """
    nothing = np.zeros(0, np.bool_)
    if not pa.types.is_decimal(column.type):
        values = reals(column) * 10.0**scale
        missing = ~(np.abs(values) < _LARGEST)
        units = np.rint(np.where(missing, 0.0, values)).astype(np.int64).reshape(-1, 1)
        units.setflags(write=False)
        return Amounts(units, missing if missing.any() else nothing)
    if not (pa.types.is_decimal128(column.type) and column.type.scale == scale):
        column = pc.cast(column, pa.decimal128(38, scale))
    # a decimal128 is two little-endian words; ours fit the low one, sign included
    stored = column.buffers()[1]
    words = np.frombuffer(stored, np.int64) if stored is not None else np.frombuffer(b"", np.int64)
    units = words[: words.size // 2 * 2].reshape(-1, 2)[column.offset : column.offset + len(column)]
    absent = np.array(pc.is_null(column).to_numpy(zero_copy_only=False)) if column.null_count else nothing
    return Amounts(units, absent)


@in_place
def amount(units: npt.NDArray[np.int64], missing: npt.NDArray[np.bool_], i: int) -> int:
    """The number in row ``i`` of a column, or ``MISSING_AMOUNT``."""
    if missing.size > 0 and missing[i]:
        return MISSING_AMOUNT
    return int(units[i, 0])
