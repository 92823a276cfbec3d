"""The tolerant reading of one JSON object into a typed record; which records exist does not belong here."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, PrivateAttr, StrictBool, ValidationError

from kalshi_assets.errors import MalformedResponse
from kalshi_assets.exchange.findings import Findings

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_LONGEST_NUMBER = 15  # digits before the point


def read_time(value: Any) -> datetime:
    """An RFC 3339 text as an aware datetime in UTC; anything else is a ValueError."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError("is not an RFC 3339 time")
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except OverflowError:
        raise ValueError("is not a time that a calendar holds") from None


def read_decimal(value: Any) -> Decimal:
    """A decimal text or JSON number, exactly; anything else, and anything absurdly large, is a ValueError."""
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise ValueError("is not a decimal number")
    number = Decimal(value)
    # Not abs(): it rounds in the context, and a huge exponent overflows there.
    if not number.is_finite() or number.adjusted() >= _LONGEST_NUMBER:
        raise ValueError("is not a number in range")
    return number


Time = Annotated[datetime, BeforeValidator(read_time)]
Number = Annotated[Decimal, BeforeValidator(read_decimal)]
Flag = StrictBool


class Record(BaseModel):
    """Base of the typed bodies: required is only what the platform uses, absent and null are alike.

    Class attributes say what is known of the body: ``blank_is_unset`` names fields
    whose empty text means "not set", ``documented`` the fields that exist but are
    not modelled, ``vocabulary`` the known words of a field, ``identity`` the field
    that names the record in messages.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    blank_is_unset: ClassVar[frozenset[str]] = frozenset()
    documented: ClassVar[frozenset[str]] = frozenset()
    vocabulary: ClassVar[dict[str, frozenset[str]]] = {}
    identity: ClassVar[str] = ""

    _raw: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def raw(self) -> dict[str, Any]:
        """The body as received."""
        return self._raw

    @property
    def raw_json(self) -> str:
        """The body as canonical JSON: keys sorted, no spaces."""
        return canonical_json(self._raw)

    @classmethod
    def parse(cls, body: Any, endpoint: str, findings: Findings | None = None) -> Self:
        """Read one body.

        Args:
            body: the parsed JSON value.
            endpoint: named in errors and findings.
            findings: where unknown fields and words are counted.

        Raises:
            MalformedResponse: no object, a required field is missing, or a value is of the wrong kind.
        """
        if not isinstance(body, dict):
            raise MalformedResponse(f"{endpoint}: expected an object, got {type(body).__name__}.")
        if broken := [n for n, v in body.items() if isinstance(v, str) and not _is_text(v)]:
            raise MalformedResponse(f"{endpoint}: field {broken[0]!r} of a record is no Unicode text.")
        known = {
            name: value
            for name, value in body.items()
            if value is not None and not (value == "" and name in cls.blank_is_unset)
        }
        problem = ""
        try:
            record = cls.model_validate(known)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            said = "is missing" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
            problem = f"{endpoint}: field {field!r} of {cls._name_of(body)} {said[:120]}"
        except RecursionError:
            problem = f"{endpoint}: {cls._name_of(body)} is nested too deeply"
        else:
            record._raw = body
            if findings is not None:
                cls._report(known, endpoint, findings)
            return record
        raise MalformedResponse(f"{problem}; the response's shape has changed or the body is damaged.")

    @classmethod
    def _name_of(cls, body: dict[str, Any]) -> str:
        name = body.get(cls.identity)
        return f"{name[:80]!r}" if isinstance(name, str) else "an unnamed record"

    @classmethod
    def _report(cls, body: dict[str, Any], endpoint: str, findings: Findings) -> None:
        for name in body.keys() - cls.model_fields.keys() - cls.documented:
            findings.note(endpoint, "unknown_field", str(name))
        for name, words in cls.vocabulary.items():
            value = body.get(name)
            if value is not None and value not in words:
                findings.note(endpoint, "unknown_value", f"{name}={value}")


def _is_text(value: str) -> bool:
    """False for a text with half of a surrogate pair, which JSON can write and UTF-8 cannot."""
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


def canonical_json(value: Any) -> str:
    """One text per JSON value: sorted keys, no spaces, exact decimals as numbers where a double holds them."""
    text: str | None
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_number)
        if not text.isascii():
            text.encode()  # half of a surrogate pair is JSON, but no text that a table can hold
    except (TypeError, ValueError, RecursionError):
        text = None
    if text is None:
        raise MalformedResponse("A response body holds something that cannot be written as JSON; it cannot be kept.")
    return text


def _number(value: Any) -> float | str:
    if not isinstance(value, Decimal):
        raise TypeError(type(value).__name__)
    number = float(value)
    return number if Decimal(repr(number)) == value else str(value)
