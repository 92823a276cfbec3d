"""How evenly a strategy earned across macro regimes, as they were tagged before each decision.

Joins events to their tags; the tags and the statistics themselves are ``core.regimes``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import times
from kalshi_assets.core.regimes import UNKNOWN, performance_by_regime, regime_stability
from kalshi_assets.core.strategy import REGIME_COLUMNS


@dataclass(frozen=True, slots=True)
class RegimeScores:
    """Evenness of returns over macro regimes.

    Attributes:
        stability: mean over the kinds of regime of ``regimes.regime_stability``; NaN unless some kind shows
            two regimes.
        positive_fraction: share of regimes, over all kinds, with a positive mean return; NaN without any.
    """

    stability: float
    positive_fraction: float


class RegimeRecord:
    """Regime tags of a list of events."""

    def __init__(
        self,
        panel: pa.Table,
        event_ticker: npt.NDArray[Any],
        decided_at: npt.NDArray[np.int64],
        horizon: str,
    ) -> None:
        """Look up the tags of the row that was decided on: an event that moved has one under each mapping.

        Args:
            panel: rows of table ``feature_panel``; other horizons are ignored.
            event_ticker: the events, shape (n,).
            decided_at: as-of times of the decisions, microseconds, shape (n,).
            horizon: decision horizon.
        """
        rows = panel.filter(pc.equal(panel["horizon"], horizon))
        decisions = zip(rows["event_ticker"].to_pylist(), times(rows["as_of"]).tolist(), strict=True)
        place = {decision: i for i, decision in enumerate(decisions)}
        at = [place.get(decision) for decision in zip(event_ticker.tolist(), decided_at.tolist(), strict=True)]
        self._tags = []
        for name in REGIME_COLUMNS:
            tags = rows[name].to_pylist()
            self._tags.append(np.array([UNKNOWN if i is None else tags[i] or UNKNOWN for i in at], dtype=np.str_))

    def scores(
        self,
        known: npt.NDArray[np.bool_],
        traded: npt.NDArray[np.bool_],
        returns: npt.NDArray[np.float64],
        least: int,
    ) -> RegimeScores:
        """Score the traded events known by a time.

        Args:
            known: events that count, shape (n,).
            traded: events in which anything was bought, shape (n,).
            returns: portfolio returns, shape (n,).
            least: traded events from which a regime counts; the tag ``unknown`` never does.
        """
        stability, means = [], []
        for tags in self._tags:
            rows = known & traded & (tags != UNKNOWN)
            live = tuple(p for p in performance_by_regime(returns[rows], tags[rows]) if p.count >= least)
            means += [p.mean_return for p in live]
            if len(live) > 1:
                stability.append(regime_stability(live))
        return RegimeScores(
            float(np.mean(stability)) if stability else math.nan,
            float(np.mean(np.array(means) > 0)) if means else math.nan,
        )
