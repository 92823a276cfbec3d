"""What a repaired ladder says about each of its contracts: its probability, its band, and its quote as seen.

One kernel writes a row a known contract, in ticker order. Snapshot-wide
numbers belong to ``snapshots``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.columns import MISSING_TIME
from kalshi_assets.core.compiled import in_place
from kalshi_assets.core.ladder import MINUS, PLUS
from kalshi_assets.core.spec_index import Records
from kalshi_assets.core.tails import survival_at

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

RUNG_NUMBERS = (
    "yes_bid_prob", "yes_ask_prob", "mid_prob", "repaired_prob", "band_low_prob", "band_high_prob", "age_s", "weight",
)  # fmt: skip
(_BID, _ASK, _MID, _REPAIRED, _BAND_LOW, _BAND_HIGH, _AGE, _WEIGHT) = range(len(RUNG_NUMBERS))


class RungRows(NamedTuple):
    """Rows to fill; those of snapshot s are ``offsets[s]:offsets[s + 1]``.

    Attributes:
        offsets: shape (n_snapshots + 1,).
        spec: row of the spec index.
        rank: place in strike order.
        numbers: shape (n, RUNG_NUMBERS); NaN missing.
        known_at: when the quote was known, or ``MISSING_TIME``.
    """

    offsets: Ints
    spec: Ints
    rank: Ints
    numbers: Floats
    known_at: Ints


@in_place
def law_probability(lo: int, hi: int, edges: Ints, law: Floats, n: int) -> float:
    """P(lo <= X < hi) of a closed law, open ends allowed."""
    above = 1.0 if lo == MINUS else survival_at(lo, edges, law, n)
    beyond = 0.0 if hi == PLUS else survival_at(hi, edges, law, n)
    return float(max(above - beyond, 0.0))


@in_place
def _envelope_at(x: int, cut: Ints, m: int, low: Floats, high: Floats) -> tuple[float, float]:
    """Least and greatest P(X >= x): the floor of the first cutpoint at or after x, the ceiling of the last before."""
    if x == MINUS:
        return 1.0, 1.0
    if x == PLUS:
        return 0.0, 0.0
    left, right = 0, m
    while left < right:
        middle = (left + right) // 2
        if cut[middle] < x:
            left = middle + 1
        else:
            right = middle
    if left == m:
        return 0.0, high[m - 1]
    if cut[left] == x:
        return low[left], high[left]
    return low[left], high[left - 1] if left > 0 else 1.0


@in_place
def contract_band(
    lo: int, hi: int, bid: int, ask: int, cut: Ints, m: int, low: Floats, high: Floats
) -> tuple[float, float]:
    """Range that all quotes together leave to a contract; for overlapping ranges an outer bound.

    Args:
        lo: first paying lattice index, or ``MINUS``.
        hi: one past the last, or ``PLUS``.
        bid: its own bid in micro-dollars, 0 without one.
        ask: its own ask, 1_000_000 without one.
        cut: the ladder's cutpoints.
        m: their number, at least 1.
        low: lower envelope of the survival at the cutpoints.
        high: upper envelope.
    """
    low_start, high_start = _envelope_at(lo, cut, m, low, high)
    low_end, high_end = _envelope_at(hi, cut, m, low, high)
    return max(low_start - high_end, bid / 1e6), min(high_start - low_end, ask / 1e6)


@in_place
def write_rungs(
    out: int, start: int, stop: int, as_of: int, n: int, by_ticker: Ints, specs: Records, at: Records,
    max_spread: int, price_tick: int, solved: bool, bounded: bool, traded: bool, cut: Ints, m: int, low: Floats,
    high: Floats, edges: Ints, law: Floats, n_edges: int,
    rung_spec: Ints, rung_rank: Ints, rung_numbers: Floats, rung_known_at: Ints,
) -> None:  # fmt: skip
    """Write the known contracts of one snapshot (``n`` records in ``at``) in ticker order, from row ``out`` on."""
    for t in range(start, stop):
        j = by_ticker[t]
        if not specs[j].known_at <= as_of < specs[j].until:
            continue
        place, top = 0, n - 1
        while place < top:
            middle = (place + top) // 2
            if at[middle].spec < j:
                place = middle + 1
            else:
                top = middle
        here = at[place]
        rung = rung_numbers[out]
        rung[:] = math.nan
        rung_spec[out], rung_rank[out], rung_known_at[out] = j, place, MISSING_TIME
        if here.row >= 0:
            rung_known_at[out] = here.known_at
            rung[_AGE] = (as_of - here.ts) / 1e6
            if here.bid_price > 0 and not traded:
                rung[_BID] = here.bid_price / 1e6
            if here.ask_price > 0 and not traded:
                rung[_ASK] = here.ask_price / 1e6
            if here.alive:
                rung[_WEIGHT] = 0.0
                if traded:
                    rung[_MID], rung[_WEIGHT] = here.bid / 1e6, here.pull
                elif here.ask - here.bid <= max_spread:
                    rung[_MID] = (here.ask + here.bid) / 2e6
                    rung[_WEIGHT] = 1e6 / max(here.ask - here.bid, price_tick)
        if solved and specs[j].resolved:
            lo, hi = specs[j].lo, specs[j].hi
            rung[_REPAIRED] = law_probability(lo, hi, edges, law, n_edges)
            if bounded:
                band_low, band_high = contract_band(lo, hi, here.bid, here.ask, cut, m, low, high)
                rung[_BAND_LOW] = min(band_low, rung[_REPAIRED])
                rung[_BAND_HIGH] = max(band_high, rung[_REPAIRED])
        out += 1
