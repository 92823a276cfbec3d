"""Data files: the rows of one partition as one Parquet file, and what the log says about it.

Encodings go by type alone. Texts and prices take few values and become dictionaries;
times, counts and integers grow in small steps and become differences. That is half
the work and half the bytes of Parquet's defaults, for the writer and for every reader.
Only columns that files and row groups are chosen by have statistics.
Which rows are written, and the commit that makes them count, belong to ``lake`` and ``commits``.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from kalshi_assets.core.ordering import sort_codes
from kalshi_assets.core.tables import PRICE, TableSpec
from kalshi_assets.store.conform import stored_schema
from kalshi_assets.store.files import EXACT_STATISTIC_BYTES, Partition

# A few contracts: the statistics of a row group then tell one from another, and a lookup of few reads little.
ROW_GROUP_ROWS = 16_384
# In a file's foot: rows are in file order, and ``ts`` never falls from one row of a name to the next.
TS_RISES = b"ts_rises"
# Its value where no two rows of a name have the same ``ts`` either.
STRICTLY = b"strictly"
# With fewer rows there is nothing left to compress in what the encodings leave.
_WORTH_COMPRESSING = 2_048
_CODEC: dict[str, Any] = {"compression": "zstd", "compression_level": 1}
_NO_CODEC: dict[str, Any] = {"compression": "none"}
_BUFFER_BYTES = 65_536
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class NewFile:
    """A data file that no version names yet.

    Attributes:
        path: relative to the lake's root.
        partition: values of ``spec.partition_by``.
        size: bytes.
        rows: number of rows.
        statistics: Delta's JSON of row count, and of least and greatest values of the required columns.
    """

    path: str
    partition: Partition
    size: int
    rows: int
    statistics: str


class Encoder:
    """Writes data files of one table.

    Args:
        spec: the table.
        filesystem: rooted at the lake.
    """

    def __init__(self, spec: TableSpec, filesystem: pafs.FileSystem) -> None:
        self._spec = spec
        self._filesystem = filesystem
        fields = [f for f in stored_schema(spec) if f.name not in spec.partition_by]
        self._columns = [f.name for f in fields]
        # No column has two leaves, so a column's place in the file is its place in the schema.
        self._bounded = [(i, f) for i, f in enumerate(fields) if f.name in spec.schema.names and _bounded(f)]
        self._properties = _properties(fields, [f.name for _, f in self._bounded])

    def write(self, partition: Partition, rows: pa.Table) -> NewFile:
        """Write rows of one partition as a file of their own.

        Args:
            partition: values of ``spec.partition_by``.
            rows: stored columns in file order, at least one row.

        Raises:
            OSError: the file cannot be written.
        """
        body = rows.select(self._columns)
        target = pa.BufferOutputStream()
        footers: list[pq.FileMetaData] = []
        codec = _NO_CODEC if rows.num_rows < _WORTH_COMPRESSING else _CODEC
        with pq.ParquetWriter(target, body.schema, metadata_collector=footers, **codec, **self._properties) as writer:
            writer.write_table(body, row_group_size=ROW_GROUP_ROWS)
            writer.add_key_value_metadata(self._rise(rows))
        content = target.getvalue()
        folders = [f"{c}={quote(str(v), safe='')}" for c, v in zip(self._spec.partition_by, partition, strict=True)]
        folder = "/".join([self._spec.name, *folders])
        path = f"{folder}/part-00000-{uuid.uuid4()}-c000.parquet"
        self._filesystem.create_dir(folder, recursive=True)
        # Buffered, because delta-rs's object-store stream takes bytes and no Arrow buffers.
        with self._filesystem.open_output_stream(path, buffer_size=_BUFFER_BYTES) as sink:
            sink.write(content)
        return NewFile(path, partition, content.size, rows.num_rows, self._statistics(footers[0]))

    def _rise(self, rows: pa.Table) -> dict[bytes, bytes]:
        """What the foot says of ``ts``, given rows in file order."""
        ts = sort_codes(rows.column("ts"))
        stays = np.flatnonzero(ts[1:] <= ts[:-1]) + 1
        names = rows.column(self._spec.order[0])
        same = pc.equal(names.take(pa.array(stays)), names.take(pa.array(stays - 1))).to_numpy()
        if not same.any():
            return {TS_RISES: STRICTLY}
        within = stays[same]
        return {} if (ts[within] < ts[within - 1]).any() else {TS_RISES: b"true"}

    def _statistics(self, footer: pq.FileMetaData) -> str:
        """What the log says of a file: enough to choose files by contract and time without opening one."""
        low: dict[str, int | str] = {}
        high: dict[str, int | str] = {}
        groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
        for place, field in self._bounded:
            bounds = [group.column(place).statistics for group in groups]
            if not all(b is not None and b.has_min_max for b in bounds):
                continue
            least, most = min(b.min_raw for b in bounds), max(b.max_raw for b in bounds)
            if isinstance(least, int) or max(len(least), len(most)) < EXACT_STATISTIC_BYTES:
                low[field.name], high[field.name] = _text(field.type, least), _text(field.type, most)
        nulls = dict.fromkeys(low, 0)
        return json.dumps({"numRecords": footer.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls})


def _properties(fields: Sequence[pa.Field], bounded: Sequence[str]) -> Mapping[str, Any]:
    """How the columns of a file are encoded, and which have statistics."""
    differences = {f.name: "DELTA_BINARY_PACKED" for f in fields if _grows(f.type)}
    return {
        "store_decimal_as_integer": True,
        "use_dictionary": [f.name for f in fields if f.name not in differences],
        "column_encoding": differences,
        "write_statistics": list(bounded),
        # So that a flipped bit which still decodes is found (``inspection``).
        "write_page_checksum": True,
        # The columns' types are the log's to say; a dictionary of ours must not come back as one.
        "store_schema": False,
    }


def _grows(kind: pa.DataType) -> bool:
    small = pa.types.is_decimal128(kind) and PRICE.precision < kind.precision <= 18
    return bool(small or pa.types.is_integer(kind) or pa.types.is_timestamp(kind) or pa.types.is_date32(kind))


def _bounded(field: pa.Field) -> bool:
    """Whether the log gets a column's least and greatest value."""
    kind = field.type
    simple = pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_timestamp(kind)
    return not field.nullable and bool(simple or pa.types.is_date32(kind))


def _text(kind: pa.DataType, raw: Any) -> int | str:
    """A Parquet statistic as Delta writes it."""
    if pa.types.is_timestamp(kind):
        return (_EPOCH + timedelta(microseconds=raw)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if pa.types.is_date32(kind):
        return (_EPOCH.date() + timedelta(days=raw)).isoformat()
    return int(raw) if pa.types.is_integer(kind) else str(raw, "utf-8")
