"""Delta commits: creating a table, and replacing some of its partitions atomically.

The only module that writes through delta-rs. Deciding what to write belongs to ``lake``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake

from kalshi_assets.core.tables import TableSpec
from kalshi_assets.store.conform import stored_schema
from kalshi_assets.store.files import Partition

# One contract's minutes of a month: statistics of a row group then tell one ticker and span from another.
_ROW_GROUP_ROWS = 65_536
_BATCH_ROWS = 65_536


def create_table(spec: TableSpec, address: str, options: Mapping[str, str]) -> None:
    """Create the empty table unless another writer did; data never comes before its log."""
    DeltaTable.create(
        address,
        schema=stored_schema(spec),
        mode="ignore",
        partition_by=list(spec.partition_by) or None,
        storage_options=dict(options),
    )


def commit_partitions(
    spec: TableSpec, delta: DeltaTable, rows: pa.Table, changed: Sequence[Partition], run_id: str
) -> None:
    """Make ``rows`` the content of the changed partitions, as one version after that of ``delta``.

    Args:
        spec: the table.
        delta: the version that the decision rests on.
        rows: stored columns in file order, only of changed partitions.
        changed: the partitions to replace; those without rows become empty.
        run_id: noted in the commit.

    Raises:
        CommitFailedError: another commit touched one of the partitions since that version. For a
            table without partitions any commit since then counts.
    """
    # delta-rs checks conflicts by predicate. A whole-table overwrite has none and would let a
    # concurrent first write stand beside ours, so there the next version number itself is the lock.
    retries = None if spec.partition_by else 0
    write_deltalake(
        delta,
        rows.to_reader(_BATCH_ROWS),
        mode="overwrite",
        predicate=_predicate(spec, changed) if spec.partition_by else None,
        writer_properties=WriterProperties(compression="ZSTD", compression_level=1, max_row_group_size=_ROW_GROUP_ROWS),
        commit_properties=CommitProperties(custom_metadata={"run_id": run_id}, max_commit_retries=retries),
    )


def _predicate(spec: TableSpec, partitions: Sequence[Partition]) -> str:
    """SQL that holds for exactly these partitions; dates that share their series share one IN list."""
    position = spec.partition_by.index("event_date")
    dates_of: dict[Partition, list[date]] = defaultdict(list)
    for partition in partitions:
        dates_of[partition[:position] + partition[position + 1 :]].append(partition[position])
    series_of: dict[tuple[date, ...], list[Partition]] = defaultdict(list)
    for rest, dates in dates_of.items():
        series_of[tuple(sorted(dates))].append(rest)
    terms = []
    for days, rests in series_of.items():
        term = f"event_date IN ({', '.join(_literal(str(d)) for d in days)})"
        if len(spec.partition_by) > 1:
            names = ", ".join(_literal(str(rest[0])) for rest in sorted(rests))
            term = f"({term} AND series_ticker IN ({names}))"
        terms.append(term)
    return " OR ".join(terms)


def _literal(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"
