"""Lake snapshots: which version each table had when a stage had ended, in the order in which stages ended.

The records are the rows of one Delta table, ``_snapshots``. Whoever adds one commits
the version after the one it saw, so that two never get one place in the order, in a
folder and in a bucket alike. Readers read the lake as the newest record names it
(``published``), stages its newest versions. Who may write meanwhile is the business of
``transactions``; which records are kept, of ``maintenance``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import CommitFailedError

from kalshi_assets.core.hashing import canonical_json, hash_json
from kalshi_assets.core.tables import TEXT
from kalshi_assets.errors import StoreError, UsageError
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.snapshot_records import ID_LENGTH, LakeSnapshot, Records, snapshot_of

_SHORTEST_PREFIX = 6
_ATTEMPTS = 50


def record_snapshot(lake: Lake, *, stage: str, run_id: str, code_version: str, config_hash: str) -> str:
    """Record the tables' versions now, after all others; the same state recorded again keeps its first record.

    Returns:
        The snapshot's id.

    Raises:
        StoreError: the record cannot be written.
        HomeInUse: the transaction under way was taken for dead by another home, and what it wrote is being undone.
    """
    given = {"stage": stage, "code_version": code_version, "config_hash": config_hash}
    for _ in range(_ATTEMPTS):
        records = Records.open(lake)
        newest = records.newest() if records else None
        # Looked at after the newest record, so that no record ever names less than the one before it.
        versions = lake.versions()
        snapshot_id = hash_json({**given, "versions": versions})[:ID_LENGTH]
        # Versions only grow, so a state that was recorded before has the newest record's versions.
        if newest and newest.versions == versions and records and snapshot_id in records.ids():
            return snapshot_id
        row = {
            "sequence": newest.sequence + 1 if newest else 1,
            "snapshot_id": snapshot_id,
            **given,
            "versions_json": canonical_json(versions),
            "run_id": run_id,
            "recorded_at": datetime.now(UTC),
        }
        if lake.check_turn is not None:
            lake.check_turn()
        try:
            (records or Records.create(lake)).add(row)
        except CommitFailedError:
            continue
        return snapshot_id
    raise StoreError(f"Others recorded a lake snapshot before each of {_ATTEMPTS} attempts to; run the stage again.")


def newest_snapshot(lake: Lake) -> LakeSnapshot | None:
    """The record of the stage that ended last; None where none was recorded.

    Raises:
        StoreError: the records are damaged, or the newest was altered.
    """
    records = Records.open(lake)
    return records.newest() if records else None


def all_snapshots(lake: Lake) -> list[LakeSnapshot]:
    """Every record, in order.

    Raises:
        StoreError: the records are damaged, or one was altered.
    """
    records = Records.open(lake)
    return [snapshot_of(row) for row in records.rows().to_pylist()] if records else []


def load_snapshot(lake: Lake, snapshot_id: str) -> LakeSnapshot:
    """The record of an id.

    Args:
        lake: the lake.
        snapshot_id: the id, or a start of it that no other has, of 6 characters or more.

    Raises:
        UsageError: there is none, there are several, or the start is too short.
        StoreError: the record was altered.
    """
    if len(snapshot_id) < _SHORTEST_PREFIX:
        raise UsageError(f"{snapshot_id!r} is no lake snapshot: give {_SHORTEST_PREFIX} or more characters of its id.")
    records = Records.open(lake)
    rows = records.rows().to_pylist() if records else []
    found = [row for row in rows if row["snapshot_id"].startswith(snapshot_id)]
    if len(found) == 1:
        return snapshot_of(found[0])
    if found:
        raise UsageError(f"{len(found)} lake snapshots begin with {snapshot_id!r}: give more of the id.")
    raise UsageError(
        f"There is no lake snapshot {snapshot_id!r}: it was made in another home, or it expired "
        "(those there are stand in the table lake_snapshots)."
    )


def published(lake: Lake, snapshot_id: str | None = None) -> Lake:
    """The lake that readers see: no half of a stage, all tables as they were together.

    Args:
        lake: the lake; one that is pinned to versions already stays as it is.
        snapshot_id: a record, by its id or a start of it; None for the newest.

    Returns:
        The lake pinned to the record's versions. Where nothing was ever recorded no stage ever
        began, and what lies there is read as it is.

    Raises:
        UsageError: no such record.
        StoreError: the records are damaged.
    """
    if snapshot_id is not None:
        return lake.at(load_snapshot(lake, snapshot_id).versions)
    newest = None if lake.pinned else newest_snapshot(lake)
    return lake if newest is None else lake.at(newest.versions)


def forget_snapshots(lake: Lake, snapshot_ids: Sequence[str], run_id: str) -> None:
    """Drop the records of these ids; a record that another writer adds meanwhile stays.

    Raises:
        StoreError: the records are damaged, or cannot be written.
    """
    for _ in range(_ATTEMPTS):
        records = Records.open(lake)
        if records is None:
            return
        rows = records.rows()
        dropped = pc.is_in(rows["snapshot_id"], pa.array(list(snapshot_ids), TEXT))
        try:
            records.rewrite(rows.filter(pc.invert(dropped)), run_id)
        except CommitFailedError:
            continue
        return
    raise StoreError(f"Others recorded a lake snapshot before each of {_ATTEMPTS} attempts to; run it again.")
