"""Laws that every row of a table keeps: said once, asked of Arrow columns, and written as conditions in SQL.

A missing value breaks none of them, and what is not a number lies in no range. Which table has
which is ``table_laws``' matter; refusing rows is the store's.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

LARGEST = sys.float_info.max


@dataclass(frozen=True, slots=True)
class InRange:
    """The values of a column lie in a range.

    Attributes:
        column: numbers, or lists of numbers.
        low: least value allowed.
        high: greatest value allowed; None for no such end.
    """

    column: str
    low: float
    high: float | None = None

    @property
    def name(self) -> str:
        """What the check is called in a table's properties."""
        return f"{self.column}_in_range"

    def breach(self, rows: pa.Table, row: int) -> str:
        """What the law is, and what a row that breaks it has instead."""
        if self.high in (None, LARGEST):
            law = "be a finite number" if self.low == -LARGEST else f"be at least {self.low}"
        else:
            law = f"lie between {self.low} and {self.high}"
        found = rows.column(self.column)[row].as_py()
        if isinstance(found, list):
            high = math.inf if self.high is None else self.high
            found = next(v for v in found if v is not None and not self.low <= v <= high)
        return f"{self.column} must {law} and is {found}"

    def condition(self, schema: pa.Schema) -> str:
        """The law in the SQL that Spark and DataFusion share; true where the value is missing."""
        listed = pa.types.is_list(schema.field(self.column).type)
        least, most = (f"array_{end}({self.column})" if listed else self.column for end in ("min", "max"))
        upper = "" if self.high is None else f" AND {most} <= {self.high}"
        return f"coalesce({least} >= {self.low}{upper}, true)"

    def first_breach(self, rows: pa.Table) -> int | None:
        """Number of the first row that breaks the law; None where none does."""
        column = rows.column(self.column)
        if pa.types.is_list(column.type):
            place = self._first_outside(pc.list_flatten(column))
            return None if place is None else int(pc.list_parent_indices(column)[place].as_py())
        return self._first_outside(column)

    def _first_outside(self, column: pa.ChunkedArray) -> int | None:
        if column.null_count == len(column) or all(self._surely_holds(chunk) for chunk in column.chunks):
            return None
        held = pc.greater_equal(column, pa.scalar(self.low, column.type))
        if self.high is not None:
            held = pc.and_(held, pc.less_equal(column, pa.scalar(self.high, column.type)))
        return _first_false(held)

    def _surely_holds(self, chunk: pa.Array) -> bool:
        """Whether the law holds even for what stands in the place of missing values: a look without any copy."""
        numbers = _stored_numbers(chunk) if len(chunk) else None
        if numbers is None:
            return not len(chunk)
        unit = 10**chunk.type.scale if pa.types.is_decimal(chunk.type) else 1
        # NaN is neither above nor below anything.
        return bool(numbers.min() >= self.low * unit and (self.high is None or numbers.max() <= self.high * unit))


@dataclass(frozen=True, slots=True)
class InOrder:
    """One column of a row is not greater than another.

    Attributes:
        first, then: columns of one type.
        strict: whether they may not be equal either.
    """

    first: str
    then: str
    strict: bool = False

    @property
    def name(self) -> str:
        """What the check is called in a table's properties."""
        return f"{self.first}_{'before' if self.strict else 'not_after'}_{self.then}"

    def breach(self, rows: pa.Table, row: int) -> str:
        """What the law is, and what a row that breaks it has instead."""
        law = f"come before {self.then}" if self.strict else f"not come after {self.then}"
        first, then = (rows.column(name)[row].as_py() for name in (self.first, self.then))
        return f"{self.first} must {law} and they are {first} and {then}"

    def condition(self, schema: pa.Schema) -> str:
        """The law in the SQL that Spark and DataFusion share; true where a value is missing."""
        return f"coalesce({self.first} {'<' if self.strict else '<='} {self.then}, true)"

    def first_breach(self, rows: pa.Table) -> int | None:
        """Number of the first row that breaks the law; None where none does."""
        first, then = rows.column(self.first), rows.column(self.then)
        if rows.num_rows in (first.null_count, then.null_count):
            return None
        return _first_false((pc.less if self.strict else pc.less_equal)(first, then))


RowCheck = InRange | InOrder


def _first_false(held: pa.ChunkedArray) -> int | None:
    place: int = pc.index(held, False).as_py()
    return None if place < 0 else place


def _stored_numbers(chunk: pa.Array) -> npt.NDArray[Any] | None:
    """The numbers that an array's memory holds, those under nulls too; None for types that are not looked at so.

    Decimals come in units of their last place: those of the lake fit the lower of their two words.
    """
    words = 2 if pa.types.is_decimal128(chunk.type) else 1
    if words == 1 and not (pa.types.is_int64(chunk.type) or pa.types.is_float64(chunk.type)):
        return None
    kind = np.float64 if pa.types.is_float64(chunk.type) else np.int64
    stored = chunk.buffers()[1]
    if stored is None:
        return None
    return np.frombuffer(stored, kind, words * len(chunk), 8 * words * chunk.offset)[::words]
