"""From a simulated book to what the exchange would report: candles where something changed, and trades.

Rows stay integers here: cents for quotes and trade prices, micro-dollars for
means, hundredths of a contract for counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kalshi_assets.emulator.simulated_book import NO_ASK, NO_BID, Book, Grid

Ints = npt.NDArray[np.int64]

NO_PRICE = -1
_MICRO_PER_CENT = 10_000
_MEAN_STEP = 100  # the exchange writes a mean price to a hundredth of a cent
_TWIN = 0.15
_FRACTIONAL = 0.03


@dataclass(frozen=True, slots=True)
class Trades:
    """Trades of a ladder, by rung and time.

    Attributes:
        rung: shape (t,).
        cell: shape (t,), rung times the grid's length plus the period's place in it.
        time_us: shape (t,), Unix microseconds.
        yes_cents: shape (t,), YES price.
        size: shape (t,), hundredths of a contract.
        taker_yes: shape (t,), True where the taker bought YES.
    """

    rung: Ints
    cell: Ints
    time_us: Ints
    yes_cents: Ints
    size: Ints
    taker_yes: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Candles:
    """Candles of a ladder, by rung and time; one only where a quote changed or a trade happened.

    Attributes:
        rung: shape (n,).
        period: shape (n,), minutes.
        end: shape (n,), Unix seconds.
        quotes: shape (n,) each, cents, by ``yes_bid_open`` and so on.
        prices: shape (n,) each, micro-dollars, by ``price_open`` and so on; ``NO_PRICE`` where there is none.
        volume: shape (n,), hundredths of a contract in the period.
        open_interest: shape (n,), hundredths of a contract at its end.
    """

    rung: Ints
    period: Ints
    end: Ints
    quotes: dict[str, Ints]
    prices: dict[str, Ints]
    volume: Ints
    open_interest: Ints


def draw_trades(book: Book, counts: Ints, grid: Grid, rng: np.random.Generator) -> Trades:
    """Trades at the quotes of their period: takers of YES pay the ask, takers of NO hit the bid.

    Args:
        book: the quotes.
        counts: shape (rungs, g), how many trades.
        grid: the periods.
        rng: source of randomness.
    """
    cell = np.repeat(np.arange(counts.size), counts.ravel())
    n, g = len(cell), cell % len(grid.ends)
    back = rng.random(n)
    order = np.lexsort((-back, cell))
    back = back[order]
    # Orders that sweep several resting ones trade several times in one instant.
    twin = np.concatenate([[False], (cell[1:] == cell[:-1]) & (rng.random(max(n - 1, 0)) < _TWIN)])[:n]
    back = back[np.maximum.accumulate(np.where(twin, 0, np.arange(n)))] if n else back
    bid, ask = book.bid.ravel()[cell], book.ask.ravel()[cell]
    wants_yes = rng.random(n) < 0.5
    taker_yes = (wants_yes & (ask != NO_ASK)) | (bid == NO_BID)
    size = 100 * (1 + np.floor(np.exp(rng.normal(2.3, 1.1, n))).astype(np.int64))
    size += np.where(rng.random(n) < _FRACTIONAL, 25 * rng.integers(1, 4, n), 0)
    length_us = 60_000_000 * grid.period[g]
    return Trades(
        rung=cell // len(grid.ends),
        cell=cell,
        time_us=grid.ends[g] * 1_000_000 - np.floor(back * length_us).astype(np.int64),
        yes_cents=np.where(taker_yes, ask, bid),
        size=size,
        taker_yes=taker_yes,
    )


def candles(book: Book, trades: Trades, grid: Grid) -> Candles:
    """Aggregate quotes and trades into candles."""
    rungs, length = book.bid.shape
    before = {side: np.concatenate([q[:, :1], q[:, :-1]], axis=1) for side, q in (("bid", book.bid), ("ask", book.ask))}
    happened = (before["bid"] != book.bid) | (before["ask"] != book.ask)
    happened[:, 0] = True
    happened.ravel()[trades.cell] = True
    cell = np.flatnonzero(happened)
    rung, g = cell // length, cell % length
    quotes: dict[str, Ints] = {}
    for side, closing in (("bid", book.bid), ("ask", book.ask)):
        start, end = before[side].ravel()[cell], closing.ravel()[cell]
        quotes |= {
            f"yes_{side}_open": start,
            f"yes_{side}_high": np.maximum(start, end),
            f"yes_{side}_low": np.minimum(start, end),
            f"yes_{side}_close": end,
        }
    prices, volume = _trade_prices(trades, cell, rung)
    total = np.cumsum(volume)
    starts = np.searchsorted(rung, np.arange(rungs))
    carried = np.concatenate([[0], total])[starts][rung]
    return Candles(
        rung=rung,
        period=grid.period[g],
        end=grid.ends[g],
        quotes=quotes,
        prices=prices,
        volume=volume,
        # Half of the volume closes positions; the rest stays open.
        open_interest=(total - carried) // 2,
    )


def _trade_prices(trades: Trades, cell: Ints, rung: Ints) -> tuple[dict[str, Ints], Ints]:
    """Prices and volume per candle, from the trades inside it and, for ``previous``, before it."""
    n = len(cell)
    none = np.full(n, NO_PRICE)
    prices = {f"price_{point}": none.copy() for point in ("open", "high", "low", "close", "mean", "previous")}
    volume = np.zeros(n, np.int64)
    if not len(trades.cell):
        return prices, volume
    traded, first = np.unique(trades.cell, return_index=True)
    last = np.concatenate([first[1:], [len(trades.cell)]]) - 1
    at = np.searchsorted(cell, traded)
    cents = trades.yes_cents
    volume[at] = np.add.reduceat(trades.size, first)
    mean = np.add.reduceat(cents * trades.size, first) / volume[at]
    prices["price_open"][at] = cents[first] * _MICRO_PER_CENT
    prices["price_high"][at] = np.maximum.reduceat(cents, first) * _MICRO_PER_CENT
    prices["price_low"][at] = np.minimum.reduceat(cents, first) * _MICRO_PER_CENT
    prices["price_close"][at] = cents[last] * _MICRO_PER_CENT
    prices["price_mean"][at] = np.rint(mean * _MICRO_PER_CENT / _MEAN_STEP).astype(np.int64) * _MEAN_STEP
    # The candle with the last trade before each candle, if it is of the same rung.
    has = np.zeros(n, np.bool_)
    has[at] = True
    latest = np.maximum.accumulate(np.where(has, np.arange(n), -1))
    earlier = np.concatenate([[-1], latest[:-1]])
    known = (earlier >= 0) & (rung[np.maximum(earlier, 0)] == rung)
    prices["price_previous"] = np.where(known, prices["price_close"][np.maximum(earlier, 0)], NO_PRICE)
    return prices, volume
