"""The feature panel: one row per event, named horizon and mapping, from what was known at its as-of time.

Belongs here: comparing an event's snapshots with each other and joining what
else was known. How a distribution is computed belongs to ``core.distribution``,
outcomes to ``core.labels``; purging belongs to splitting, never to feature time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import (
    MISSING_TIME,
    Ints,
    Reals,
    codes,
    moment_of,
    real_column,
    reals,
    span_micros,
    text_column,
    time_column,
    times,
    vocabulary,
)
from kalshi_assets.core.compiled import compiled
from kalshi_assets.core.conditions import conditions_known
from kalshi_assets.core.microstructure import WINDOW, microstructure
from kalshi_assets.core.prints import prints_known, vintages_of
from kalshi_assets.core.reference_features import ReferenceAges, References, reference_features
from kalshi_assets.core.series import facts_for
from kalshi_assets.core.tables import FEATURE_BASE, MICROSTRUCTURE, TABLES, TEXT
from kalshi_assets.errors import DomainError

DAILY = "daily"
LATE_MINUTES = 60.0
_COPIED = ("std", "median", "kurtosis")
SNAPSHOT_COLUMNS = (
    "event_ticker", "series_ticker", "event_date", "horizon", "as_of", "release_time", "inputs_known_at",
    "mapping_version", "spec_version", "tail_threshold_1", *FEATURE_BASE, *_COPIED,
)  # fmt: skip
_HOUR = 3_600_000_000.0
_MINUTE = 60_000_000.0


@dataclass(frozen=True, slots=True)
class JoinAges:
    """Greatest age of each thing that a snapshot may look back at; older counts as missing.

    Attributes:
        distribution: as-of time minus the newest input of the snapshot's own distribution.
        earlier_snapshot: as-of time minus that of the earlier snapshot it is compared with.
        first_print: as-of time minus the time the newest print became known (GDP comes quarterly).
        price: as-of time minus the instant that a close or a policy rate describes.
        references: those of options, futures and consensus.
    """

    distribution: timedelta = timedelta(days=7)
    earlier_snapshot: timedelta = timedelta(days=31)
    first_print: timedelta = timedelta(days=200)
    price: timedelta = timedelta(days=7)
    references: ReferenceAges = field(default_factory=ReferenceAges)


@dataclass(frozen=True, slots=True)
class _Snapshots:
    """The named snapshots ordered by event, mapping and as-of time, values NaN where nothing fresh was known.

    ``life`` numbers the events under each of their mappings: snapshots are compared within one of them only.
    """

    rows: pa.Table
    life: Ints
    as_of: Ints
    release: Ints
    inputs: Ints
    values: Reals


def feature_panel(
    distributions: pa.Table,
    quotes: pa.Table,
    macro_observations: pa.Table,
    asset_prices: pa.Table,
    *,
    references: References | None = None,
    max_age: JoinAges | None = None,
    window: timedelta = WINDOW,
) -> pa.Table:
    """Build the panel in the schema of the table ``feature_panel``, ordered by its key.

    Deltas and speeds compare a snapshot with the event's previous named one under the same mapping (another
    mapping aimed at another release time); they are missing where that one has no value. ``late_drift_mean``
    compares with the last mean more than an hour before the release and is given for snapshots within the hour.
    Collapse ratios divide by the event's first value within ``max_age.earlier_snapshot``; a first value of zero
    gives null. Prints and regimes are as known at the as-of time. A snapshot whose distribution rests on nothing,
    or on nothing fresh, has no row. What was laid under a mapping stays when the release moves later: which row
    of an event counts is chosen by whoever reads (``core.decision_panel``).

    Args:
        distributions: rows of that table, at least ``SNAPSHOT_COLUMNS``; the daily grid gives no row of its
            own, only the history of z-scores.
        quotes: rows of that table, of those events.
        macro_observations: rows of that table, all vintages.
        asset_prices: rows of that table.
        references: options, futures and consensus; none when not given.
        max_age: how far back each join may reach; ``JoinAges()`` when not given.
        window: shortest look-back of the microstructure.

    Returns:
        One row per event, horizon and mapping. ``inputs_known_at`` is the greatest ``known_at`` of anything used in it.
        What every join of this module adds is known at or before the as-of time; the distribution's own
        ``inputs_known_at`` is taken over as it is, so that the gate on the order of times sees a fault there.

    Raises:
        DomainError: a snapshot at or after its release, or two snapshots of one event and horizon under one mapping.
    """
    ages = max_age or JoinAges()
    snapshots = _named_snapshots(distributions, span_micros(ages.distribution))
    as_of, life, values = snapshots.as_of, snapshots.life, snapshots.values
    minutes = (snapshots.release - as_of) / _MINUTE
    variance, entropy = FEATURE_BASE.index("variance"), FEATURE_BASE.index("entropy")
    earlier = _earlier_rows(
        life, as_of, minutes, values[:, 0], values[:, variance], values[:, entropy], span_micros(ages.earlier_snapshot)
    )
    previous, drift_base, first_variance, first_entropy = earlier.T

    delta = values - _rows_at(values, previous)
    hours = (as_of - np.where(previous >= 0, as_of[previous], as_of)) / _HOUR
    speed = delta / np.where(hours > 0, hours, np.nan)[:, None]
    mean = values[:, 0]
    drift = mean - _rows_at(mean, drift_base)
    reals_out: dict[str, Reals] = {"minutes_to_release": minutes, "late_drift_mean": drift}
    reals_out |= {name: values[:, i] for i, name in enumerate(FEATURE_BASE)}
    reals_out |= {f"delta_{name}": delta[:, i] for i, name in enumerate(FEATURE_BASE)}
    reals_out |= {f"speed_{name}_per_hour": speed[:, i] for i, name in enumerate(FEATURE_BASE)}
    reals_out["variance_collapse_ratio"] = _ratio(values[:, variance], _rows_at(values[:, variance], first_variance))
    reals_out["entropy_collapse_ratio"] = _ratio(values[:, entropy], _rows_at(values[:, entropy], first_entropy))
    reals_out |= {name: reals(snapshots.rows[name]) for name in _COPIED}

    micro = microstructure(quotes, snapshots.rows["event_ticker"], as_of, window=window)
    reals_out |= {name: getattr(micro, name.removeprefix("micro_")) for name in MICROSTRUCTURE}
    prints, prints_known_at = _own_prints(snapshots, macro_observations, ages.first_print)
    reals_out |= prints
    conditions = conditions_known(
        macro_observations, asset_prices, as_of, max_print_age=ages.first_print, max_price_age=ages.price
    )

    compared = {name: values[:, FEATURE_BASE.index(name)] for name in ("mean", "variance", "entropy", "tail_p_1")}
    compared["speed_mean_per_hour"] = speed[:, 0]
    others, others_known_at = reference_features(
        snapshots.rows, distributions, compared, as_of, references or References.none(), ages.references
    )
    reals_out |= others

    own = snapshots.inputs
    known = [own, others_known_at, micro.inputs_known_at, prints_known_at, conditions.inputs_known_at]
    known += [np.where(index >= 0, own[index], MISSING_TIME) for index in earlier.T]
    event_type = [
        facts.event_type if (facts := facts_for(s)) else None for s in snapshots.rows["series_ticker"].to_pylist()
    ]
    columns = {name: real_column(column) for name, column in reals_out.items()}
    columns |= {
        "ts": time_column(as_of),
        "known_at": time_column(as_of),
        "inputs_known_at": time_column(np.maximum.reduce(known)),
        "event_type": pa.array(event_type, TEXT),
        "inflation_regime": text_column(conditions.inflation),
        "policy_regime": text_column(conditions.policy),
        "volatility_regime": text_column(conditions.volatility),
    }
    spec = TABLES["feature_panel"]
    panel = pa.table({n: columns[n] if n in columns else snapshots.rows[n] for n in spec.schema.names})
    kept = panel.filter(pa.array(own != MISSING_TIME))
    return kept.sort_by([(name, "ascending") for name in spec.order]).cast(spec.schema).combine_chunks()


def _named_snapshots(distributions: pa.Table, max_age: int) -> _Snapshots:
    named = distributions.filter(pc.not_equal(distributions["horizon"], DAILY))
    _refuse_unmapped(named)
    event = codes(named["event_ticker"], vocabulary(named["event_ticker"]))
    mapping = codes(named["mapping_version"], versions := vocabulary(named["mapping_version"]))
    life, at = event * (len(versions) + 1) + mapping, times(named["as_of"])
    horizon = codes(named["horizon"], vocabulary(named["horizon"]))
    order = np.lexsort((horizon, at, life))
    rows, life, horizon, as_of = named.take(pa.array(order)), life[order], horizon[order], at[order]
    release, inputs = times(rows["release_time"]), times(rows["inputs_known_at"])
    _refuse_late_snapshots(rows, as_of, release)
    _refuse_repeated_horizons(rows, life, horizon)
    fresh = (inputs != MISSING_TIME) & (as_of - np.where(inputs == MISSING_TIME, as_of, inputs) <= max_age)
    values = np.column_stack([reals(rows[name]) for name in FEATURE_BASE])
    values[~fresh] = np.nan
    return _Snapshots(rows, life, as_of, release, np.where(fresh, inputs, MISSING_TIME), values)


def _refuse_unmapped(rows: pa.Table) -> None:
    if rows["mapping_version"].null_count:
        i = pc.index(pc.is_null(rows["mapping_version"]), True).as_py()
        raise DomainError(
            f"snapshot {rows['horizon'][i]} of {rows['event_ticker'][i]} does not say which mapping of its event's"
            " release it was laid by; rebuild the event's distributions"
        )


def _refuse_late_snapshots(rows: pa.Table, as_of: Ints, release: Ints) -> None:
    late = np.flatnonzero(as_of >= release)
    if late.size:
        i = int(late[0])
        raise DomainError(
            f"snapshot {rows['horizon'][i]} of {rows['event_ticker'][i]} is as of {moment_of(as_of[i])}, not before its"
            f" release at {moment_of(release[i])}; rebuild the event's distributions with the release time now in force"
        )


def _refuse_repeated_horizons(rows: pa.Table, life: Ints, horizon: Ints) -> None:
    order = np.lexsort((horizon, life))
    same = (life[order][1:] == life[order][:-1]) & (horizon[order][1:] == horizon[order][:-1])
    if same.any():
        i = int(order[np.flatnonzero(same)[0]])
        raise DomainError(
            f"{rows['event_ticker'][i]} has several snapshots at horizon {rows['horizon'][i]};"
            " rebuild its distributions so that each horizon stands for one time"
        )


def _own_prints(
    snapshots: _Snapshots, macro_observations: pa.Table, max_age: timedelta
) -> tuple[dict[str, Reals], Ints]:
    """The prints of each snapshot's own series, and the greatest ``known_at`` behind them."""
    n = snapshots.as_of.size
    last, mean_12, known_at = np.full(n, np.nan), np.full(n, np.nan), np.full(n, MISSING_TIME, np.int64)
    series = vocabulary(snapshots.rows["series_ticker"])
    code = codes(snapshots.rows["series_ticker"], series)
    for i, ticker in enumerate(series.to_pylist()):
        facts = facts_for(ticker)
        if facts is None:
            continue
        at = code == i
        prints = prints_known(vintages_of(macro_observations, facts), snapshots.as_of[at], max_age=max_age)
        last[at], mean_12[at] = prints.last, prints.mean_12
        known_at[at] = np.maximum(prints.last_known_at, prints.mean_12_known_at)
    mean = snapshots.values[:, 0]
    gaps = {"last_print_gap": mean - last, "print_mean_12_gap": mean - mean_12}
    return {"last_print": last, "print_mean_12": mean_12, **gaps}, known_at


def _rows_at(values: Reals, index: Ints) -> Reals:
    """The rows of ``values`` at ``index``; NaN where the index is -1."""
    found: Reals = values[np.maximum(index, 0)].copy() if values.size else values.copy()
    found[index < 0] = np.nan
    return found


def _ratio(value: Reals, base: Reals) -> Reals:
    return value / np.where(base == 0.0, np.nan, base)


@compiled
def _earlier_rows(
    life: Ints, as_of: Ints, minutes: Reals, mean: Reals, variance: Reals, entropy: Reals, max_age: int
) -> Ints:
    """For each row the earlier rows it is compared with, -1 for none.

    Columns: the previous row; the last with a mean more than an hour out (for rows within the hour); the
    first with a variance and the first with an entropy, the row itself included. Rows are ordered by
    event, mapping and as-of time; a row older than ``max_age`` is not looked at.
    """
    found = np.full((life.size, 4), -1, np.int64)
    start = 0
    for i in range(life.size):
        if i > 0 and life[i] != life[i - 1]:
            start = i
        for j in range(i, start - 1, -1):
            if as_of[i] - as_of[j] > max_age:
                break
            if found[i, 0] < 0 and j < i:
                found[i, 0] = j
            if found[i, 1] < 0 and minutes[i] <= LATE_MINUTES < minutes[j] and not np.isnan(mean[j]):
                found[i, 1] = j
            if not np.isnan(variance[j]):
                found[i, 2] = j
            if not np.isnan(entropy[j]):
                found[i, 3] = j
    return found
