"""Bodies whose shape drifted: fields that appeared or vanished since the documentation was written.

The exchange adds and removes optional fields every few weeks without a new version.
Failing answers are ``faults``' work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kalshi_assets.emulator.replies import Reply

Kind = Literal["market", "event", "series", "trade", "candlestick"]

_KIND_OF_KEY: dict[str, Kind] = {
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
class Drift:
    """What changed.

    Attributes:
        add: by kind of object, fields added to each.
        drop: by kind of object, names of fields left out.
    """

    add: Mapping[Kind, Mapping[str, Any]] = field(default_factory=dict)
    drop: Mapping[Kind, frozenset[str]] = field(default_factory=dict)


def drifted(reply: Reply, drift: Drift) -> Reply:
    """A reply with its objects changed; anything but a 200 stays as it is."""
    if reply.status != 200 or not (drift.add or drift.drop):
        return reply
    body = _changed(json.loads(reply.body), None, drift)
    return Reply(200, json.dumps(body, separators=(",", ":")).encode(), reply.content_type, reply.headers)


def _changed(value: Any, kind: Kind | None, drift: Drift) -> Any:
    if isinstance(value, list):
        return [_changed(item, kind, drift) for item in value]
    if not isinstance(value, dict):
        return value
    dropped = drift.drop.get(kind, frozenset()) if kind else frozenset()
    body = {k: _changed(v, _KIND_OF_KEY.get(k), drift) for k, v in value.items() if k not in dropped}
    # A batch of candles nests objects under "markets" that are no markets: they have no event.
    if kind is None or (kind == "market" and "market_ticker" in value):
        return body
    return body | dict(drift.add.get(kind, {}))
