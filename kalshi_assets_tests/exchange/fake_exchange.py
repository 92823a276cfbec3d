"""A small exchange behind a scripted server: two tiers, caps, pages; assertions do not belong here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from kalshi_assets_tests.exchange.bodies import CUTOFF
from kalshi_assets_tests.http.scripted_server import Reply, Seen

PREFIX = "/trade-api/v2"
NOT_FOUND = Reply(404, {"error": {"code": "not_found", "message": "not found"}})


def bad(details: str) -> Reply:
    return Reply(400, {"error": {"code": "bad_request", "message": "bad request", "details": details}})


@dataclass
class FakeExchange:
    """Serves what is put into it.

    Candles and trades are bodies by ticker; each candle list is of the tier's own shape.
    """

    live_markets: list[dict[str, Any]] = field(default_factory=list)
    historical_markets: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    live_candles: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    historical_candles: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    live_trades: list[dict[str, Any]] = field(default_factory=list)
    historical_trades: list[dict[str, Any]] = field(default_factory=list)
    fixed: dict[str, Reply] = field(default_factory=dict)
    page_rows: int = 1000
    event_candles_cap: int = 5000
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    before: Callable[[str], None] | None = None

    def __call__(self, seen: Seen) -> Reply:
        assert seen.path.startswith(PREFIX)
        path = seen.path.removeprefix(PREFIX)
        self.asked.append((path, seen.query))
        if self.before:
            self.before(path)
        if path in self.fixed:
            return self.fixed[path]
        parts = [unquote(p) for p in path.strip("/").split("/")]
        q = {k: v[0] for k, v in seen.query.items()}
        match parts:
            case ["historical", "cutoff"]:
                return Reply(200, CUTOFF)
            case ["events"]:
                events = [e for e in self.events if e["series_ticker"] == q["series_ticker"]]
                return self._page(events, "events", q, 200)
            case ["markets"]:
                return self._markets(self.live_markets, q)
            case ["historical", "markets"]:
                return self._markets(self.historical_markets, q)
            case ["markets", "trades"]:
                return self._trades(self.live_trades, q)
            case ["historical", "trades"]:
                return self._trades(self.historical_trades, q)
            case ["markets", "candlesticks"]:
                return self._batch(q)
            case ["series", _, "events", event, "candlesticks"]:
                return self._event_candles(event, q)
            case ["markets", ticker]:
                return self._one(self.live_markets, ticker)
            case ["historical", "markets", ticker]:
                return self._one(self.historical_markets, ticker)
            case ["series", _, "markets", ticker, "candlesticks"]:
                return self._single(self.live_candles, ticker, q)
            case ["historical", "markets", ticker, "candlesticks"]:
                return self._single(self.historical_candles, ticker, q)
        return NOT_FOUND

    def _page(self, rows: list[Any], key: str, q: dict[str, str], most: int) -> Reply:
        limit = int(q.get("limit", 100))
        if limit > most:
            return Reply(400, {"msg": "Parameter validation failed: 'Limit' failed on the 'lte' tag"})
        size = min(limit, self.page_rows)
        start = int(q["cursor"]) if q.get("cursor", "").isdigit() else 0
        end = start + size
        return Reply(200, {key: rows[start:end], "cursor": str(end) if end < len(rows) else ""})

    def _markets(self, markets: list[dict[str, Any]], q: dict[str, str]) -> Reply:
        rows = markets
        if "tickers" in q:
            asked = q["tickers"].split(",")
            if len(asked) > 100:
                return bad("too many tickers")
            rows = [m for m in rows if m["ticker"] in asked]
        if "min_updated_ts" in q:
            if q.keys() - {"min_updated_ts", "mve_filter", "series_ticker", "limit", "cursor"}:
                return bad("min_updated_ts is incompatible with other filters")
            if q.get("mve_filter") != "exclude":
                return bad("min_updated_ts needs mve_filter=exclude")
            since = int(q["min_updated_ts"])
            rows = [m for m in rows if datetime.fromisoformat(m["updated_time"]).timestamp() >= since]
        return self._page(rows, "markets", q, 1000)

    def _one(self, markets: list[dict[str, Any]], ticker: str) -> Reply:
        found = [m for m in markets if m["ticker"] == ticker]
        return Reply(200, {"market": found[0]}) if found else NOT_FOUND

    def _trades(self, trades: list[dict[str, Any]], q: dict[str, str]) -> Reply:
        def inside(row: dict[str, Any]) -> bool:
            at = datetime.fromisoformat(row["created_time"]).timestamp()
            return int(q["min_ts"]) <= at <= int(q["max_ts"])

        rows = [t for t in trades if t["ticker"] == q["ticker"] and inside(t)]
        return self._page(rows, "trades", q, 1000)

    def _batch(self, q: dict[str, str]) -> Reply:
        tickers = q["market_tickers"].split(",")
        if len(tickers) > 100:
            return bad("too many tickers")
        if len(tickers) * _periods(q) > 10_000:
            return bad("max candlesticks: 10000")
        known = [t for t in tickers if t in self.live_candles]
        markets = [{"market_ticker": t, "candlesticks": _inside(self.live_candles[t], q)} for t in known]
        return Reply(200, {"markets": markets})

    def _event_candles(self, event: str, q: dict[str, str]) -> Reply:
        if event not in {m["event_ticker"] for m in self.live_markets}:
            return NOT_FOUND
        tickers = [m["ticker"] for m in self.live_markets if m["event_ticker"] == event]
        periods = self.event_candles_cap // len(tickers)
        reached = min(int(q["end_ts"]), int(q["start_ts"]) + periods * 60 * int(q["period_interval"]))
        cut = {**q, "end_ts": str(reached)}
        lists = [_inside(self.live_candles.get(t, []), cut) for t in tickers]
        return Reply(200, {"market_tickers": tickers, "market_candlesticks": lists, "adjusted_end_ts": reached})

    def _single(self, candles: dict[str, list[dict[str, Any]]], ticker: str, q: dict[str, str]) -> Reply:
        if _periods(q) > 5_000:
            return bad("max candlesticks: 5000")
        if ticker not in candles:
            return NOT_FOUND
        return Reply(200, {"ticker": ticker, "candlesticks": _inside(candles[ticker], q)})


def _periods(q: dict[str, str]) -> float:
    return (int(q["end_ts"]) - int(q["start_ts"])) / (60 * int(q["period_interval"]))


def _inside(candles: list[dict[str, Any]], q: dict[str, str]) -> list[dict[str, Any]]:
    return [c for c in candles if int(q["start_ts"]) <= c["end_period_ts"] <= int(q["end_ts"])]
