"""The feature panel at the decision horizon as arrays in comparable units: one row a decision.

An event is decided once, and again where its release moved in time for its horizon to come again: the panel
keeps the row under each mapping. Readers that count events take one of them: ``core.folds.decisions_at`` in a fold,
``last_decisions`` for what became of it.

Belongs here: choosing the rows, the scale that makes series comparable, and
the raw feature matrix. Imputing and standardising is fitting, hence in ``core.models``;
computing features is ``core.features``' work.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import codes, reals, times, vocabulary
from kalshi_assets.core.folds import US_PER_DAY
from kalshi_assets.core.horizons import new_york_days
from kalshi_assets.core.ordering import first_duplicate, last_of_each, sort_rows
from kalshi_assets.core.strategy import REGIME_COLUMNS, StrategyConfig
from kalshi_assets.errors import DomainError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Columns that carry the statistic's unit, and the power of it; all others are pure numbers or market units.
_UNIT_POWER = {
    "mean": 1, "median": 1, "std": 1, "variance": 2, "last_print": 1, "last_print_gap": 1,
    "print_mean_12": 1, "print_mean_12_gap": 1, "late_drift_mean": 1,
    "distance_wasserstein_1h": 1, "distance_wasserstein_1d": 1,
}  # fmt: skip
_DERIVED = re.compile(r"^(?:delta_(?P<delta>.+)|speed_(?P<speed>.+)_per_hour)$")


def unit_power(column: str) -> int:
    """Power of the statistic's unit in a panel column: 1 for ``mean`` or ``delta_mean``, 2 for a variance, else 0."""
    derived = _DERIVED.match(column)
    return _UNIT_POWER.get((derived["delta"] or derived["speed"]) if derived else column, 0)


@dataclass(frozen=True, slots=True)
class DecisionPanel:
    """One row a decision, in order of (decision time, event ticker); n rows.

    Attributes:
        table: the panel rows themselves, in the same order, ``event_date`` as known at the decision.
        events: tickers of the events, ascending.
        event: position of each row's event in ``events``, shape (n,).
        event_ticker: tickers, in order.
        event_day: release dates as known at the decision, days since the epoch, shape (n,).
        as_of: decision times, microseconds, shape (n,).
        purge_us: purge of the event's type, microseconds, shape (n,).
        implied_mean: the market's mean in the statistic's unit, NaN where there is none.
        scale: typical implied standard deviation of the series as of the row, in the statistic's unit; NaN
            where none is known.
        features: shape (n, n_columns), unit-bearing columns divided by the scale; NaN where missing.
    """

    table: pa.Table
    events: list[str]
    event: IntArray
    event_ticker: list[str]
    event_day: IntArray
    as_of: IntArray
    purge_us: IntArray
    implied_mean: FloatArray
    scale: FloatArray
    features: FloatArray


def decision_panel(panel: pa.Table, config: StrategyConfig) -> DecisionPanel:
    """Take the panel's rows at the configuration's horizon.

    Args:
        panel: rows of table ``feature_panel``, in any order, any horizons.
        config: names the horizon, the features and the purge windows.

    Returns:
        The rows as arrays.

    Raises:
        DomainError: an event has two rows at the horizon under one mapping.
    """
    rows = sort_rows(panel.filter(pc.equal(panel["horizon"], config.horizon)), ("as_of", "event_ticker"))
    duplicate = first_duplicate(rows, ("event_ticker", "mapping_version"))
    if duplicate is not None:
        raise DomainError(
            f"Event {rows['event_ticker'][duplicate]} has two panel rows at horizon {config.horizon} under one "
            "mapping: statistics count an event once, so pass one row an event, horizon and mapping."
        )
    # Where an event is filed tells that it moved; the release of the row is the one that was known.
    event_day, place = new_york_days(rows["release_time"]), rows.schema.get_field_index("event_date")
    then = pa.array(event_day.astype(np.int32)).cast(pa.date32())
    rows = rows.set_column(place, rows.schema.field(place), then)
    events = vocabulary(rows["event_ticker"])
    scale = causal_scale(reals(rows["std"]), codes(rows["series_ticker"], vocabulary(rows["series_ticker"])))
    types = rows["event_type"].to_pylist()
    purge = {kind: round(config.purge_days(kind) * US_PER_DAY) for kind in set(types)}
    return DecisionPanel(
        table=rows,
        events=events.to_pylist(),
        event=codes(rows["event_ticker"], events),
        event_ticker=rows["event_ticker"].to_pylist(),
        event_day=event_day,
        as_of=times(rows["as_of"]),
        purge_us=np.array([purge[kind] for kind in types], dtype=np.int64),
        implied_mean=reals(rows["mean"]),
        scale=scale,
        features=_features(rows, config.features, scale),
    )


def last_decisions(predictions: pa.Table) -> pa.Table:
    """Of each event that was decided again after its release moved, what was predicted last, by strategy and model.

    An event comes out once and counts once. Its last decision precedes what came out, so no verdict that counts
    the event can differ with what was learned later.

    Args:
        predictions: rows of that table.
    """
    return predictions.filter(
        pa.array(last_of_each(predictions, ("strategy_id", "model", "event_ticker", "horizon"), ("as_of",)))
    )


def causal_scale(implied_std: FloatArray, series: IntArray) -> FloatArray:
    """Median implied standard deviation of the series over the rows up to and including each row.

    A median of what was known then steadies the unit against one collapsed distribution, and never moves when
    later events arrive. Values that are not finite and positive are left out.

    Args:
        implied_std: shape (n,), in time order.
        series: series code of each row, shape (n,).

    Returns:
        Shape (n,); NaN until the series has had one usable value.
    """
    scale = np.full(len(implied_std), np.nan)
    usable = np.isfinite(implied_std) & (implied_std > 0)
    for code in np.unique(series):
        rows = np.flatnonzero(series == code)
        seen: list[float] = []
        for row in rows[np.argmax(usable[rows]) :] if usable[rows].any() else []:
            if usable[row]:
                seen.append(float(implied_std[row]))
            scale[row] = np.median(seen)
    return scale


def _features(rows: pa.Table, names: tuple[str, ...], scale: FloatArray) -> FloatArray:
    columns: list[FloatArray] = []
    for name in names:
        if name in REGIME_COLUMNS:
            columns += _indicators(rows[name])
            continue
        values = reals(rows[name])
        power = unit_power(name)
        columns.append(np.where(np.isfinite(values), values, np.nan) / scale**power if power else values)
    stacked = np.column_stack(columns) if columns else np.empty((rows.num_rows, 0))
    return np.where(np.isfinite(stacked), stacked, np.nan)


def _indicators(column: Any) -> list[FloatArray]:
    """One 0/1 column a level; a missing level is 0 in all of them.

    A level that training rows never show is constant there and is dropped by the design, so levels of later rows
    do not reach a fold.
    """
    levels = vocabulary(column)
    code = codes(column, levels)
    return [(code == i).astype(np.float64) for i in range(len(levels))]
