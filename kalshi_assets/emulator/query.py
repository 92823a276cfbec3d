"""Query parameters of one request: typed reading, with the exchange's refusals.

Also the cursor: an opaque token that holds an offset. A token that nobody
issued reads as the first page, as it does on the exchange.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import parse_qs

from kalshi_assets.emulator.replies import Refused, invalid_parameter

Row = TypeVar("Row")
_SEAL = "offset:"


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of a request to one operation.

    Attributes:
        operation: the operation's name, as the exchange puts it into refusals (``GetMarkets``).
        values: every value given, by parameter.
    """

    operation: str
    values: dict[str, list[str]]

    @classmethod
    def parse(cls, operation: str, text: str) -> Query:
        """From the text after the question mark."""
        return cls(operation, parse_qs(text, keep_blank_values=True) if text else {})

    def text(self, name: str) -> str | None:
        """The value of a parameter; an empty one counts as absent."""
        return (self.values.get(name) or [""])[-1] or None

    def texts(self, name: str) -> list[str]:
        """Every value of a repeated parameter, unsplit."""
        return [v for v in self.values.get(name, []) if v]

    def listed(self, name: str) -> list[str] | None:
        """A comma-separated list; None where the parameter is absent."""
        value = self.text(name)
        return None if value is None else [part for part in value.split(",") if part]

    def flag(self, name: str) -> bool:
        """True for ``true`` and ``1``."""
        return (self.text(name) or "").lower() in ("true", "1")

    def integer(self, name: str) -> int | None:
        """An integer; anything else is refused."""
        value = self.text(name)
        if value is None:
            return None
        try:
            return int(value)
        except ValueError:
            raise Refused(invalid_parameter(self.operation, _camel(name), "number")) from None

    def required(self, name: str) -> int:
        """An integer that must be there."""
        value = self.integer(name)
        if value is None:
            raise Refused(invalid_parameter(self.operation, _camel(name), "required"))
        return value

    def limit(self, default: int, maximum: int) -> int:
        """The page size, refused below one and above the maximum."""
        value = self.integer("limit")
        if value is None:
            return default
        if value > maximum:
            raise Refused(invalid_parameter(self.operation, "Limit", "lte"))
        if value < 1:
            raise Refused(invalid_parameter(self.operation, "Limit", "gte"))
        return value

    def offset(self) -> int:
        """Where the page begins."""
        return read_cursor(self.text("cursor"))


def page(rows: Sequence[Row], query: Query, default: int, maximum: int) -> tuple[Sequence[Row], str]:
    """One page of a listing.

    Args:
        rows: the whole listing, in order.
        query: holds ``limit`` and ``cursor``.
        default: page size without ``limit``.
        maximum: greatest ``limit``.

    Returns:
        (the page, the cursor of the next one or an empty string on the last).
    """
    limit, start = query.limit(default, maximum), query.offset()
    start = 0 if start >= len(rows) else start
    return rows[start : start + limit], next_cursor(start + limit, len(rows))


def next_cursor(end: int, total: int) -> str:
    """The cursor after row ``end``; empty where nothing follows."""
    return base64.urlsafe_b64encode(f"{_SEAL}{end}".encode()).decode() if end < total else ""


def read_cursor(token: str | None) -> int:
    """The offset in a cursor; zero for none and for a token of no sense."""
    try:
        text = base64.urlsafe_b64decode(token or "").decode()
    except (binascii.Error, ValueError):
        return 0
    number = text.removeprefix(_SEAL)
    return int(number) if text.startswith(_SEAL) and number.isdecimal() else 0


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
