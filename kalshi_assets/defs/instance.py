"""Dagster's own storage, kept under the home and fast enough for backfills.

dagster.yaml names these classes so that KALSHI_ASSETS_HOME alone decides where
runs, events and logs live. The event log writes a batch in one transaction:
the stock class opens a new engine for every event, which makes a backfill of
eight assets over 500 dates take a minute instead of two seconds
(docs/adr/0005-event-log.md). No stage logic belongs here.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, cast

import dagster as dg
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from sqlalchemy.engine import Connection

from kalshi_assets.settings import PROJECT_ROOT, Settings
from kalshi_assets.store.disk import NoRoom, is_full

EVENT_BATCH = 500


def _folder(*parts: str) -> str:
    folder = Settings.from_environment().dagster.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


class BatchingEventLog(SqliteEventLogStorage):
    """The SQLite event log with one transaction a batch instead of one connection an event."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        self._held = threading.local()
        self._tables: set[str] = set()
        super().__init__(base_dir, inst_data)

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """No configuration: the home decides."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> "BatchingEventLog":
        """Open the log under the home."""
        return cls(_folder("history"), inst_data)

    def has_table(self, table_name: str) -> bool:
        """Whether a table exists; asked for every event, so a yes is remembered."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    @contextmanager
    def one_transaction(self) -> Iterator[None]:
        """Everything that this thread stores inside commits together, one transaction a shard."""
        if getattr(self._held, "connections", None) is not None:
            yield
            return
        with ExitStack() as stack:
            self._held.connections, self._held.stack, self._held.latest = {}, stack, {}
            try:
                yield
                for event, event_id in self._held.latest.values():
                    with self.index_connection() as connection:
                        super()._store_asset_event(connection, event, event_id)
            finally:
                self._held.connections = None

    def _store_asset_event(self, conn: Connection, event: dg.EventLogEntry, event_id: int) -> None:
        """Keep the asset's summary row; inside a batch only the newest event of a kind matters to it."""
        if getattr(self._held, "connections", None) is None:
            super()._store_asset_event(conn, event, event_id)
        elif event.dagster_event is not None:
            self._held.latest[event.dagster_event.asset_key, event.dagster_event_type] = (event, event_id)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        held: dict[str, Connection] | None = getattr(self._held, "connections", None)
        if held is None:
            with super()._connect(shard) as connection:
                yield connection
            return
        if shard not in held:
            held[shard] = self._held.stack.enter_context(self._unlocked(shard))
        yield held[shard]

    @contextmanager
    def _unlocked(self, shard: str) -> Iterator[Connection]:
        """The stock connection without its lock, which a thread that holds two shards would wait on forever."""
        lock, self._db_lock = self._db_lock, threading.Lock()
        try:
            with super()._connect(shard) as connection:
                self._db_lock = lock
                yield connection
        finally:
            self._db_lock = lock

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store one event.

        Raises:
            NoRoom: the disk is full. After any other error Dagster tells the terminal.
        """
        with self._room():
            super().store_event(event)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store a batch in one transaction.

        Raises:
            NoRoom: the disk is full. After any other error Dagster tells the terminal and tries event by event.
        """
        with self._room(), self.one_transaction():
            for event in events:
                self.store_event(event)

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if is_full(error, Path(self._base_dir)):
                raise NoRoom from error
            raise


class HomeRunStorage(SqliteRunStorage):
    """Run records under the home."""

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """No configuration: the home decides."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> "HomeRunStorage":
        """Open the records under the home."""
        return cls.from_local(_folder(), inst_data)


class HomeScheduleStorage(SqliteScheduleStorage):
    """Ticks of sensors and schedules under the home."""

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """No configuration: the home decides."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> "HomeScheduleStorage":
        """Open the ticks under the home."""
        return cast("HomeScheduleStorage", cls.from_local(_folder("schedules"), inst_data))


class HomeArtifacts(LocalArtifactStorage):
    """Dagster's artifacts under the home."""

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """No configuration: the home decides."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> "HomeArtifacts":
        """Open the folder under the home."""
        return cls(_folder(), inst_data)


class HomeComputeLogs(LocalComputeLogManager):
    """Captured output of steps under the home."""

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """No configuration: the home decides."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> "HomeComputeLogs":
        """Open the folder under the home."""
        return cls(_folder("storage"), inst_data=inst_data)


def prepare_environment(settings: Settings) -> None:
    """Tell this process's Dagster where the home is and to write events in batches.

    Dagster reads these from the environment alone, and child processes inherit them.
    """
    os.environ["KALSHI_ASSETS_HOME"] = str(settings.home)
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(EVENT_BATCH))
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")
    os.environ.setdefault("DAGSTER_HOME", str(configuration_folder()))


def configuration_folder() -> Path:
    """The folder of dagster.yaml: the checkout's top level, or the working folder."""
    for folder in (PROJECT_ROOT, Path.cwd()):
        if (folder / "dagster.yaml").is_file():
            return folder
    return Path(__file__).resolve().parent


def drop_half_created(folder: Path) -> list[Path]:
    """Remove Dagster's databases that a kill left without all their tables; the caller holds the home.

    Dagster makes the tables one by one and stamps the schema's version last, and afterwards takes a
    file that is there for complete. One without the stamp has never held a run.

    Returns:
        What was removed.
    """
    removed = []
    for name in ("runs.db", "history/index.db", "schedules/schedules.db"):
        file = folder / name
        if file.is_file() and not _is_stamped(file):
            for part in (file, *file.parent.glob(f"{file.name}-*")):
                part.unlink()
            removed.append(file)
    return removed


def _is_stamped(file: Path) -> bool:
    with closing(sqlite3.connect(file)) as db:
        try:
            return bool(db.execute("select count(*) from alembic_version").fetchone()[0])
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return False
            raise


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The Dagster instance of a home; the caller holds the home."""
    prepare_environment(settings)
    drop_half_created(settings.dagster)
    return dg.DagsterInstance.from_config(str(configuration_folder()))
