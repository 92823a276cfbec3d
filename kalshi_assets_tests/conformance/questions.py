"""What both readers are asked of a served archive; plain JSON, because one of them has another interpreter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from kalshi_assets.emulator.archive import Archive

Row = dict[str, Any]

# The exchange gives no more candles of an event at once.
_EVENT_CAP = 5000
# Windows of minutes under that cap are too short to hold much.
_HOUR = 60


def questions(archive: Archive, *, until: int | None = None) -> dict[str, Any]:
    """All series, a contract of either tier with its candle window, and contracts for trades and books.

    Args:
        archive: what is served.
        until: Unix seconds of a replay; nothing later is asked for.
    """
    markets = {m["ticker"]: m for m in archive.tables["markets"].to_pylist()}
    series_of = {e["event_ticker"]: e["series_ticker"] for e in archive.tables["events"].to_pylist()}
    columns = ["ticker", "period_interval", "end_period_ts", "volume"]
    candles = [
        c
        for c in archive.tables["candlesticks"].select(columns).to_pylist()
        if until is None or c["end_period_ts"] <= until
    ]
    boundary = _unix(archive.historical_cutoff["market_settled_ts"])
    gone = {t for t, m in markets.items() if m["settlement_ts"] and m["settlement_ts"].timestamp() < boundary}
    trading = {t for t, m in markets.items() if until and m["close_time"].timestamp() > until}
    quoted = Counter(c["ticker"] for c in candles)
    return {
        "series": sorted(set(series_of.values())),
        "live": _candle_window((c for c in candles if c["ticker"] not in gone), markets, series_of),
        "historical": _candle_window((c for c in candles if c["ticker"] in gone), markets, series_of),
        "trades": _traded(archive, until),
        "books": sorted(quoted, key=lambda t: (t not in trading, -quoted[t], t))[:3],
    }


def _candle_window(candles: Iterable[Row], markets: dict[str, Row], series_of: dict[str, str]) -> Row:
    """The contract that traded in the most periods, and the longest window up to its last trade that is allowed."""
    traded = [c for c in candles if c["volume"] and c["period_interval"] >= _HOUR]
    (ticker, period), _ = Counter((c["ticker"], c["period_interval"]) for c in traded).most_common(1)[0]
    event = markets[ticker]["event_ticker"]
    rungs = sum(m["event_ticker"] == event for m in markets.values())
    end = max(c["end_period_ts"] for c in traded if (c["ticker"], c["period_interval"]) == (ticker, period))
    return {
        "ticker": ticker,
        "event": event,
        "series": series_of[event],
        "period": period,
        "start": end - (_EVENT_CAP // rungs - 1) * period * 60,
        "end": end,
    }


def _traded(archive: Archive, until: int | None) -> list[str]:
    """The three contracts with the most trades on either side of the boundary."""
    boundary = _unix(archive.historical_cutoff["trades_created_ts"])
    sides: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for trade in archive.tables["trades"].select(["ticker", "created_time"]).to_pylist():
        at = trade["created_time"].timestamp()
        if until is None or at <= until:
            sides[at < boundary][trade["ticker"]] += 1
    return sorted({ticker for side in sides.values() for ticker, _ in side.most_common(3)})


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
