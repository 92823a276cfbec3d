"""Delta commits: creating a table, its properties, and making written files the content of some of its partitions.

The only module that writes a log through delta-rs. Deciding what to write belongs to
``lake``, writing the data files of its tables to ``encoding``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, write_deltalake
from deltalake.transaction import AddAction, RemoveAction

from kalshi_assets.core.tables import TableSpec
from kalshi_assets.store.conform import stored_schema
from kalshi_assets.store.encoding import NewFile
from kalshi_assets.store.files import DataFile, Partition

# By default a checkpoint deletes log entries of more than 30 days, and with them the versions that
# lake snapshots name. The property binds other engines, the hook our own commits to older tables.
KEEP_LOG = {"delta.enableExpiredLogCleanup": "false"}
KEEPING_LOG = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
# The least version of the writers' protocol that knows constraints. delta-rs takes it from a property; its own way
# of adding constraints reads the whole table, and rewrites decimals in a dialect of its own or fails on them.
_KNOWS_CONSTRAINTS = {"delta.minWriterVersion": "3"}


def table_properties(spec: TableSpec) -> dict[str, str]:
    """What a table tells other engines: to keep its log, and never to write a row that breaks a check of it.

    Our own commits name files that are written already, so no engine looks at their rows: ``conform`` does.
    """
    checks = {f"delta.constraints.{check.name}": check.condition(spec.schema) for check in spec.checks}
    return KEEP_LOG | (_KNOWS_CONSTRAINTS | checks if checks else {})


def create_table(spec: TableSpec, address: str, options: Mapping[str, str]) -> None:
    """Create the empty table unless another writer did; data never comes before its log."""
    DeltaTable.create(
        address,
        schema=stored_schema(spec),
        mode="ignore",
        partition_by=list(spec.partition_by) or None,
        configuration=table_properties(spec),
        storage_options=dict(options),
        # Names of constraints are ours to choose, and no key of Delta's.
        raise_if_key_not_exists=False,
    )


def commit_files(
    spec: TableSpec, delta: DeltaTable, added: Sequence[NewFile], removed: Sequence[DataFile], run_id: str
) -> int:
    """Exchange data files for others, as the very next version after that of ``delta``.

    The version's number is the lock: whoever comes second is refused, whatever the first one
    wrote, and may commit the same files again once it knows that its own partitions are as they were.

    Args:
        spec: the table.
        delta: the version that the decision rests on.
        added: files that were written for this commit.
        removed: files of that version which they replace.
        run_id: noted in the commit.

    Returns:
        The new version.

    Raises:
        CommitFailedError: that version is there already.
    """
    now_ms = time.time_ns() // 1_000_000
    actions: list[AddAction | RemoveAction] = [
        AddAction(_inside(spec, f.path), f.size, _values(spec, f.partition), now_ms, True, f.statistics) for f in added
    ]
    actions += [RemoveAction(_inside(spec, f.path), True, now_ms, f.size, _values(spec, f.partition)) for f in removed]
    before = delta.version()
    delta.create_write_transaction(
        actions,
        # delta-rs takes removals from us in this mode only; that it adds to what was read is said below.
        mode="append",
        schema=delta.schema(),
        partition_by=list(spec.partition_by),
        commit_properties=CommitProperties(
            custom_metadata={"run_id": run_id, "isBlindAppend": False, "readVersion": before}, max_commit_retries=0
        ),
        post_commithook_properties=KEEPING_LOG,
    )
    return before + 1


def _inside(spec: TableSpec, path: str) -> str:
    """A path as the table knows it."""
    return path.removeprefix(f"{spec.name}/")


def _values(spec: TableSpec, partition: Partition) -> dict[str, str | None]:
    return {c: str(v) for c, v in zip(spec.partition_by, partition, strict=True)}


def commit_partitions(
    spec: TableSpec, delta: DeltaTable, rows: pa.Table, changed: Sequence[Partition], run_id: str
) -> None:
    """Make ``rows`` the whole content of a table without partitions, as the very next version.

    Raises:
        CommitFailedError: that version is there already.
    """
    write_deltalake(
        delta,
        rows,
        mode="overwrite",
        commit_properties=CommitProperties(custom_metadata={"run_id": run_id}, max_commit_retries=0),
        post_commithook_properties=KEEPING_LOG,
    )


def append_rows(delta: DeltaTable, rows: pa.Table, run_id: str) -> None:
    """Add rows as the very next version after that of ``delta``.

    Raises:
        CommitFailedError: that version is there already.
    """
    write_deltalake(
        delta,
        rows,
        mode="append",
        commit_properties=CommitProperties(custom_metadata={"run_id": run_id}, max_commit_retries=0),
        post_commithook_properties=KEEPING_LOG,
    )


def restore_version(delta: DeltaTable, version: int, run_id: str) -> None:
    """Make the content of an earlier version the newest one again.

    Raises:
        CommitFailedError: another commit came first.
    """
    delta.restore(
        version,
        commit_properties=CommitProperties(custom_metadata={"run_id": run_id}, max_commit_retries=0),
        post_commithook_properties=KEEPING_LOG,
    )


def missing_properties(spec: TableSpec, delta: DeltaTable) -> dict[str, str]:
    """Of ``table_properties``, those that the table does not have, or not so: code of before made it."""
    held = delta.metadata().configuration
    return {name: value for name, value in table_properties(spec).items() if held.get(name) != value}


def set_properties(delta: DeltaTable, properties: Mapping[str, str], run_id: str) -> None:
    """Set properties of a table. That its rows keep the constraints among them was seen to at this version.

    Raises:
        CommitFailedError: another commit came first.
    """
    delta.alter.set_table_properties(
        dict(properties),
        raise_if_not_exists=False,
        commit_properties=CommitProperties(custom_metadata={"run_id": run_id}, max_commit_retries=0),
        post_commithook_properties=KEEPING_LOG,
    )
