"""What the repaired ladder said of each contract, and whether the contract paid: pairs for a Brier score.

Decomposing the score is ``core.corp``; which events are scored is decided by
the forecasts that are passed in.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import MISSING_TIME, codes, newest_versions, time_column, times, vocabulary
from kalshi_assets.core.horizons import DAILY
from kalshi_assets.core.tables import DATE, REAL, TEXT, TIME

RUNG_FORECASTS = pa.schema(
    [
        pa.field("series_ticker", TEXT, nullable=False),
        pa.field("horizon", TEXT, nullable=False),
        pa.field("basis", TEXT, nullable=False),
        pa.field("tail_policy", TEXT, nullable=False),
        pa.field("event_date", DATE, nullable=False),
        pa.field("event_ticker", TEXT, nullable=False),
        pa.field("ticker", TEXT, nullable=False),
        pa.field("release_time", TIME, nullable=False),
        pa.field("probability", REAL, nullable=False),
        pa.field("paid", REAL, nullable=False),
        pa.field("known_at", TIME, nullable=False),
    ]
)


def rung_forecasts(forecasts: pa.Table, rungs: pa.Table, contracts: pa.Table, *, basis: str) -> pa.Table:
    """Pair the probability of every contract with its result.

    Args:
        forecasts: ``core.forecast_errors.named_forecasts``; rungs of gated ones are left out.
        rungs: rows of table ``distribution_rungs``.
        contracts: rows of that table as known at the time of scoring; the newest version of each counts. Only
            ``yes`` and ``no`` are results: a fractional or void settlement says nothing of a probability.
        basis: what the ladders were made of.

    Returns:
        Rows of ``RUNG_FORECASTS``: ``paid`` is 1 for yes and 0 for no, ``known_at`` when the result was known. A
        contract whose result was known when it was forecast is left out.
    """
    rungs = rungs.filter(pc.and_(pc.not_equal(rungs["horizon"], DAILY), pc.is_valid(rungs["repaired_prob"])))
    ungated = forecasts.filter(pc.is_valid(forecasts["mean"]))
    events, horizons = vocabulary(ungated["event_ticker"]), vocabulary(ungated["horizon"])
    place = np.full((len(events) + 1, len(horizons) + 1), -1, np.int64)
    place[codes(ungated["event_ticker"], events), codes(ungated["horizon"], horizons)] = np.arange(ungated.num_rows)
    # The last row and column stand for what no forecast has, at code -1.
    forecast = place[codes(rungs["event_ticker"], events), codes(rungs["horizon"], horizons)]
    as_of = times(rungs["as_of"])
    same = (forecast >= 0) & (np.append(times(ungated["as_of"]), MISSING_TIME)[forecast] == as_of)
    newest = newest_versions(contracts, "ticker")
    contract = codes(rungs["ticker"], newest["ticker"].combine_chunks())
    paid = np.append(codes(newest["result"], pa.array(["no", "yes"])), -1)[contract]
    known_at = np.append(times(newest["known_at"]), MISSING_TIME)[contract]
    kept = np.flatnonzero(same & (paid >= 0) & (known_at > as_of))
    rows, of = rungs.take(pa.array(kept)), ungated.take(pa.array(forecast[kept]))
    columns = {
        "basis": pa.repeat(basis, rows.num_rows),
        "ticker": rows["ticker"],
        "probability": rows["repaired_prob"],
        "paid": pa.array(paid[kept].astype(np.float64)),
        "known_at": time_column(known_at[kept]),
    }
    found = [columns[f.name] if f.name in columns else of[f.name] for f in RUNG_FORECASTS]
    return pa.table(found, names=RUNG_FORECASTS.names).cast(RUNG_FORECASTS)
