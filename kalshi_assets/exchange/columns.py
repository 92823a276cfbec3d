"""Columns of decimal texts and times from the wire into Arrow; which columns a body has does not belong here."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.tables import COUNT, INT, PRICE, TEXT, TIME
from kalshi_assets.errors import MalformedResponse

_ARROW_FAULTS = (pa.ArrowException, UnicodeError, OverflowError, TypeError, ValueError)
_ZERO = pa.scalar(Decimal(0), PRICE)
_ONE = pa.scalar(Decimal(1), PRICE)
_NO_CONTRACTS = pa.scalar(Decimal(0), COUNT)
_LATEST_S = 4_102_444_800  # the year 2100


def price_column(texts: Sequence[Any], what: str) -> Any:
    """Dollar texts as ``decimal128(7,6)``; None stays null.

    Args:
        texts: decimal strings or None, one per row.
        what: named in errors, for example ``yes_bid.open of KXCPI-26OCT-T1.0``.

    Raises:
        MalformedResponse: an entry is no decimal text, has more than six decimals, or lies outside 0..1.
    """
    column = _decimals(texts, PRICE, what)
    _within(column, _ZERO, _ONE, what)
    return column


def without(column: Any, price: Decimal) -> Any:
    """The column with null where it holds a price that stands for "nobody quotes"."""
    return pc.if_else(pc.equal(column, pa.scalar(price, PRICE)), pa.scalar(None, PRICE), column)


def count_column(texts: Sequence[Any], what: str) -> Any:
    """Contract counts as ``decimal128(18,2)``, none negative; None stays null."""
    column = _decimals(texts, COUNT, what)
    _within(column, _NO_CONTRACTS, None, what)
    return column


def unix_column(seconds: Sequence[Any], what: str) -> Any:
    """Unix seconds as ``timestamp[us, UTC]``; None is refused."""
    # Arrow would cut a fraction off and take it for whole seconds.
    if not all(type(s) is int for s in seconds):
        raise MalformedResponse(f"{what} is missing or no whole number of seconds; the response's shape has changed.")
    array = _array(seconds, INT, what)
    _within(array, pa.scalar(0, INT), pa.scalar(_LATEST_S, INT), what)
    return pc.cast(pc.multiply(array, 1_000_000), TIME)


def time_column(texts: Sequence[Any], what: str) -> Any:
    """RFC 3339 texts as ``timestamp[us, UTC]``; None is refused."""
    array = text_column(texts, what)
    if array.null_count:
        raise MalformedResponse(f"{what} is missing in {array.null_count} rows.")
    return _cast(array, TIME, what)


def text_column(values: Sequence[Any], what: str) -> Any:
    """Texts; None stays null, anything else is refused."""
    return _array(values, TEXT, what)


def _decimals(texts: Sequence[Any], kind: Any, what: str) -> Any:
    return _cast(_array(texts, TEXT, what), kind, what)


def _array(values: Sequence[Any], kind: Any, what: str) -> Any:
    try:
        return pa.array(values, kind)
    except _ARROW_FAULTS as error:
        said = _short(error)
    raise MalformedResponse(f"{what}: {said}; the response's shape has changed or the body is damaged.")


def _cast(array: Any, kind: Any, what: str) -> Any:
    try:
        return pc.cast(array, kind)
    except _ARROW_FAULTS as error:
        said = _short(error)
    raise MalformedResponse(f"{what}: {said}; the response's shape has changed or the body is damaged.")


def _within(column: Any, low: Any, high: Any, what: str) -> None:
    bad = pc.less(column, low)
    if high is not None:
        bad = pc.or_(bad, pc.greater(column, high))
    if pc.any(bad).as_py():
        value = pc.filter(column, bad)[0].as_py()
        raise MalformedResponse(f"{what}: {value} is outside its range.")


def _short(error: BaseException) -> str:
    return str(error).partition("\n")[0][:160] or type(error).__name__
