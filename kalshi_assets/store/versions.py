"""Opening a table at a version: its log, its files, and what to say when they are damaged.

Reading rows and committing them belong to ``lake``.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import KalshiAssetsError, StoreError
from kalshi_assets.store.conform import stored_schema
from kalshi_assets.store.disk import disk_full, is_full
from kalshi_assets.store.files import DataFile, list_files
from kalshi_assets.store.object_failures import object_failure
from kalshi_assets.store.object_files import ObjectFiles


@dataclass(frozen=True, slots=True)
class TableState:
    """A table as of one version.

    Attributes:
        delta: the version; None when the table was never written.
        files: its data files.
    """

    delta: DeltaTable | None
    files: list[DataFile]

    @property
    def version(self) -> int | None:
        """The version's number; None when the table was never written."""
        return None if self.delta is None else self.delta.version()


@dataclass(frozen=True, slots=True)
class _Held:
    """A table that stays open: in a bucket a log is a request for each of its entries, and what is new in it is two.

    Attributes:
        delta: the table.
        entries: of a log in a folder, what it consisted of when the table was brought up to date.
    """

    delta: DeltaTable
    entries: frozenset[tuple[str, int, int]]


def log_entries(folder: Path) -> frozenset[tuple[str, int, int]]:
    """Name, size and time of change of each entry of a log; none where there is no log."""
    try:
        with os.scandir(folder) as entries:
            return frozenset((e.name, (s := e.stat()).st_size, s.st_mtime_ns) for e in entries)
    except FileNotFoundError:
        return frozenset()


_NUMBERED = re.compile(r"(\d{20})(\.json|\.checkpoint.*\.parquet)")


def refuse_emptied(name: str, entries: Collection[tuple[str, int, int]], version: int | None) -> None:
    """Refuse a log in a folder with an entry of no bytes, which delta-rs takes for one that changed nothing.

    Args:
        name: the table's folder.
        entries: as ``log_entries`` gives them.
        version: the version to be opened; None for the newest.

    Raises:
        StoreError: such an entry is part of the version, and no checkpoint makes up for it.
    """
    empty = {n for n, size, _ in entries if not size}
    if not empty:
        return
    found = [(int(m.group(1)), n) for n, _, _ in entries if (m := _NUMBERED.fullmatch(n))]
    upto = [(v, n) for v, n in found if version is None or v <= version]
    summed = max((v for v, n in upto if not n.endswith(".json") and n not in empty), default=-1)
    lost = [n for v, n in sorted(upto) if n.endswith(".json") and n in empty and v > summed]
    if lost:
        raise StoreError(
            f"The log entry {name}/_delta_log/{lost[0]} of table {name} is empty, and what it changed is lost; "
            "restore it from a copy (`kalshi-assets doctor` says more)."
        )


class TableVersions:
    """The Delta tables under one root, at their newest or at pinned versions.

    Args:
        root: folder, or ``s3://bucket/prefix``.
        options: passed to the object store.
        versions: table to version; tables not named count as never written. None opens the newest.
    """

    def __init__(self, root: str, options: Mapping[str, str], versions: Mapping[str, int] | None) -> None:
        self._root = root
        self._local = None if root.startswith("s3://") else Path(root.removeprefix("file://")).absolute()
        self._options = dict(options)
        self._versions = None if versions is None else dict(versions)
        self._remote: ObjectFiles | None = None
        # A writer's handle moves on with its commits, so no two threads may share one.
        self._held = threading.local()

    @property
    def pinned(self) -> bool:
        """Whether versions were given."""
        return self._versions is not None

    @property
    def folder(self) -> Path | None:
        """The root as a folder; None for an object store."""
        return self._local

    @property
    def options(self) -> dict[str, str]:
        """What the object store is told."""
        return dict(self._options)

    @property
    def filesystem(self) -> pafs.FileSystem:
        """Arrow's view of the root."""
        if self._local is not None:
            return pafs.SubTreeFileSystem(str(self._local), pafs.LocalFileSystem())
        return pafs.PyFileSystem(self._objects())

    @property
    def scannable(self) -> pafs.FileSystem:
        """The same view for lazy scans, which must not call Python from threads of their own."""
        return self.filesystem if self._local is not None else self._objects().scannable

    def _objects(self) -> ObjectFiles:
        if self._remote is None:
            self._remote = ObjectFiles(self._root, self._options)
        return self._remote

    def address(self, name: str) -> str:
        """Where the table lies."""
        return str(self._local / name) if self._local is not None else f"{self._root.rstrip('/')}/{name}"

    def state(self, name: str) -> TableState:
        """The table's version and files.

        Raises:
            StoreError: the log is damaged.
        """
        delta = self.open(name)
        if delta is None:
            return TableState(None, [])
        listed: dict[str, tuple[DeltaTable, int, list[DataFile]]] = self._held.__dict__.setdefault("files", {})
        known = listed.get(name)
        if known is not None and known[0] is delta and known[1] == delta.version():
            return TableState(delta, list(known[2]))
        try:
            actions: Any = pa.table(delta.get_add_actions(flatten=True))
            files = list_files(TABLES[name], actions)
        except (DeltaError, OSError, pa.ArrowException) as error:
            raise self.broken(name, error) from error
        listed[name] = delta, delta.version(), files
        return TableState(delta, list(files))

    def open(self, name: str) -> DeltaTable | None:
        """The table's version, or None when it was never written.

        Raises:
            StoreError: the log is damaged, gone, or describes other columns than ``core.tables``.
        """
        if self._versions is not None and name not in self._versions:
            return None
        held: dict[str, _Held] = self._held.__dict__.setdefault("tables", {})
        # What lies in a folder is looked at each time, so that damage to a log held open is not overlooked.
        now = None if self._local is None else log_entries(self._local / name / "_delta_log")
        if now is not None:
            refuse_emptied(name, now, None if self._versions is None else self._versions[name])
        before = held.pop(name, None)
        try:
            if before is not None and now is not None and not before.entries <= now:
                before = None
            if before is not None:
                if not self.pinned and (now is None or now != before.entries):
                    before.delta.update_incremental()
                held[name] = _Held(before.delta, now or frozenset())
                return before.delta
        except (DeltaError, OSError, ValueError) as error:
            raise self.broken(name, error) from error
        delta = self._read_log(name)
        if delta is not None:
            held[name] = _Held(delta, now or frozenset())
        return delta

    def may_be_written(self) -> Collection[str]:
        """The tables to look at for one that was written; a bucket is asked once, where each absent one takes three."""
        if self._local is not None or self.pinned:
            return TABLES
        try:
            return {i.base_name for i in self.filesystem.get_file_info(pafs.FileSelector("", allow_not_found=True))}
        except OSError as error:
            raise StoreError(f"The tables of the lake {self._root} cannot be listed: {error}. Try again.") from error

    def _read_log(self, name: str) -> DeltaTable | None:
        folder = None if self._local is None else self._local / name
        if folder is not None and not (folder / "_delta_log").is_dir():
            if self._has_data(name):
                raise _without_log(name)
            return None
        try:
            delta = DeltaTable(
                self.address(name),
                version=None if self._versions is None else self._versions[name],
                storage_options=self._options,
            )
            stored = set(delta.schema().to_arrow().names)
        except TableNotFoundError as error:
            if self._has_data(name):
                raise (_without_log(name) if folder is None else self.broken(name, error)) from error
            return None
        except (DeltaError, OSError, ValueError) as error:
            raise self.broken(name, error) from error
        odd = stored ^ set(stored_schema(TABLES[name]).names)
        if odd:
            raise StoreError(
                f"Table {name} was written with other columns than this version knows (column {min(odd)}); "
                "start a new home and let it rebuild, or use the version that wrote it."
            )
        return delta

    def _has_data(self, name: str) -> bool:
        """Whether data files lie where the table would."""
        if self._local is not None:
            return any((self._local / name).rglob("*.parquet"))
        try:
            there = self.filesystem.get_file_info(pafs.FileSelector(name, allow_not_found=True))
        except OSError as error:
            raise self.broken(name, error) from error
        return any(info.base_name != "_delta_log" for info in there)

    def broken(self, name: str, error: Exception) -> KalshiAssetsError:
        """The sentence for a failure below the table's log or storage."""
        failure = None if self._local is not None else object_failure(error, self._root)
        if failure is not None:
            return failure
        if self._local is not None and is_full(error, self._local):
            return disk_full(self._local)
        first = str(error).split("\n", 1)[0].rstrip(".")
        return StoreError(
            f"Table {name} cannot be used; its log {name}/_delta_log or its storage failed: {first}. "
            "Restore the table's folder from a copy, or remove it and let the stages write it anew."
        )


def _without_log(name: str) -> StoreError:
    return StoreError(f"Table {name} has data files but no log ({name}/_delta_log is gone); restore it.")
