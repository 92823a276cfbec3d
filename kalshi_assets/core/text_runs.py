"""Runs of equal values in an Arrow column: a sorted table is coded a run at a time instead of a row at a time.

What the values mean, and which codes they get, is the caller's business.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.compiled import in_place

Ints = npt.NDArray[np.int64]

_BLOCK = 64


class Runs(NamedTuple):
    """Stretches of equal neighbours.

    Attributes:
        ends: one past the last row of each run, rising; empty for an empty column.
        values: the value of each run. Neighbours can be equal where the column changes chunk.
    """

    ends: Ints
    values: pa.Array


@in_place
def _text_ends(offsets: npt.NDArray[np.int32], data: npt.NDArray[np.uint8], n: int, ends: Ints) -> int:
    """Write the end of each run of equal texts; returns their number.

    A block of rows of one length is one run exactly when the block's bytes
    repeat with that length, which is a single pass that the machine does in wide words.
    """
    count, i = 0, 1
    while i < n:
        length = offsets[i] - offsets[i - 1]
        stop = min(i + _BLOCK, n)
        uneven = 0
        for k in range(i, stop):
            uneven |= (offsets[k + 1] - offsets[k]) ^ length
        if uneven == 0:
            here, before = data[offsets[i] : offsets[stop]], data[offsets[i - 1] : offsets[stop - 1]]
            differ = np.uint8(0)
            for b in range(here.size):
                differ = np.uint8(differ | (here[b] ^ before[b]))
            if differ == 0:
                i = stop
                continue
        for k in range(i, stop):
            same = offsets[k + 1] - offsets[k] == offsets[k] - offsets[k - 1]
            if same:
                back = offsets[k] - offsets[k - 1]
                for b in range(offsets[k], offsets[k + 1]):
                    if data[b] != data[b - back]:
                        same = False
                        break
            if not same:
                ends[count] = k
                count += 1
        i = stop
    ends[count] = n
    return count + 1


def _runs_of_chunk(chunk: pa.Array) -> tuple[Ints, pa.Array]:
    if not pa.types.is_string(chunk.type) or chunk.null_count:
        if pa.types.is_integer(chunk.type) and not chunk.null_count:
            extremes = pc.min_max(chunk)
            if extremes["min"] == extremes["max"]:  # as bars of one length are
                return np.array([len(chunk)]), chunk[:1]
        encoded = pc.run_end_encode(chunk, run_end_type=pa.int64())
        return np.asarray(encoded.run_ends), encoded.values
    _, offsets, data = chunk.buffers()
    places = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
    found = np.empty(len(chunk), np.int64)
    letters = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    ends = found[: _text_ends(places, letters, len(chunk), found)].copy()
    return ends, chunk.take(pa.array(ends - 1))


def runs(column: pa.ChunkedArray) -> Runs:
    """The runs of a column.

    Args:
        column: texts or whole numbers; nulls are equal to each other and to nothing else.
    """
    ends: list[Ints] = [np.empty(0, np.int64)]
    values, before = [pa.array([], column.type)], 0
    for chunk in column.chunks:
        if len(chunk):
            ended, value = _runs_of_chunk(chunk)
            ends.append(ended + before)
            values.append(value)
            before += len(chunk)
    return Runs(np.concatenate(ends), pa.concat_arrays(values))
