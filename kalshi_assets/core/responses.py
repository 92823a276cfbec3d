"""How an asset's price moved round a release: entry and exit prices and the return between them.

Belongs here: picking the prices of a response window by the asset's own
calendar, and saying why there is none. Profit on the event's own contracts
belongs to ``core.pnl``, the table over many assets to ``core.response_table``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import MISSING_TIME, Bools, Ints, Reals, days, reals, span_micros, times
from kalshi_assets.core.trading_sessions import Sessions
from kalshi_assets.errors import DomainError

MARKET_CLOSED = "market_closed"
NO_PRICE = "no_price"
PRICES_END_EARLIER = "prices_end_earlier"
ONE_BAR = "one_bar"
PRICE_NOT_POSITIVE = "price_not_positive"


@dataclass(frozen=True, slots=True)
class ResponseWindow:
    """When to enter and leave, from the release, and how long to wait for a price at either end.

    ``INTRADAY`` and ``DAILY_CLOSE`` are the two in use. With ``of_closes`` a price is the close of its day's
    session, else an instant within one.
    """

    start: timedelta
    end: timedelta
    max_wait: timedelta
    of_closes: bool = False

    @property
    def last_chance(self) -> timedelta:
        """From the release until no price can come any more: an exit of closes is counted from its entry."""
        return self.end + (2 if self.of_closes else 1) * self.max_wait

    def __post_init__(self) -> None:
        if not (timedelta(0) <= self.start < self.end and self.max_wait > timedelta(0)):
            raise DomainError(
                f"a response window from {self.start} to {self.end} waiting {self.max_wait} is not one;"
                " give 0 <= start < end and a wait above zero"
            )


INTRADAY = ResponseWindow(timedelta(minutes=1), timedelta(minutes=60), timedelta(minutes=30))
DAILY_CLOSE = ResponseWindow(timedelta(0), timedelta(days=1), timedelta(days=4), of_closes=True)


@dataclass(frozen=True, slots=True)
class AssetResponses:
    """One row a release, shape (n_releases,).

    Attributes:
        simple_return: exit over entry minus one; NaN where either price is missing or not above zero, or both
            are the same bar.
        entry_time: microseconds since 1970 UTC; ``MISSING_TIME`` where ``simple_return`` is NaN.
        exit_time: likewise.
        learned_at: when both prices were known and the exit had come; likewise.
        entry_price, exit_price: NaN where ``simple_return`` is.
        reason: why there is none; None where there is one.
    """

    simple_return: Reals
    entry_time: Ints
    exit_time: Ints
    learned_at: Ints
    entry_price: Reals
    exit_price: Reals
    reason: npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class _Prices:
    """The first version of each price of one asset, ascending in ``ts``."""

    ts: Ints
    known_at: Ints
    price: Reals


def asset_responses(
    release_time: Ints, asset_prices: pa.Table, symbol: str, window: ResponseWindow, sessions: Sessions | None = None
) -> AssetResponses:
    """The response of one asset to each release.

    Entry is the first price at or after release + start, exit the first at or after release + end; each must come
    within [target, target + max_wait]. The first version of each price counts: a later correction is not what
    was traded.

    With ``sessions`` only prices within the asset's own trading time count. A daily close is then the close of
    its day's session, early closes included. The entry must be that of the first session that closes at or after
    the target, the exit that of as many sessions later as the window has days: the close of a day after either
    would be the response to another day.

    Args:
        release_time: microseconds since 1970 UTC, in any order.
        asset_prices: rows of ``asset_prices``, or of ``asset_bars`` where the window is not of closes; ``ts`` is
            the instant of the price.
        symbol: the asset.
        window: see ``ResponseWindow``.
        sessions: of the asset's calendar, round the releases; None for an asset without one.
    """
    rows = asset_prices.filter(pc.equal(asset_prices["symbol"], symbol))
    prices = _first_versions(rows)
    wait = span_micros(window.max_wait)
    targets = [release_time + span_micros(offset) for offset in (window.start, window.end)]
    if sessions is None:
        entry, leave = (_first_at_or_after(prices.ts, target, wait) for target in targets)
        closed = np.zeros(release_time.shape, bool)
    elif window.of_closes:
        prices, due = _by_session(rows, sessions)
        first = _first_at_or_after(due, targets[0], wait)
        last = _later_session(due, first, window)
        entry, leave = _close_of(prices.ts, due, first), _close_of(prices.ts, due, last)
        closed = (first < 0) | (last < 0)
    else:
        trading = sessions.holds(prices.ts)
        prices = _Prices(prices.ts[trading], prices.known_at[trading], prices.price[trading])
        entry, leave = (_first_at_or_after(prices.ts, target, wait) for target in targets)
        closed = ~(sessions.opens_within(targets[0], wait) & sessions.opens_within(targets[1], wait))
    ended = _first_versions(rows).ts.max(initial=MISSING_TIME) < targets[1]
    return _respond(prices, entry, leave, closed, ended)


def _respond(prices: _Prices, entry: Ints, leave: Ints, closed: Bools, ended: Bools) -> AssetResponses:
    n = entry.size
    found = (entry >= 0) & (leave >= 0)
    two = found & (leave > entry)
    first, last = np.full(n, np.nan), np.full(n, np.nan)
    first[two], last[two] = prices.price[entry[two]], prices.price[leave[two]]
    known = two & (first > 0) & (last > 0) & np.isfinite(first) & np.isfinite(last)
    reason = np.select(
        [known, found & ~two, two, closed, ended],
        ["", ONE_BAR, PRICE_NOT_POSITIVE, MARKET_CLOSED, PRICES_END_EARLIER], NO_PRICE,
    ).astype(object)  # fmt: skip
    reason[known] = None
    entry_time, exit_time, learned = (np.full(n, MISSING_TIME, np.int64) for _ in range(3))
    entry_time[known], exit_time[known] = prices.ts[entry[known]], prices.ts[leave[known]]
    both_known = np.maximum(prices.known_at[entry[known]], prices.known_at[leave[known]])
    learned[known] = np.maximum(both_known, exit_time[known])
    first[~known], last[~known] = np.nan, np.nan
    return AssetResponses(last / first - 1.0, entry_time, exit_time, learned, first, last, reason)


def _first_versions(rows: pa.Table) -> _Prices:
    ts, known_at, price = times(rows["ts"]), times(rows["known_at"]), reals(rows["close"])
    order = np.lexsort((known_at, ts))
    ts, known_at, price = ts[order], known_at[order], price[order]
    first = np.append(np.ones(min(1, ts.size), bool), ts[1:] != ts[:-1])
    return _Prices(ts[first], known_at[first], price[first])


def _by_session(rows: pa.Table, sessions: Sessions) -> tuple[_Prices, Ints]:
    """The first version of each session's close, and when the close of every session is due.

    A source that stamps all days alike stamps an early close too late, so the session's own close caps it.
    """
    day, known_at, price, ts = days(rows["date"]), times(rows["known_at"]), reals(rows["close"]), times(rows["ts"])
    order = np.lexsort((known_at, day))
    order = order[np.append(np.ones(min(1, order.size), bool), day[order][1:] != day[order][:-1])]
    at = np.searchsorted(sessions.day, day[order])
    traded = (at < sessions.day.size) & (sessions.day[np.minimum(at, max(sessions.day.size - 1, 0))] == day[order])
    order, at = order[traded], at[traded]
    due = sessions.close.copy()
    due[at] = np.minimum(due[at], ts[order])
    return _Prices(due[at], known_at[order], price[order]), due


def _later_session(due: Ints, session: Ints, window: ResponseWindow) -> Ints:
    """The session as many sessions later as the window has days; -1 where there is none within its wait."""
    if not due.size:
        return session
    width = window.end - window.start
    later = session + max(width.days, 1)
    exists = (session >= 0) & (later < due.size)
    waited = due[np.where(exists, later, 0)] - due[np.maximum(session, 0)]
    return np.where(exists & (waited <= span_micros(width + window.max_wait)), later, -1)


def _close_of(ts: Ints, due: Ints, session: Ints) -> Ints:
    """Position of the price of each session; -1 where it has none."""
    if not ts.size or not due.size:
        return np.full(session.shape, -1, np.int64)
    wanted = due[np.maximum(session, 0)]
    at = np.minimum(np.searchsorted(ts, wanted), ts.size - 1)
    return np.where((session >= 0) & (ts[at] == wanted), at, -1)


def _first_at_or_after(ts: Ints, target: Ints, max_wait: int) -> Ints:
    """Position of the first price in [target, target + max_wait]; -1 where there is none."""
    if not ts.size:
        return np.full(target.shape, -1, np.int64)
    at = np.searchsorted(ts, target, side="left")
    within = np.minimum(at, ts.size - 1)
    return np.where((at < ts.size) & (ts[within] - target <= max_wait), within, -1)
