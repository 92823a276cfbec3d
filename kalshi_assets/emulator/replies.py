"""What the loopback services answer: a status, a body, and the error bodies of the exchange."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer.

    Attributes:
        status: HTTP status.
        body: the bytes sent.
        content_type: media type of the body.
        headers: further headers.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """Unwinds a handler with the reply that refuses the request."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def json_reply(body: Any, status: int = 200) -> Reply:
    """A JSON body without needless blanks."""
    return Reply(status, json.dumps(body, separators=(",", ":")).encode())


def text_reply(body: str) -> Reply:
    """A body whose JSON text is already built."""
    return Reply(200, body.encode())


def nested_error(status: int, code: str, message: str, details: str | None = None) -> Reply:
    """``{"error": {"code", "message", "details"}}``, the most common shape."""
    error = {"code": code, "message": message} | ({"details": details} if details is not None else {})
    return json_reply({"error": error}, status)


def bad_request(details: str | None = None) -> Reply:
    """A 400 in the nested shape."""
    return nested_error(400, "bad_request", "bad request", details)


def invalid_parameter(operation: str, name: str, rule: str) -> Reply:
    """``{"msg": ...}``, the shape of a parameter that fails validation."""
    return json_reply(
        {
            "msg": f"Parameter validation failed for {operation}: Key: '{operation}Params.{name}' "
            f"Error:Field validation for '{name}' failed on the '{rule}' tag"
        },
        400,
    )


def too_many_requests() -> Reply:
    """The 429: ``error`` is a string, and no header says when to come back."""
    return json_reply({"error": "too many requests"}, 429)


def not_found() -> Reply:
    """The live tier's 404."""
    return nested_error(404, "not_found", "not found")


def historical_not_found() -> Reply:
    """The historical tier's 404 for a market."""
    return nested_error(404, "failed_to_get_market_by_ticker:_not_found", "failed to get market by ticker: not found")
