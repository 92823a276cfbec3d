"""What a repaired ladder says about each of its contracts: its probability, its band, and its quote as seen.

One kernel writes a row a known contract, in ticker order. Snapshot-wide
numbers belong to ``snapshots``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.asof import QuoteIndex
from kalshi_assets.core.compiled import compiled
from kalshi_assets.core.ladder import MINUS, PLUS
from kalshi_assets.core.live_quotes import UNKNOWN_TIME, Contracts, SpecIndex
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
        known_at: when the quote was known, or ``UNKNOWN_TIME``.
    """

    offsets: Ints
    spec: Ints
    rank: Ints
    numbers: Floats
    known_at: Ints


@compiled
def law_probability(lo: int, hi: int, edges: Ints, law: Floats, n: int) -> float:  # pragma: no cover - compiled
    """P(lo <= X < hi) of a closed law, open ends allowed."""
    above = 1.0 if lo == MINUS else survival_at(lo, edges, law, n)
    beyond = 0.0 if hi == PLUS else survival_at(hi, edges, law, n)
    return float(max(above - beyond, 0.0))


@compiled
def _first_after(values: Ints, n: int, x: int) -> int:  # pragma: no cover - compiled
    """Number of entries at or before x in a rising list."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if values[middle] <= x:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _bound(x: int, cut: Ints, m: int, values: Floats, upper: bool) -> float:  # pragma: no cover - compiled
    """Envelope of P(X >= x): the ceiling of the last cutpoint at or before x, the floor of the first at or after."""
    if x == MINUS:
        return 1.0
    if x == PLUS:
        return 0.0
    k = _first_after(cut, m, x)
    if k > 0 and (upper or cut[k - 1] == x):
        return float(values[k - 1])
    if upper:
        return 1.0
    return float(values[k]) if k < m else 0.0


@compiled
def contract_band(
    k: int, specs: SpecIndex, quotes: QuoteIndex, at: Contracts, cut: Ints, m: int, low: Floats, high: Floats
) -> tuple[float, float]:  # pragma: no cover - compiled
    """Range that all quotes together leave to known contract k; for overlapping ranges an outer bound."""
    j = at.spec[k]
    lo, hi = specs.lo[j], specs.hi[j]
    top = min(_bound(lo, cut, m, high, True) - _bound(hi, cut, m, low, False), 1.0)
    bottom = max(_bound(lo, cut, m, low, False) - _bound(hi, cut, m, high, True), 0.0)
    if at.alive[k]:
        i = at.row[k]
        top = min(top, quotes.ask[i] / 1e6 if quotes.ask[i] > 0 else 1.0)
        bottom = max(bottom, quotes.bid[i] / 1e6 if quotes.bid[i] > 0 else 0.0)
    return bottom, top


@compiled
def write_rungs(
    s: int, event: int, as_of: int, n: int, specs: SpecIndex, quotes: QuoteIndex, at: Contracts,
    max_spread: int, price_tick: int, solved: bool, feasible: bool, cut: Ints, m: int, low: Floats, high: Floats,
    edges: Ints, law: Floats, n_edges: int, rows: RungRows,
) -> None:  # pragma: no cover - compiled  # fmt: skip
    """Write the rungs of snapshot ``s``; ``n`` contracts are known, in ``at``."""
    out = rows.offsets[s]
    start, stop = (specs.offsets[event], specs.offsets[event + 1]) if event >= 0 else (0, 0)
    for t in range(start, stop):
        j = specs.by_ticker[t]
        if not specs.known_at[j] <= as_of < specs.until[j]:
            continue
        k = _first_after(at.spec, n, j) - 1
        rung = rows.numbers[out]
        rung[:] = math.nan
        rows.spec[out], rows.rank[out], rows.known_at[out] = j, k, UNKNOWN_TIME
        i = at.row[k]
        if i >= 0:
            rows.known_at[out] = quotes.known_at[i]
            rung[_AGE] = (as_of - quotes.ts[i]) / 1e6
            bid, ask = quotes.bid[i], quotes.ask[i]
            if bid > 0:
                rung[_BID] = bid / 1e6
            if ask > 0:
                rung[_ASK] = ask / 1e6
            if at.alive[k]:
                bottom, top = max(bid, 0), ask if ask > 0 else 1_000_000
                rung[_WEIGHT] = 0.0
                if top - bottom <= max_spread:
                    rung[_MID] = (top + bottom) / 2e6
                    rung[_WEIGHT] = 1e6 / max(top - bottom, price_tick)
        if solved and specs.resolved[j]:
            rung[_REPAIRED] = law_probability(specs.lo[j], specs.hi[j], edges, law, n_edges)
            if feasible:
                band_low, band_high = contract_band(k, specs, quotes, at, cut, m, low, high)
                rung[_BAND_LOW] = min(band_low, rung[_REPAIRED])
                rung[_BAND_HIGH] = max(band_high, rung[_REPAIRED])
        out += 1
