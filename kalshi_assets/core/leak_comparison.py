"""Two builds of the same rows, compared bit by bit.

Belongs here: aligning rows by key and finding the first cell that differs.
What was done to the inputs in between belongs to ``core.leak_perturbations``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import Bools, reals
from kalshi_assets.core.ordering import first_duplicate
from kalshi_assets.core.tables import TABLES

ABSENT = "absent"
_SNAPSHOT_KEY = ("event_ticker", "horizon", "as_of")


@dataclass(frozen=True, slots=True)
class Difference:
    """The first cell of a row that is not what it was.

    Attributes:
        event_ticker: the row's event.
        key: the row, in words.
        column: the cell's column; ``row`` where the whole row appeared or vanished.
        was: the value before, in words.
        now: the value after.
    """

    event_ticker: str
    key: str
    column: str
    was: str
    now: str


def key_of(name: str, table: pa.Table) -> tuple[str, ...]:
    """Columns that name a row of an output: those of the lake's table of that name, else event, horizon and as-of."""
    spec = TABLES.get(name)
    return spec.key if spec else tuple(c for c in _SNAPSHOT_KEY if c in table.column_names)


def differences(name: str, before: pa.Table, after: pa.Table) -> list[Difference]:
    """The first differing cell of every row that is not bit-identical, in order of the key.

    As in the content hash, null differs from NaN, every NaN is one value and minus zero is zero. Row order does
    not matter, key columns must be in both, and a column that only one side has differs in every row.
    """
    key = key_of(name, before)
    old, new = _sorted(before, key), _sorted(after, key)
    if old.equals(new):
        return []
    if not old.select(key).equals(new.select(key)):
        found, old, new = _unmatched(old, new, key)
    else:
        found = []
    if old.num_rows == 0:
        return found
    columns = [*old.column_names, *(c for c in new.column_names if c not in old.column_names)]
    first = np.full(old.num_rows, len(columns))
    for place, column in reversed(list(enumerate(columns))):
        first[_differs(old, new, column)] = place
    for row in np.flatnonzero(first < len(columns)).tolist():
        column = columns[first[row]]
        found.append(_difference(old, row, key, column, _cell(old, column, row), _cell(new, column, row)))
    return sorted(found, key=lambda d: d.key)


def _sorted(table: pa.Table, key: Sequence[str]) -> pa.Table:
    return table.sort_by([(c, "ascending") for c in key]).combine_chunks()


def _differs(old: pa.Table, new: pa.Table, column: str) -> Bools:
    if column not in old.column_names or column not in new.column_names:
        return np.ones(old.num_rows, bool)
    a, b = old[column], new[column]
    if a.type != b.type:
        return np.ones(old.num_rows, bool)
    if a.equals(b):
        return np.zeros(old.num_rows, bool)
    if pa.types.is_floating(a.type):
        x, y = reals(a), reals(b)
        nulls = np.asarray(pc.is_null(a), bool) != np.asarray(pc.is_null(b), bool)
        return np.asarray(((x != y) & ~(np.isnan(x) & np.isnan(y))) | nulls, bool)
    # Texts keep NaN equal to itself inside lists, which values would not.
    return np.array([repr(x) != repr(y) for x, y in zip(a.to_pylist(), b.to_pylist(), strict=True)])


def _unmatched(old: pa.Table, new: pa.Table, key: Sequence[str]) -> tuple[list[Difference], pa.Table, pa.Table]:
    """Rows of one side only, as differences, and the rows that both sides have, aligned."""
    for table in (old, new):
        repeated = first_duplicate(table, key)
        if repeated is not None:
            return [_difference(table, repeated, key, "row", "once", "several times")], old.slice(0, 0), new.slice(0, 0)
    was, now = (
        {row: i for i, row in enumerate(zip(*(t[c].to_pylist() for c in key), strict=True))} for t in (old, new)
    )
    found = [_difference(old, i, key, "row", "present", ABSENT) for row, i in was.items() if row not in now]
    found += [_difference(new, i, key, "row", ABSENT, "present") for row, i in now.items() if row not in was]
    both = [row for row in was if row in now]
    return found, old.take([was[row] for row in both]), new.take([now[row] for row in both])


def _difference(table: pa.Table, row: int, key: Sequence[str], column: str, was: str, now: str) -> Difference:
    words = ", ".join(f"{c}={_word(table[c][row].as_py())}" for c in key)
    return Difference(str(table["event_ticker"][row].as_py()), words, column, was, now)


def _cell(table: pa.Table, column: str, row: int) -> str:
    return _word(table[column][row].as_py()) if column in table.column_names else "no such column"


def _word(value: Any) -> str:
    text = value.isoformat() if hasattr(value, "isoformat") else repr(value) if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
