"""Contract specs as flat arrays, and which version of a ladder was known when.

What a spec means belongs to ``contracts``; which of its quotes count, to
``live_quotes``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import codes, reals, times, vocabulary
from kalshi_assets.core.compiled import compiled
from kalshi_assets.core.contracts import spec_version, weakest_resolution
from kalshi_assets.core.directions import UNRESOLVED
from kalshi_assets.core.ladder import MINUS, PLUS
from kalshi_assets.errors import DomainError

Ints = npt.NDArray[np.int64]
Records: TypeAlias = Any  # a structured array; numpy cannot type its fields

_FOREVER = 1 << 62
_SPEC_COLUMNS = (
    "event_ticker", "ticker", "spec_id", "known_at", "direction", "floor_strike", "cap_strike", "tick",
    "lo_index", "hi_index", "source", "confidence",
)  # fmt: skip

# One contract spec, as kernels see it.
SPEC = np.dtype(
    [
        ("known_at", np.int64),  # when the version became known, microseconds
        ("until", np.int64),  # when the next version of the same contract became known
        ("lo", np.int64),  # first paying lattice index, or MINUS
        ("hi", np.int64),  # one past the last paying index, or PLUS
        ("contract", np.int64),  # the contract's place in the quote columns
        ("resolved", np.bool_),  # the predicate is known and says something
        ("tick", np.float64),  # lattice step
    ]
)


class SpecIndex(NamedTuple):
    """Contract specs, sorted by (event, lo, hi, ticker).

    Attributes:
        offsets: shape (n_events + 1,); specs of event e are ``offsets[e]:offsets[e + 1]``.
        rows: records of dtype ``SPEC``.
        by_ticker: rows of each event in ticker order.
    """

    offsets: Ints
    rows: Records
    by_ticker: Ints


@dataclass(frozen=True, slots=True)
class Ladders:
    """Specs of all events: the kernel's arrays, and the rows they came from in the same order."""

    events: pa.Array
    tickers: pa.Array
    table: pa.Table
    index: SpecIndex


def _ends(column: pa.ChunkedArray, infinite: int, shift: int) -> Ints:
    missing = pc.is_null(column).to_numpy()
    values = np.asarray(pc.fill_null(column, 0).to_numpy(), np.int64)
    return np.where(missing, infinite, np.clip(values, MINUS // 2, PLUS // 2) + shift)


def index_specs(specs: pa.Table) -> Ladders:
    """Sort and encode rows of ``contract_specs`` for the kernels.

    Args:
        specs: any versions of any events' contracts, any order.

    Returns:
        The ladders. A contract whose predicate is unresolved or says nothing is kept and marked.

    Raises:
        DomainError: a required column is absent.
    """
    missing = [c for c in _SPEC_COLUMNS if c not in specs.column_names]
    if missing:
        raise DomainError(f"The contract specs have no column {', '.join(missing)}; pass rows of contract_specs.")
    specs = specs.select(_SPEC_COLUMNS)
    specs = specs.filter(pc.and_(pc.is_valid(specs["ticker"]), pc.is_valid(specs["known_at"])))
    events, tickers = vocabulary(specs["event_ticker"]), vocabulary(specs["ticker"])
    known_at = times(specs["known_at"])
    contract = codes(specs["ticker"], tickers)
    lo = _ends(specs["lo_index"], MINUS, 0)
    hi = _ends(specs["hi_index"], PLUS, 1)
    # a contract's spec holds until its next version is known; the spec id decides between two of one instant
    version = codes(specs["spec_id"], vocabulary(specs["spec_id"]))
    order = np.lexsort((version, known_at, contract))
    until = np.full(contract.size, _FOREVER, np.int64)
    same = contract[order][1:] == contract[order][:-1]
    until[order[:-1][same]] = known_at[order[1:][same]]
    event = codes(specs["event_ticker"], events)
    order = np.lexsort((version, known_at, contract, hi, lo, event))
    specs, event, contract = specs.take(pa.array(order)), event[order], contract[order]
    lo, hi = lo[order], hi[order]
    tick = reals(specs["tick"])
    unresolved = pc.fill_null(pc.equal(specs["direction"], UNRESOLVED), True).to_numpy()
    resolved = ~unresolved & (tick > 0.0) & (lo < hi) & ((lo != MINUS) | (hi != PLUS))
    offsets = np.searchsorted(event, np.arange(len(events) + 1)).astype(np.int64)
    by_ticker = np.lexsort((contract, event)).astype(np.int64)
    rows = np.empty(contract.size, SPEC)
    rows["known_at"], rows["until"] = known_at[order], until[order]
    rows["lo"], rows["hi"], rows["contract"] = lo, hi, contract
    rows["resolved"], rows["tick"] = resolved, tick
    index = SpecIndex(offsets, rows, by_ticker)
    return Ladders(events, tickers, specs, index)


@compiled
def known_contracts(event: Ints, as_of: Ints, offsets: Ints, specs: Records) -> Ints:
    """Number of contracts known at each (event, as_of): specs with known_at <= as_of < until."""
    count = np.zeros(event.size, np.int64)
    for s in range(event.size):
        if event[s] >= 0:
            for j in range(offsets[event[s]], offsets[event[s] + 1]):
                count[s] += specs[j].known_at <= as_of[s] < specs[j].until
    return count


def ladder_versions(ladders: Ladders, event: Ints, as_of: Ints) -> tuple[Ints, list[tuple[str, str, str]]]:
    """Which ladder version each snapshot saw, and (version, source, confidence) of each version.

    The set of known specs changes only when a spec becomes known, so it is
    named once per (event, such an instant) and not once per snapshot.
    """
    step = np.full(event.size, -1, np.int64)
    versions: list[tuple[str, str, str]] = []
    ids, sources, confidences = (ladders.table[c].to_pylist() for c in ("spec_id", "source", "confidence"))
    known_at, until = (np.ascontiguousarray(ladders.index.rows[name]) for name in ("known_at", "until"))
    order = np.argsort(event, kind="stable")
    seen_at = as_of[order]
    bounds = np.searchsorted(event[order], np.arange(len(ladders.events) + 1)).tolist()
    starts = ladders.index.offsets.tolist()
    for e in range(len(ladders.events)):
        first, stop = bounds[e], bounds[e + 1]
        if first == stop:
            continue
        start, end = starts[e], starts[e + 1]
        instants = sorted(set(known_at[start:end].tolist()))
        seen = np.searchsorted(np.array(instants), seen_at[first:stop], side="right") - 1
        for k in sorted(set(seen.tolist()) - {-1}):
            t = instants[k]
            held = (np.flatnonzero((known_at[start:end] <= t) & (t < until[start:end])) + start).tolist()
            weakest = weakest_resolution([sources[i] or "none" for i in held], [confidences[i] or "none" for i in held])
            step[order[first:stop][seen == k]] = len(versions)
            versions.append((spec_version(ids[i] for i in held), *weakest))
    return step, versions
