"""The trial ledger and the verdict registry: tables that only grow.

Counting trials honestly is the point: a fitted configuration that was recorded
stays recorded. What a trial scored, and what a verdict rests on, is computed elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.ordering import last_of_each
from kalshi_assets.errors import StoreError
from kalshi_assets.store.conform import conform, spec_of
from kalshi_assets.store.lake import Commit, Lake


@dataclass(frozen=True, slots=True)
class TrialCount:
    """How often a strategy was tried.

    Attributes:
        n_configurations: distinct configurations.
        n_fits: fitted models, one a configuration and data set.
    """

    n_configurations: int
    n_fits: int


def record_trials(lake: Lake, trials: pa.Table, run_id: str) -> Commit:
    """Add trials to the ledger; a trial that is there with the same content changes nothing.

    Raises:
        StoreError: a ``trial_id`` is there with other content, or the rows break the schema.
    """
    return _record(lake, "trials", "trial_id", trials, run_id)


def count_trials(lake: Lake, strategy_id: str, until: date) -> TrialCount:
    """Trials of a strategy for event dates up to and including ``until``."""
    dates = [d for d in lake.event_dates("trials") if d <= until]
    trials = lake.read("trials", event_dates=dates, columns=["strategy_id", "config_hash"])
    own = trials.filter(pc.equal(trials.column("strategy_id"), strategy_id))
    return TrialCount(n_configurations=pc.count_distinct(own.column("config_hash")).as_py(), n_fits=own.num_rows)


def record_verdicts(lake: Lake, verdicts: pa.Table, run_id: str) -> Commit:
    """Add verdicts to the registry; a verdict that is there with the same content changes nothing.

    Raises:
        StoreError: a ``verdict_id`` is there with other content, or the rows break the schema.
    """
    return _record(lake, "verdicts", "verdict_id", verdicts, run_id)


def latest_verdicts(lake: Lake, *, as_of: datetime | None = None, strategy_id: str | None = None) -> pa.Table:
    """The newest verdict of each strategy: greatest event date, then greatest ``known_at``.

    Args:
        lake: the lake.
        as_of: only verdicts known by then.
        strategy_id: only this strategy.

    Returns:
        Rows of ``verdicts``, one a strategy.
    """
    verdicts = lake.read("verdicts", as_of=as_of)
    if strategy_id is not None:
        verdicts = verdicts.filter(pc.equal(verdicts.column("strategy_id"), strategy_id))
    newest = last_of_each(verdicts, ["strategy_id"], ["event_date", "known_at", "verdict_id"])
    return verdicts.filter(pa.array(newest))


def _record(lake: Lake, name: str, identity: str, rows: pa.Table, run_id: str) -> Commit:
    """Append, after making sure that no id lies under another event date."""
    rows = conform(spec_of(name), rows)
    if rows.num_rows:
        stored = lake.read(name, columns=[identity, "event_date"])
        place = pc.index_in(stored.column(identity), value_set=rows.column(identity).combine_chunks())
        known = stored.filter(pc.is_valid(place))
        row_dates = rows.column("event_date").take(pc.drop_null(place))
        moved = np.flatnonzero(pc.not_equal(known.column("event_date"), row_dates).to_numpy())
        if moved.size:
            raise StoreError(
                f"Table {name} only grows, and {identity} {known.column(identity)[int(moved[0])].as_py()} "
                f"is there under event date {known.column('event_date')[int(moved[0])].as_py()}; give a new id."
            )
    return lake.append(name, rows, run_id=run_id)
