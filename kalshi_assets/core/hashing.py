"""Identity of content: a canonical JSON text, and hashes of table rows.

Two tables with the same rows have the same hash, whatever the order of their
rows, their chunks, encodings, file layout or bookkeeping columns. Reading
tables and comparing evidence belong to the store and to the stages.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.ordering import order_and_duplicate, runs
from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import DomainError

_EPOCH = date(1970, 1, 1).toordinal()


def canonical_json(value: object) -> str:
    """One JSON text for one value: sorted keys, no spaces, times in UTC.

    Args:
        value: nested mappings with string keys, sequences, text, numbers, booleans, None, dates,
            time-zone-aware datetimes and decimals (written as text without trailing zeros).

    Raises:
        DomainError: a NaN or infinity, a naive datetime, or a type with no canonical text.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def hash_json(value: object) -> str:
    """SHA-256 (hex) of ``canonical_json(value)``."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def content_hash_of(name: str, table: pa.Table) -> dict[date | None, str]:
    """Hash of the content of each event date of a table in hand.

    Every content column counts, bookkeeping columns do not. Null differs from NaN and from
    zero; every NaN is one value, and −0.0 is 0.0. An optional column that is null in all rows
    of a date counts as absent, so an added column leaves old hashes alone.

    Args:
        name: the table's name in ``core.tables``.
        table: rows in any order and layout; absent optional columns are null.

    Returns:
        SHA-256 (hex) by event date for tables that are partitioned by it; one hash under None for
        the other tables (also when they are empty). A date without rows has no entry.

    Raises:
        DomainError: unknown table, missing or extra column, a lossy cast, or two rows with one key.
    """
    spec = TABLES.get(name)
    if spec is None:
        raise DomainError(f"There is no table {name!r}; the tables are: {', '.join(TABLES)}.")
    by_date = "event_date" in spec.partition_by
    order = (*(("event_date",) if by_date else ()), *(c for c in spec.order if c != "event_date"))
    rows = _content(name, spec.schema, table)
    permutation, duplicate = order_and_duplicate(rows, order)
    if duplicate is not None:
        key = {c: str(rows.column(c)[duplicate].as_py()) for c in order}
        raise DomainError(f"Table {name} has two rows with the key {key}; a hash needs one row a key.")
    columns = [(field, _encode(rows.column(field.name), permutation)) for field in spec.schema]
    days = columns[spec.schema.get_field_index("event_date")][1].values if by_date else None
    hashes: dict[date | None, str] = {}
    for day, start, stop in _ranges(rows.num_rows, days):
        digest = hashlib.sha256(f"{name}:{stop - start}".encode())
        for field, column in columns:
            if not column.all_null(start, stop):
                digest.update(f"|{field.name}:{field.type}:".encode())
                column.feed(digest, start, stop)
        hashes[day] = digest.hexdigest()
    return hashes


def _plain(value: object) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DomainError(f"{value} has no canonical JSON text; use null for a missing number.")
        return value + 0.0
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise DomainError(f"The time {value} has no time zone; give it in UTC.")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal) and value.is_finite():
        return f"{value.normalize() + 0:f}"
    if isinstance(value, Mapping) and all(isinstance(k, str) for k in value):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_plain(v) for v in value]
    raise DomainError(f"A value of type {type(value).__name__} has no canonical JSON text.")


def _content(name: str, schema: pa.Schema, table: pa.Table) -> pa.Table:
    """The table's content columns, each of its declared type, absent optional ones as null."""
    columns = []
    for field in schema:
        if field.name in table.column_names:
            column = table.column(field.name)
            try:
                fits = column.type == field.type or column.type == _coded(field.type)
                columns.append(column if fits else column.cast(field.type))
            except pa.ArrowException as error:
                raise DomainError(f"Column {name}.{field.name} is not {field.type}: {error}.") from error
        elif field.nullable:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
        else:
            raise DomainError(f"Table {name} lacks its column {field.name}.")
    return pa.table(columns, names=schema.names)


def _coded(kind: pa.DataType) -> pa.DataType | None:
    """The dictionary type of a text column; None for other types."""
    return pa.dictionary(pa.int32(), kind) if pa.types.is_string(kind) else None


def _ranges(n: int, days: npt.NDArray[Any] | None) -> list[tuple[date | None, int, int]]:
    """Half-open row ranges of each event date, given as sorted days since 1970; None is one range."""
    if days is None:
        return [(None, 0, n)]
    if n == 0:
        return []
    starts = np.append(0, np.flatnonzero(days[1:] != days[:-1]) + 1)
    stops = np.append(starts[1:], n)
    return [(date.fromordinal(_EPOCH + int(days[a])), int(a), int(b)) for a, b in zip(starts, stops, strict=True)]


@dataclass(frozen=True, slots=True)
class _Column:
    """A column as buffers with no layout left in them.

    Attributes:
        null: True where the value is missing; None when no value is.
        values: one entry a row (numbers, ranks of strings, or list lengths), zero where missing.
        words: the strings that the ranks stand for, in order; None for numbers and lists.
        items: the flattened items of a list column.
        ends: cumulative list lengths, starting with zero.
    """

    null: npt.NDArray[np.bool_] | None
    values: npt.NDArray[Any]
    words: pa.Array | None = None
    items: _Column | None = None
    ends: npt.NDArray[np.int64] | None = None

    def all_null(self, start: int, stop: int) -> bool:
        return self.null is not None and bool(self.null[start:stop].all()) and stop > start

    def feed(self, digest: Any, start: int, stop: int) -> None:
        null = None if self.null is None else self.null[start:stop]
        if null is not None and null.any():
            digest.update(b"N")
            digest.update(np.packbits(null))
        else:
            digest.update(b"V")
        if self.words is not None:
            self._feed_words(digest, self.values[start:stop])
            return
        digest.update(np.ascontiguousarray(self.values[start:stop]))
        if self.items is not None and self.ends is not None:
            self.items.feed(digest, int(self.ends[start]), int(self.ends[stop]))

    def _feed_words(self, digest: Any, ranks: npt.NDArray[Any]) -> None:
        """The words that occur, in order, and each row's rank among them."""
        assert self.words is not None
        if len(self.words) > 4 * len(ranks):
            present, local = np.unique(ranks, return_inverse=True)
        else:
            occurs = np.zeros(len(self.words), dtype=np.bool_)
            occurs[ranks] = True
            present = np.flatnonzero(occurs)
            local = (np.cumsum(occurs) - 1)[ranks]
        words = self.words.take(pa.array(present))
        ends = np.frombuffer(words.buffers()[1], dtype=np.int64, count=len(words) + 1) if len(words) else np.zeros(1)
        digest.update(len(words).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(ends, dtype=np.int64))
        if len(words) and int(ends[-1]):
            digest.update(memoryview(words.buffers()[2])[: int(ends[-1])])
        digest.update(np.ascontiguousarray(local, dtype=np.int32))


def _encode(column: pa.ChunkedArray, permutation: npt.NDArray[np.intp] | None = None) -> _Column:
    """A column's rows in the order of the permutation.

    Numbers are permuted after they are encoded: eight bytes a row, where Arrow would move sixteen or a string.
    """
    if pa.types.is_string(column.type) or pa.types.is_dictionary(column.type):
        return _encode_text(column, permutation)
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], type=column.type)
    kind = array.type
    if pa.types.is_list(kind) and permutation is not None:
        array, permutation = array.take(pa.array(permutation)), None
    null = pc.is_null(array).to_numpy(zero_copy_only=False) if array.null_count else None

    def ordered(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return values if permutation is None else values[permutation]

    in_order = None if null is None else ordered(null)
    if pa.types.is_list(kind):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        items = _encode(pa.chunked_array([array.flatten()]))
        return _Column(in_order, lengths, items=items, ends=np.append(0, np.cumsum(lengths)))
    return _Column(in_order, ordered(_numbers(array, null)))


def _encode_text(column: pa.ChunkedArray, permutation: npt.NDArray[np.intp] | None) -> _Column:
    """A text column, plain or as dictionaries, as ranks among its distinct texts."""
    lengths = None
    if not pa.types.is_dictionary(column.type):
        starts, texts = runs(column)
        lengths = np.diff(starts, append=len(column))
        column = texts.dictionary_encode()
    encoded = column.unify_dictionaries()
    words: pa.Array = encoded.chunk(0).dictionary if encoded.num_chunks else pa.array([], pa.string())
    indices = pa.concat_arrays([c.indices for c in encoded.chunks]) if encoded.num_chunks else pa.array([], pa.int32())
    null = pc.is_null(indices).to_numpy(zero_copy_only=False) if indices.null_count else None
    by_value = pc.sort_indices(words)
    rank = np.empty(len(by_value), dtype=np.int64)
    rank[by_value.to_numpy()] = np.arange(len(by_value))
    words = words.take(by_value)
    places = pc.fill_null(indices, 0).to_numpy(zero_copy_only=False)
    if null is not None:
        # An absent word gets the first rank and its own word "": the null mask tells them apart.
        rank, words = np.append(rank + 1, 0), pa.concat_arrays([pa.array([""], pa.string()), words])
        places = np.where(null, len(rank) - 1, places)

    def rows(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        values = values if lengths is None else np.repeat(values, lengths)
        return values if permutation is None else values[permutation]

    return _Column(None if null is None else rows(null), rows(rank[places]), words=words.cast(pa.large_string()))


def _numbers(array: pa.Array, null: npt.NDArray[np.bool_] | None) -> npt.NDArray[Any]:
    """Fixed-width values with zero in null slots; floats with one zero and one NaN."""
    kind = array.type
    values: npt.NDArray[Any]
    if pa.types.is_decimal128(kind):
        halves = np.frombuffer(array.buffers()[1] or b"", dtype=np.int64)
        halves = halves[2 * array.offset : 2 * (array.offset + len(array))]
        # Up to 18 digits the low half alone is the unscaled number.
        values = halves[0::2] if kind.precision <= 18 else halves.reshape(-1, 2)
    elif pa.types.is_floating(kind):
        values = pc.fill_null(array, 0.0).to_numpy(zero_copy_only=False) + 0.0
        values = np.where(np.isnan(values), np.nan, values).view(np.int64)
    elif pa.types.is_boolean(kind):
        values = pc.fill_null(array, False).to_numpy(zero_copy_only=False).astype(np.uint8)
    else:
        numbers = array.cast(pa.int32()) if pa.types.is_date32(kind) else array
        values = pc.fill_null(numbers.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    if null is None:
        return values
    return np.where(null if values.ndim == 1 else null[:, None], 0, values)
