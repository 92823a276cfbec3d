"""Prices, counts and times as the exchange writes them in JSON.

Prices are decimal strings of four to six places, counts have two places,
times are RFC 3339 with ``Z`` and no trailing zeros. Whole columns are
converted at once where there are many.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

MICRO = 1_000_000


def price_text(value: Decimal) -> str:
    """A price in dollars with four places, or up to six where it has them."""
    text = f"{value:.6f}"
    return text[:-2] if text.endswith("00") else text.rstrip("0")


def count_text(value: Decimal | None) -> str:
    """A number of contracts with two places; none is zero contracts."""
    return f"{value or Decimal(0):.2f}"


def time_text(value: datetime) -> str:
    """RFC 3339 in UTC with up to six fractional digits."""
    text = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return f"{text}Z"


def unscaled(column: pa.ChunkedArray | pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The integers behind a decimal128 column.

    Args:
        column: shape (n,), any scale; every value fits 64 bits.

    Returns:
        (integers, valid): shape (n,) each; a null has integer 0 and valid False.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    valid = np.ones(len(array), np.bool_) if not array.null_count else np.asarray(pc.is_valid(array))
    words = np.frombuffer(array.buffers()[1], np.int64)[2 * array.offset : 2 * (array.offset + len(array)) : 2]
    return np.where(valid, words, 0), valid


def price_texts(micro: npt.NDArray[np.int64]) -> pa.Array:
    """Micro-dollars, shape (n,), as price strings."""
    whole = _decimal_texts(micro, 6)
    return pc.replace_substring_regex(whole, r"0{1,2}$", "")


def count_texts(hundredths: npt.NDArray[np.int64]) -> pa.Array:
    """Hundredths of a contract, shape (n,), as count strings."""
    return _decimal_texts(hundredths, 2)


def time_texts(times: pa.Array) -> pa.Array:
    """UTC microsecond timestamps, shape (n,), as RFC 3339 strings."""
    text = pc.strftime(times.cast(pa.timestamp("us")), "%Y-%m-%dT%H:%M:%S")
    return pc.binary_join_element_wise(pc.replace_substring_regex(text, r"\.?0*$", ""), "Z", "")


def decimals(values: npt.NDArray[np.int64], kind: pa.DataType, valid: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """A decimal128 column from its integers.

    Args:
        values: shape (n,), the numbers times ten to the scale of ``kind``.
        kind: the column's type.
        valid: shape (n,), False where the value is null; None where none is.
    """
    n = len(values)
    words = np.empty(2 * n, np.int64)
    words[0::2] = values
    words[1::2] = values >> 63
    mask = None if valid is None else pa.array(valid).buffers()[1]
    return pa.Array.from_buffers(kind, n, [mask, pa.py_buffer(words)])


def _decimal_texts(values: npt.NDArray[np.int64], scale: int) -> pa.Array:
    return decimals(values, pa.decimal128(18, scale)).cast(pa.string())
