"""Lake snapshots: which version each table had when a stage ended.

A record is a small JSON file under ``_snapshots`` in the lake, named by the
hash of what it says; the tables keep the content. Verdicts name such records,
and ``Lake.at(snapshot.versions)`` reads what they saw.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass

import pyarrow.fs as pafs

from kalshi_assets.core.hashing import canonical_json, hash_json
from kalshi_assets.errors import StoreError
from kalshi_assets.store.lake import Lake

_FOLDER = "_snapshots"
_ID_LENGTH = 32
_BUFFER_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class LakeSnapshot:
    """What a stage left behind.

    Attributes:
        snapshot_id: hash of the other fields but ``run_id``.
        stage: the stage that had just committed.
        run_id: the run that first recorded this state.
        code_version: version of the code that ran.
        config_hash: hash of its configuration.
        versions: version of each table that was ever written.
    """

    snapshot_id: str
    stage: str
    run_id: str
    code_version: str
    config_hash: str
    versions: dict[str, int]


def record_snapshot(lake: Lake, *, stage: str, run_id: str, code_version: str, config_hash: str) -> str:
    """Record the tables' versions now; the same state recorded again keeps its first record.

    Returns:
        The snapshot's id.

    Raises:
        StoreError: the record cannot be written.
    """
    state = {
        "stage": stage,
        "code_version": code_version,
        "config_hash": config_hash,
        "versions": lake.versions(),
    }
    snapshot_id = hash_json(state)[:_ID_LENGTH]
    path = _path(snapshot_id)
    try:
        if lake.filesystem.get_file_info(path).type == pafs.FileType.NotFound:
            lake.filesystem.create_dir(_FOLDER, recursive=True)
            # A reader sees the whole record or none: written aside, then moved into place.
            aside = f"{_FOLDER}/.{snapshot_id}.{uuid.uuid4().hex}"
            # Buffered, because delta-rs's object-store stream takes bytes and no Arrow buffers.
            with lake.filesystem.open_output_stream(aside, buffer_size=_BUFFER_BYTES) as sink:
                sink.write(canonical_json({**state, "run_id": run_id}).encode())
            lake.filesystem.move(aside, path)
    except OSError as error:
        raise StoreError(f"The lake snapshot {path} cannot be written: {error}.") from error
    return snapshot_id


def load_snapshot(lake: Lake, snapshot_id: str) -> LakeSnapshot:
    """The record of an id.

    Raises:
        StoreError: there is none, or it does not hash to its id.
    """
    if not (len(snapshot_id) == _ID_LENGTH and snapshot_id.isalnum()):
        raise StoreError(f"{snapshot_id!r} is no lake snapshot; an id has {_ID_LENGTH} hexadecimal digits.")
    path = _path(snapshot_id)
    try:
        with lake.filesystem.open_input_file(path) as source:
            record = json.loads(source.read())
        run_id = str(record.pop("run_id"))
    except FileNotFoundError as error:
        raise StoreError(f"There is no lake snapshot {snapshot_id}; it was made in another home or removed.") from error
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise StoreError(f"The lake snapshot {path} cannot be read: {error}.") from error
    if hash_json(record)[:_ID_LENGTH] != snapshot_id:
        raise StoreError(f"The lake snapshot {path} was altered: its content is not that of its id.")
    return LakeSnapshot(snapshot_id=snapshot_id, run_id=run_id, **record)


def _path(snapshot_id: str) -> str:
    return f"{_FOLDER}/{snapshot_id}.json"
