"""The data files of one table version: which there are, what they hold, and reading them.

Partition values and statistics come from the Delta log, so choosing files costs
no file access. Versions, as-of rules and commits belong to ``lake``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from itertools import accumulate
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from kalshi_assets.core.tables import TableSpec
from kalshi_assets.errors import StoreError
from kalshi_assets.store.conform import stored_schema

Partition = tuple[Any, ...]

# parquet-rs cuts text statistics at 64 bytes; a bound that may have been cut is no bound.
_EXACT_STATISTIC = 64
_READERS = 4


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file of a table.

    Attributes:
        path: relative to the lake's root.
        partition: values of ``spec.partition_by``; empty for an unpartitioned table.
        size: bytes.
        records: number of rows as the log states it; None where it does not.
        first_known_at, last_known_at: range of ``known_at``, None where the log does not state it.
        key_low, key_high: range of the key's first column, None where it is not known exactly.
    """

    path: str
    partition: Partition
    size: int
    records: int | None
    first_known_at: datetime | None
    last_known_at: datetime | None
    key_low: str | None
    key_high: str | None

    def overlaps(self, other: DataFile) -> bool:
        """Whether both may hold rows of one key."""
        if self.key_low is None or self.key_high is None or other.key_low is None or other.key_high is None:
            return True
        return self.key_low <= other.key_high and other.key_low <= self.key_high


def list_files(spec: TableSpec, actions: pa.Table) -> list[DataFile]:
    """The files that a table version consists of, from the flattened add actions of its log.

    The log holds paths as URLs: a character escaped in a folder's name is escaped twice there.
    """
    count = actions.num_rows

    def column(name: str) -> list[Any]:
        return actions.column(name).to_pylist() if name in actions.column_names else [None] * count

    lead = spec.key[0]
    partitions = zip(*(column(f"partition.{c}") for c in spec.partition_by), strict=True)
    return [
        DataFile(f"{spec.name}/{unquote(path)}", partition, size, records, first, last, _exact(low), _exact(high))
        for path, partition, size, records, first, last, low, high in zip(
            column("path"),
            partitions if spec.partition_by else [()] * count,
            column("size_bytes"),
            column("num_records"),
            column("min.known_at"),
            column("max.known_at"),
            column(f"min.{lead}"),
            column(f"max.{lead}"),
            strict=True,
        )
    ]


def in_scope(
    spec: TableSpec, files: Sequence[DataFile], event_dates: Sequence[date] | None, series: Sequence[str] | None
) -> list[DataFile]:
    """The files whose partition is among the given values; a column that is no partition does not restrict."""
    wanted = {"event_date": event_dates, "series_ticker": series}
    tests = [(i, frozenset(chosen)) for i, c in enumerate(spec.partition_by) if (chosen := wanted[c]) is not None]
    return [f for f in files if all(f.partition[i] in chosen for i, chosen in tests)]


def rivals(chosen: Sequence[DataFile], others: Sequence[DataFile]) -> list[DataFile]:
    """Those of ``others`` that may hold another version of a key in ``chosen``."""
    if not chosen or not others:
        return []
    if any(f.key_low is None or f.key_high is None for f in chosen):
        return list(others)
    spans = sorted((f.key_low or "", f.key_high or "") for f in chosen)
    lows = [low for low, _ in spans]
    reach = list(accumulate((high for _, high in spans), max))
    return [
        f
        for f in others
        if f.key_low is None
        or f.key_high is None
        or ((i := bisect_right(lows, f.key_high)) > 0 and reach[i - 1] >= f.key_low)
    ]


def split_by_rivalry(files: Sequence[DataFile]) -> tuple[list[DataFile], list[DataFile]]:
    """Files that share no key with any other file, and the rest."""
    if any(f.key_low is None or f.key_high is None for f in files):
        return ([], list(files)) if len(files) > 1 else (list(files), [])
    ordered = sorted(files, key=lambda f: (f.key_low or "", f.key_high or ""))
    reach = ["", *accumulate((f.key_high or "" for f in ordered), max)]
    alone: list[DataFile] = []
    shared: list[DataFile] = []
    for i, f in enumerate(ordered):
        before = i > 0 and reach[i] >= (f.key_low or "")
        after = i + 1 < len(ordered) and (ordered[i + 1].key_low or "") <= (f.key_high or "")
        (shared if before or after else alone).append(f)
    return alone, shared


def read_files(
    spec: TableSpec,
    filesystem: pafs.FileSystem,
    files: Sequence[DataFile],
    *,
    columns: Sequence[str],
    as_of: datetime | None = None,
) -> pa.Table:
    """Rows of the files with ``known_at <= as_of``, in file order.

    Args:
        spec: the table.
        filesystem: rooted at the lake.
        files: what to read.
        columns: stored columns wanted, partition columns among them.
        as_of: the cut; None reads every row.

    Raises:
        StoreError: a file is missing, damaged, or not as the log describes it.
    """
    schema = stored_schema(spec)
    target = pa.schema([schema.field(c) for c in columns])
    alive = [f for f in files if as_of is None or f.first_known_at is None or f.first_known_at <= as_of]
    if len(alive) > 1:
        with ThreadPoolExecutor(_READERS) as pool:
            parts = list(pool.map(lambda f: _read(spec, filesystem, f, target, as_of), alive))
    else:
        parts = [_read(spec, filesystem, f, target, as_of) for f in alive]
    return pa.concat_tables(parts) if parts else target.empty_table()


def dataset_of(spec: TableSpec, filesystem: pafs.FileSystem, files: Sequence[DataFile]) -> ds.Dataset:
    """A lazy scan over the files with typed partition columns; only what a query needs is read.

    Raises:
        StoreError: a local file is missing or has another size than its log says. A scan fills a
            column that a file lacks with nulls, so an exchanged file must be found before.
    """
    if isinstance(filesystem, pafs.SubTreeFileSystem):
        for f, info in zip(files, filesystem.get_file_info([f.path for f in files]), strict=True):
            if info.size != f.size:
                raise _not_as_logged(
                    spec, f, "no such file" if info.size is None else f"{info.size} bytes, not {f.size}"
                )
    parquet = ds.ParquetFileFormat()
    fragments = []
    for f in files:
        known = [ds.field(c) == pa.scalar(v) for c, v in zip(spec.partition_by, f.partition, strict=True)]
        expression = known[0] if known else None
        for more in known[1:]:
            expression = expression & more
        fragments.append(parquet.make_fragment(f.path, filesystem=filesystem, partition_expression=expression))
    return ds.FileSystemDataset(fragments, stored_schema(spec), parquet, filesystem)


def _read(
    spec: TableSpec, filesystem: pafs.FileSystem, file: DataFile, target: pa.Schema, as_of: datetime | None
) -> pa.Table:
    cut = as_of is not None and (file.last_known_at is None or file.last_known_at > as_of)
    in_file = [c for c in target.names if c not in spec.partition_by]
    wanted = [*in_file, *(("known_at",) if cut and "known_at" not in in_file else ())]
    try:
        with filesystem.open_input_file(file.path) as source:
            parquet = pq.ParquetFile(source)
            table = parquet.read(columns=wanted, use_threads=False)
            count = parquet.metadata.num_rows
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"The data file {file.path} of table {spec.name} cannot be read: {str(error).splitlines()[0]}. "
            "Write its partition anew or restore the lake from a copy."
        ) from error
    missing = set(wanted) - set(table.column_names)
    if missing or (file.records is not None and count != file.records):
        odd = f"no column {min(missing)}" if missing else f"{count} rows, not {file.records}"
        raise _not_as_logged(spec, file, odd)
    values = dict(zip(spec.partition_by, file.partition, strict=True))
    arrays = [
        table.column(f.name) if f.name in in_file else pa.repeat(pa.scalar(values[f.name], f.type), table.num_rows)
        for f in target
    ]
    rows = pa.table(arrays, names=target.names).cast(target)
    return rows.filter(pc.less_equal(table.column("known_at"), pa.scalar(as_of))) if cut else rows


def _not_as_logged(spec: TableSpec, file: DataFile, odd: str) -> StoreError:
    return StoreError(
        f"The data file {file.path} of table {spec.name} is not the one its log describes ({odd}); "
        "write its partition anew or restore the lake from a copy."
    )


def _exact(bound: object) -> str | None:
    return bound if isinstance(bound, str) and len(bound.encode()) < _EXACT_STATISTIC else None
