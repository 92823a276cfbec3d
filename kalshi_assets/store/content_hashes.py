"""Hashes of stored content by event date, each computed once for the files that it is of.

How content is hashed is ``core.hashing``'s definition; which files a table has, ``lake``'s to say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pyarrow as pa
import pyarrow.fs as pafs

from kalshi_assets.core.hashing import content_hash_of
from kalshi_assets.core.tables import TableSpec
from kalshi_assets.store.files import DataFile, read_files
from kalshi_assets.store.workers import WORKERS

# Dates that are read and hashed together: enough rows that calls do not count, few enough for memory.
_BLOCK_ROWS = 262_144

_Stamp = tuple[str, int | None, int | None]


class ContentHashes:
    """Remembers the hash of each date by its files' paths, sizes and times of change.

    A data file is never written twice, so only what was damaged or exchanged from outside
    changes under its path, and that shows in its size or time.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, tuple[_Stamp, ...]], str] = {}

    def of(self, spec: TableSpec, filesystem: pafs.FileSystem, files: Sequence[DataFile]) -> dict[date | None, str]:
        """Hash of the files' content by event date; one under None for a table that is not partitioned by it.

        Raises:
            StoreError: a file is missing, damaged, or not as the log describes it.
        """
        coded = [c for c in spec.order if pa.types.is_string(spec.schema.field(c).type)]

        def hashed(some: Sequence[DataFile]) -> dict[date | None, str]:
            rows = read_files(spec, filesystem, some, columns=spec.schema.names, coded=coded)
            return content_hash_of(spec.name, rows)

        if "event_date" not in spec.partition_by:
            return hashed(files)
        position = spec.partition_by.index("event_date")
        by_date: dict[date, list[DataFile]] = defaultdict(list)
        for file in sorted(files, key=lambda f: f.path):
            by_date[file.partition[position]].append(file)
        stamps = dict(zip((f.path for f in files), _stamps(filesystem, files), strict=True))
        held = {day: (spec.name, tuple(stamps[f.path] for f in mine)) for day, mine in by_date.items()}
        blocks = _blocks({day: by_date[day] for day in sorted(by_date) if held[day] not in self._held})
        if len(blocks) > 1:
            with ThreadPoolExecutor(WORKERS) as pool:
                answers = list(pool.map(hashed, blocks))
        else:
            answers = [hashed(block) for block in blocks]
        for answer in answers:
            self._held |= {held[day]: text for day, text in answer.items() if day is not None}
        return {day: self._held[held[day]] for day in sorted(by_date) if held[day] in self._held}


def _stamps(filesystem: pafs.FileSystem, files: Sequence[DataFile]) -> list[_Stamp]:
    """Path, size and time of change of each file."""
    infos = filesystem.get_file_info([f.path for f in files]) if files else []
    return [(f.path, i.size, i.mtime_ns) for f, i in zip(files, infos, strict=True)]


def _blocks(by_date: dict[date, list[DataFile]]) -> list[list[DataFile]]:
    """Files of whole dates with enough rows each."""
    blocks: list[list[DataFile]] = []
    rows = _BLOCK_ROWS
    for files in by_date.values():
        if rows >= _BLOCK_ROWS:
            blocks.append([])
            rows = 0
        blocks[-1] += files
        rows += sum(f.records or 0 for f in files)
    return blocks
