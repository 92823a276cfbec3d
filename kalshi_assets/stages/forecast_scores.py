"""The scores of the market's own forecasts: reads the lake, scores, files the scores and the errors behind them.

It is no stage: no gate reads it and nothing rests on it. The scores themselves are ``core.forecast_scores``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.consensus import consensus_of_events
from kalshi_assets.core.distribution import BASES, QUOTES, TRADES
from kalshi_assets.core.forecast_errors import PIT_SEED, forecast_errors, named_forecasts
from kalshi_assets.core.forecast_outcomes import outcomes_of
from kalshi_assets.core.forecast_scores import forecast_scores
from kalshi_assets.core.rung_forecasts import rung_forecasts
from kalshi_assets.core.tables import TEXT
from kalshi_assets.errors import UsageError
from kalshi_assets.stages.commit import code_version
from kalshi_assets.stages.context import StageContext
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.snapshots import published, record_snapshot
from kalshi_assets.store.transactions import transaction

NAME = "forecast_scores"
_FORECAST_COLUMNS = (
    "event_ticker", "series_ticker", "event_date", "horizon", "as_of", "release_time",
    "mean", "median", "mode", "support", "probability", "tail_policy", "basis",
)  # fmt: skip
# What a person looks at first; the table has the rest.
_SHORT = (
    "series_ticker", "basis", "horizon", "n", "mae_mean", "mae_median", "rmse_mean", "crps", "crps_low", "crps_high",
    "crps_to_mae", "log_score", "pit_std", "n_rungs", "brier", "last_print_mae", "last_print_dm_absolute_p",
)  # fmt: skip
_RUNG_COLUMNS = ("event_ticker", "horizon", "as_of", "ticker", "repaired_prob")


@dataclass(frozen=True, slots=True)
class ScoredForecasts:
    """The market's forecasts against what came out, as known at one time.

    Attributes:
        errors: rows of table ``forecast_errors``.
        rungs: rows of ``core.rung_forecasts``.
        scores: rows of table ``forecast_scores``.
        known_beforehand: forecasts left out because their outcome was known by then.
    """

    errors: pa.Table
    rungs: pa.Table
    scores: pa.Table
    known_beforehand: int


def score_forecasts(context: StageContext) -> ScoredForecasts:
    """Score all that the lake holds and make that the content of both tables, in one transaction."""
    lake = context.lake
    with transaction(lake, context.run_id):
        scored = scores_of(lake)
        for name, rows in (("forecast_errors", scored.errors), (NAME, scored.scores)):
            owned = Scope(event_dates=sorted({*lake.event_dates(name), *rows["event_date"].to_pylist()}))
            lake.replace(name, rows, scope=owned, run_id=context.run_id)
        record_snapshot(
            lake,
            stage=NAME,
            run_id=context.run_id,
            code_version=code_version(),
            config_hash=context.strategy.config_hash,
        )
    return scored


def scores_of(
    lake: Lake,
    *,
    as_of: datetime | None = None,
    series: Sequence[str] | None = None,
    consensus: pa.Table | None = None,
) -> ScoredForecasts:
    """Score the forecasts without writing anything.

    Args:
        lake: the store.
        as_of: leave out what was not known then: labels, results, prints; None for all that the lake holds.
        series: only these; None for all.
        consensus: rows of ``core.forecast_benchmarks.CONSENSUS``; None takes the lake's own table.
    """
    labels = lake.read("labels", as_of=as_of, series=series)
    if consensus is None:
        # Labels name the reference period, as events do.
        consensus = consensus_of_events(lake.read("consensus", as_of=as_of, history=True), labels)
    rungs = lake.read("distribution_rungs", as_of=as_of, series=series, columns=_RUNG_COLUMNS)
    forecasts = named_forecasts(
        lake.read("distributions", as_of=as_of, series=series, columns=_FORECAST_COLUMNS), labels
    )
    contracts = lake.read("contracts", as_of=as_of, series=series, columns=("ticker", "result", "known_at"))
    observations = lake.read("macro_observations", as_of=as_of, history=True)
    quoted = forecasts.filter(pc.equal(forecasts["basis"], QUOTES))
    traded = named_forecasts(
        lake.read("trade_distributions", as_of=as_of, series=series, columns=_FORECAST_COLUMNS), labels
    )
    # Every event has a row there; a series that never traded has nothing to be scored.
    spoken = pc.unique(traded.filter(pc.is_valid(traded["mean"]))["series_ticker"])
    traded = traded.filter(pc.is_in(traded["series_ticker"], value_set=spoken))
    outcomes = outcomes_of(labels)
    errors = pa.concat_tables(
        forecast_errors(rows, outcomes, observations, consensus=consensus, basis=basis)
        for rows, basis in ((quoted, QUOTES), (traded, TRADES))
    )
    with_outcome = pc.is_in(
        pa.chunked_array([*quoted["event_ticker"].chunks, *traded["event_ticker"].chunks], TEXT),
        value_set=outcomes["event_ticker"],
    )
    # rungs are kept for the basis on which a series' own distributions rest
    pairs = pa.concat_tables(
        rung_forecasts(forecasts.filter(pc.equal(forecasts["basis"], basis)), rungs, contracts, basis=basis)
        for basis in BASES
    )
    left_out = pc.sum(with_outcome, min_count=0).as_py() - errors.num_rows
    return ScoredForecasts(errors, pairs, forecast_scores(errors, pairs, pit_seed=PIT_SEED), left_out)


def published_scores(
    lake: Lake, *, as_of: datetime | None = None, series: Sequence[str] = (), snapshot: str | None = None
) -> pa.Table:
    """Rows of table ``forecast_scores`` from what readers of the lake see; see ``scores_of``.

    Raises:
        UsageError: a series that the lake does not hold, or an unknown snapshot.
    """
    seen = published(lake, snapshot)
    held = seen.read("series", columns=["series_ticker"])["series_ticker"].to_pylist()
    unknown = sorted(set(series) - set(held))
    if unknown:
        raise UsageError(
            f"The lake holds no series {', '.join(unknown)}; it has {', '.join(sorted(held)) or 'none'} (--series)."
        )
    return scores_of(seen, as_of=as_of, series=series or None).scores


def short_scores(scores: pa.Table) -> pa.Table:
    """The columns that a person looks at first."""
    return scores.select(_SHORT)


def last_horizons(scores: pa.Table) -> list[dict[str, Any]]:
    """Of each series, basis and tail policy the row of the horizon closest to the release."""
    rows = {(r["series_ticker"], r["basis"], r["tail_policy"]): r for r in scores.to_pylist()}
    return list(rows.values())
