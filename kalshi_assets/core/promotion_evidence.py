"""What a verdict rests on besides P&L: its moment, the trials behind the strategy, the leakage checks.

Counting and describing only. Writing the ledger and the evidence is the store's
work, judging ``core.promotion``'s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import codes, micros_of, reals, times, vocabulary
from kalshi_assets.core.release_times import NEW_YORK
from kalshi_assets.core.walk_forward import SHUFFLED


def verdict_time(event_date: date) -> datetime:
    """The moment a verdict of an event date speaks from: the end of that New York day, in UTC."""
    return datetime.combine(event_date + timedelta(days=1), time(), NEW_YORK).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class EvidenceSummary:
    """State of the leakage checks for exactly the data under judgement.

    Attributes:
        present: every required check has a result.
        current: every result is for the data and code at hand.
        passed: every result passed.
        failures: names of missing, stale or failed checks, for the reader.
    """

    present: bool
    current: bool
    passed: bool
    failures: tuple[str, ...] = ()

    @property
    def reason(self) -> str | None:
        """Why the evidence does not do; None when it does."""
        if not self.present:
            return "leakage_evidence_missing"
        if not self.current:
            return "leakage_evidence_stale"
        return None if self.passed else "leakage_evidence_failed"


@dataclass(frozen=True, slots=True)
class TrialCount:
    """Trials behind a result.

    Attributes:
        n_configurations: distinct fitted configurations; the N of the deflated Sharpe ratio.
        n_fits: all fits, one for each configuration and fold.
        inner_score: mean inner skill of the selected fits, NaN when unknown.
        sharpe_variance: variance over configurations of the Sharpe ratio a release date; None lets the
            verdict measure it on the configurations' own P&L.
    """

    n_configurations: int
    n_fits: int
    inner_score: float = math.nan
    sharpe_variance: float | None = None


def trial_counts(trials: pa.Table, dates: Sequence[date]) -> dict[date, TrialCount]:
    """Trials known at the end of each event date.

    A configuration is a distinct (configuration hash, model, penalty, horizon). Fits on permuted labels are in the
    ledger but are no candidates, so they are not counted.

    Args:
        trials: rows of table ``trials`` of every strategy that competed for the verdict.
        dates: event dates.

    Returns:
        One count a date.
    """
    rows = trials.filter(pc.not_equal(trials["model"], SHUFFLED))
    known_at, score = times(rows["known_at"]), reals(rows["inner_score"])
    selected = np.asarray(pc.fill_null(rows["selected"], False), dtype=np.bool_)
    columns = [codes(rows[name], vocabulary(rows[name])) for name in ("config_hash", "model", "horizon")]
    columns.append(np.unique(np.nan_to_num(reals(rows["alpha"]), nan=-1.0), return_inverse=True)[1].reshape(-1))
    _, configuration = np.unique(np.column_stack(columns), axis=0, return_inverse=True)
    configuration = configuration.reshape(-1)
    counts = {}
    for day in dates:
        known = known_at <= micros_of(verdict_time(day))
        chosen = score[known & selected & np.isfinite(score)]
        counts[day] = TrialCount(
            n_configurations=len(np.unique(configuration[known])),
            n_fits=int(known.sum()),
            inner_score=float(chosen.mean()) if len(chosen) else math.nan,
        )
    return counts
