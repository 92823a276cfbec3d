"""How good the market's own forecasts were, a row a series and horizon: errors, intervals, calibration, tests.

Averages only: the forecasts one by one are ``core.forecast_errors`` and
``core.rung_forecasts``. One observation is one release date; events of a series
that share a date count as one in every interval and test. Scoring a strategy's
forecasts is ``core.forecast_record``'s work.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.bca import bca_intervals
from kalshi_assets.core.columns import codes, days, reals, vocabulary
from kalshi_assets.core.corp import corp
from kalshi_assets.core.diebold_mariano import diebold_mariano
from kalshi_assets.core.horizons import HORIZONS
from kalshi_assets.core.tables import BENCHMARKS, POINT_FORECASTS, TABLES

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Below this many release dates an interval would promise more than the bootstrap can keep; it is null.
LEAST_DATES = 10
CONFIDENCE = 0.95
N_DRAWS = 2000
INTERVAL_SEED = 0
KEY = TABLES["forecast_scores"].key


def forecast_scores(errors: pa.Table, rungs: pa.Table, *, pit_seed: int) -> pa.Table:
    """Average what ``forecast_errors`` and ``rung_forecasts`` hold, by series, horizon, basis and tail policy.

    - ``n_events``: events with an outcome; ``n``: those of them that the market had a law for. All errors,
      ``crps``, ``log_score`` and the PIT are over the n.
    - ``mae_*``, ``rmse_*``: of the law's mean, median and mode as point forecasts. ``crps_to_mae``: ratio of the
      mean CRPS to the MAE of the mean; below 1 the spread of the law added to its mean.
    - ``*_low``, ``*_high``: 95 per cent BCa bootstrap over release dates (``core.bca``); null for fewer than
      ``LEAST_DATES`` of them.
    - ``pit_mean``, ``pit_std``: of the randomised PIT drawn with ``pit_seed``; 0.5 and 0.2887 when calibrated.
      ``mid_pit_std``: of the middle of each PIT interval, which is smaller on a coarse lattice.
    - ``brier``: over all ``n_rungs`` pairs of contract and result, with its CORP parts (``core.corp``).
    - ``<benchmark>_n``: events for which benchmark and market are both known; ``_mae``, ``_market_mae_median`` and
      ``_market_crps`` over those. ``_dm_absolute`` tests the median's absolute errors, ``_dm_squared`` the mean's
      squared errors, ``_dm_crps`` the CRPS, each less the benchmark's: negative where the market was better.
      ``_p`` is two-sided (``core.diebold_mariano``).
    - ``event_date``: the last release with an outcome or a result; ``known_at``: when the last of those was known.

    Args:
        errors: rows of table ``forecast_errors``.
        rungs: rows of ``core.rung_forecasts``.
        pit_seed: the seed that the errors were made with.

    Returns:
        Rows of table ``forecast_scores``, by series and falling lead time; a series whose settlements are no points
        has only the Brier score. What is not known is null.
    """
    group_of_errors, group_of_rungs = _group(errors), _group(rungs)
    words = vocabulary(group_of_errors, group_of_rungs)
    error_code, rung_code = codes(group_of_errors, words), codes(group_of_rungs, words)
    rows = []
    for i in range(len(words)):
        mine, pairs = errors.filter(pa.array(error_code == i)), rungs.filter(pa.array(rung_code == i))
        if mine.num_rows or pairs.num_rows:
            rows.append(_row(mine, pairs, pit_seed))
    lead = {horizon: -seconds for horizon, seconds in HORIZONS.items()}
    rows.sort(key=lambda r: (r["series_ticker"], r["basis"], r["tail_policy"], lead.get(r["horizon"], 0), r["horizon"]))
    return pa.Table.from_pylist(rows, schema=TABLES["forecast_scores"].schema)


def _group(rows: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(*(rows[name] for name in KEY), "|")


def _row(errors: pa.Table, pairs: pa.Table, pit_seed: int) -> dict[str, Any]:
    held = [table for table in (errors, pairs) if table.num_rows]
    row: dict[str, Any] = {name: held[0][name][0].as_py() for name in KEY}
    row["event_date"] = max(pc.max(t["event_date"]).as_py() for t in held)
    row["first_event_date"] = min(pc.min(t["event_date"]).as_py() for t in held)
    row["ts"] = max(pc.max(t["release_time"]).as_py() for t in held)
    row["known_at"] = max(pc.max(t["known_at"]).as_py() for t in held)
    row["n_events"] = errors.num_rows
    scored = errors.filter(pc.is_valid(errors["crps"])).sort_by([("event_date", "ascending")])
    row["n"], row["pit_seed"] = scored.num_rows, pit_seed
    if scored.num_rows:
        row |= _averages(scored) | _calibration(scored)
    for benchmark in BENCHMARKS:
        row |= _against(scored, benchmark)
    split = corp(reals(pairs["probability"]), reals(pairs["paid"]))
    row["n_rungs"] = split.n
    if split.n:
        row["brier"], row["brier_uncertainty"] = split.score, split.uncertainty
        row["brier_miscalibration"], row["brier_discrimination"] = split.miscalibration, split.discrimination
    return row


def _point_errors(scored: pa.Table) -> Floats:
    """Errors of mean, median and mode, shape (n, 3)."""
    outcome = reals(scored["outcome"])
    return np.column_stack([reals(scored[name]) - outcome for name in POINT_FORECASTS])


def _averages(scored: pa.Table) -> dict[str, float | None]:
    error, crps = _point_errors(scored), reals(scored["crps"])
    per_event = np.column_stack([np.ones(len(crps)), np.abs(error), error**2, crps])
    _, date = np.unique(days(scored["event_date"]), return_inverse=True)
    # Summed by release date, so that a date is what the bootstrap draws; the count is a column like the others.
    by_date = np.zeros((int(date.max()) + 1, per_event.shape[1]))
    np.add.at(by_date, date, per_event)
    names = [*(f"mae_{p}" for p in POINT_FORECASTS), *(f"rmse_{p}" for p in POINT_FORECASTS), "crps", "crps_to_mae"]
    found: dict[str, float | None] = dict(
        zip(names, map(_real, _statistics(by_date.mean(axis=0, keepdims=True))[0]), strict=True)
    )
    if len(by_date) >= LEAST_DATES:
        bounds = bca_intervals(by_date, _statistics, confidence=CONFIDENCE, n_draws=N_DRAWS, seed=INTERVAL_SEED)
        for name, (low, high) in zip(names, bounds, strict=True):
            found |= {f"{name}_low": _real(low), f"{name}_high": _real(high)}
    return found


def _statistics(means: Floats) -> Floats:
    """MAE and RMSE of the points, CRPS and its ratio to the MAE of the mean, from the means of the columns."""
    events = means[:, 1:] / means[:, :1]
    mae, rmse, crps = events[:, :3], np.sqrt(events[:, 3:6]), events[:, 6:7]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.concatenate([mae, rmse, crps, crps / mae[:, :1]], axis=1)


def _calibration(scored: pa.Table) -> dict[str, float | None]:
    pit, low, high = (reals(scored[name]) for name in ("pit", "pit_low", "pit_high"))
    several = len(pit) > 1
    return {
        "log_score": float(reals(scored["log_score"]).mean()),
        "pit_mean": float(pit.mean()),
        "pit_std": float(pit.std(ddof=1)) if several else None,
        "mid_pit_std": float(((low + high) / 2).std(ddof=1)) if several else None,
    }


def _against(scored: pa.Table, benchmark: str) -> dict[str, float | int | None]:
    both = scored.filter(pc.is_valid(scored[benchmark]))
    row: dict[str, float | int | None] = {f"{benchmark}_n": both.num_rows}
    if not both.num_rows:
        return row
    other = reals(both[benchmark]) - reals(both["outcome"])
    mean, median, _ = _point_errors(both).T
    crps, date = reals(both["crps"]), days(both["event_date"])
    row |= {
        f"{benchmark}_mae": float(np.abs(other).mean()),
        f"{benchmark}_market_mae_median": float(np.abs(median).mean()),
        f"{benchmark}_market_crps": float(crps.mean()),
    }
    losses = {
        "absolute": np.abs(median) - np.abs(other),
        "squared": mean**2 - other**2,
        # The CRPS of a point forecast is its absolute error.
        "crps": crps - np.abs(other),
    }
    for name, difference in losses.items():
        test = diebold_mariano(difference, cluster=date)
        row[f"{benchmark}_dm_{name}"] = _real(test.statistic)
        row[f"{benchmark}_dm_{name}_p"] = _real(test.p_value)
    return row


def _real(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
