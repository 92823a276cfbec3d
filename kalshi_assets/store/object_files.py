"""Arrow's view of a lake in a bucket, with few requests and with our errors.

A request takes some ten milliseconds however little it asks for, so a data file is
fetched whole and kept for a while, and many are asked for side by side (obstore lets
other threads run meanwhile, which delta-rs's own view does not). Which files there
are to read is the log's word (``versions``), and what they hold ``files``'.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import pyarrow as pa
import pyarrow.fs as pafs

from kalshi_assets.store.bucket import open_bucket, scannable_bucket
from kalshi_assets.store.object_failures import explained

if TYPE_CHECKING:
    from obstore.store import S3Store

# Above this a file is read in the pieces that a reader asks for; most data files are far smaller.
_WHOLE_BYTES = 32 * 1024 * 1024
# A stage reads what the one before it wrote, and no data file is ever written twice.
_KEPT_BYTES = 64 * 1024 * 1024
_DATA = ".parquet"
_OBJECTS = (_DATA, ".json")
_ASKERS = 16


class ObjectFiles(pafs.FileSystemHandler):  # type: ignore[misc]
    """The objects of a lake as files; folders are there as soon as an object lies in them.

    Args:
        address: the lake's address.
        options: as delta-rs takes them.
    """

    def __init__(self, address: str, options: Mapping[str, str]) -> None:
        self._address = address
        self._bucket = open_bucket(address, options)
        self._options = dict(options)
        self._recent = _Recent()

    @cached_property
    def scannable(self) -> pafs.FileSystem:
        """The same files without Python in between, for scans and for large files."""
        return scannable_bucket(self._address, self._options)

    def get_type_name(self) -> str:
        """A name for messages."""
        return "bucket"

    def normalize_path(self, path: str) -> str:
        """Paths are keys already."""
        return path

    def open_input_file(self, path: str) -> pa.NativeFile:
        """The file's content, fetched at once unless it is large."""
        kept = self._recent.get(path)
        if kept is not None:
            return pa.BufferReader(kept[0])
        with explained(self._address):
            answer = self._bucket.get(path)
            meta = answer.meta
            if meta["size"] > _WHOLE_BYTES:
                return self.scannable.open_input_file(path)
            content = pa.py_buffer(answer.bytes())
        if path.endswith(_DATA):
            self._recent.put(path, content, meta["last_modified"])
        return pa.BufferReader(content)

    def open_input_stream(self, path: str) -> pa.NativeFile:
        """As ``open_input_file``."""
        return self.open_input_file(path)

    def open_output_stream(self, path: str, metadata: Mapping[str, str] | None = None) -> pa.NativeFile:
        """A stream that puts the object when it is closed, whole or not at all."""
        return pa.PythonFile(_Upload(self._bucket, self._address, path), mode="w")

    def get_file_info(self, paths: Sequence[str]) -> list[pafs.FileInfo]:
        """What is known of each path, in their order; what is not there has the type NotFound."""
        if len(paths) < 2:
            return [self._info(path) for path in paths]
        with ThreadPoolExecutor(_ASKERS) as pool:
            return list(pool.map(self._info, paths))

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        """What lies in a folder: files and folders, or, recursively, all files below it."""
        folder = selector.base_dir.strip("/")
        with explained(self._address):
            if selector.recursive:
                objects, folders = self._bucket.list(folder or None).collect(), []
            else:
                listing = self._bucket.list_with_delimiter(folder or None)
                objects, folders = listing["objects"], list(listing["common_prefixes"])
        if not objects and not folders and not selector.allow_not_found:
            raise FileNotFoundError(folder)
        return [
            *(pafs.FileInfo(f, pafs.FileType.Directory) for f in folders),
            *(_file(o["path"], o["size"], o["last_modified"]) for o in objects),
        ]

    def delete_file(self, path: str) -> None:
        """Remove one object."""
        self._recent.drop(path)
        with explained(self._address):
            self._bucket.delete(path)

    def create_dir(self, path: str, recursive: bool) -> None:
        """Nothing to do."""

    def move(self, src: str, dest: str) -> None:
        """Copy, then delete: whoever reads meanwhile sees the whole object or none."""
        with explained(self._address):
            self._bucket.rename(src, dest)

    def copy_file(self, src: str, dest: str) -> None:
        """Copy one object."""
        with explained(self._address):
            self._bucket.copy(src, dest)

    # Arrow demands that the next four are there. Nothing in the lake calls them, and doing what they
    # say would break its promises: no file changes once it is there, none goes that is not named.

    def open_append_stream(self, path: str, metadata: Mapping[str, str] | None = None) -> NoReturn:
        """Refused: an object cannot be appended to."""
        raise NotImplementedError(f"{path} cannot be appended to: an object is put whole.")

    def delete_dir(self, path: str) -> NoReturn:
        """Refused: the lake removes objects one by one, by name."""
        raise NotImplementedError(f"{path} is not removed as a folder: name its objects one by one.")

    def delete_dir_contents(self, path: str, missing_dir_ok: bool) -> NoReturn:
        """As ``delete_dir``."""
        self.delete_dir(path)

    def delete_root_dir_contents(self) -> NoReturn:
        """As ``delete_dir``."""
        self.delete_dir(self._address)

    def _info(self, path: str) -> pafs.FileInfo:
        kept = self._recent.get(path)
        if kept is not None:
            return _file(path, kept[0].size, kept[1])
        with explained(self._address):
            try:
                with explained(self._address):
                    meta = self._bucket.head(path)
                return _file(path, meta["size"], meta["last_modified"])
            except FileNotFoundError:
                inside = None if path.endswith(_OBJECTS) else self._bucket.list_with_delimiter(path)
        there = inside is not None and (inside["objects"] or inside["common_prefixes"])
        return pafs.FileInfo(path, pafs.FileType.Directory if there else pafs.FileType.NotFound)


class _Recent:
    """The content of the files that were read last, up to a number of bytes; threads may share it."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, tuple[pa.Buffer, datetime]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, path: str) -> tuple[pa.Buffer, datetime] | None:
        with self._lock:
            if path in self._files:
                self._files.move_to_end(path)
            return self._files.get(path)

    def put(self, path: str, content: pa.Buffer, changed_at: datetime) -> None:
        with self._lock:
            if path in self._files or content.size > _KEPT_BYTES:
                return
            self._files[path] = content, changed_at
            self._bytes += content.size
            while self._bytes > _KEPT_BYTES:
                self._bytes -= self._files.popitem(last=False)[1][0].size

    def drop(self, path: str) -> None:
        with self._lock:
            if path in self._files:
                self._bytes -= self._files.pop(path)[0].size


class _Upload(io.BytesIO):
    """Bytes that become an object when this is closed."""

    def __init__(self, bucket: S3Store, address: str, path: str) -> None:
        super().__init__()
        self._bucket, self._address, self._path = bucket, address, path

    def close(self) -> None:
        if self.closed:
            return
        content = self.getvalue()
        super().close()
        with explained(self._address):
            self._bucket.put(self._path, content)


def _file(path: str, size: int, changed_at: Any) -> pafs.FileInfo:
    return pafs.FileInfo(path, pafs.FileType.File, size=size, mtime=changed_at)
