"""The data files of one table version: which there are, what they hold, and reading them.

Partition values and statistics come from the Delta log, so choosing files costs
no file access. Versions, as-of rules and commits belong to ``lake``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
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
from kalshi_assets.store.conform import STAMPS, stored_schema
from kalshi_assets.store.workers import WORKERS

Partition = tuple[Any, ...]

# parquet-rs cuts text statistics at 64 bytes; a bound that may have been cut is no bound.
EXACT_STATISTIC_BYTES = 64
# delta-rs cuts the times of the log's statistics to milliseconds, downwards.
_CUT = timedelta(microseconds=999)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file of a table.

    Attributes:
        path: relative to the lake's root.
        partition: values of ``spec.partition_by``; empty for an unpartitioned table.
        size: bytes.
        records: number of rows as the log states it; None where it does not.
        first_known_at, last_known_at: no row was known before or after, None where the log does not state it.
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
    lead = spec.key[0]

    def column(name: str) -> list[Any]:
        return actions.column(name).to_pylist() if name in actions.column_names else [None] * count

    def moments(name: str) -> list[datetime | None]:
        # Arrow's own conversion of times with a zone takes ten times as long.
        if name not in actions.column_names:
            return [None] * count
        micros = actions.column(name).cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
        return [None if m is None else _EPOCH + timedelta(microseconds=m) for m in micros]

    values = [column(f"partition.{c}") for c in spec.partition_by]
    return [
        DataFile(
            path=f"{spec.name}/{unquote(path)}",
            partition=partition,
            size=size,
            records=records,
            first_known_at=first,
            last_known_at=None if last is None else last + _CUT,
            key_low=_exact(low),
            key_high=_exact(high),
        )
        for path, partition, size, records, first, last, low, high in zip(
            column("path"),
            zip(*values, strict=True) if values else [()] * count,
            column("size_bytes"),
            column("num_records"),
            moments("min.known_at"),
            moments("max.known_at"),
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


def key_clusters(files: Sequence[DataFile]) -> list[list[DataFile]]:
    """Groups of files such that no key is in two groups, in the order of the keys."""
    if any(f.key_low is None or f.key_high is None for f in files):
        return [list(files)]
    clusters: list[list[DataFile]] = []
    reach = ""
    for f in sorted(files, key=lambda f: (f.key_low or "", f.path)):
        low, high = f.key_low or "", f.key_high or ""
        if clusters and low <= reach:
            clusters[-1].append(f)
            reach = max(reach, high)
        else:
            clusters.append([f])
            reach = high
    return clusters


def split_by_rivalry(files: Sequence[DataFile]) -> tuple[list[DataFile], list[DataFile]]:
    """Files that share no key with any other file, and the rest."""
    clusters = key_clusters(files)
    return [f for c in clusters if len(c) == 1 for f in c], [f for c in clusters if len(c) > 1 for f in c]


def read_files(
    spec: TableSpec,
    filesystem: pafs.FileSystem,
    files: Sequence[DataFile],
    *,
    columns: Sequence[str],
    as_of: datetime | None = None,
    coded: Sequence[str] = (),
) -> pa.Table:
    """Rows of the files with ``known_at <= as_of``, in file order.

    Args:
        spec: the table.
        filesystem: rooted at the lake.
        files: what to read.
        columns: stored columns wanted, partition columns among them.
        as_of: the cut; None reads every row.
        coded: text columns that may stay dictionaries, as they are in the file.

    Raises:
        StoreError: a file is missing, damaged, or not as the log describes it.
    """
    schema = stored_schema(spec)
    target = pa.schema(
        [schema.field(c).with_type(pa.dictionary(pa.int32(), pa.string())) if c in coded else schema.field(c)
         for c in columns]
    )  # fmt: skip
    alive = [f for f in files if as_of is None or f.first_known_at is None or f.first_known_at <= as_of]
    if len(alive) > 1:
        with ThreadPoolExecutor(WORKERS) as pool:
            parts = list(pool.map(lambda f: _read(spec, filesystem, f, target, as_of), alive))
    else:
        # A bucket's bytes belong to the interpreter, and an Arrow thread that lets go of them while it ends aborts it.
        local = isinstance(filesystem, pafs.SubTreeFileSystem)
        parts = [_read(spec, filesystem, f, target, as_of, threads=local) for f in alive]
    return pa.concat_tables(parts) if parts else target.empty_table()


def dataset_of(spec: TableSpec, filesystem: pafs.FileSystem, files: Sequence[DataFile]) -> ds.Dataset:
    """A lazy scan over the files with typed partition columns; only what a query needs is read.

    Raises:
        StoreError: a local file is missing or has another size than its log says. A scan fills a
            column that a file lacks with nulls, so an exchanged file must be found before.
    """
    if isinstance(filesystem, pafs.SubTreeFileSystem) and isinstance(filesystem.base_fs, pafs.LocalFileSystem):
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
        fragments.append(
            parquet.make_fragment(f.path, filesystem=filesystem, partition_expression=expression, file_size=f.size)
        )
    return ds.FileSystemDataset(fragments, stored_schema(spec), parquet, filesystem)


def _read(
    spec: TableSpec,
    filesystem: pafs.FileSystem,
    file: DataFile,
    target: pa.Schema,
    as_of: datetime | None,
    *,
    threads: bool = False,
) -> pa.Table:
    coded = [f.name for f in target if pa.types.is_dictionary(f.type) and f.name not in spec.partition_by]
    with opened(spec, filesystem, file, coded) as parquet:
        return rows_in(spec, file, parquet, target, as_of, threads=threads)


@contextmanager
def opened(
    spec: TableSpec, filesystem: pafs.FileSystem, file: DataFile, coded: Sequence[str] = ()
) -> Iterator[pq.ParquetFile]:
    """A data file that is what the log says; failures inside the block are said to be the file's.

    Args:
        spec: the table.
        filesystem: rooted at the lake.
        file: as the log describes it.
        coded: text columns that are to stay dictionaries.

    Raises:
        StoreError: the file is missing, damaged, or not as the log describes it.
    """
    try:
        with filesystem.open_input_file(file.path) as source:
            try:
                parquet = pq.ParquetFile(source, read_dictionary=coded)
            except KeyError:
                # One of the coded columns is missing; which one is said below.
                parquet = pq.ParquetFile(source)
            missing = {*spec.schema.names, *STAMPS} - {*spec.partition_by, *parquet.schema_arrow.names}
            if missing:
                raise _not_as_logged(spec, file, f"no column {min(missing)}")
            if file.records is not None and parquet.metadata.num_rows != file.records:
                raise _not_as_logged(spec, file, f"{parquet.metadata.num_rows} rows, not {file.records}")
            yield parquet
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"The data file {file.path} of table {spec.name} cannot be read: {str(error).splitlines()[0]}. "
            "Write its partition anew or restore the lake from a copy."
        ) from error


def rows_in(
    spec: TableSpec,
    file: DataFile,
    parquet: pq.ParquetFile,
    target: pa.Schema,
    as_of: datetime | None,
    *,
    threads: bool,
) -> pa.Table:
    """Rows of an opened file with ``known_at <= as_of`` and the columns of ``target``."""
    cut = as_of is not None and (file.last_known_at is None or file.last_known_at > as_of)
    in_file = [c for c in target.names if c not in spec.partition_by]
    wanted = [*in_file, *(("known_at",) if cut and "known_at" not in in_file else ())]
    table = parquet.read(columns=wanted, use_threads=threads)
    values = dict(zip(spec.partition_by, file.partition, strict=True))
    arrays = [
        table.column(f.name).cast(f.type) if f.name in in_file else constant(f.type, values[f.name], table.num_rows)
        for f in target
    ]
    rows = pa.table(arrays, schema=target)
    return rows.filter(pc.less_equal(table.column("known_at"), pa.scalar(as_of))) if cut else rows


def constant(kind: pa.DataType, value: object, n: int) -> pa.Array:
    """One value ``n`` times: what a file leaves to its folder's name."""
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(
            pa.repeat(pa.scalar(0, pa.int32()), n), pa.array([value], kind.value_type)
        )
    return pa.repeat(pa.scalar(value, kind), n)


def _not_as_logged(spec: TableSpec, file: DataFile, odd: str) -> StoreError:
    return StoreError(
        f"The data file {file.path} of table {spec.name} is not the one its log describes ({odd}); "
        "write its partition anew or restore the lake from a copy."
    )


def _exact(bound: object) -> str | None:
    return bound if isinstance(bound, str) and len(bound.encode()) < EXACT_STATISTIC_BYTES else None
