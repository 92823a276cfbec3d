"""Bodies of downloads that are under way, so that a killed run goes on where it stopped.

A SQLite file beside the lake: one row a page, written before the next page is asked
for, removed once the tables that it fed are committed. Which downloads can be resumed
at all is decided by whoever downloads; nothing here is ever read as data.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kalshi_assets.errors import StoreError

FILE_NAME = "downloads.sqlite"
_KEPT_S = 30 * 86_400.0
_WAIT_FOR_OTHERS_S = 30.0
_SCHEMA = """
create table if not exists pages (
    source text not null, endpoint text not null, key text not null, start_s integer not null, end_s integer not null,
    page integer not null, cursor text, rows integer not null, body blob not null, kept_s real not null,
    primary key (source, endpoint, key, start_s, end_s, page)
) without rowid
"""
_THIS = "source = ? and endpoint = ? and key = ? and start_s = ? and end_s = ?"


class Download(Protocol):
    """What names a download: see ``exchange.journal.Download``."""

    @property
    def endpoint(self) -> str:
        """The path without its variable segments."""

    @property
    def key(self) -> str:
        """What was asked for."""

    @property
    def start_s(self) -> int:
        """First Unix second asked for."""

    @property
    def end_s(self) -> int:
        """Last Unix second asked for."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a download has come.

    Attributes:
        endpoint, key, start_s, end_s: the download.
        pages, rows: what is kept of it.
        cursor: where it goes on; None when it is complete.
    """

    endpoint: str
    key: str
    start_s: int
    end_s: int
    pages: int
    rows: int
    cursor: str | None

    @property
    def complete(self) -> bool:
        """Whether the last page was kept."""
        return self.cursor is None


class DownloadJournal:
    """The journal of one source; threads and processes may share the file.

    The file is made with the first page. Pages that nobody asked for in a month are dropped.

    Args:
        folder: where the file is.
        source: names where the bodies come from; other sources' pages are not seen.
        now_s: clock of the pages' age, Unix seconds.
    """

    def __init__(self, folder: Path, source: str, *, now_s: Callable[[], float] = time.time) -> None:
        self.path = folder / FILE_NAME
        self._source = source
        self._now_s = now_s
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._used: set[tuple[str, str, int, int]] = set()

    def close(self) -> None:
        """Close the file. A later call opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def pages(self, download: Download) -> list[bytes]:
        """The bodies kept of a download, in order of their pages; none after the first missing page."""
        name = _name(download)
        with self._opened(create=False) as db:
            if db is None:
                return []
            rows = db.execute(
                f"select page, body from pages where {_THIS} order by page",  # noqa: S608 (a constant)
                (self._source, *name),
            ).fetchall()
            self._used.add(name)
            return [zlib.decompress(body) for i, (page, body) in enumerate(rows, start=1) if page == i]

    def keep(self, download: Download, page: int, body: bytes, *, rows: int, cursor: str | None) -> None:
        """Keep one body; when this returns, a kill of the process cannot lose it."""
        name = _name(download)
        packed = zlib.compress(body, 1)
        with self._opened(create=True) as db:
            assert db is not None
            db.execute(
                "insert or replace into pages values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (self._source, *name, page, cursor, rows, packed, self._now_s()),
            )
            self._used.add(name)

    def forget(self, download: Download) -> None:
        """Drop what is kept of one download."""
        self._drop([_name(download)])

    def checkpoints(self) -> list[Checkpoint]:
        """How far each download has come that this object kept or recalled, sorted."""
        with self._opened(create=False) as db:
            if db is None:
                return []
            # Beside one max(), SQLite takes a bare column from the row that holds the maximum.
            rows = db.execute(
                "select endpoint, key, start_s, end_s, count(*), sum(rows), cursor, max(page) from pages"
                " where source = ? group by 1, 2, 3, 4 order by 1, 2, 3, 4",
                (self._source,),
            ).fetchall()
        return [Checkpoint(*row[:4], *row[4:7]) for row in rows if row[:4] in self._used]

    def clear(self) -> None:
        """Drop all downloads that this object kept or recalled: what they held is committed, or out of date."""
        self._drop(sorted(self._used))
        self._used.clear()

    def _drop(self, names: Iterable[tuple[str, str, int, int]]) -> None:
        with self._opened(create=False) as db:
            if db is not None:
                db.execute("begin")
                db.executemany(
                    f"delete from pages where {_THIS}",  # noqa: S608 (a constant)
                    [(self._source, *n) for n in names],
                )
                db.execute("commit")
                db.executescript("pragma incremental_vacuum")  # execute would stop after one page

    @contextmanager
    def _opened(self, *, create: bool) -> Iterator[sqlite3.Connection | None]:
        """The connection under the lock; None where there is no file and none is wanted."""
        with self._lock:
            try:
                if self._connection is None and (create or self.path.exists()):
                    self._connection = self._open()
                yield self._connection
            except (sqlite3.Error, zlib.error, OSError) as error:
                raise StoreError(
                    f"The journal of downloads {self.path} cannot be used ({error}): free some space or make the "
                    "folder writable; if it is damaged, delete the file, and the run downloads again."
                ) from error

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self.path, timeout=_WAIT_FOR_OTHERS_S, isolation_level=None, check_same_thread=False)
        try:
            # Before the first table: it cannot be changed later.
            db.execute("pragma auto_vacuum = incremental")
            # With a write-ahead log a commit survives the process without waiting for the disk.
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = normal")
            db.execute(_SCHEMA)
            db.execute("delete from pages where kept_s < ?", (self._now_s() - _KEPT_S,))
        except sqlite3.Error:
            db.close()
            raise
        return db


def _name(download: Download) -> tuple[str, str, int, int]:
    return (download.endpoint, download.key, download.start_s, download.end_s)
