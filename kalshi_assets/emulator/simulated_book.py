"""Simulated quotes and trades of one ladder, in cents on a grid of times.

A market maker quotes every rung round its fair price with noise and a spread
of one to six cents. A rung answers most news and otherwise rests, so quotes are
a change feed with stale rungs and mids out of order. Books of far rungs are
empty at times. No bid ever exceeds the ask of a rung that dominates it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from kalshi_assets.emulator.consensus import BeliefPath

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NO_BID, NO_ASK = 0, 100
MINUTE, HOUR = 1, 60

_NOISE = 0.018
_SPREADS = np.array([1, 2, 3, 4, 5, 6])
_EARLY_SPREADS = np.array([0.08, 0.16, 0.22, 0.22, 0.18, 0.14])
_LATE_SPREADS = np.array([0.22, 0.26, 0.22, 0.15, 0.09, 0.06])
_ANSWERS = 0.7
_REFRESH = {MINUTE: 0.03, HOUR: 0.14}
_NEWS = {MINUTE: 0.035, HOUR: 0.16}
_NEWS_WEIGHT = {MINUTE: 0.25, HOUR: 1.0}
_NIGHT = 0.2
_TRADING = {MINUTE: 0.012, HOUR: 0.06}
_FAR = 0.04
_EMPTY = 0.2


@dataclass(frozen=True, slots=True)
class Grid:
    """The periods of one event's life, hours first and minutes over the last two days.

    Attributes:
        ends: shape (g,), end of each period, Unix seconds, rising.
        period: shape (g,), its length in minutes, 60 or 1.
        minutes_to_release: shape (g,), from the end to the release.
        by_day: shape (g,), True between 08:00 and 20:00 New York.
    """

    ends: Ints
    period: Ints
    minutes_to_release: Floats
    by_day: npt.NDArray[np.bool_]

    def rate(self, rates: dict[int, float]) -> Floats:
        """A rate per period, lower by night; shape (g,)."""
        rate = np.where(self.period == MINUTE, rates[MINUTE], rates[HOUR])
        return np.asarray(rate * np.where(self.by_day, 1.0, _NIGHT))


@dataclass(frozen=True, slots=True)
class Book:
    """Closing quotes of a ladder in cents; 0 is no bid, 100 no ask.

    Attributes:
        bid: shape (rungs, g).
        ask: shape (rungs, g).
        fair: shape (rungs, g), fair price of YES, a probability.
    """

    bid: Ints
    ask: Ints
    fair: Floats


def news_weights(grid: Grid, rng: np.random.Generator) -> Floats:
    """Weight of the news in each period, zero where there is none; shape (g,)."""
    weight = np.where(grid.period == MINUTE, _NEWS_WEIGHT[MINUTE], _NEWS_WEIGHT[HOUR])
    news = np.where(rng.random(len(grid.ends)) < grid.rate(_NEWS), weight, 0.0)
    # The first period always has news, so that the weights never sum to zero.
    news[0] = max(news[0], weight[0])
    return np.asarray(news)


def quote(thresholds: Floats, path: BeliefPath, news: Floats, grid: Grid, rng: np.random.Generator) -> Book:
    """Quotes of every rung at the end of every period.

    Args:
        thresholds: shape (rungs,), rising; YES pays where the unrounded number exceeds it.
        path: the belief.
        news: weights from ``news_weights``.
        grid: the periods.
        rng: source of randomness.
    """
    shape = (len(thresholds), len(grid.ends))
    fair = ndtr((path.quoted[None, :] - thresholds[:, None]) / path.sd[None, :])
    quoted = (rng.random(shape) < grid.rate(_REFRESH)[None, :]) | (
        (news > 0)[None, :] & (rng.random(shape) < _ANSWERS)
    )  # fmt: skip
    quoted[:, 0] = True
    # A rung keeps the quote of the last time it was quoted.
    at = np.maximum.accumulate(np.where(quoted, np.arange(shape[1])[None, :], 0), axis=1)

    def held(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return np.take_along_axis(values, at, axis=1)

    early = (grid.minutes_to_release > 3 * 24 * 60)[None, :]
    drawn = rng.random(shape)
    spread = np.where(
        early,
        _SPREADS[np.searchsorted(np.cumsum(_EARLY_SPREADS)[:-1], drawn)],
        _SPREADS[np.searchsorted(np.cumsum(_LATE_SPREADS)[:-1], drawn)],
    )
    middle = 100 * (fair + _NOISE * rng.standard_normal(shape))
    bid = np.rint(middle - spread / 2).astype(np.int64)
    ask = bid + spread
    empty = (np.minimum(fair, 1 - fair) < _FAR) & (rng.random(shape) < _EMPTY)
    bid = np.where(empty | (bid < 1), NO_BID, np.minimum(bid, 99))
    ask = np.where(empty | (ask > 99), NO_ASK, np.maximum(ask, 1))
    return Book(*_without_arbitrage(np.asarray(held(bid), np.int64), np.asarray(held(ask), np.int64)), fair=fair)


def trade_counts(book: Book, grid: Grid, rng: np.random.Generator) -> Ints:
    """Number of trades of each rung in each period; shape (rungs, g). None where a book is empty."""
    activity = grid.rate(_TRADING)[None, :] * (0.1 + 4 * book.fair * (1 - book.fair))
    counts = np.where(rng.random(book.bid.shape) < activity, rng.integers(1, 4, book.bid.shape), 0)
    return np.where((book.bid == NO_BID) & (book.ask == NO_ASK), 0, counts)


def _without_arbitrage(bid: Ints, ask: Ints) -> tuple[Ints, Ints]:
    """Lower a rung's quotes where its bid exceeds the ask of a rung with a lower strike, keeping the spread."""
    bid, ask = bid.copy(), ask.copy()
    lowest = ask[0].copy()
    for rung in range(1, len(bid)):
        excess = np.maximum(bid[rung] - lowest, 0)
        bid[rung] -= excess
        ask[rung] = np.where(ask[rung] == NO_ASK, NO_ASK, ask[rung] - excess)
        lowest = np.minimum(lowest, ask[rung])
    return bid, ask
