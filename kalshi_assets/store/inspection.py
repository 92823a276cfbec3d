"""Data files read to their last page and held against what their log says of them.

What a reader would not notice is looked for as well: pages whose checksum is wrong, rows
that are there twice, rows that break a check of their table. Whether the content is what the
gates saw is not known here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from kalshi_assets.core.ordering import order_and_duplicate
from kalshi_assets.core.tables import TableSpec
from kalshi_assets.errors import StoreError, StoreUnreachable
from kalshi_assets.store.conform import first_breach, key_text, row_key, spec_of, stored_schema
from kalshi_assets.store.files import DataFile, Partition, opened, rows_in
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.workers import WORKERS

NOT_THERE, OTHER_SIZE = "is not there", "has another size"


@dataclass(frozen=True, slots=True)
class FileFault:
    """A data file that is not what it should be.

    Attributes:
        table: its table.
        file: as the log describes it.
        words: what is wrong with it.
    """

    table: str
    file: DataFile
    words: str


def absent_files(lake: Lake, name: str) -> list[FileFault]:
    """The files of a table's version that are gone or have another size than the log says; none is read.

    Raises:
        StoreError: the log is damaged.
    """
    files = lake.files(name)
    # One listing, because a bucket answers as slowly for a single file.
    there = lake.filesystem.get_file_info(pafs.FileSelector(name, recursive=True, allow_not_found=True))
    sizes = {info.path: info.size for info in there if info.type == pafs.FileType.File}
    faults = [FileFault(name, f, NOT_THERE) for f in files if f.path not in sizes]
    return faults + [
        FileFault(name, f, f"{OTHER_SIZE} ({sizes[f.path]:,} bytes, not {f.size:,})")
        for f in files
        if sizes.get(f.path, f.size) != f.size
    ]


def file_faults(lake: Lake, name: str, *, read: Callable[[int], None] = lambda _: None) -> list[FileFault]:
    """Every file of a table's version that is wrong, each with the first thing that is wrong with it.

    Args:
        lake: the lake.
        name: the table.
        read: told the bytes of each partition once it was read.

    Raises:
        StoreError: the log is damaged.
        StoreUnreachable: the bucket gives no answer.
    """
    spec = spec_of(name)
    absent = absent_files(lake, name)
    gone = {f.file.path for f in absent}
    partitions: dict[Partition, list[DataFile]] = defaultdict(list)
    for file in lake.files(name):
        if file.path not in gone:
            partitions[file.partition].append(file)

    def inspect(files: Sequence[DataFile]) -> list[FileFault]:
        found = _inspect_partition(spec, lake.filesystem, files)
        read(sum(f.size for f in files))
        return found

    with ThreadPoolExecutor(WORKERS) as pool:
        return [*absent, *(fault for found in pool.map(inspect, partitions.values()) for fault in found)]


def _inspect_partition(spec: TableSpec, filesystem: pafs.FileSystem, files: Sequence[DataFile]) -> list[FileFault]:
    faults: list[FileFault] = []
    whole: list[tuple[DataFile, pa.Table]] = []
    for file in files:
        try:
            rows = _rows(spec, filesystem, file)
        except StoreUnreachable:
            raise
        except (StoreError, OSError, pa.ArrowException) as error:
            faults.append(FileFault(spec.name, file, f"cannot be read ({_reason(error, file)})"))
            continue
        words = _unlike_log(spec, file, rows)
        if words is None:
            whole.append((file, rows.select(row_key(spec))))
        else:
            faults.append(FileFault(spec.name, file, words))
    return faults + _doubled(spec, whole)


def _rows(spec: TableSpec, filesystem: pafs.FileSystem, file: DataFile) -> pa.Table:
    """All rows of a file, every page checked."""
    with opened(spec, filesystem, file):
        pass
    with filesystem.open_input_file(file.path) as source:
        parquet = pq.ParquetFile(source, page_checksum_verification=True)
        rows = rows_in(spec, file, parquet, stored_schema(spec), None, threads=False)
    rows.validate(full=True)
    return rows


def _unlike_log(spec: TableSpec, file: DataFile, rows: pa.Table) -> str | None:
    for field in stored_schema(spec):
        if not field.nullable and rows.column(field.name).null_count:
            return f"has rows without {field.name}, which no row may lack"
    lead = spec.key[0]
    if file.key_low is not None and file.key_high is not None and lead not in spec.partition_by:
        bounds = pc.min_max(rows.column(lead))
        low, high = bounds["min"].as_py(), bounds["max"].as_py()
        if (low, high) != (file.key_low, file.key_high):
            return f"holds {lead} {low} to {high}, and its log says {file.key_low} to {file.key_high}"
    if rows.num_rows and file.first_known_at is not None and file.last_known_at is not None:
        times = pc.min_max(rows.column("known_at"))
        if times["min"].as_py() < file.first_known_at or times["max"].as_py() > file.last_known_at:
            return "holds rows that were known before or after the times that its log says"
    breach = first_breach(spec, rows)
    if breach is not None:
        check, row = breach
        return f"holds a row that breaks the check {check.name}, {key_text(spec, rows, row)}: {check.breach(rows, row)}"
    return None


def _doubled(spec: TableSpec, whole: Sequence[tuple[DataFile, pa.Table]]) -> list[FileFault]:
    """The files that hold a row whose key an earlier file of the partition, or the file itself, holds as well."""
    key = row_key(spec)
    if not whole or order_and_duplicate(pa.concat_tables([rows for _, rows in whole]), key)[1] is None:
        return []
    faults: list[FileFault] = []
    so_far: list[pa.Table] = []
    for file, rows in sorted(whole, key=lambda pair: pair[0].path):
        both = pa.concat_tables([*so_far, rows])
        row = order_and_duplicate(both, key)[1]
        if row is None:
            so_far.append(rows)
            continue
        which = ", ".join(f"{c} {both.column(c)[row].as_py()}" for c in key)
        faults.append(FileFault(spec.name, file, f"holds rows that are there twice ({which})"))
    return faults


def _reason(error: Exception, file: DataFile) -> str:
    """The inner words of a reader's sentence about a file."""
    text = next(iter(str(error).splitlines()), type(error).__name__)
    if "(" in text and "is not the one its log describes" in text:
        return text.partition("describes (")[2].partition(");")[0]
    return text.partition("cannot be read: ")[2].partition(". Write its")[0] or text.replace(file.path, "it").rstrip(
        "."
    )
