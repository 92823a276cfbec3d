"""The loopback exchange: from a method, a path and headers to an answer.

Routing, signatures, the rate limit. No socket: the server carries requests
here, and tests may call it directly.
"""

from __future__ import annotations

import itertools
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from kalshi_assets.emulator import listings, market_data, venue
from kalshi_assets.emulator.query import NO_SLIP, Query, Slip
from kalshi_assets.emulator.replies import Refused, Reply, nested_error, not_found, too_many_requests
from kalshi_assets.emulator.served import ServedArchive
from kalshi_assets.emulator.signatures import SignatureCheck

PREFIX = "/trade-api/v2"

Handler = Callable[..., Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint.

    Attributes:
        pattern: path segments after the prefix; ``*`` stands for any one.
        operation: its name in refusals.
        handler: called with the archive, the query and the segments behind the stars.
        signed: True where unsigned requests are refused.
    """

    pattern: tuple[str, ...]
    operation: str
    handler: Handler
    signed: bool = False


def _route(path: str, operation: str, handler: Handler, *, signed: bool = False) -> Route:
    return Route(tuple(path.strip("/").split("/")), operation, handler, signed)


# A fixed segment comes before a star in its place: /markets/trades is no market's ticker.
ROUTES: tuple[Route, ...] = (
    _route("/series", "GetSeriesList", listings.series_list),
    _route("/series/fee_changes", "GetSeriesFeeChanges", venue.series_fee_changes),
    _route("/series/*", "GetSeries", listings.series),
    _route("/series/*/markets/*/candlesticks", "GetMarketCandlesticks", market_data.market_candlesticks),
    _route("/series/*/events/*/candlesticks", "GetEventCandlesticks", market_data.event_candlesticks),
    _route(
        "/series/*/events/*/forecast_percentile_history",
        "GetEventForecastPercentilesHistory",
        venue.forecast_percentiles,
        signed=True,
    ),
    _route("/events", "GetEvents", listings.events),
    _route("/events/fee_changes", "GetEventFeeChanges", venue.event_fee_changes),
    _route("/events/*", "GetEvent", listings.event),
    _route("/markets", "GetMarkets", listings.markets),
    _route("/markets/candlesticks", "BatchGetMarketCandlesticks", market_data.batch_candlesticks),
    _route("/markets/trades", "GetTrades", market_data.trades),
    _route("/markets/orderbooks", "GetMarketOrderbooks", market_data.orderbooks),
    _route("/markets/*", "GetMarket", listings.market),
    _route("/markets/*/orderbook", "GetMarketOrderbook", market_data.orderbook),
    _route("/historical/cutoff", "GetHistoricalCutoff", listings.historical_cutoff),
    _route("/historical/markets", "GetHistoricalMarkets", listings.historical_markets),
    _route("/historical/trades", "GetHistoricalTrades", market_data.historical_trades),
    _route("/historical/markets/*", "GetHistoricalMarket", listings.historical_market),
    _route(
        "/historical/markets/*/candlesticks", "GetMarketCandlesticksHistorical", market_data.historical_candlesticks
    ),
    _route("/exchange/status", "GetExchangeStatus", venue.status),
    _route("/exchange/schedule", "GetExchangeSchedule", venue.schedule),
    _route("/account/limits", "GetAccountApiLimits", venue.account_limits, signed=True),
    _route("/account/endpoint_costs", "GetAccountEndpointCosts", venue.endpoint_costs),
    _route("/milestones", "GetMilestones", venue.milestones),
    _route("/search/tags_by_categories", "GetTagsForSeriesCategories", venue.tags_by_categories),
    _route("/portfolio/balance", "GetBalance", venue.balance, signed=True),
)


class LoopbackExchange:
    """Answers the Trade API from an archive."""

    def __init__(
        self,
        served: ServedArchive,
        *,
        signatures: SignatureCheck | None = None,
        rate_limit: float | None = None,
        moves: Sequence[tuple[int, Mapping[str, str]]] = (),
    ) -> None:
        """Open an exchange on an indexed archive.

        Args:
            served: the archive.
            signatures: the keys it knows.
            rate_limit: requests a second; None for no limit.
            moves: (requests that come before it, fields of the cutoff that change), ascending.
        """
        self._after = [after for after, _ in moves]
        self._served = list(itertools.accumulate((cutoff for _, cutoff in moves), ServedArchive.moved, initial=served))
        self._numbers = itertools.count()
        self._signatures = signatures or SignatureCheck()
        self._bucket = None if rate_limit is None else _Bucket(rate_limit)

    def answer(self, method: str, target: str, headers: Mapping[str, str], slip: Slip = NO_SLIP) -> Reply:
        """Answer one request.

        Args:
            method: HTTP method.
            target: path and query, as sent.
            headers: request headers, names in lower case.
            slip: what goes wrong with the page, where the answer is one.
        """
        served = self._served[bisect_right(self._after, next(self._numbers))]
        parts = urlsplit(target)
        path = parts.path
        if path.endswith("/"):
            query = f"?{parts.query}" if parts.query else ""
            return Reply(301, b"", headers={"Location": f"{path.rstrip('/')}{query}"})
        if self._bucket is not None and not self._bucket.take():
            return too_many_requests()
        segments = tuple(unquote(s) for s in path.removeprefix(PREFIX).strip("/").split("/"))
        for route in ROUTES:
            stars = _match(route.pattern, segments)
            if stars is None:
                continue
            if method != "GET":
                return nested_error(405, "method_not_allowed", "method not allowed")
            refusal = self._signatures.refusal(method, path, headers, served.clock(), must_sign=route.signed)
            if refusal is not None:
                return refusal
            try:
                return route.handler(served, Query.parse(route.operation, parts.query, slip), *stars)
            except Refused as refused:
                return refused.reply
        return not_found()


class _Bucket:
    """A token bucket that holds one second's worth, at least one request."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._tokens = self._capacity = max(rate, 1.0)
        self._filled = time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one token; False where none is left."""
        with self._lock:
            now = time.monotonic()
            self._tokens = min(self._capacity, self._tokens + (now - self._filled) * self._rate)
            self._filled = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


def _match(pattern: tuple[str, ...], segments: tuple[str, ...]) -> list[str] | None:
    if len(pattern) != len(segments):
        return None
    if any(p not in ("*", s) for p, s in zip(pattern, segments, strict=True)):
        return None
    return [s for p, s in zip(pattern, segments, strict=True) if p == "*"]
