"""Rows of one write by partition: which partition each row is in, the order inside its file, and unique keys.

Rows that come in file order stay where they are, and others are moved partition by
partition when their file is written, so the table is never copied whole. Types and
nulls were settled by ``conform``; comparing and committing belong to ``lake``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.ordering import first_duplicate, order_and_duplicate, packed_keys, runs, sort_permutation
from kalshi_assets.core.tables import TableSpec
from kalshi_assets.errors import RowsRefused
from kalshi_assets.store.conform import conform, key_text, row_key
from kalshi_assets.store.files import Partition
from kalshi_assets.store.workers import WORKERS

_Rows = npt.NDArray[np.int64]

# Enough rows that calls do not count, and few enough that keys of a block stay in the cache.
_BLOCK_ROWS = 262_144


@dataclass(frozen=True, slots=True)
class Arranged:
    """Rows that fit their table, by partition.

    Attributes:
        rows: the declared columns.
        ranges: half-open range of each partition in file order, partitions ascending.
        order: row numbers in file order; None where ``rows`` are in it.
    """

    rows: pa.Table
    ranges: Mapping[Partition, tuple[int, int]]
    order: _Rows | None = None

    def of(self, partition: Partition) -> pa.Table:
        """The partition's rows in file order; none where it has none."""
        start, stop = self.ranges.get(partition, (0, 0))
        return _part(self.rows, self.order, start, stop)


def arrange(spec: TableSpec, rows: pa.Table) -> Arranged:
    """Check that rows fit their table, and find each partition's rows.

    Raises:
        RowsRefused: as ``conform`` does, for an empty text in a partition column, or for one key twice.
    """
    table = conform(spec, rows)
    ranges, order = _grouped(spec, table)
    for partition in ranges:
        if "" in partition:
            column = spec.partition_by[partition.index("")]
            raise RowsRefused(f"Column {spec.name}.{column} holds an empty text; a partition needs a name.")
    blocks = _blocks([stop for _, stop in ranges.values()])
    if len(blocks) > 1:
        with ThreadPoolExecutor(WORKERS) as pool:
            found = list(pool.map(lambda block: _in_file_order(spec, table, order, *block), blocks))
    else:
        found = [_in_file_order(spec, table, order, *block) for block in blocks]
    if any(inner is not None for inner in found):
        order = np.arange(table.num_rows) if order is None else order
        for (start, stop), inner in zip(blocks, found, strict=True):
            if inner is not None:
                order[start:stop] = order[start:stop][inner]
    arranged = Arranged(_takeable(table, ranges, order), ranges, order)
    _require_unique(spec, arranged)
    return arranged


def grouped(spec: TableSpec, rows: pa.Table) -> Arranged:
    """Rows that are in file order already, by partition; they may have more columns than are declared."""
    return Arranged(rows, _grouped(spec, rows)[0])


def file_order(spec: TableSpec) -> tuple[str, ...]:
    """Columns by which the rows of all files of a table are sorted: the partition, then ``spec.order``."""
    return (*spec.partition_by, *(c for c in spec.order if c not in spec.partition_by))


def _grouped(spec: TableSpec, table: pa.Table) -> tuple[dict[Partition, tuple[int, int]], _Rows | None]:
    """Ranges of the partitions, and the permutation that brings each one's rows together; None where they are."""
    n = table.num_rows
    if not n:
        return {}, None
    if not spec.partition_by:
        return {(): (0, n)}, None
    by_column = [runs(table.column(name)) for name in spec.partition_by]
    starts: _Rows = np.unique(np.concatenate([s for s, _ in by_column]))
    values = pa.table(
        [words.take(pa.array(np.searchsorted(s, starts, "right") - 1)) for s, words in by_column],
        names=list(spec.partition_by),
    )
    keys, lengths, moved = packed_keys(values, spec.partition_by), np.diff(starts, append=n), None
    by_partition = sort_permutation(values, spec.partition_by)
    if by_partition is not None:
        starts, lengths, keys = starts[by_partition], lengths[by_partition], [key[by_partition] for key in keys]
        values = values.take(pa.array(by_partition))
        moved = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(n)
    first = np.ones(len(lengths), np.bool_)
    first[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0) if keys else False
    bounds = [*(np.cumsum(lengths) - lengths)[first].tolist(), n]
    names = values.filter(pa.array(first)).to_pylist()
    partitions = [tuple(name[c] for c in spec.partition_by) for name in names]
    return dict(zip(partitions, pairwise(bounds), strict=True)), moved


def _blocks(stops: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges of whole partitions with enough rows each."""
    blocks, start = [], 0
    for i, stop in enumerate(stops):
        if stop - start >= _BLOCK_ROWS or i + 1 == len(stops):
            blocks.append((start, stop))
            start = stop
    return blocks


def _in_file_order(spec: TableSpec, table: pa.Table, order: _Rows | None, start: int, stop: int) -> _Rows | None:
    """Permutation of a block's rows into file order, None where they are; a row that repeats its place is refused.

    The order of every table holds its key, so two rows with one place have one key.
    """
    columns = file_order(spec)
    block = _part(table.select(columns), order, start, stop)
    inner, duplicate = order_and_duplicate(block, columns)
    if duplicate is not None:
        row = start + duplicate
        raise _repeated(spec, table, row if order is None else int(order[row]))
    return inner


def _require_unique(spec: TableSpec, arranged: Arranged) -> None:
    """Refuse a key that occurs twice where the order inside a partition does not show it."""
    key, columns = row_key(spec), set(file_order(spec))
    rows: pa.Table = arranged.rows.select(key)
    shown = columns - set(spec.partition_by) <= set(key)
    if shown and (set(spec.partition_by) <= set(key) or len(arranged.ranges) < 2):
        return
    if shown and spec.order[0] in key:
        # In file order equal keys of one partition are neighbours, and were seen. Equal keys of two
        # partitions share the first column of the order, which is a contract or an event: few values.
        lead = _lead_by_partition(arranged, spec.order[0])
        counts = pc.value_counts(lead)
        shared = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        if not len(shared):
            return
        numbers = pc.indices_nonzero(pc.is_in(rows.column(spec.order[0]), value_set=shared))
        duplicate = first_duplicate(rows.take(numbers), key)
        duplicate = None if duplicate is None else numbers[duplicate].as_py()
    else:
        duplicate = first_duplicate(rows, key)
    if duplicate is not None:
        raise _repeated(spec, arranged.rows, duplicate)


def _lead_by_partition(arranged: Arranged, name: str) -> pa.ChunkedArray:
    """The distinct values of the order's first column in each partition, partition after partition."""
    column = arranged.rows.select([name])
    parts = []
    for start, stop in _blocks([stop for _, stop in arranged.ranges.values()]):
        lead = _part(column, arranged.order, start, stop).column(0)
        starts, words = runs(lead)
        inside = [a for a, _ in arranged.ranges.values() if start <= a < stop]
        both = np.unique(np.concatenate((starts, np.array(inside, np.int64) - start)))
        steps = words.take(pa.array(np.searchsorted(starts, both, "right") - 1))
        # A chunk's first row starts a run without being another value.
        again = pc.equal(steps[1:], steps[:-1]).to_numpy() if len(steps) > 1 else np.zeros(0, np.bool_)
        keep = np.append(True, ~again | np.isin(both[1:], np.array(inside, np.int64) - start))
        parts += steps.filter(pa.array(keep)).chunks
    return pa.chunked_array(parts, column.schema.field(0).type)


def _part(table: pa.Table, order: _Rows | None, start: int, stop: int) -> pa.Table:
    """Rows ``start`` to ``stop`` in some order."""
    if order is None:
        return table.slice(start, stop - start)
    rows = order[start:stop]
    if not len(rows):
        return table.slice(0, 0)
    # Arrow joins all chunks that a take could touch: only those between the first and the last row may count.
    low, high = int(rows.min()), int(rows.max())
    near = table.slice(low, high - low + 1)
    return near if len(rows) == near.num_rows and (np.diff(rows) == 1).all() else near.take(pa.array(rows - low))


def _takeable(table: pa.Table, ranges: Mapping[Partition, tuple[int, int]], order: _Rows | None) -> pa.Table:
    """The table in one piece where partitions are scattered over chunks, which would be joined for each of them."""
    if order is None or table.num_columns == 0 or table.column(0).num_chunks < 2:
        return table
    reach = sum(int(np.ptp(order[a:b])) + 1 for a, b in ranges.values())
    return table.combine_chunks() if reach > 2 * table.num_rows else table


def _repeated(spec: TableSpec, rows: pa.Table, row: int) -> RowsRefused:
    return RowsRefused(f"Rows for table {spec.name} repeat the key {key_text(spec, rows, row)}; give one row a key.")
