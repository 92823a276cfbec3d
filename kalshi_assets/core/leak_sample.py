"""What leak probes are asked of: a pipeline under test, and the sample of its rows.

Belongs here: which events and as-of times are drawn, within which bounds.
Perturbing, rebuilding and comparing belong to ``core.leak_probes``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import codes, days, times, vocabulary
from kalshi_assets.core.leak_perturbations import EVENT, Cut, Inputs
from kalshi_assets.errors import DomainError

Outputs = Mapping[str, pa.Table]
Build = Callable[[Inputs, pa.Table], Outputs]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A function under test, what it was given and what it made of it.

    Attributes:
        name: for messages.
        inputs: tables by name. With ``known_at`` a table can be perturbed, with ``event_ticker`` it is cut by event.
        snapshots: rows with ``event_ticker, event_date, horizon, as_of``: every row that may be asked for.
        build: makes the outputs for some of the snapshots from inputs of the same shape.
        stored: the outputs as stored, by table; None where there is nothing to compare with.
        reach: how many of an event's snapshots up to the sampled one are built; None builds all, as it must be
            where a row is made from the rows before it.
        fresh: series whose stored rows must be what the inputs give; all when None.
    """

    name: str
    inputs: Inputs
    snapshots: pa.Table
    build: Build
    stored: Outputs | None = None
    reach: int | None = None
    fresh: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """How much is probed; all of it counts, so that the cost is bounded whatever the data.

    Attributes:
        events: most events sampled, at least one of each date while they last.
        input_rows: most rows of the sampled events, summed over the inputs.
        moments: most as-of times at which the inputs that all events share are perturbed.
        shared_rows: most rows of those inputs, summed over these times; one time is always probed.
        least: probes below which the events are sampled again at other as-of times, while there are any.
        lead: events whose rows are asked for a second too late, on purpose.
    """

    events: int = 32
    input_rows: int = 60_000
    moments: int = 4
    shared_rows: int = 100_000
    least: int = 2
    lead: int = 4


def require_columns(snapshots: pa.Table) -> None:
    """Refuse snapshots that do not say what they are of.

    Raises:
        DomainError: naming the missing columns.
    """
    missing = [c for c in (EVENT, "event_date", "horizon", "as_of") if c not in snapshots.column_names]
    if missing:
        raise DomainError(f"The snapshots to probe have no column {', '.join(missing)}; make them with snapshot_grid.")


def main_rows(pipeline: Pipeline) -> pa.Table:
    """The rows that may be sampled: those of the first stored output, else every snapshot."""
    return next(iter(pipeline.stored.values())) if pipeline.stored else pipeline.snapshots


def keys_of(rows: pa.Table, events: pa.Array, horizons: pa.Array) -> set[tuple[int, int, int]]:
    """Event, horizon and as-of time of the rows of some events, as codes."""
    return set(key_list(of_events(rows, events), events, horizons))


def key_list(rows: pa.Table, events: pa.Array, horizons: pa.Array) -> list[tuple[int, int, int]]:
    """The same row by row, -1 for an event or horizon that is not named."""
    columns = codes(rows[EVENT], events), codes(rows["horizon"], horizons), times(rows["as_of"])
    return list(zip(*(c.tolist() for c in columns), strict=True))


def chosen_events(pipeline: Pipeline, bounds: Budget, rng: np.random.Generator) -> pa.Array:
    """Events to sample: in random order the first of each date, then the others, within the budget."""
    rows = main_rows(pipeline)
    words = vocabulary(rows[EVENT])
    event_day = np.zeros(len(words), np.int64)
    event_day[codes(rows[EVENT], words)] = days(rows["event_date"])
    size = np.zeros(len(words), np.int64)
    for table in pipeline.inputs.values():
        if EVENT in table.column_names:
            event = codes(table[EVENT], words)
            size += np.bincount(event[event >= 0], minlength=size.size)
    order = rng.permutation(len(words))
    _, first = np.unique(event_day[order], return_index=True)
    order = np.concatenate([order[np.sort(first)], np.delete(order, first)])[: bounds.events]
    fits = np.cumsum(size[order]) <= bounds.input_rows
    fits[: bounds.least] = True
    return words.take(pa.array(np.sort(order[fits])))


class Sample:
    """The snapshots of the chosen events, and which of them have been drawn."""

    def __init__(self, pipeline: Pipeline, events: pa.Array) -> None:
        snapshots = pipeline.snapshots.filter(pc.is_in(pipeline.snapshots[EVENT], value_set=events))
        self.snapshots, self.events, self._reach = snapshots, events, pipeline.reach
        self.event, self.as_of = codes(snapshots[EVENT], events), times(snapshots["as_of"])
        self.day = days(snapshots["event_date"])
        horizons = vocabulary(snapshots["horizon"])
        horizon = codes(snapshots["horizon"], horizons)
        same, counts = np.unique(self.event * len(horizons) + horizon, return_inverse=True, return_counts=True)[1:]
        # Every horizon is as likely as another, however many days the daily grid has.
        self._weight = 1.0 / counts[same]
        held = keys_of(main_rows(pipeline), events, horizons)
        self._left = np.array(
            [k in held for k in zip(self.event.tolist(), horizon.tolist(), self.as_of.tolist(), strict=True)], bool
        )
        self.sampled: dict[int, int] = {}
        self.n_sampled = 0

    def next_cut(self, rng: np.random.Generator) -> Cut | None:
        """One undrawn snapshot of each event that has one; None when all are drawn."""
        left = np.flatnonzero(self._left)
        if not left.size:
            return None
        # Weighted choice without replacement: the least of exponential waiting times wins.
        wait = rng.exponential(size=left.size) / self._weight[left]
        order = left[np.lexsort((wait, self.event[left]))]
        drawn = order[np.append(True, self.event[order][1:] != self.event[order][:-1])]
        self._left[drawn] = False
        for day in self.day[drawn].tolist():
            self.sampled[day] = self.sampled.get(day, 0) + 1
        self.n_sampled += drawn.size
        return Cut(self.events.take(pa.array(self.event[drawn])), self.as_of[drawn])

    def up_to(self, cut: Cut) -> pa.Table:
        """The snapshots of the cut's events up to their as-of times, the newest of each as far as the reach goes."""
        at = codes(self.snapshots[EVENT], cut.events)
        rows = np.flatnonzero((at >= 0) & (self.as_of <= cut.as_of[at]))
        if self._reach is not None:
            rows = rows[np.lexsort((-self.as_of[rows], at[rows]))]
            starts = np.searchsorted(at[rows], at[rows], side="left")
            rows = np.sort(rows[np.arange(rows.size) - starts < self._reach])
        return self.snapshots.take(pa.array(rows))

    def day_of(self, event: str) -> int:
        """The event's date in days since 1970."""
        return int(self.day[np.flatnonzero(self.event == codes(pa.array([event]), self.events)[0])[0]])


def of_events(table: pa.Table, events: pa.Array) -> pa.Table:
    """The rows of some events."""
    return table.filter(pc.is_in(table[EVENT], value_set=events))
