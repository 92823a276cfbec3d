"""What an event's contracts say about the settled number: the interval of lattice values that fits every outcome.

Belongs here: from yes and no on predicates to an interval, and when it was
learned. What was published belongs to ``core.labels``, profit to ``core.pnl``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import (
    MISSING_TIME,
    Bools,
    Ints,
    Reals,
    codes,
    integers,
    newest_versions,
    reals,
    times,
    vocabulary,
)
from kalshi_assets.core.compiled import compiled
from kalshi_assets.errors import DomainError

_BELOW, _ABOVE = -(2**62), 2**62


@dataclass(frozen=True, slots=True)
class Settlements:
    """One row an event, in the order asked for.

    Attributes:
        lo: lowest lattice value that fits the outcomes, in the series' unit; NaN where open or unknown.
        hi: highest such value; NaN where open or unknown.
        known: True where at least one bound is there.
        contradictory: True where no value fits all outcomes.
        learned_at: greatest ``settlement_time`` of the resolved contracts; ``MISSING_TIME`` where one lacks it.
        close_time: greatest ``close_time`` of all contracts; ``MISSING_TIME`` where none has one.
        value: ``expiration_value`` as the exchange wrote it; null where the contracts differ or have none.
    """

    lo: Reals
    hi: Reals
    known: Bools
    contradictory: Bools
    learned_at: Ints
    close_time: Ints
    value: pa.Array


def settlements(contracts: pa.Table, specs: pa.Table, event_tickers: Any) -> Settlements:
    """Intersect the outcomes of each event's contracts.

    A contract counts when its newest result is ``yes`` or ``no`` and its newest spec has a bound: it pays yes
    on lattice points ``lo_index`` to ``hi_index``, both included, null being open. Scalar, fractional and void
    outcomes say nothing about the interval. A ``no`` in the middle of what is still possible cannot be written
    as an interval and narrows nothing.

    Args:
        contracts: rows of that table, any number of versions.
        specs: rows of ``contract_specs``, any number of versions.
        event_tickers: distinct events, ascending.

    Raises:
        DomainError: two ticks within one event.
    """
    words = pa.array(event_tickers.to_pylist(), pa.string())
    newest, spec = newest_versions(contracts, "ticker"), newest_versions(specs, "ticker")
    at = codes(newest["ticker"], vocabulary(spec["ticker"]))
    spec = spec.take(pa.array(at, mask=at < 0))
    event = codes(newest["event_ticker"], words)
    lo, hi = integers(spec["lo_index"], _BELOW), integers(spec["hi_index"], _ABOVE)
    tick = reals(spec["tick"])
    outcome = codes(newest["result"], pa.array(["no", "yes"]))
    resolved = (event >= 0) & (outcome >= 0) & (tick > 0) & ((lo != _BELOW) | (hi != _ABOVE))

    n = len(words)
    tick_of = _one_tick(event[resolved], tick[resolved], words)
    order = np.flatnonzero(resolved)[np.argsort(event[resolved], kind="stable")]
    offsets = np.searchsorted(event[order], np.arange(n + 1)).astype(np.int64)
    low, high = _intersect(offsets, lo[order], hi[order], outcome[order] == 1)
    contradictory = low > high
    settled_at = times(newest["settlement_time"])
    learned_at = np.full(n, MISSING_TIME, np.int64)
    np.maximum.at(learned_at, event[resolved], settled_at[resolved])
    unknown = resolved & (settled_at == MISSING_TIME)
    learned_at[event[unknown]] = MISSING_TIME
    close_time = np.full(n, MISSING_TIME, np.int64)
    np.maximum.at(close_time, event[event >= 0], times(newest["close_time"])[event >= 0])
    has_lo, has_hi = (low != _BELOW) & ~contradictory, (high != _ABOVE) & ~contradictory
    return Settlements(
        lo=np.where(has_lo, np.round(low * tick_of, 9), np.nan),
        hi=np.where(has_hi, np.round(high * tick_of, 9), np.nan),
        known=has_lo | has_hi,
        contradictory=contradictory,
        learned_at=learned_at,
        close_time=close_time,
        value=_agreed_value(newest, event, n),
    )


def _one_tick(event: Ints, tick: Reals, words: pa.Array) -> Reals:
    largest, smallest = np.full(len(words), -np.inf), np.full(len(words), np.inf)
    np.maximum.at(largest, event, tick)
    np.minimum.at(smallest, event, tick)
    mixed = np.flatnonzero((largest > smallest) & np.isfinite(largest))
    if mixed.size:
        i = int(mixed[0])
        raise DomainError(
            f"the contracts of {words[i]} are on lattices of step {smallest[i]} and {largest[i]};"
            " correct the series' tick and rebuild its contract specs"
        )
    return np.where(np.isfinite(largest), largest, np.nan)


def _agreed_value(contracts: pa.Table, event: Ints, n: int) -> pa.Array:
    words = vocabulary(contracts["expiration_value"])
    texts = words.filter(pc.not_equal(words, ""))
    code = codes(contracts["expiration_value"], texts)
    said = (event >= 0) & (code >= 0)
    first, last = np.full(n, len(texts), np.int64), np.full(n, -1, np.int64)
    np.minimum.at(first, event[said], code[said])
    np.maximum.at(last, event[said], code[said])
    return texts.take(pa.array(last, mask=first != last))


@compiled
def _intersect(offsets: Ints, lo: Ints, hi: Ints, yes: Bools) -> tuple[Ints, Ints]:
    """Lowest and highest lattice point that fits all outcomes; low above high where none does."""
    low = np.full(offsets.size - 1, _BELOW, np.int64)
    high = np.full(offsets.size - 1, _ABOVE, np.int64)
    for e in range(offsets.size - 1):
        for i in range(offsets[e], offsets[e + 1]):
            if yes[i]:
                low[e] = max(low[e], lo[i])
                high[e] = min(high[e], hi[i])
        narrowed = True
        while narrowed and low[e] <= high[e]:
            narrowed = False
            for i in range(offsets[e], offsets[e + 1]):
                if not yes[i] and lo[i] <= low[e] <= hi[i]:
                    low[e] = hi[i] + 1
                    narrowed = True
                if not yes[i] and lo[i] <= high[e] <= hi[i]:
                    high[e] = lo[i] - 1
                    narrowed = True
    return low, high
