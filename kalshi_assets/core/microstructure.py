"""How the quotes of an event behaved in the hours before a snapshot: activity, staleness, spreads.

Belongs here: numbers that need several quotes of the past. The distribution
implied by the quotes of one instant belongs to ``core.distribution``, quality
gates to ``core.quality``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from kalshi_assets.core.columns import (
    MICRO_USD,
    MISSING_PRICE,
    MISSING_TIME,
    Bools,
    Ints,
    Reals,
    codes,
    integers,
    micro_usd,
    reals,
    span_micros,
    times,
    vocabulary,
)
from kalshi_assets.core.compiled import compiled

WINDOW = timedelta(hours=4)
QUOTE_COLUMNS = (
    "event_ticker", "ticker", "ts", "known_at", "period_s", "yes_bid_close_usd", "yes_ask_close_usd",
    "volume_contracts",
)  # fmt: skip
MIN_BARS = 4
SATURATION_UPDATES_PER_HOUR = 10.0
_SECOND = 1_000_000
_MINUTE = 60 * _SECOND
_HOUR = 3600 * _SECOND


@dataclass(frozen=True, slots=True)
class Microstructure:
    """One value a snapshot, shape (n_snapshots,); NaN where no contract of the event was quoted yet.

    Attributes:
        update_freq: updates in the window over the hours from the first of them to the last, all contracts together.
        staleness_median: median over contracts of as-of minus the last update, in seconds.
        staleness_p95: 95th percentile of the same (linear interpolation).
        spread_median: median ask minus bid over two-sided updates in the window, in dollars; NaN if none.
        spread_vol: population standard deviation of the same.
        tail_liquidity: clip(tanh(update_freq / 10) * active_fraction, 0, 1).
        active_fraction: share of the contracts quoted so far that have traded so far.
        inputs_known_at: greatest ``known_at`` used, microseconds since 1970 UTC; ``MISSING_TIME`` if none.
    """

    update_freq: Reals
    staleness_median: Reals
    staleness_p95: Reals
    spread_median: Reals
    spread_vol: Reals
    tail_liquidity: Reals
    active_fraction: Reals
    inputs_known_at: Ints


@dataclass(frozen=True, slots=True)
class _Tape:
    """Updates sorted by event, contract and ``known_at``; offsets mark where each contract and event starts."""

    contract_offsets: Ints
    event_offsets: Ints
    known_at: Ints
    spread: Ints
    n_traded: Ints
    finest_bar: Ints


def microstructure(quotes: pa.Table, event_tickers: Any, as_of: Ints, *, window: timedelta = WINDOW) -> Microstructure:
    """Describe the quote flow of each snapshot's event over [as_of - W, as_of], both ends included.

    W is ``window``, but never shorter than four bars of the finest feed that the event had shown by then:
    a daily candle feed is looked at over four days, not over four hours in which it cannot speak.
    Rows of one contract that became known at one instant are one update (feeds of different bar lengths
    end together); the finest bar among them gives the spread. A row about a time that the contract's bars of
    that length had reached before, a correction or a late arrival, is no update: it says nothing new about
    now. Only rows with ``known_at <= as_of`` are read, and rows before the window count for staleness and for
    having traded alone.

    The formulas are those of the system that this one replaces, save where that one went wrong:

    * It read rows after the as-of time; here none takes part.
    * Its spread is relative to the mid price, which calls a cent on a cheap contract wide, and taken over all
      rows, where weeks long gone hide what liquidity is now; here it is in dollars and of the window.
    * It took a stream of quotes, which the exchange does not offer. Of candles a bar is the least that is
      seen: the window holds four bars, and the span of the updates is never less than a bar (a minute for
      books), where it divided by 1e-12 hours: contracts whose bars end together made 1e12 updates an hour.
    * Where nothing was ever quoted it says 0 updates; nothing known is not a quiet market, so here it is NaN.

    Args:
        quotes: rows of the table ``quotes``, at least ``QUOTE_COLUMNS``, in any order.
        event_tickers: event of each snapshot, texts of shape (n_snapshots,).
        as_of: time of each snapshot in microseconds since 1970 UTC.
        window: shortest look-back.

    Returns:
        One value a snapshot.
    """
    words = vocabulary(event_tickers)
    tape = _tape(quotes, words)
    out = _describe(
        tape.contract_offsets, tape.event_offsets, tape.known_at, tape.spread, tape.n_traded, tape.finest_bar,
        codes(event_tickers, words), as_of, span_micros(window),
    )  # fmt: skip
    frequency, active = out[:, 0], out[:, 5]
    tail = np.clip(np.tanh(frequency / SATURATION_UPDATES_PER_HOUR) * active, 0.0, 1.0)
    last = np.where(np.isnan(out[:, 6]), float(MISSING_TIME), as_of - np.nan_to_num(out[:, 6]))
    return Microstructure(
        frequency, out[:, 1], out[:, 2], out[:, 3], out[:, 4], tail, active, last.astype(np.int64)
    )  # fmt: skip


def _tape(quotes: pa.Table, events: pa.Array) -> _Tape:
    tickers = vocabulary(quotes["ticker"])
    event, contract = codes(quotes["event_ticker"], events), codes(quotes["ticker"], tickers)
    known_at, bar = times(quotes["known_at"]), integers(quotes["period_s"], 0)
    order = np.lexsort((-times(quotes["ts"]), bar, known_at, contract, event))
    order = order[(event[order] >= 0) & (contract[order] >= 0) & (known_at[order] != MISSING_TIME)]
    _, length = np.unique(bar, return_inverse=True)
    fresh = ~_behind(contract[order], length[order], known_at[order], times(quotes["ts"])[order])
    order = order[fresh]
    event, contract, known_at, bar = event[order], contract[order], known_at[order], bar[order]
    bid, ask = micro_usd(quotes["yes_bid_close_usd"])[order], micro_usd(quotes["yes_ask_close_usd"])[order]
    spread = np.where((bid == MISSING_PRICE) | (ask == MISSING_PRICE), MISSING_TIME, ask - bid)
    traded = reals(quotes["volume_contracts"])[order] > 0

    new_contract = _changes(event) | _changes(contract)
    new_update = new_contract | _changes(known_at)
    first = np.flatnonzero(new_update)
    traded_update: Bools = (np.add.reduceat(traded.astype(np.int64), first) > 0) if first.size else traded
    new_contract, event = new_contract[first], event[first]
    contract_starts = np.flatnonzero(new_contract)
    return _Tape(
        contract_offsets=np.append(contract_starts, first.size),
        event_offsets=np.searchsorted(event[contract_starts], np.arange(len(events) + 1)).astype(np.int64),
        known_at=known_at[first],
        spread=spread[first],
        n_traded=np.append(0, np.cumsum(traded_update)).astype(np.int64),
        finest_bar=_finest_so_far(bar[first], new_contract),
    )


def _changes(values: Ints) -> Bools:
    return np.append(np.ones(min(1, values.size), bool), values[1:] != values[:-1])


@compiled
def _behind(contract: Ints, length: Ints, known_at: Ints, ts: Ints) -> Bools:
    """Whether a row, by contract and known_at, is about a time not after the newest known before of its bar length."""
    n_lengths = length.max() + 1 if length.size else 0
    before, reached = np.empty(n_lengths, np.int64), np.empty(n_lengths, np.int64)
    out = np.zeros(ts.size, np.bool_)
    for i in range(ts.size):
        if i == 0 or contract[i] != contract[i - 1]:
            reached[:] = MISSING_TIME
        if i == 0 or contract[i] != contract[i - 1] or known_at[i] != known_at[i - 1]:
            before[:] = reached
        out[i] = ts[i] <= before[length[i]]
        reached[length[i]] = max(reached[length[i]], ts[i])
    return out


@compiled
def _finest_so_far(bar: Ints, new_contract: Bools) -> Ints:
    finest = bar.copy()
    for i in range(1, bar.size):
        if not new_contract[i]:
            finest[i] = min(finest[i], finest[i - 1])
    return finest


@compiled
def _quantile(ordered: Reals, q: float) -> float:
    position = q * (ordered.size - 1)
    low = int(position)
    high = min(low + 1, ordered.size - 1)
    return float(ordered[low] + (position - low) * (ordered[high] - ordered[low]))


@compiled
def _describe(
    contract_offsets: Ints, event_offsets: Ints, known_at: Ints, spread: Ints, n_traded: Ints, finest_bar: Ints,
    event: Ints, as_of: Ints, window: int,
) -> Reals:  # fmt: skip
    """Columns: updates an hour, staleness median and p95, spread median and std, active fraction, newest age in us."""
    out = np.full((as_of.size, 7), np.nan)
    for s in range(as_of.size):
        if event[s] < 0:
            continue
        low, high = event_offsets[event[s]], event_offsets[event[s] + 1]
        ends = np.zeros(high - low, np.int64)
        ages = np.empty(high - low)
        n_contracts = 0
        bar = np.int64(-1)
        for c in range(low, high):
            start, stop = contract_offsets[c], contract_offsets[c + 1]
            end = start + np.searchsorted(known_at[start:stop], as_of[s], side="right")
            ends[c - low] = end
            if end > start:
                ages[n_contracts] = as_of[s] - known_at[end - 1]
                n_contracts += 1
                if bar < 0 or finest_bar[end - 1] < bar:
                    bar = finest_bar[end - 1]
        if n_contracts == 0:
            continue
        bars_width = MIN_BARS * bar * _SECOND
        width = bars_width if bars_width > window else window
        updates, active = 0, 0
        first, last = as_of[s], as_of[s] - width
        begins = np.zeros(high - low, np.int64)
        for c in range(low, high):
            start, end = contract_offsets[c], ends[c - low]
            begin = start + np.searchsorted(known_at[start:end], as_of[s] - width, side="left")
            begins[c - low] = begin
            if end > begin:
                updates += end - begin
                first, last = min(first, known_at[begin]), max(last, known_at[end - 1])
            if n_traded[end] > n_traded[start]:
                active += 1
        spreads = np.empty(updates)
        n_spreads = 0
        for c in range(low, high):
            for i in range(begins[c - low], ends[c - low]):
                if spread[i] != MISSING_TIME:
                    spreads[n_spreads] = spread[i]
                    n_spreads += 1
        ordered = np.sort(ages[:n_contracts])
        out[s, 0] = updates / (max(last - first, bar * _SECOND, _MINUTE) / _HOUR)
        out[s, 1] = _quantile(ordered, 0.5) / _SECOND
        out[s, 2] = _quantile(ordered, 0.95) / _SECOND
        if n_spreads > 0:
            # Sorted first, so that the sum does not depend on the order of the contracts.
            two_sided = np.sort(spreads[:n_spreads])
            out[s, 3] = _quantile(two_sided, 0.5) / MICRO_USD
            out[s, 4] = np.sqrt(np.mean((two_sided - np.mean(two_sided)) ** 2)) / MICRO_USD
        out[s, 5] = active / n_contracts
        out[s, 6] = ordered[0]
    return out
