"""Amounts of an Arrow column as whole numbers of its last decimal place, without a Python object or a copy.

A decimal column already stores such numbers, so a kernel reads them where
they lie. What an amount means, and which are refused, is the caller's business.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import reals

Ints = npt.NDArray[np.int64]

MISSING_AMOUNT = int(np.iinfo(np.int64).min)
NO_AMOUNT = MISSING_AMOUNT + 1
# Floats beyond this many units are no longer whole numbers.
_LARGEST = 2.0**53


def amounts(column: pa.Array, scale: int) -> Ints:
    """Whole numbers ``value * 10**scale``, ``MISSING_AMOUNT`` where there is none.

    Args:
        column: decimals, floats or integers. A float that is not finite, or too large to be a whole
            number of units, is ``NO_AMOUNT``: somebody said something, and it is no number.
            One below zero stays below zero however small it is.
        scale: decimal places kept.

    Returns:
        Read-only, shape (n, k) with the number in the first of k places: a decimal has two words and ours fit one.
    """
    if not pa.types.is_decimal(column.type):
        values = reals(column) * 10.0**scale
        usable = np.abs(values) < _LARGEST
        units = np.where(values < 0.0, np.floor(values), np.rint(values))
        units = np.where(usable, units, 0.0).astype(np.int64)
        units[~usable] = NO_AMOUNT
    else:
        if not (pa.types.is_decimal128(column.type) and column.type.scale == scale):
            column = pc.cast(column, pa.decimal128(38, scale))
        # a decimal128 is two little-endian words; ours fit the low one, sign included
        stored = column.buffers()[1]
        words = np.frombuffer(stored, np.int64) if stored is not None else np.zeros(2 * len(column), np.int64)
        pairs = words[: words.size // 2 * 2].reshape(-1, 2)[column.offset : column.offset + len(column)]
        if not column.null_count:
            return pairs
        units = pairs[:, 0].copy()
    units[pc.is_null(column).to_numpy(zero_copy_only=False)] = MISSING_AMOUNT
    units.setflags(write=False)
    return units.reshape(-1, 1)
