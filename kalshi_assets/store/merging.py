"""Stored rows against incoming rows: which partitions differ, and what a merge leaves.

Works on tables in hand (and on the stored files of a comparison); committing belongs to ``lake``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs

from kalshi_assets.core.ordering import packed_keys, sort_rows
from kalshi_assets.core.tables import TableSpec
from kalshi_assets.errors import RowsRefused, StoreError, StoreUnreachable
from kalshi_assets.store.arrangement import Arranged, file_order, grouped
from kalshi_assets.store.conform import row_key
from kalshi_assets.store.files import DataFile, Partition, read_files
from kalshi_assets.store.workers import WORKERS


def changed_partitions(
    spec: TableSpec, filesystem: pafs.FileSystem, content: Arranged, stored: Sequence[DataFile]
) -> list[Partition]:
    """Partitions whose stored content is not what comes in, sorted; a file that cannot be read differs."""
    files: dict[Partition, list[DataFile]] = defaultdict(list)
    for f in stored:
        files[f.partition].append(f)
    changed = {p for p in (*files, *content.ranges) if p not in files or p not in content.ranges}

    def differs(partition: Partition) -> bool:
        start, stop = content.ranges[partition]
        if sum(f.records or 0 for f in files[partition]) != stop - start:
            return True
        try:
            there = read_files(spec, filesystem, files[partition], columns=spec.schema.names)
        except StoreUnreachable:
            raise
        except StoreError:
            return True
        mine = content.of(partition)
        return not _same_content(spec, there, mine)

    candidates = sorted(content.ranges.keys() - changed)
    if candidates:
        with ThreadPoolExecutor(WORKERS) as pool:
            changed |= {p for p, different in zip(candidates, pool.map(differs, candidates), strict=True) if different}
    return sorted(changed)


def _same_content(spec: TableSpec, there: pa.Table, mine: pa.Table) -> bool:
    """Whether two tables of as many rows have the same rows; the second is in file order."""
    if there.equals(mine):
        return True
    if not there.select(spec.order).equals(mine.select(spec.order)):
        # Another engine wrote the file, or the rows differ.
        there = sort_rows(there, spec.order)
    return bool(there.equals(mine))


def merge_rows(
    spec: TableSpec, stored: pa.Table, incoming: pa.Table, *, may_rewrite: bool
) -> tuple[Arranged, list[Partition]]:
    """Stored rows with the incoming ones merged in.

    Args:
        spec: the table.
        stored: stored columns of the partitions that ``incoming`` touches.
        incoming: stored columns, unique by key.
        may_rewrite: False refuses a stored key with other content.

    Returns:
        The merged rows, and the sorted partitions that changed. Equal rows keep their stored bookkeeping.

    Raises:
        RowsRefused: ``may_rewrite`` is False and a stored row would change.
    """
    n = stored.num_rows
    both = pa.concat_tables([stored, incoming])
    keys = packed_keys(both, (*spec.partition_by, *row_key(spec)))
    order = np.lexsort(tuple(reversed(keys))) if keys else np.arange(both.num_rows)
    same_key = np.ones(len(order) - 1, dtype=np.bool_)
    for key in keys:
        same_key &= key[order][1:] == key[order][:-1]
    # lexsort is stable: of two rows with one key the stored one comes first.
    old, new = order[:-1][same_key], order[1:][same_key]
    rows = both.select(spec.schema.names)
    equal = _equal_rows(rows.take(pa.array(old)), rows.take(pa.array(new)))
    if not may_rewrite and not equal.all():
        row = int(old[np.flatnonzero(~equal)[0]])
        key_text = ", ".join(f"{c}={both.column(c)[row].as_py()}" for c in row_key(spec))
        raise RowsRefused(f"Table {spec.name} only grows, and its row ({key_text}) is there with other content.")
    keep = np.ones(both.num_rows, dtype=np.bool_)
    keep[new[equal]] = False
    keep[old[~equal]] = False
    added = keep.copy()
    added[:n] = False
    if not added.any():
        return Arranged(stored, {}), []
    columns = file_order(spec)
    changed = list(grouped(spec, sort_rows(both.filter(pa.array(added)), columns)).ranges)
    return grouped(spec, sort_rows(both.filter(pa.array(keep)), columns)), changed


def _equal_rows(left: pa.Table, right: pa.Table) -> npt.NDArray[np.bool_]:
    """Whether each row of ``left`` has the content of the same row of ``right``; null equals null."""
    equal = np.ones(left.num_rows, dtype=np.bool_)
    for name in left.column_names:
        x, y = left.column(name), right.column(name)
        if pa.types.is_list(x.type):
            same = np.array([u == v for u, v in zip(x.to_pylist(), y.to_pylist(), strict=True)], np.bool_)
        else:
            same = pc.or_(pc.fill_null(pc.equal(x, y), False), pc.and_(pc.is_null(x), pc.is_null(y))).to_numpy()
        equal &= same
    return equal
