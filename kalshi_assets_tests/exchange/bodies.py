"""Bodies in the exchange's shape with made-up values; assertions do not belong here."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

Body = dict[str, Any]


def market(ticker: str = "KXZZZ-26DEC-T0.3", **changes: Any) -> Body:
    """An open market as the live tier sends it; a change of ``...`` removes the field."""
    body: Body = {
        "ticker": ticker, "event_ticker": "KXZZZ-26DEC", "market_type": "binary", "title": "More than 0.3?",
        "yes_sub_title": "Above 0.3", "no_sub_title": "Above 0.3", "status": "active", "result": "",
        "created_time": "2026-10-20T20:33:23.48595Z", "updated_time": "2026-11-18T15:02:11Z",
        "open_time": "2026-10-20T21:00:00Z", "close_time": "2027-01-13T13:25:00Z",
        "expected_expiration_time": "2027-01-13T14:56:00Z", "latest_expiration_time": "2027-04-13T14:56:00Z",
        "settlement_timer_seconds": 1800, "yes_bid_dollars": "0.4100", "yes_ask_dollars": "0.4300",
        "no_bid_dollars": "0.5700", "no_ask_dollars": "0.5900", "last_price_dollars": "0.4200",
        "volume_fp": "18042.75", "open_interest_fp": "4728.12", "notional_value_dollars": "1.0000",
        "expiration_value": "", "strike_type": "greater", "floor_strike": Decimal("0.3"), "rules_primary": "If more.",
        "rules_secondary": "First print.", "price_level_structure": "linear_cent", "can_close_early": True,
        "settlement_bounds_type": "default", "exchange_index": 0,
        "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0100"}],
    }  # fmt: skip
    return _changed(body, changes)


def settled(ticker: str = "KXZZZ-26AUG-T0.3", **changes: Any) -> Body:
    """A finalized market."""
    return market(
        ticker,
        **{
            "event_ticker": "KXZZZ-26AUG",
            "status": "finalized",
            "result": "no",
            "expiration_value": "0.3%",
            "settlement_ts": "2026-09-11T13:28:53.706257Z",
            "settlement_value_dollars": "0.0000",
            **changes,
        },
    )


def event(event_ticker: str = "KXZZZ-26DEC", **changes: Any) -> Body:
    """An event."""
    body: Body = {
        "event_ticker": event_ticker, "series_ticker": "KXZZZ", "title": "Index in December", "sub_title": "December",
        "collateral_return_type": "", "mutually_exclusive": False, "category": "Economics", "strike_period": "",
        "settlement_sources": None, "last_updated_ts": "2026-11-16T14:02:11Z",
    }  # fmt: skip
    return _changed(body, changes)


def series(ticker: str = "KXZZZ", **changes: Any) -> Body:
    """A series."""
    body: Body = {
        "ticker": ticker, "title": "Index", "category": "Economics", "categories": ["Economics"], "tags": None,
        "frequency": "monthly", "fee_type": "quadratic", "fee_multiplier": 1, "settlement_sources": [],
        "additional_prohibitions": [], "contract_url": "", "contract_terms_url": "",
    }  # fmt: skip
    return _changed(body, changes)


def live_candle(end_s: int, bid: str = "0.1600", ask: str = "0.2000", **changes: Any) -> Body:
    """A candle without trades as the live tier sends it."""
    body: Body = {
        "end_period_ts": end_s,
        "yes_bid": {f"{p}_dollars": bid for p in ("open", "high", "low", "close")},
        "yes_ask": {f"{p}_dollars": ask for p in ("open", "high", "low", "close")},
        "price": {},
        "volume_fp": "0.00",
        "open_interest_fp": "663.00",
    }
    return _changed(body, changes)


def historical_candle(end_s: int, bid: str = "0.1600", ask: str = "0.2000", **changes: Any) -> Body:
    """A candle without trades as the historical tier sends it."""
    body: Body = {
        "end_period_ts": end_s,
        "yes_bid": dict.fromkeys(("open", "high", "low", "close"), bid),
        "yes_ask": dict.fromkeys(("open", "high", "low", "close"), ask),
        "price": {**dict.fromkeys(("open", "high", "low", "close", "mean")), "previous": "0.1700"},
        "volume": "0.00",
        "open_interest": "663.00",
    }
    return _changed(body, changes)


def trade(trade_id: Any, at: str, **changes: Any) -> Body:
    """A trade."""
    body: Body = {
        "trade_id": trade_id, "ticker": "KXZZZ-26DEC-T0.3", "count_fp": "10.00", "yes_price_dollars": "0.4200",
        "no_price_dollars": "0.5800", "taker_side": "no", "taker_outcome_side": "no", "taker_book_side": "ask",
        "created_time": at, "is_block_trade": False,
    }  # fmt: skip
    return _changed(body, changes)


CUTOFF: Body = {
    "market_settled_ts": "2026-09-23T00:00:00Z",
    "trades_created_ts": "2026-09-23T00:00:00Z",
    "orders_updated_ts": "2026-11-08T00:00:00Z",
}


def _changed(body: Body, changes: Body) -> Body:
    merged = {**body, **changes}
    return {k: v for k, v in merged.items() if v is not ...}
