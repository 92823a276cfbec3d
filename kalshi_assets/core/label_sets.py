"""First prints and revisions as two types, so that a function wanting one cannot be given the other.

Belongs here: cutting a label set out of the label table and refusing to train
on what was not yet known. Making the table belongs to ``core.labels``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import micros_of, moment_of, newest_versions, times
from kalshi_assets.core.tables import DATE, REAL, TEXT, TIME
from kalshi_assets.errors import DomainError

_EVENT = [
    pa.field("event_ticker", TEXT, nullable=False),
    pa.field("series_ticker", TEXT, nullable=False),
    pa.field("event_date", DATE, nullable=False),
    pa.field("release_time", TIME, nullable=False),
    pa.field("event_type", TEXT),
    pa.field("period", DATE),
]
_SURPRISE = [pa.field(n, REAL) for n in ("surprise_mean", "surprise_median", "surprise_std")]
_LEARNED = pa.field("learned_at", TIME, nullable=False)

FIRST_PRINT_SCHEMA = pa.schema([*_EVENT, pa.field("first_print", REAL, nullable=False), _LEARNED, *_SURPRISE])
REVISED_SCHEMA = pa.schema(
    [*_EVENT, pa.field("revised", REAL, nullable=False), pa.field("revised_vintage", DATE), _LEARNED]
)


@dataclass(frozen=True, slots=True)
class FirstPrintLabels:
    """First prints, one row an event in ``FIRST_PRINT_SCHEMA``; ``learned_at`` is when each was published."""

    table: pa.Table

    def __post_init__(self) -> None:
        _require_schema(self.table, FIRST_PRINT_SCHEMA, "first-print labels")

    def require_known(self, fold_start: datetime) -> None:
        """Refuse to train at ``fold_start`` on a first print learned after it.

        Raises:
            DomainError: names the first such event.
        """
        _require_known(self.table, fold_start, "first print")


@dataclass(frozen=True, slots=True)
class RevisedLabels:
    """Revised values as known at one time, one row an event in ``REVISED_SCHEMA``; events never revised are absent."""

    table: pa.Table
    as_of: datetime

    def __post_init__(self) -> None:
        _require_schema(self.table, REVISED_SCHEMA, "revised labels")
        _require_known(self.table, self.as_of, "revision")

    def require_known(self, fold_start: datetime) -> None:
        """Refuse to train at ``fold_start`` on a revision learned after it.

        Raises:
            DomainError: names the first such event.
        """
        _require_known(self.table, fold_start, "revision")


def first_print_labels(labels: pa.Table) -> FirstPrintLabels:
    """The first prints of the label table, ordered by event; events without one are absent."""
    printed = newest_versions(labels.filter(pc.is_valid(labels["first_print"])), "event_ticker")
    return FirstPrintLabels(_cut(printed, FIRST_PRINT_SCHEMA, "first_print_learned_at"))


def revised_labels(labels: pa.Table, as_of: datetime) -> RevisedLabels:
    """The newest revision of each event learned at or before ``as_of``, ordered by event.

    Raises:
        DomainError: ``as_of`` has no time zone.
    """
    if as_of.tzinfo is None:
        raise DomainError(f"the as-of time {as_of} of the revised labels has no time zone; give an aware time")
    learned = times(labels["revised_learned_at"])
    known = np.asarray(pc.is_valid(labels["revised_learned_at"]), bool) & (learned <= micros_of(as_of))
    known &= times(labels["known_at"]) <= micros_of(as_of)
    newest = newest_versions(labels.filter(pa.array(known)), "event_ticker")
    return RevisedLabels(_cut(newest, REVISED_SCHEMA, "revised_learned_at"), as_of)


def _cut(labels: pa.Table, schema: pa.Schema, learned: str) -> pa.Table:
    columns = {n: labels[learned if n == "learned_at" else n] for n in schema.names}
    return pa.table(columns).cast(schema)


def _require_schema(table: pa.Table, schema: pa.Schema, what: str) -> None:
    if not table.schema.equals(schema):
        raise DomainError(
            f"{what} need the columns {schema.names}, not {table.schema.names}; cut them from the label table"
        )


def _require_known(table: pa.Table, moment: datetime, what: str) -> None:
    if moment.tzinfo is None:
        raise DomainError(f"the time {moment} at which labels must be known has no time zone; give an aware time")
    learned = times(table["learned_at"])
    late = np.flatnonzero(learned > micros_of(moment))
    if late.size:
        i = int(late[0])
        raise DomainError(
            f"the {what} of {table['event_ticker'][i]} was learned at {moment_of(learned[i])}, after {moment};"
            " train only on labels known at the start of the fold"
        )
