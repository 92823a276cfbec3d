"""How each forecast of the market's own turned out: one row an event, horizon and kind of ladder.

Averages, tests and intervals are ``core.forecast_scores``; what the contracts
paid is ``core.rung_forecasts``.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import MISSING_TIME, codes, real_column, reals, time_column, times
from kalshi_assets.core.distribution import QUOTES
from kalshi_assets.core.forecast_benchmarks import benchmark_forecasts
from kalshi_assets.core.horizons import DAILY
from kalshi_assets.core.lattice_scores import Laws, randomised_pit
from kalshi_assets.core.ordering import first_duplicate, sort_rows
from kalshi_assets.core.tables import POINT_FORECASTS, TABLES
from kalshi_assets.errors import DomainError

PIT_SEED = 0
_ORDER = ("series_ticker", "horizon", "event_date", "event_ticker")


def named_forecasts(distributions: pa.Table, releases: pa.Table) -> pa.Table:
    """The distributions at named horizons before the releases as they are dated now, in the order of the release.

    New York midnights are left out: an event has many of them, and they are no horizon. So is what was computed
    for a release date that has moved since.

    Args:
        distributions: rows of that table.
        releases: one row an event, columns ``event_ticker`` and ``release_time``.

    Raises:
        DomainError: two distributions of one event at one horizon.
    """
    place = codes(distributions["event_ticker"], releases["event_ticker"].combine_chunks())
    current = np.append(times(releases["release_time"]), 0)[place] == times(distributions["release_time"])
    named = np.asarray(pc.not_equal(distributions["horizon"], DAILY), bool)
    rows = sort_rows(distributions.filter(pa.array(named & (place >= 0) & current)), _ORDER)
    again = first_duplicate(rows, ("event_ticker", "horizon", "tail_policy"))
    if again is not None:
        raise DomainError(
            f"Event {rows['event_ticker'][again]} has two distributions at {rows['horizon'][again]}: "
            "rebuild the distributions of its dates."
        )
    return rows


def forecast_errors(
    forecasts: pa.Table,
    outcomes: pa.Table,
    macro_observations: pa.Table,
    *,
    consensus: pa.Table | None = None,
    basis: str = QUOTES,
    seed: int = PIT_SEED,
) -> pa.Table:
    """Score every forecast of an event whose outcome is known.

    A forecast is left out if its outcome was learned at or before its as-of time (the exchange may settle before the
    release): it foretells nothing. ``core.rung_forecasts`` leaves out contracts by the same rule.

    Args:
        forecasts: ``named_forecasts``; a gated one has neither moments nor a law.
        outcomes: ``core.forecast_outcomes``.
        macro_observations: rows of that table, all vintages.
        consensus: see ``core.forecast_benchmarks``.
        basis: what the ladders were made of.
        seed: of the randomised PIT.

    Returns:
        Rows of table ``forecast_errors``. ``known_at`` is when the outcome was learned. Scores are null where the
        forecast was gated, benchmarks where nothing was known at the as-of time. ``crps`` and the points are in
        the series' unit, ``log_score`` in nats (see ``core.lattice_scores``).
    """
    place = codes(forecasts["event_ticker"], outcomes["event_ticker"].combine_chunks())
    learned = np.append(times(outcomes["outcome_learned_at"]), MISSING_TIME)[place]
    scored = np.flatnonzero(learned > times(forecasts["as_of"]))
    rows, known = forecasts.take(pa.array(scored)), outcomes.take(pa.array(place[scored]))
    as_of, learned_at = times(rows["as_of"]), learned[scored]
    outcome, laws = reals(known["outcome"]), _laws(rows)
    low, high = laws.pit(outcome)
    names = pc.binary_join_element_wise(rows["event_ticker"], rows["horizon"], basis, rows["tail_policy"], "|")
    benchmarks = benchmark_forecasts(
        rows["series_ticker"],
        rows["event_ticker"],
        as_of,
        macro_observations=macro_observations,
        outcomes=outcomes,
        consensus=consensus,
    )
    columns = {
        "ts": rows["release_time"],
        "known_at": time_column(learned_at),
        "basis": pa.repeat(basis, rows.num_rows),
        "crps": real_column(laws.crps(outcome)),
        "log_score": real_column(laws.log_score(outcome)),
        "pit_low": real_column(low),
        "pit_high": real_column(high),
        "pit": real_column(randomised_pit(low, high, names.to_pylist(), seed=seed)),
        **{name: known[name] for name in ("outcome", "outcome_source", "outcome_learned_at")},
        **{name: real_column(np.where(laws.missing, np.nan, reals(rows[name]))) for name in POINT_FORECASTS},
        **{name: real_column(values) for name, values in benchmarks.items()},
    }
    schema = TABLES["forecast_errors"].schema
    return pa.table([columns[f.name] if f.name in columns else rows[f.name] for f in schema], names=schema.names).cast(
        schema
    )


def _laws(rows: pa.Table) -> Laws:
    """The laws of the forecasts; a null one has no points."""
    points = np.asarray(pc.fill_null(pc.list_value_length(rows["support"]), 0), np.int64)
    return Laws(
        np.append(0, np.cumsum(points)).astype(np.int64),
        reals(pc.list_flatten(rows["support"])),
        reals(pc.list_flatten(rows["probability"])),
    )
