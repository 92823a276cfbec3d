"""The rows of a table version as they were known at a time: one row a key, in canonical order.

Files whose keys no other file has are read, collapsed and sorted each for itself, side by
side; nothing grows with the table but the number of such pieces. Which version is read,
and under which names, is ``lake``'s to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa
import pyarrow.fs as pafs

from kalshi_assets.core.ordering import last_of_each, sort_rows
from kalshi_assets.core.tables import TableSpec
from kalshi_assets.store.conform import canonical_columns, row_key, stored_schema
from kalshi_assets.store.files import DataFile, in_scope, key_clusters, read_files, rivals
from kalshi_assets.store.workers import WORKERS


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a table; see ``Lake.read``."""

    columns: Sequence[str]
    as_of: datetime | None = None
    event_dates: Sequence[date] | None = None
    series: Sequence[str] | None = None
    history: bool = False


def read_known(spec: TableSpec, filesystem: pafs.FileSystem, files: Sequence[DataFile], question: Question) -> pa.Table:
    """Rows of the files that answer a question.

    Raises:
        StoreError: a file is missing, damaged, or not as the log describes it.
    """
    chosen = in_scope(spec, files, question.event_dates, question.series)
    # Only where the order begins with the key's first column do pieces with other keys follow one another.
    pieces = key_clusters(chosen) if spec.order[0] == spec.key[0] else [chosen]
    others = _outside(files, chosen) if spec.versioned and not question.history else []

    def answer(piece: Sequence[DataFile]) -> pa.Table:
        return _answer(spec, filesystem, piece, others, question)

    if len(pieces) < 2:
        return answer(pieces[0] if pieces else [])
    with ThreadPoolExecutor(WORKERS) as pool:
        return pa.concat_tables(pool.map(answer, pieces))


def _outside(files: Sequence[DataFile], chosen: Sequence[DataFile]) -> list[DataFile]:
    inside = {f.path for f in chosen}
    return [f for f in files if f.path not in inside] if len(inside) < len(files) else []


def _answer(
    spec: TableSpec,
    filesystem: pafs.FileSystem,
    piece: Sequence[DataFile],
    others: Sequence[DataFile],
    question: Question,
) -> pa.Table:
    """The answer from files that share no key with other chosen files."""
    collapse = spec.versioned and not question.history
    identity = list(dict.fromkeys([*canonical_columns(spec), *(row_key(spec) if collapse else ())]))
    needed = list(dict.fromkeys([*question.columns, *identity]))
    schema = stored_schema(spec)
    coded = [c for c in identity if pa.types.is_string(schema.field(c).type)]
    rows = read_files(spec, filesystem, piece, columns=needed, as_of=question.as_of, coded=coded)
    if collapse and rows.num_rows:
        # A newer version of a key may lie in a partition that was not asked for.
        outside = rivals(piece, others)
        own = rows.select(identity)
        elsewhere = (
            read_files(spec, filesystem, outside, columns=identity, as_of=question.as_of, coded=coded)
            if outside
            else own[:0]
        )
        then = ["known_at", *(c for c in spec.partition_by if c not in spec.key)]
        mask = last_of_each(pa.concat_tables([elsewhere, own]), spec.key, then)[elsewhere.num_rows :]
        rows = rows if mask.all() else rows.filter(pa.array(mask))
    ordered = sort_rows(rows, canonical_columns(spec)).select(list(question.columns))
    return ordered.cast(pa.schema([schema.field(c) for c in question.columns]))
