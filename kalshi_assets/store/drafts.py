"""Data files that are written and wait for their commit, and what they were decided on.

A commit that comes second in a race costs no second writing: the draft may be committed
on top of the other one as long as the files that it rests on are still there. Files of
a draft that is given up stay unnamed by any version until a clean-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.fs as pafs

from kalshi_assets.core.tables import TIME, TableSpec
from kalshi_assets.store.arrangement import Arranged
from kalshi_assets.store.encoding import Encoder, NewFile
from kalshi_assets.store.files import DataFile, Partition
from kalshi_assets.store.workers import WORKERS


@dataclass(frozen=True, slots=True)
class Draft:
    """What a commit would do.

    Attributes:
        basis: paths of the files that were looked at to decide it.
        changed: the partitions that it gives a new content.
        added: their new files; a partition without one becomes empty.
        removed: their old files.
    """

    basis: frozenset[str]
    changed: tuple[Partition, ...]
    added: tuple[NewFile, ...]
    removed: tuple[DataFile, ...]

    def rests_on(self, files: Sequence[DataFile]) -> bool:
        """Whether the decision would see the same files now. A file is never written twice, so paths tell."""
        return self.basis == {f.path for f in files}

    def stands_in(self, files: Sequence[DataFile]) -> bool:
        """Whether these files are those of a version in which the draft is committed."""
        return bool(self.added) and {f.path for f in self.added} <= {f.path for f in files}


def write_draft(
    spec: TableSpec,
    filesystem: pafs.FileSystem,
    basis: Sequence[DataFile],
    content: Arranged,
    changed: Sequence[Partition],
    run_id: str,
    moment: datetime,
) -> Draft:
    """Write the changed partitions' files, several at a time.

    Args:
        spec: the table.
        filesystem: rooted at the lake.
        basis: the files that the decision rests on, those of the changed partitions among them.
        content: the rows; bookkeeping is added where they have none.
        changed: the partitions to give a new content.
        run_id: the run that writes.
        moment: when.

    Raises:
        OSError: a file cannot be written.
    """
    encoder = Encoder(spec, filesystem)

    def write(partition: Partition) -> NewFile:
        return encoder.write(partition, stamp(content.of(partition), run_id, moment))

    filled = [p for p in changed if p in content.ranges]
    if len(filled) > 1:
        with ThreadPoolExecutor(WORKERS) as pool:
            added = tuple(pool.map(write, filled))
    else:
        added = tuple(map(write, filled))
    emptied = frozenset(changed)
    removed = tuple(f for f in basis if f.partition in emptied)
    return Draft(frozenset(f.path for f in basis), tuple(changed), added, removed)


def stamp(rows: pa.Table, run_id: str, moment: datetime) -> pa.Table:
    """The rows with ``run_id`` and ``recorded_at``; as they are where they have them."""
    if "run_id" in rows.column_names:
        return rows
    n = rows.num_rows
    run = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), n), pa.array([run_id], pa.string()))
    return rows.append_column("run_id", run).append_column("recorded_at", pa.repeat(pa.scalar(moment, TIME), n))
