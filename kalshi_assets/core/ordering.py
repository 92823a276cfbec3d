"""Canonical row order of an Arrow table, and the questions that one sort answers.

Sorting, duplicates and "the newest row of each key", by integer codes instead
of row-by-row comparison. What the columns mean, and where rows come from, does
not belong here.

Order: ascending, strings by code point, nulls last; rows that tie keep their order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Codes = npt.NDArray[np.int64]

# Codes of several columns share one 64-bit key while their widths fit: one sort pass instead of one a column.
_KEY_BITS = 62
# Below this mean length of a run, hashing every text is cheaper than comparing neighbours first.
_LONG_RUN = 4
# Chunks of fewer rows cost more in calls than copying them together does.
_SMALL_CHUNK = 16_384


def sort_codes(column: pa.ChunkedArray) -> Codes:
    """Codes whose integer order is the canonical order of a column.

    Args:
        column: strings (plain or dictionary), integers, booleans, dates or timestamps.

    Returns:
        int64 codes, one a row; equal values have equal codes, null has the greatest.
        Strings get their rank, all others their integer value.

    Raises:
        TypeError: the column's type has no canonical order here (floats, decimals, lists).
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        encoded = _one_array(column)
        if pa.types.is_string(kind.value_type) and not (encoded.null_count or encoded.dictionary.null_count):
            coded: Codes = _ranks(encoded.dictionary)[encoded.indices.to_numpy()]
            return coded
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        starts, words = runs(column)
        if len(starts) > len(column) // _LONG_RUN:
            return _text_codes(column)
        return np.repeat(_text_codes(words), np.diff(starts, append=len(column)))
    if not (pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_temporal(kind)):
        raise TypeError(f"Rows cannot be ordered by a column of type {kind}.")
    numbers = _one_array(column)
    numbers = numbers.cast(pa.int32()) if pa.types.is_date32(kind) else numbers
    integers = numbers.cast(pa.int64())
    if not integers.null_count:
        plain: Codes = integers.to_numpy()
        return plain
    top = np.iinfo(np.int64).max
    nulls_last: Codes = pc.fill_null(integers, int(top)).to_numpy(zero_copy_only=False)
    return nulls_last


def runs(column: pa.ChunkedArray) -> tuple[Codes, pa.ChunkedArray]:
    """First row and value of each run of equal neighbours; a chunk's first row starts a run, too.

    Args:
        column: text, integers, booleans, dates or timestamps; null equals null.
    """
    starts, values, offset = [], [], 0
    small = len(column) < _SMALL_CHUNK * column.num_chunks
    for chunk in [_one_array(column)] if small else column.chunks:
        encoded = pc.run_end_encode(chunk, run_end_type=pa.int64())
        ends = encoded.run_ends.to_numpy()
        starts.append(offset + np.concatenate((np.zeros(min(1, len(ends)), np.int64), ends[:-1])))
        values.append(encoded.values)
        offset += len(chunk)
    return np.concatenate(starts or [np.zeros(0, np.int64)]), pa.chunked_array(values, column.type)


def packed_keys(table: pa.Table, columns: Sequence[str]) -> list[Codes]:
    """The codes of several columns in as few int64 keys as they fit, most significant first.

    Args:
        table: rows.
        columns: the columns, most significant first.

    Returns:
        A list of int64 arrays of the table's length; comparing rows key by key
        compares them column by column. Empty for no columns or no rows.
    """
    keys: list[Codes] = []
    free = 0
    if not table.num_rows:
        return keys
    for name in columns:
        codes = sort_codes(table.column(name))
        low, high = int(codes.min()), int(codes.max())
        width = (high - low).bit_length()
        if width == 0:
            continue
        if width > _KEY_BITS:
            keys.append(codes)
            free = 0
        elif width <= free:
            keys[-1] = (keys[-1] << width) | (codes - low)
            free -= width
        else:
            keys.append(codes - low)
            free = _KEY_BITS - width
    return keys


def sort_permutation(table: pa.Table, columns: Sequence[str]) -> npt.NDArray[np.intp] | None:
    """The stable permutation into canonical order, or None when the rows are in that order already."""
    return _permutation(packed_keys(table, columns))


def sort_rows(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The same rows in canonical order of ``columns``; the table itself when it is in order."""
    order = sort_permutation(table, columns)
    return table if order is None else table.take(pa.array(order))


def first_duplicate(table: pa.Table, columns: Sequence[str]) -> int | None:
    """Row number of a row whose ``columns`` equal those of an earlier row; None when all differ."""
    return order_and_duplicate(table, columns)[1]


def order_and_duplicate(table: pa.Table, columns: Sequence[str]) -> tuple[npt.NDArray[np.intp] | None, int | None]:
    """``sort_permutation`` and ``first_duplicate`` of the same columns, from one sort."""
    if table.num_rows < 2:
        return None, None
    keys = packed_keys(table, columns)
    if not keys:
        return None, 1
    order = _permutation(keys)
    hits = np.flatnonzero(~_steps(keys, order))
    if not hits.size:
        return order, None
    row = int(hits[0]) + 1
    return order, row if order is None else int(order[row])


def key_numbers(table: pa.Table, key: Sequence[str]) -> Codes:
    """A number for each row such that equal keys, and no others, have equal numbers.

    Args:
        table: rows in any order.
        key: columns that name one fact; texts, plain ones, are not null.

    Returns:
        From nought to the number of distinct keys, in no order that means anything.
    """
    for name in key:
        if pa.types.is_string(table.schema.field(name).type):
            # Names need no rank here: hashing them is a third of the work.
            named = _one_array(table.column(name)).dictionary_encode().indices
            table = table.set_column(table.schema.get_field_index(name), name, named)
    keys = packed_keys(table, key)
    numbers = np.zeros(table.num_rows, dtype=np.int64)
    if keys:
        order = _permutation(keys)
        numbers[slice(None) if order is None else order] = np.append(0, np.cumsum(_steps(keys, order)))
    return numbers


def last_of_each(table: pa.Table, key: Sequence[str], then: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Mask of the rows that come last among the rows of their key.

    Args:
        table: rows in any order.
        key: columns that name one fact.
        then: columns that order the rows of one key; on a full tie the later row of the table is last.

    Returns:
        Boolean mask of the table's length with exactly one True a key.
    """
    n = table.num_rows
    if n == 0:
        return np.zeros(0, dtype=np.bool_)
    keys = packed_keys(table, key)
    rows = packed_keys(table, then)
    both = [*keys, *rows]
    order = _permutation(both)
    last = np.append(_steps(keys, order) if keys else np.zeros(n - 1, dtype=np.bool_), True)
    mask = np.zeros(n, dtype=np.bool_)
    mask[last if order is None else order[last]] = True
    return mask


def _text_codes(column: pa.ChunkedArray) -> Codes:
    """Rank of each text, by a hash table of the distinct ones."""
    encoded = _one_array(column.dictionary_encode())
    rank = _ranks(encoded.dictionary)
    indices = encoded.indices
    if not indices.null_count:
        codes: Codes = rank[indices.to_numpy()]
        return codes
    filled = pc.fill_null(indices, len(rank)).to_numpy(zero_copy_only=False)
    with_null: Codes = np.append(rank, len(rank))[filled]
    return with_null


def _ranks(words: pa.Array) -> Codes:
    """Place of each text among the distinct ones, in ascending order."""
    by_value = pc.sort_indices(words).to_numpy()
    rank = np.empty(len(by_value), dtype=np.int64)
    if len(by_value):
        ordered = words.take(pa.array(by_value))
        rank[by_value] = np.cumsum(np.append(0, pc.not_equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)))
    return rank


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    """All chunks as one array, dictionaries made one."""
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], type=column.type)


def _permutation(keys: Sequence[Codes]) -> npt.NDArray[np.intp] | None:
    if _in_order(keys):
        return None
    return np.argsort(keys[0], kind="stable") if len(keys) == 1 else np.lexsort(tuple(reversed(keys)))


def _in_order(keys: Sequence[Codes]) -> bool:
    """Whether rows never step down, comparing keys from the most significant."""
    tied: npt.NDArray[np.bool_] | None = None
    for key in keys:
        here, following = key[:-1], key[1:]
        down, same = following < here, following == here
        if (down if tied is None else down & tied).any():
            return False
        tied = same if tied is None else tied & same
        if not tied.any():
            return True
    return True


def _steps(keys: Sequence[Codes], order: npt.NDArray[np.intp] | None) -> npt.NDArray[np.bool_]:
    """True where a row (in ``order``) differs from the row before it."""
    step: npt.NDArray[np.bool_] | None = None
    for key in keys:
        values = key if order is None else key[order]
        differs = values[1:] != values[:-1]
        step = differs if step is None else step | differs
    assert step is not None
    return step
