"""Cells of a reference file as typed columns: texts, days, numbers and times, with each bad cell marked.

What a value may be, and what a bad cell does to its row, is ``macro.reference_checks``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.tables import DATE, INT, REAL, TEXT, TIME
from kalshi_assets.errors import UsageError

_TYPES: dict[str, pa.DataType] = {"text": TEXT, "day": DATE, "real": REAL, "count": INT, "time": TIME}
_LARGEST_COUNT = 2**63 - 1
# pyarrow reads these forms itself; anything else is looked at cell by cell.
_FORMS = {
    "day": r"^\d{4}-\d{2}-\d{2}$",
    "real": r"^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$",
    "count": r"^\d+$",
    "time": r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[-+]\d{2}:\d{2})$",
}


def typed(column: Any, kind: str, name: str) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """A column in its type, and which of its filled cells could not be read (they become null).

    Raises:
        UsageError: times without a zone, or a column of a type that cannot stand for it.
    """
    cells = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(cells, pa.ChunkedArray):
        cells = pa.concat_arrays(cells.chunks) if cells.num_chunks else pa.array([], cells.type)
    target = _TYPES[kind]
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        return _from_text(pc.utf8_trim_whitespace(cells.cast(TEXT)), kind, name)
    if kind == "time" and pa.types.is_timestamp(cells.type) and cells.type.tz is None:
        raise _naive(name, "its type says so")
    if not _fits(cells.type, kind):
        raise UsageError(f"column {name} holds {cells.type}, which is no {kind}; write it as {_written(kind)}")
    values = cells.cast(target, safe=False)
    return values, np.zeros(len(values), bool)


def _from_text(cells: pa.Array, kind: str, name: str) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    filled = np.asarray(pc.fill_null(pc.greater(pc.utf8_length(cells), 0), False), bool)
    if kind == "text":
        return pc.if_else(pa.array(filled), cells, pa.scalar(None, TEXT)), np.zeros(len(cells), bool)
    regular = filled & np.asarray(pc.fill_null(pc.match_substring_regex(cells, _FORMS[kind]), False), bool)
    try:
        if (filled & ~regular).any():
            raise pa.ArrowInvalid("some cells are irregular")
        return pc.if_else(pa.array(filled), cells, pa.scalar(None, TEXT)).cast(_TYPES[kind]), ~(filled | ~filled)
    except pa.ArrowInvalid:
        return _one_by_one(cells, filled, kind, name)


def _one_by_one(
    cells: pa.Array, filled: npt.NDArray[np.bool_], kind: str, name: str
) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    readers: dict[str, Callable[[str], Any]] = {
        "day": date.fromisoformat, "real": _number, "count": _count, "time": _aware(name),
    }  # fmt: skip
    read = readers[kind]
    values: list[Any] = []
    bad = np.zeros(len(cells), bool)
    for i, text in enumerate(cells.to_pylist()):
        values.append(None)
        if filled[i]:
            try:
                values[-1] = read(text)
            except (ValueError, OverflowError):
                bad[i] = True
    return pa.array(values, _TYPES[kind]), bad


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _count(text: str) -> int:
    number = int(text)
    if abs(number) > _LARGEST_COUNT:
        raise OverflowError(text)
    return number


def _aware(name: str) -> Callable[[str], datetime]:
    def read(text: str) -> datetime:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise _naive(name, repr(text))
        return moment.astimezone(UTC)

    return read


def _naive(name: str, example: str) -> UsageError:
    return UsageError(
        f"column {name} has times without a time zone ({example}); write them with one, like 2024-07-11T12:30:00Z"
    )


def _fits(found: pa.DataType, kind: str) -> bool:
    if pa.types.is_null(found):
        return True
    if kind == "real":
        return bool(pa.types.is_integer(found) or pa.types.is_floating(found) or pa.types.is_decimal(found))
    fits = {"day": pa.types.is_date, "count": pa.types.is_integer, "time": pa.types.is_timestamp}
    return kind in fits and bool(fits[kind](found))


def _written(kind: str) -> str:
    return {
        "text": "text", "day": "2024-07-11", "real": "a number", "count": "a whole number",
        "time": "2024-07-11T12:30:00Z",
    }[kind]  # fmt: skip
