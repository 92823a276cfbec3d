"""The rows of a table version as they were known at a time: one row a key, in canonical order.

Files whose keys no other file has are read, collapsed and sorted apart from the rest, side
by side; nothing grows with the table but the number of such pieces. Which version is read,
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
from kalshi_assets.store.encoding import STRICTLY, TS_RISES
from kalshi_assets.store.files import DataFile, in_scope, key_clusters, opened, read_files, rivals, rows_in
from kalshi_assets.store.workers import WORKERS

# Small files that share no key are answered together: collapsing and sorting cost a millisecond a call.
_ROWS_TOGETHER = 20_000


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
    pieces = _together(spec, key_clusters(chosen)) if spec.order[0] == spec.key[0] else [chosen]
    others = _outside(files, chosen) if spec.versioned and not question.history else []

    def answer(piece: Sequence[DataFile]) -> pa.Table:
        return _answer(spec, filesystem, piece, others, question)

    if len(pieces) < 2:
        return answer(pieces[0] if pieces else [])
    with ThreadPoolExecutor(WORKERS) as pool:
        return pa.concat_tables(pool.map(answer, pieces))


def _together(spec: TableSpec, clusters: list[list[DataFile]]) -> list[list[DataFile]]:
    """Neighbouring clusters joined up to a number of rows; a table whose files answer for themselves keeps them."""
    if {spec.order[0], "ts"} <= set(spec.key):
        return clusters
    pieces: list[list[DataFile]] = []
    room = 0
    for cluster in clusters:
        n_rows = sum(f.records if f.records is not None else _ROWS_TOGETHER for f in cluster)
        if pieces and n_rows <= room:
            pieces[-1].extend(cluster)
            room -= n_rows
        else:
            pieces.append([*cluster])
            room = _ROWS_TOGETHER - n_rows
    return pieces


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
    # A newer version of a key may lie in a partition that was not asked for.
    outside = rivals(piece, others) if collapse else []
    if len(piece) == 1 and not outside:
        rows = _as_written(spec, filesystem, piece[0], question, collapse=collapse)
        if rows is not None:
            return rows
    identity = list(dict.fromkeys([*canonical_columns(spec), *(row_key(spec) if collapse else ())]))
    needed = list(dict.fromkeys([*question.columns, *identity]))
    schema = stored_schema(spec)
    coded = [c for c in identity if pa.types.is_string(schema.field(c).type)]
    rows = read_files(spec, filesystem, piece, columns=needed, as_of=question.as_of, coded=coded)
    if collapse and rows.num_rows:
        own = rows.select(identity)
        elsewhere = read_files(spec, filesystem, outside, columns=identity, as_of=question.as_of, coded=coded)
        then = ["known_at", *(c for c in spec.partition_by if c not in spec.key)]
        mask = last_of_each(pa.concat_tables([elsewhere, own]), spec.key, then)[elsewhere.num_rows :]
        rows = rows if mask.all() else rows.filter(pa.array(mask))
    ordered = sort_rows(rows, canonical_columns(spec)).select(list(question.columns))
    return ordered.cast(pa.schema([schema.field(c) for c in question.columns]))


def _as_written(
    spec: TableSpec, filesystem: pafs.FileSystem, file: DataFile, question: Question, *, collapse: bool
) -> pa.Table | None:
    """The rows of a file that says of itself that they are in order and each key is there once; None for others.

    A partition's file order is the canonical one. Where the key holds the name and ``ts``, no two
    rows of one name with the same ``ts`` means no two versions of one key.
    """
    schema = stored_schema(spec)
    target = pa.schema([schema.field(c) for c in question.columns])
    if question.as_of is not None and file.first_known_at is not None and file.first_known_at > question.as_of:
        return target.empty_table()
    with opened(spec, filesystem, file) as parquet:
        said = (parquet.metadata.metadata or {}).get(TS_RISES)
        if said is None or (collapse and not (said == STRICTLY and {spec.order[0], "ts"} <= set(spec.key))):
            return None
        local = isinstance(filesystem, pafs.SubTreeFileSystem)
        return rows_in(spec, file, parquet, target, question.as_of, threads=local)
