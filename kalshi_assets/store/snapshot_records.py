"""The table of lake snapshots: one row a record, added in order. What a record means belongs to ``snapshots``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from kalshi_assets.core.hashing import hash_json
from kalshi_assets.core.tables import INT, TEXT, TableSpec
from kalshi_assets.errors import KalshiAssetsError, StoreError
from kalshi_assets.store.commits import append_rows, commit_partitions, create_table
from kalshi_assets.store.conform import stored_schema
from kalshi_assets.store.lake import Lake

FOLDER = "_snapshots"
SPEC = TableSpec(
    FOLDER,
    pa.schema(
        [
            pa.field("sequence", INT, nullable=False),
            *(pa.field(n, TEXT, nullable=False) for n in ("snapshot_id", "stage", "code_version", "config_hash")),
            pa.field("versions_json", TEXT, nullable=False),
        ]
    ),
    key=("sequence",),
)
ID_LENGTH = 32
# Each record is a file of its own until there are this many; then they become one.
_MOST_FILES = 32


@dataclass(frozen=True, slots=True)
class LakeSnapshot:
    """What a stage left behind.

    Attributes:
        snapshot_id: hash of ``stage, code_version, config_hash, versions``.
        sequence: its place in the order, ascending from 1; expired records leave gaps.
        stage: the stage that had just committed.
        run_id: the run that first recorded this state.
        code_version: version of the code that ran.
        config_hash: hash of its configuration.
        recorded_at: when it was recorded, UTC.
        versions: version of each table that was ever written.
    """

    snapshot_id: str
    sequence: int
    stage: str
    run_id: str
    code_version: str
    config_hash: str
    recorded_at: datetime
    versions: Mapping[str, int]


class Records:
    """The table of records at one version."""

    def __init__(self, lake: Lake, delta: DeltaTable) -> None:
        self._lake = lake
        self._delta = delta
        try:
            actions: Any = pa.table(delta.get_add_actions(flatten=True))
            self._files = list(
                zip(actions["path"].to_pylist(), actions["max.sequence"].to_pylist(), strict=True)
                if actions.num_rows
                else ()
            )
        except (DeltaError, OSError, pa.ArrowException, KeyError) as error:
            raise _broken(lake, error) from error

    @classmethod
    def open(cls, lake: Lake) -> Records | None:
        """The newest version; None where there is no record."""
        folder = lake.tables.folder
        if folder is not None and not (folder / FOLDER / "_delta_log").is_dir():
            return None
        try:
            delta = DeltaTable(lake.tables.address(FOLDER), storage_options=lake.tables.options)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError, ValueError) as error:
            raise _broken(lake, error) from error
        records = cls(lake, delta)
        return records if records._files else None

    @classmethod
    def create(cls, lake: Lake) -> Records:
        """The table without a record.

        Raises:
            CommitFailedError: another writer creates it, too.
        """
        try:
            create_table(SPEC, lake.tables.address(FOLDER), lake.tables.options)
            delta = DeltaTable(lake.tables.address(FOLDER), storage_options=lake.tables.options)
        except CommitFailedError:
            raise
        except (DeltaError, OSError) as error:
            raise _broken(lake, error) from error
        records = cls(lake, delta)
        if records._files:
            raise CommitFailedError("another writer recorded the first snapshot")
        return records

    def newest(self) -> LakeSnapshot:
        """The last record, read from its own file alone."""
        path, _ = max(self._files, key=lambda f: f[1])
        return snapshot_of(self._read([path]).to_pylist()[-1])

    def ids(self) -> set[str]:
        """The ids of all records."""
        return set(self.rows()["snapshot_id"].to_pylist())

    def rows(self) -> pa.Table:
        """All records, in order."""
        return self._read([path for path, _ in self._files])

    def add(self, row: Mapping[str, Any]) -> None:
        """Add one record as the version after this one."""
        one = pa.Table.from_pylist([dict(row)], schema=stored_schema(SPEC))
        if len(self._files) >= _MOST_FILES:
            self.rewrite(pa.concat_tables([self.rows(), one]), row["run_id"])
            return
        try:
            append_rows(self._delta, one, row["run_id"])
        except CommitFailedError:
            raise
        except (DeltaError, OSError) as error:
            raise _broken(self._lake, error) from error

    def rewrite(self, rows: pa.Table, run_id: str) -> None:
        """Make these all the records, as the version after this one."""
        try:
            commit_partitions(SPEC, self._delta, rows, [()], run_id)
        except CommitFailedError:
            raise
        except (DeltaError, OSError) as error:
            raise _broken(self._lake, error) from error

    def _read(self, paths: Sequence[str]) -> pa.Table:
        try:
            parts = [self._read_file(path) for path in paths]
        except (OSError, pa.ArrowException) as error:
            raise _broken(self._lake, error) from error
        return pa.concat_tables(parts).sort_by("sequence")

    def _read_file(self, path: str) -> pa.Table:
        with self._lake.filesystem.open_input_file(f"{FOLDER}/{path}") as source:
            return pq.ParquetFile(source).read(columns=stored_schema(SPEC).names).cast(stored_schema(SPEC))


def snapshot_of(row: Mapping[str, Any]) -> LakeSnapshot:
    """The record of a row.

    Raises:
        StoreError: the row does not hash to its id.
    """
    state = {name: row[name] for name in ("stage", "code_version", "config_hash")}
    try:
        versions = json.loads(row["versions_json"])
        altered = hash_json({**state, "versions": versions})[:ID_LENGTH] != row["snapshot_id"]
    except ValueError:
        altered = True
    if altered:
        raise StoreError(
            f"The lake snapshot {row['snapshot_id']} was altered: its content is not that of its id. "
            f"Restore the folder {FOLDER} of the lake from a copy."
        )
    times = {name: row[name] for name in ("snapshot_id", "sequence", "run_id", "recorded_at")}
    return LakeSnapshot(**state, **times, versions=versions)


def _broken(lake: Lake, error: Exception) -> KalshiAssetsError:
    failure = lake.tables.broken(FOLDER, error)
    if not isinstance(failure, StoreError) or type(failure) is not StoreError:
        return failure
    first = str(error).split("\n", 1)[0].rstrip(".")
    return StoreError(
        f"The records of lake snapshots ({FOLDER}) cannot be used: {first}. Restore that folder from a copy; "
        "without it, verdicts no longer say what they rest on."
    )
