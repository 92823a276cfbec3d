"""Opening a table at a version: its log, its files, and what to say when they are damaged.

Reading rows and committing them belong to ``lake``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import StoreError
from kalshi_assets.store.conform import stored_schema
from kalshi_assets.store.files import DataFile, list_files


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


class TableVersions:
    """The Delta tables under one root, at their newest or at pinned versions.

    Args:
        root: folder or object-store address.
        options: passed to the object store.
        versions: table to version; tables not named count as never written. None opens the newest.
    """

    def __init__(self, root: str, options: Mapping[str, str], versions: Mapping[str, int] | None) -> None:
        self._root = root
        self._local = None if "://" in root else Path(root).absolute()
        self._options = dict(options)
        self._versions = None if versions is None else dict(versions)

    @property
    def pinned(self) -> bool:
        """Whether versions were given."""
        return self._versions is not None

    @property
    def filesystem(self) -> pafs.FileSystem:
        """Arrow's view of the root."""
        if self._local is not None:
            return pafs.SubTreeFileSystem(str(self._local), pafs.LocalFileSystem())
        return pafs.PyFileSystem(DeltaStorageHandler(self._root, self._options))

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
        try:
            actions: Any = pa.table(delta.get_add_actions(flatten=True))
            return TableState(delta, list_files(TABLES[name], actions))
        except (DeltaError, OSError, pa.ArrowException) as error:
            raise self.broken(name, error) from error

    def open(self, name: str) -> DeltaTable | None:
        """The table's version, or None when it was never written.

        Raises:
            StoreError: the log is damaged, gone, or describes other columns than ``core.tables``.
        """
        if self._versions is not None and name not in self._versions:
            return None
        folder = None if self._local is None else self._local / name
        if folder is not None and not (folder / "_delta_log").is_dir():
            if folder.is_dir() and any(folder.rglob("*.parquet")):
                raise StoreError(f"Table {name} has data files but no log ({name}/_delta_log is gone); restore it.")
            return None
        try:
            delta = DeltaTable(
                self.address(name),
                version=None if self._versions is None else self._versions[name],
                storage_options=self._options,
            )
            stored = set(delta.schema().to_arrow().names)
        except TableNotFoundError as error:
            if folder is not None and any(folder.rglob("*.parquet")):
                raise self.broken(name, error) from error
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

    def broken(self, name: str, error: Exception) -> StoreError:
        """The sentence for a failure below the table's log or storage."""
        first = str(error).split("\n", 1)[0].rstrip(".")
        return StoreError(
            f"Table {name} cannot be used; its log {name}/_delta_log or its storage failed: {first}. "
            "Restore the table's folder from a copy, or remove it and let the stages write it anew."
        )
