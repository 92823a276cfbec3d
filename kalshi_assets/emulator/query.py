"""Query parameters of one request: typed reading, with the exchange's refusals.

Also the cursor: an opaque token that holds an offset. A token that nobody
issued reads as the first page, as it does on the exchange.
"""

from __future__ import annotations

import base64
import binascii
import random
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs

from kalshi_assets.emulator.replies import Refused, invalid_parameter

_SEAL = "offset:"

Order = Literal["reversed", "shuffled"]


@dataclass(frozen=True, slots=True)
class Slip:
    """How a page of a listing comes out wrong; nothing is wrong with the default.

    Attributes:
        first_page: a cursor reads as none.
        previous_page: the page before the one asked for.
        rows_again: rows of the page before with which it begins, as when a listing shifts under the reader.
        order: of the page's rows, where it is not the listing's.
        luck: seeds a shuffle.
    """

    first_page: bool = False
    previous_page: bool = False
    rows_again: int = 0
    order: Order | None = None
    luck: str = ""


NO_SLIP = Slip()


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of a request to one operation.

    Attributes:
        operation: the operation's name, as the exchange puts it into refusals (``GetMarkets``).
        values: every value given, by parameter.
        slip: what goes wrong with the page, if it is one.
    """

    operation: str
    values: dict[str, list[str]]
    slip: Slip = NO_SLIP

    @classmethod
    def parse(cls, operation: str, text: str, slip: Slip = NO_SLIP) -> Query:
        """From the text after the question mark."""
        return cls(operation, parse_qs(text, keep_blank_values=True) if text else {}, slip)

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


def page(total: int, query: Query, default: int, maximum: int) -> tuple[list[int], str]:
    """One page of a listing.

    Args:
        total: rows of the whole listing.
        query: holds ``limit`` and ``cursor``.
        default: page size without ``limit``.
        maximum: greatest ``limit``.

    Returns:
        (row numbers of the page, the cursor of the next one or an empty string on the last).
    """
    limit, start, slip = query.limit(default, maximum), read_cursor(query.text("cursor")), query.slip
    if slip.first_page or start >= total:
        start = 0
    start = max(start - (limit if slip.previous_page else slip.rows_again), 0)
    rows = list(range(start, min(start + limit, total)))
    if slip.order == "reversed":
        rows.reverse()
    elif slip.order == "shuffled":
        random.Random(slip.luck).shuffle(rows)  # noqa: S311
    end = start + limit
    return rows, base64.urlsafe_b64encode(f"{_SEAL}{end}".encode()).decode() if end < total else ""


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
