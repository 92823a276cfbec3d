"""How contracts settled, as arrays: payout, void, and the time it was known.

Reads the versions of table ``contracts``; what a position earns by it is
``core.pnl``'s matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import codes, reals, times, vocabulary

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ContractOutcomes:
    """Outcomes of n requested contracts.

    Attributes:
        settled: True where the outcome is known.
        void: True where the contract was voided.
        yes_payout_usd: what YES paid, 0 to 1; NaN where not settled or void. A scalar value is kept as it is.
        learned_at: microseconds; the first time at which the outcome that stands was known. The
            earliest int64 where not settled.
        volume_contracts: lifetime volume, NaN where never stated.
    """

    settled: BoolArray
    void: BoolArray
    yes_payout_usd: FloatArray
    learned_at: IntArray
    volume_contracts: FloatArray


def contract_outcomes(contracts: pa.Table, ticker: pa.ChunkedArray) -> ContractOutcomes:
    """The standing outcome of each contract.

    The newest version decides, so that a result that was withdrawn is none; its time is that of the first of the
    last versions in a row that state the same, so that a later edit of another column does not postpone it.
    ``settlement_value_usd`` goes before ``result``; a result of ``scalar`` without a value is not settled.

    Args:
        contracts: rows of table ``contracts``, any number of versions.
        ticker: requested tickers, shape (n,), repeats allowed.

    Returns:
        Outcomes in the order of the request.
    """
    words = vocabulary(ticker)
    n = len(words)
    code = codes(contracts["ticker"], words)
    rows = contracts.take(pa.array(np.flatnonzero(code >= 0)))
    code, known_at = code[code >= 0], times(rows["known_at"])
    result, kind = rows["result"], rows["outcome_type"]

    def is_any(column: pa.ChunkedArray, *values: str) -> BoolArray:
        return np.asarray(pc.fill_null(pc.is_in(column, value_set=pa.array(values)), False), dtype=np.bool_)

    void = is_any(kind, "void") | is_any(result, "void")
    stated = reals(rows["settlement_value_usd"])
    binary = np.where(is_any(result, "yes"), 1.0, np.where(is_any(result, "no"), 0.0, np.nan))
    payout = np.where(void, -1.0, np.where(np.isfinite(stated), stated, binary))
    # A price that an open contract carries is no outcome.
    payout[~(void | is_any(kind, "binary", "scalar") | is_any(result, "yes", "no", "scalar"))] = np.nan

    order = np.lexsort((known_at, code))
    told, of, since = payout[order], code[order], known_at[order]
    same = (told[1:] == told[:-1]) | (np.isnan(told[1:]) & np.isnan(told[:-1]))
    begins = np.r_[True, (of[1:] != of[:-1]) | ~same] if len(order) else np.empty(0, np.bool_)
    standing, learned = np.full(n, np.nan), np.full(n, np.iinfo(np.int64).min)
    # numpy keeps the last of repeated assignments: of each contract the newest statement, and when it began.
    standing[of] = told
    learned[of[begins]] = since[begins]
    learned[np.isnan(standing)] = np.iinfo(np.int64).min

    volume = np.full(n, np.nan)
    volumes = reals(rows["volume_contracts"])
    by_time = np.lexsort((known_at, code))
    by_time = by_time[np.isfinite(volumes[by_time])]
    volume[code[by_time]] = volumes[by_time]

    asked = codes(ticker, words)
    value = standing[asked]
    voided = value < 0
    return ContractOutcomes(
        settled=np.isfinite(value),
        void=voided,
        yes_payout_usd=np.where(voided, np.nan, value),
        learned_at=learned[asked],
        volume_contracts=volume[asked],
    )
