"""One HTTP GET: prepared, sent, read under a deadline, and judged; whether to try again is not decided here."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import requests
import urllib3

Clock = Callable[[], float]

_CHUNK = 1 << 16
_LARGEST_BODY = 1 << 28  # the longest listing is a hundredth of it; a compressed bomb is not
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over the wire.

    Attributes:
        status: HTTP status.
        headers: response headers, case-insensitive.
        body: the decoded bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why nothing came back, in words that carry no URL and so no secret.

    Attributes:
        words: for a person.
        refused: True where the host actively refused the connection.
    """

    words: str
    refused: bool = False


def send(
    session: requests.Session,
    request: requests.PreparedRequest,
    *,
    connect_timeout_s: float,
    read_timeout_s: float,
    deadline: float,
    clock: Clock,
) -> Answer | NoAnswer:
    """Send one prepared request and read the whole body before ``deadline`` on ``clock``.

    The socket timeout bounds each silence; the deadline bounds the sum, so a server
    that drips one byte at a time cannot hold the caller.
    """
    try:
        settings = session.merge_environment_settings(request.url or "", {}, True, None, None)
        with session.send(
            request, timeout=(connect_timeout_s, read_timeout_s), allow_redirects=False, **settings
        ) as response:
            parts: list[bytes] = []
            received = 0
            while part := response.raw.read1(_CHUNK, decode_content=True):
                parts.append(part)
                received += len(part)
                if received > _LARGEST_BODY:
                    return NoAnswer("the body was larger than 256 MB")
                if clock() > deadline:
                    return NoAnswer("the body was still arriving when the time budget ended")
            return Answer(response.status_code, response.headers, b"".join(parts))
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        return _explain(error)


def parse_object(body: bytes) -> dict[str, Any] | str:
    """The JSON object in a body, numbers with a fraction as Decimal; or, in words, why it is not one."""
    try:
        # Strictly UTF-8: the parser would let halves of surrogate pairs pass, which no table can hold.
        value = json.loads(body.decode("utf-8-sig"), parse_float=Decimal, parse_constant=_refuse_constant)
        if _SURROGATE.search(body):
            json.dumps(value, ensure_ascii=False, default=str).encode()
    except (ValueError, ArithmeticError):
        # The body itself is not quoted: it may echo the request, and a request may hold a secret.
        return ("is HTML, not JSON" if body.lstrip()[:1] == b"<" else "is not JSON") if body else "is empty"
    except RecursionError:
        return "is nested too deeply"
    if not isinstance(value, dict):
        return f"is not a JSON object but a {type(value).__name__}"
    return value


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _explain(error: BaseException) -> NoAnswer:
    seen: list[BaseException] = []
    walk: BaseException | None = error
    while walk is not None and walk not in seen:
        seen.append(walk)
        reason = getattr(walk, "reason", None)
        nested = next((a for a in (reason, *walk.args) if isinstance(a, BaseException)), None)
        walk = nested or walk.__cause__ or walk.__context__
    if _any(seen, ConnectionRefusedError):
        return NoAnswer("the connection was refused", refused=True)
    if _any(seen, socket.gaierror, urllib3.exceptions.NameResolutionError):
        return NoAnswer("the host name could not be resolved")
    if _any(seen, requests.exceptions.SSLError, urllib3.exceptions.SSLError):
        return NoAnswer("the TLS connection could not be established")
    if _any(seen, requests.exceptions.ProxyError, urllib3.exceptions.ProxyError):
        return NoAnswer("the proxy did not connect")
    if _any(seen, requests.exceptions.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError):
        return NoAnswer("the connection timed out")
    if _any(seen, requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
        return NoAnswer("the server fell silent and the read timed out")
    if _any(seen, urllib3.exceptions.DecodeError, requests.exceptions.ContentDecodingError):
        return NoAnswer("the body's compression was damaged")
    return NoAnswer("the connection broke")


def _any(errors: list[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(e, kinds) for e in errors)
