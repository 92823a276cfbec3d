"""What somebody without the market would have forecast: the last print, the mean of twelve, a consensus.

Only what was known at each forecast's own as-of time. Prints themselves are
``core.prints``; how well any of them did is ``core.forecast_scores``.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import Ints, Reals, codes, days, reals, times, vocabulary
from kalshi_assets.core.consensus import consensus_known
from kalshi_assets.core.features import JoinAges
from kalshi_assets.core.prints import KnownPrints, Vintages, prints_known, vintages_of
from kalshi_assets.core.reference_features import ReferenceAges
from kalshi_assets.core.series import facts_for
from kalshi_assets.core.tables import REAL, TEXT, TIME
from kalshi_assets.errors import DomainError

CONSENSUS = pa.schema(
    [
        pa.field("event_ticker", TEXT, nullable=False),
        pa.field("consensus", REAL, nullable=False),
        pa.field("known_at", TIME, nullable=False),
    ]
)


def benchmark_forecasts(
    series_ticker: pa.Array,
    event_ticker: pa.Array,
    as_of: Ints,
    *,
    macro_observations: pa.Table,
    outcomes: pa.Table,
    consensus: pa.Table | None = None,
) -> dict[str, Reals]:
    """The benchmarks of many forecasts.

    The prints are those of the series' statistic. A series without a statistic, or without any recorded vintage of
    it, takes the outcomes of its own earlier events instead. A last print that is older than the feature panel
    would take it (``JoinAges.first_print``) does not count, nor does an older consensus (``ReferenceAges.consensus``).

    Args:
        series_ticker: of each forecast, shape (n,).
        event_ticker: of each forecast, shape (n,).
        as_of: when each forecast was made, microseconds since 1970 UTC, shape (n,).
        macro_observations: rows of that table, all vintages.
        outcomes: ``core.forecast_outcomes``.
        consensus: rows with at least the columns of ``CONSENSUS``, any number an event; of those known at the
            as-of time the newest counts. None where the user supplies none.

    Returns:
        ``last_print``, ``print_mean_12`` and ``consensus``, shape (n,) each, in the series' unit; NaN where not known.

    Raises:
        DomainError: the consensus lacks a column.
    """
    last, mean = np.full(len(as_of), np.nan), np.full(len(as_of), np.nan)
    series = vocabulary(series_ticker)
    code = codes(series_ticker, series)
    for i, ticker in enumerate(series.to_pylist()):
        mine = code == i
        known = _prints(ticker, as_of[mine], macro_observations, outcomes)
        last[mine], mean[mine] = known.last, known.mean_12
    return {"last_print": last, "print_mean_12": mean, "consensus": _consensus(event_ticker, as_of, consensus)}


def _prints(ticker: str, as_of: Ints, macro_observations: pa.Table, outcomes: pa.Table) -> KnownPrints:
    facts = facts_for(ticker)
    vintages = vintages_of(macro_observations, facts) if facts else None
    if vintages is None or not vintages.first.size:
        vintages = _as_vintages(outcomes.filter(pc.equal(outcomes["series_ticker"], ticker)))
    return prints_known(vintages, as_of, max_age=JoinAges().first_print)


def _as_vintages(outcomes: pa.Table) -> Vintages:
    """A series' own outcomes in the order of their events, each as the only vintage of its event date."""
    period, known_at = days(outcomes["event_date"]), times(outcomes["outcome_learned_at"])
    order = np.lexsort((known_at, period)).astype(np.int64)
    return Vintages(
        period=period[order],
        known_at=known_at[order],
        value=reals(outcomes["outcome"])[order],
        vintage_date=period[order],
        row=order,
        first=np.arange(len(order), dtype=np.int64),
    )


def _consensus(event_ticker: pa.Array, as_of: Ints, consensus: pa.Table | None) -> Reals:
    if consensus is None:
        return np.full(len(as_of), np.nan)
    absent = [name for name in CONSENSUS.names if name not in consensus.column_names]
    if absent:
        raise DomainError(f"The consensus has no column {', '.join(absent)}; it needs {', '.join(CONSENSUS.names)}.")
    dated = consensus.filter(pc.is_valid(consensus["known_at"]))
    return consensus_known(dated, event_ticker, as_of, max_age=ReferenceAges().consensus)[0]
