"""Several small files of one partition become one, with the same rows in the same order.

The lake's own writes leave one file a partition; more come from other engines, and from
interrupted copies. Removing the old files is ``clean_up``'s business.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from deltalake.exceptions import CommitFailedError, DeltaError

from kalshi_assets.core.ordering import sort_rows
from kalshi_assets.core.tables import TableSpec
from kalshi_assets.store.arrangement import file_order, grouped
from kalshi_assets.store.commits import commit_files
from kalshi_assets.store.conform import spec_of, stored_schema
from kalshi_assets.store.drafts import write_draft
from kalshi_assets.store.files import DataFile, Partition, read_files
from kalshi_assets.store.lake import Lake

_SMALL_BYTES = 32 * 1024 * 1024
_BATCH_ROWS = 2_000_000


def scattered(files: Sequence[DataFile]) -> dict[Partition, list[DataFile]]:
    """The partitions with more than one small file, and those files."""
    small: dict[Partition, list[DataFile]] = defaultdict(list)
    for file in files:
        if file.size < _SMALL_BYTES:
            small[file.partition].append(file)
    return {partition: mine for partition, mine in small.items() if len(mine) > 1}


def compact(lake: Lake, name: str, run_id: str) -> int:
    """Rewrite the scattered partitions of a table; rows keep their content, bookkeeping and order.

    Returns:
        How many partitions were rewritten. One that another writer changed meanwhile waits for the next time.

    Raises:
        StoreError: a file cannot be read or written.
    """
    spec, done = spec_of(name), 0
    for partitions in _batches(scattered(lake.files(name))):
        try:
            done += _rewrite(lake, spec, partitions, run_id)
        except CommitFailedError:
            continue
        except (DeltaError, OSError) as error:
            raise lake.tables.broken(name, error) from error
    return done


def _rewrite(lake: Lake, spec: TableSpec, partitions: dict[Partition, list[DataFile]], run_id: str) -> int:
    state = lake.tables.state(spec.name)
    there = {f.path for f in state.files}
    basis = [f for files in partitions.values() for f in files]
    if state.delta is None or not there.issuperset(f.path for f in basis):
        raise CommitFailedError("another writer replaced a partition")
    rows = read_files(spec, lake.filesystem, basis, columns=stored_schema(spec).names)
    content = grouped(spec, sort_rows(rows, file_order(spec)))
    draft = write_draft(spec, lake.filesystem, basis, content, list(partitions), run_id, datetime.now(UTC))
    commit_files(spec, state.delta, draft.added, draft.removed, run_id)
    return len(partitions)


def _batches(partitions: dict[Partition, list[DataFile]]) -> Iterator[dict[Partition, list[DataFile]]]:
    """Partitions of so many rows that they fit into memory together."""
    batch: dict[Partition, list[DataFile]] = {}
    rows = 0
    for partition in sorted(partitions):
        batch[partition] = partitions[partition]
        rows += sum(f.records or 0 for f in partitions[partition])
        if rows >= _BATCH_ROWS:
            yield batch
            batch, rows = {}, 0
    if batch:
        yield batch
