"""The daily candles over a ladder's shorter ones; drawing quotes and trades does not belong here.

A day is New York's, and its candle ends at the midnight after it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from kalshi_assets.emulator.simulated_feed import NO_PRICE, Candles, Ints

_MINUTES = 1440
_NEW_YORK = ZoneInfo("America/New_York")
_MEAN_STEP = 100  # the exchange writes a mean price to a hundredth of a cent


def with_days(candles: Candles) -> Candles:
    """The candles and, behind them, one for each day in which any of a contract's shorter ones ended.

    Args:
        candles: by rung and time, none overlapping another of its rung.
    """
    end = _midnight_after(candles.end)
    new = np.r_[True, (candles.rung[1:] != candles.rung[:-1]) | (end[1:] != end[:-1])]
    first = np.flatnonzero(new)
    last = np.r_[first[1:], len(end)] - 1
    quotes = {}
    for side in ("bid", "ask"):
        high, low = candles.quotes[f"yes_{side}_high"], candles.quotes[f"yes_{side}_low"]
        quotes[f"yes_{side}_open"] = candles.quotes[f"yes_{side}_open"][first]
        quotes[f"yes_{side}_high"] = np.maximum.reduceat(high, first)
        quotes[f"yes_{side}_low"] = np.minimum.reduceat(low, first)
        quotes[f"yes_{side}_close"] = candles.quotes[f"yes_{side}_close"][last]
    volume = np.add.reduceat(candles.volume, first)
    days = Candles(
        rung=candles.rung[first],
        period=np.full(len(first), _MINUTES),
        end=end[first],
        quotes=quotes,
        prices=_prices(candles, first, last, volume),
        volume=volume,
        open_interest=candles.open_interest[last],
    )
    return Candles(
        rung=np.r_[candles.rung, days.rung],
        period=np.r_[candles.period, days.period],
        end=np.r_[candles.end, days.end],
        quotes={k: np.r_[v, days.quotes[k]] for k, v in candles.quotes.items()},
        prices={k: np.r_[v, days.prices[k]] for k, v in candles.prices.items()},
        volume=np.r_[candles.volume, days.volume],
        open_interest=np.r_[candles.open_interest, days.open_interest],
    )


def _prices(candles: Candles, first: Ints, last: Ints, volume: Ints) -> dict[str, Ints]:
    traded = candles.prices["price_close"] != NO_PRICE
    any_trade = np.logical_or.reduceat(traded, first)
    place = np.arange(len(traded))
    opening = np.minimum.reduceat(np.where(traded, place, len(traded)), first)
    closing = np.maximum.reduceat(np.where(traded, place, -1), first)
    opening, closing = np.where(any_trade, opening, 0), np.where(any_trade, closing, 0)
    low = np.minimum.reduceat(np.where(traded, candles.prices["price_low"], np.iinfo(np.int64).max), first)
    turnover = np.add.reduceat(np.where(traded, candles.prices["price_mean"] * candles.volume, 0), first)
    mean = turnover / np.maximum(volume, 1)
    found = {
        "price_open": candles.prices["price_open"][opening],
        "price_high": np.maximum.reduceat(candles.prices["price_high"], first),
        "price_low": low,
        "price_close": candles.prices["price_close"][closing],
        "price_mean": np.rint(mean / _MEAN_STEP).astype(np.int64) * _MEAN_STEP,
    }
    prices = {name: np.where(any_trade, values, NO_PRICE) for name, values in found.items()}
    return {**prices, "price_previous": candles.prices["price_previous"][first]}


def _midnight_after(end_s: Ints) -> Ints:
    """The first New York midnight at or after each instant, Unix seconds."""
    moments, place = np.unique(end_s, return_inverse=True)
    found = np.empty_like(moments)
    reach = -1
    for i, moment in enumerate(moments.tolist()):
        if moment > reach:
            # The day in which the last moment before this end lies: midnight itself closes its own day.
            day = datetime.fromtimestamp(moment - 1, UTC).astimezone(_NEW_YORK).date() + timedelta(days=1)
            reach = int(datetime(day.year, day.month, day.day, tzinfo=_NEW_YORK).timestamp())
        found[i] = reach
    return found[place]
