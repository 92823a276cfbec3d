"""Builds that leak on purpose, one for each way of leaking: a probe that lets its canary pass has lost its teeth.

Belongs here: the planted columns, computed from the same changed inputs as the
pipeline under test. Which perturbation must catch which canary, and what
follows when it does not, belong to ``core.leak_probes``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from kalshi_assets.core.columns import Bools, Ints, Reals, codes, reals, times
from kalshi_assets.core.leak_perturbations import EVENT, KNOWN_AT, Cut, Inputs
from kalshi_assets.core.leak_values import value_columns

Canary = Callable[[Inputs, Cut], Reals]


def tomorrows_outcome(inputs: Inputs, cut: Cut) -> Reals:
    """What each event's rows say that are not known yet at its as-of time, shape (n_events,)."""
    return _total(inputs, cut, lambda table, at: times(table[KNOWN_AT]) > at)


def event_time(inputs: Inputs, cut: Cut) -> Reals:
    """What each event's rows say about times up to its as-of time, whenever they arrived."""
    return _total(inputs, cut, lambda table, at: times(table["ts"]) <= at if "ts" in table.column_names else at < at)


def row_order(inputs: Inputs, cut: Cut) -> Reals:
    """A number that depends on the order of each event's rows."""
    found = np.zeros(len(cut.events))
    for name, table in inputs.items():
        event, value = _events(table, cut), _values(name, table)
        weight = np.arange(event.size) + 1.0
        found += np.bincount(event[event >= 0], (weight * value)[event >= 0], found.size)
    return found


def whole_sample(inputs: Inputs, cut: Cut) -> Reals:
    """The same for every event: a sum over the rows of all events."""
    total = sum(float((_values(n, t) + 1.0).sum()) for n, t in inputs.items() if EVENT in t.column_names)
    return np.full(len(cut.events), total)


def _total(inputs: Inputs, cut: Cut, reads: Callable[[pa.Table, Ints], Bools]) -> Reals:
    """Sum of one plus the value over the rows that the canary reads, by event; a shared row counts for each event."""
    found = np.zeros(len(cut.events))
    for name, table in inputs.items():
        if KNOWN_AT not in table.column_names or not table.num_rows:
            continue
        weight = _values(name, table) + 1.0
        if EVENT in table.column_names:
            event = _events(table, cut)
            used = (event >= 0) & reads(table, cut.as_of[event])
            found += np.bincount(event[used], weight[used], found.size)
        elif cut.moment is not None:
            found += weight[reads(table, np.full(table.num_rows, cut.moment))].sum()
    return found


def _events(table: pa.Table, cut: Cut) -> Ints:
    return codes(table[EVENT], cut.events) if EVENT in table.column_names else np.full(table.num_rows, -1, np.int64)


def _values(name: str, table: pa.Table) -> Reals:
    """The first number of each row that a made-up row would change; zero where it is null."""
    for column in value_columns(name, table):
        kind = table.schema.field(column).type
        if pa.types.is_timestamp(kind):
            return times(table[column]) / 1e6  # seconds, so that a cent beside it still counts
        if pa.types.is_integer(kind):  # Some are wider than a float is exact; it is no matter which value they give.
            return np.nan_to_num(reals(table[column].cast(pa.float64(), safe=False)))
        if pa.types.is_decimal(kind) or pa.types.is_floating(kind):
            return np.nan_to_num(reals(table[column]))
    return np.zeros(table.num_rows)
