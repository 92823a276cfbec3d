"""Builds that leak on purpose, one for each way of leaking: a probe that lets its canary pass has lost its teeth.

Belongs here: the planted columns, computed from the same changed inputs as the
pipeline under test. Which perturbation must catch which canary, and what
follows when it does not, belong to ``core.leak_probes``.

A row counts with a 64-bit hash of its key and of all its numbers and times, and the
hashes of the rows that a canary reads are summed modulo 2**64. Each cell enters by a step that can be
undone, so rows that differ in one cell never share a hash; whatever rows come, go
or say something else, two sums agree with a chance of 1 in 2**64. No probe misses
by bad luck: a canary that is not caught means that nothing was changed.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import (
    MISSING_TIME,
    Bools,
    Ints,
    codes,
    days,
    integers,
    reals,
    times,
)
from kalshi_assets.core.leak_perturbations import EVENT, KNOWN_AT, Cut, Inputs
from kalshi_assets.core.tables import TABLES

Hashes = npt.NDArray[np.uint64]
Canary = Callable[[Inputs, Cut], Hashes]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_ROUNDS = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
_LAST_SHIFT = np.uint64(31)


def tomorrows_outcome(inputs: Inputs, cut: Cut) -> Hashes:
    """What each event's rows say that are not known yet at its as-of time, shape (n_events,)."""

    def later(table: pa.Table, at: Ints) -> Bools:
        known_at = times(table[KNOWN_AT])
        return np.asarray((known_at > at) | (known_at == MISSING_TIME), bool)

    return _total(_known(inputs), cut, later)


def event_time(inputs: Inputs, cut: Cut) -> Hashes:
    """What each event's rows say about times up to its as-of time, whenever they arrived."""
    timed = {name: table for name, table in _known(inputs).items() if "ts" in table.column_names}
    return _total(timed, cut, lambda table, at: np.asarray(times(table["ts"]) <= at, bool))


def row_order(inputs: Inputs, cut: Cut) -> Hashes:
    """A number that depends on the order of each event's rows, and of those that all events share."""
    found = np.zeros(len(cut.events), np.uint64)
    for name, table in inputs.items():
        placed = _hashes(name, table) * np.arange(1, table.num_rows + 1).astype(np.uint64)
        _add(found, placed, _events(table, cut))
    return found


def whole_sample(inputs: Inputs, cut: Cut) -> Hashes:
    """The same for every event: a sum over the rows of all events."""
    found = np.zeros(len(cut.events), np.uint64)
    for name, table in inputs.items():
        if EVENT in table.column_names:
            found += _hashes(name, table).sum()
    return found


def _known(inputs: Inputs) -> dict[str, pa.Table]:
    return {name: table for name, table in inputs.items() if KNOWN_AT in table.column_names}


def _total(inputs: Inputs, cut: Cut, reads: Callable[[pa.Table, Ints], Bools]) -> Hashes:
    """Sum over the rows that the canary reads, by event; a shared row counts where all events have one as-of time."""
    found = np.zeros(len(cut.events), np.uint64)
    for name, table in inputs.items():
        event = _events(table, cut)
        if event is not None:
            at = cut.as_of[event]
        elif cut.moment is not None:
            at = np.full(table.num_rows, cut.moment)
        else:
            continue
        read = reads(table, at)
        _add(found, _hashes(name, table.filter(pa.array(read))), event if event is None else event[read])
    return found


def _add(found: Hashes, hashes: Hashes, event: Ints | None) -> None:
    """Add each row to its event; to every one where the rows are shared."""
    if event is None:
        found += hashes.sum()
    else:
        np.add.at(found, event[event >= 0], hashes[event >= 0])


def _events(table: pa.Table, cut: Cut) -> Ints | None:
    return codes(table[EVENT], cut.events) if EVENT in table.column_names else None


def _hashes(name: str, table: pa.Table) -> Hashes:
    """A hash of each row, wherever it lies; lists, and texts that are no key of their table, do not enter."""
    found = np.zeros(table.num_rows, np.uint64)
    keys = TABLES[name].key if name in TABLES else table.column_names
    for field in table.schema:
        text = pa.types.is_string(field.type)
        if not pa.types.is_nested(field.type) and (not text or field.name in keys):
            found = _mixed(found + _STEP + _cells(table[field.name]))
    return found


def _cells(column: Any) -> Hashes:
    kind = column.type
    if pa.types.is_timestamp(kind):
        return times(column).view(np.uint64)
    if pa.types.is_date(kind):
        return days(column).view(np.uint64)
    if pa.types.is_integer(kind):
        return integers(column, MISSING_TIME).view(np.uint64)
    if pa.types.is_decimal(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return np.ascontiguousarray(reals(column)).view(np.uint64)
    encoded = pa.chunked_array(column).combine_chunks().dictionary_encode()
    sums = np.array([*(zlib.crc32(word.encode()) for word in encoded.dictionary.to_pylist()), 0], np.uint64)
    places: Ints = np.asarray(pc.fill_null(encoded.indices, len(sums) - 1))
    return sums[places]


def _mixed(values: Hashes) -> Hashes:
    """Scattered over all 64 bits, one to one (the finaliser of splitmix64)."""
    for shift, factor in _ROUNDS:
        values = (values ^ (values >> shift)) * factor
    return values ^ (values >> _LAST_SHIFT)
