"""What a service says when it refuses: every error shape as one value, and the typed error for it.

Retrying and sending do not belong here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kalshi_assets.errors import AuthenticationFailed, ExchangeError, NotFound, RequestRefused
from kalshi_assets.http.redaction import mask

_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Refusal:
    """The words of an error body.

    Attributes:
        code: machine word such as ``bad_request``; empty where the body has none.
        words: everything readable that the body says, for a person.
    """

    code: str
    words: str


def parse_refusal(body: Any, secrets: Iterable[str] = ()) -> Refusal:
    """Read an error body of any of the shapes in use.

    Nested ``{"error": {"code", "message", "details"}}``, flat ``{"code", "message",
    "details"}``, ``{"msg"}``, ``{"error": "text"}``, and FRED's ``{"error_code",
    "error_message"}``. Anything else gives an empty refusal, never an error.

    Args:
        body: the parsed JSON value.
        secrets: masked wherever the body echoes them, before the words are cut to length.
    """
    if not isinstance(body, dict):
        return Refusal("", "")
    inner = body.get("error")
    if isinstance(inner, str):
        words = mask(inner, secrets)[:_LONGEST]
        return Refusal(words, words)
    source = inner if isinstance(inner, dict) else body
    code = _text(source.get("code")) or _text(source.get("error_code"))
    said = [
        text
        for name in ("message", "msg", "error_message", "details")
        if (text := _text(source.get(name))) and text.replace("_", " ") != code.replace("_", " ")
    ]
    words = ": ".join(dict.fromkeys(said)) or code
    return Refusal(mask(code, secrets)[:_LONGEST], mask(words, secrets)[:_LONGEST])


def typed_error(status: int, refusal: Refusal, what: str) -> ExchangeError:
    """The error to raise for a refusal that no retry can cure.

    Args:
        status: HTTP status, not retryable.
        refusal: what the body said.
        what: the request, for example ``GET /markets at example.org``; no query, no secret.
    """
    said = f" ({refusal.words})" if refusal.words else ""
    if status in {401, 403}:
        return AuthenticationFailed(f"{what} was answered {status}{said}. {_advice(refusal)}")
    if status == 404:
        return NotFound(f"{what} was answered 404{said}: the service does not know it.")
    if 300 <= status < 400:
        return RequestRefused(f"{what} was answered {status}, a redirect, which is not followed; check the base URL.")
    return RequestRefused(f"{what} was answered {status}{said}; the request itself must change.")


def _advice(refusal: Refusal) -> str:
    if refusal.code == "header_timestamp_expired":
        return "The clock of this machine differs from the server's by more than it allows; synchronise it."
    if "NOT_FOUND" in refusal.words:
        return "The server does not know this key id; keys of the demo and the real exchange are separate."
    if "INCORRECT_API_KEY_SIGNATURE" in refusal.words:
        return "The private key does not belong to this key id."
    return "Check the API key that is configured for this service."


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return ""
