"""Which data files of a table no version that must stay readable names, and removing those.

delta-rs's own vacuum knows ages only, and a verdict's versions must outlive any age. So
the lives of files are read from the Delta log: from which version on a file was part of
the table, and until which. Log entries themselves are never removed: they are small,
and without them a version cannot be opened.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake import DeltaTable

from kalshi_assets.errors import StoreError
from kalshi_assets.store.lake import Lake

_ENTRY = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint.*\.parquet")
_READERS = 8

# Half-open ranges of versions; the end is None while the file is part of the newest version.
Lives = Mapping[str, list[tuple[int, int | None]]]


def data_files(lake: Lake, name: str) -> list[pafs.FileInfo]:
    """The data files in a table's folder, named by some version or by none; paths are relative to the lake."""
    selector = pafs.FileSelector(name, recursive=True, allow_not_found=True)
    return [
        info
        for info in lake.filesystem.get_file_info(selector)
        if info.type == pafs.FileType.File and info.path.endswith(".parquet") and "/_" not in info.path
    ]


def unneeded(
    lake: Lake, name: str, delta: DeltaTable, versions: Collection[int], *, older_than: datetime
) -> list[pafs.FileInfo]:
    """The data files that none of some versions names.

    Args:
        lake: the lake.
        name: the table's folder.
        delta: its newest version, which is kept as well.
        versions: the versions that must stay readable.
        older_than: a younger file may belong to a writer that has not committed yet, and is needed.

    Raises:
        StoreError: the log cannot be read, or contradicts the table; nothing may be removed then.
        DeltaError: a version that the log begins with cannot be opened; nor may anything be removed then.
    """
    lives = file_lives(lake, name, delta)
    newest = delta.version()
    if {path for path, spans in lives.items() if _named_by(spans, [newest])} != _named(name, delta):
        raise StoreError(f"The log of table {name} does not add up to its files, so nothing of it is removed.")
    kept = sorted({*versions, newest})
    return [
        info
        for info in data_files(lake, name)
        if not _named_by(lives.get(info.path, []), kept) and info.mtime is not None and info.mtime < older_than
    ]


def checkpoints(listed: Iterable[pafs.FileInfo]) -> list[int]:
    """The versions at which a log's listing shows a checkpoint."""
    return [int(m.group(1)) for info in listed if (m := _CHECKPOINT.fullmatch(info.base_name))]


def file_lives(lake: Lake, name: str, delta: DeltaTable) -> Lives:
    """The versions that each file was part of, by path relative to the lake.

    Where another engine has removed the oldest entries of the log, lives begin with the oldest checkpoint
    that can still be opened.
    """
    log = f"{name}/_delta_log"
    listed = lake.filesystem.get_file_info(pafs.FileSelector(log))
    entries = {int(m.group(1)): info.path for info in listed if (m := _ENTRY.fullmatch(info.base_name))}
    newest = delta.version()
    first = newest + 1
    while first - 1 in entries:
        first -= 1
    spans: dict[str, list[tuple[int, int | None]]] = defaultdict(list)
    if first > 0:
        first = min((c for c in checkpoints(listed) if c >= first), default=newest)
        base = DeltaTable(lake.tables.address(name), version=first, storage_options=lake.tables.options)
        for path in _named(name, base):
            spans[path].append((first, None))
        first += 1
    with ThreadPoolExecutor(_READERS) as pool:
        numbers = range(first, newest + 1)
        for version, actions in zip(numbers, pool.map(lambda v: _actions(lake, entries[v]), numbers), strict=True):
            for kind, path in actions:
                _note(spans[f"{name}/{unquote(path)}"], version, added=kind == "add")
    return spans


def _note(spans: list[tuple[int, int | None]], version: int, *, added: bool) -> None:
    open_now = bool(spans) and spans[-1][1] is None
    if added and not open_now:
        spans.append((version, None))
    elif not added and open_now:
        spans[-1] = (spans[-1][0], version)


def _actions(lake: Lake, path: str) -> list[tuple[str, str]]:
    """What an entry of the log adds and removes; removals first, since a file can be both in a rewrite of its facts."""
    try:
        with lake.filesystem.open_input_file(path) as source:
            lines: list[dict[str, Any]] = [json.loads(line) for line in source.read().splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise StoreError(
            f"The log entry {path} cannot be read, so nothing of its table is removed: {error}."
        ) from error
    if not lines:
        raise StoreError(f"The log entry {path} is empty, so nothing of its table is removed.")
    return [(kind, line[kind]["path"]) for kind in ("remove", "add") for line in lines if kind in line]


def _named_by(spans: Iterable[tuple[int, int | None]], versions: Sequence[int]) -> bool:
    """Whether any of some ascending versions lies in any of some spans."""
    for start, end in spans:
        first = bisect_left(versions, start)
        if first < len(versions) and (end is None or versions[first] < end):
            return True
    return False


def _named(name: str, delta: DeltaTable) -> set[str]:
    actions: Any = pa.table(delta.get_add_actions(flatten=True))
    return {f"{name}/{unquote(path)}" for path in actions.column("path").to_pylist()} if actions.num_rows else set()
