"""What can go wrong on purpose: failing answers, and bodies whose shape drifted.

The exchange adds and removes optional fields every few weeks, and its gateways
answer 502 with HTML. A client has to live with both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kalshi_assets.emulator.replies import Reply

_KIND_OF_KEY = {
    "market": "market",
    "markets": "market",
    "event": "event",
    "events": "event",
    "series": "series",
    "trades": "trade",
    "candlesticks": "candlestick",
    "market_candlesticks": "candlestick",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One request's bad luck.

    Attributes:
        status: status sent instead of the answer.
        body: body sent with it.
        content_type: its media type.
        delay_s: seconds waited before anything is sent.
        drop: close the connection without an answer.
        truncate: send the true answer with a correct length, but only its first half (cut JSON).
    """

    status: int | None = None
    body: bytes = b""
    content_type: str = "text/html"
    delay_s: float = 0.0
    drop: bool = False
    truncate: bool = False


Faults = Callable[[int, str], Fault | None]
"""Chooses the fault of a request, from its number (0, 1, ...) and its path."""

BAD_GATEWAY = Fault(status=502, body=b"<html><body>502 Bad Gateway</body></html>")
SERVER_ERROR = Fault(
    status=500,
    body=b'{"error":{"code":"internal_server_error","message":"internal server error"}}',
    content_type="application/json",
)


@dataclass(frozen=True, slots=True)
class Drift:
    """Fields that appeared or vanished since the documentation was written.

    Attributes:
        add: by kind (market, event, series, trade, candlestick), fields added to each object.
        drop: by kind, names of fields left out.
    """

    add: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    drop: Mapping[str, frozenset[str]] = field(default_factory=dict)


def drifted(reply: Reply, drift: Drift) -> Reply:
    """A reply with its objects changed; anything but a 200 stays as it is."""
    if reply.status != 200:
        return reply
    body = _changed(json.loads(reply.body), None, drift)
    return Reply(200, json.dumps(body, separators=(",", ":")).encode(), reply.content_type, reply.headers)


def _changed(value: Any, kind: str | None, drift: Drift) -> Any:
    if isinstance(value, list):
        return [_changed(item, kind, drift) for item in value]
    if not isinstance(value, dict):
        return value
    dropped = drift.drop.get(kind or "", frozenset())
    body = {k: _changed(v, _KIND_OF_KEY.get(k), drift) for k, v in value.items() if k not in dropped}
    # A batch of candles nests objects under "markets" that are no markets: they have no event.
    if kind == "market" and "market_ticker" in value:
        return body
    return body | dict(drift.add.get(kind or "", {}))
