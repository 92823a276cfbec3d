"""How good out-of-sample forecasts of the surprise were, against the prints known at a time.

Forecasts of the strategy only: scoring the market's own distribution and
turning forecasts into money are done elsewhere (``core.pnl``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import codes, newest_versions, reals, times, vocabulary
from kalshi_assets.core.label_history import LabelHistory
from kalshi_assets.core.models import skill
from kalshi_assets.core.ordering import first_duplicate, sort_rows
from kalshi_assets.errors import DomainError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_LARGE_SURPRISE = 75
_LEAST_PAIRS = 3


@dataclass(frozen=True, slots=True)
class ForecastScores:
    """Scores over the events whose print was known. NaN where undefined.

    Attributes:
        n: events scored.
        correlation: Pearson, of predicted and realised surprise; NaN for fewer than 3 or a constant.
        hit_rate: share of equal signs among events whose absolute surprise reaches its 75th percentile.
        skill: 1 − Σ(error²)/Σ(surprise²); 0 is the market.
    """

    n: int
    correlation: float
    hit_rate: float
    skill: float


class ForecastRecord:
    """One model's forecasts, ready for many cuts."""

    def __init__(self, predictions: pa.Table, labels: pa.Table, *, model: str, horizon: str) -> None:
        """Select the forecasts and index the labels.

        Surprises are divided by the median implied standard deviation of their series (column ``implied_std`` of the
        labels), which makes series comparable; an event of a series without one is left out.

        Args:
            predictions: rows of table ``predictions``.
            labels: rows of table ``labels`` with their history.
            model: model to score.
            horizon: decision horizon.

        Raises:
            DomainError: two forecasts for one event, or a label without its learning time.
        """
        wanted = pc.and_(pc.equal(predictions["model"], model), pc.equal(predictions["horizon"], horizon))
        rows = sort_rows(predictions.filter(wanted), ("event_date", "event_ticker"))
        if first_duplicate(rows, ("event_ticker",)) is not None:
            raise DomainError(f"Two forecasts of {model} name one event at {horizon}: pass each event once.")
        self._labels = LabelHistory(labels, rows["event_ticker"].to_pylist())
        self._forecast = reals(rows["prediction"]) - reals(rows["implied_mean"])
        self._market = reals(rows["implied_mean"])
        self._as_of = times(rows["as_of"])
        self._series = codes(rows["series_ticker"], vocabulary(rows["series_ticker"]))
        newest = newest_versions(labels, "event_ticker")
        place = codes(rows["event_ticker"], newest["event_ticker"].combine_chunks())
        std = np.append(reals(newest["implied_std"]), np.nan)[place]
        self._std = np.where(std > 0, std, np.nan)

    def scores(self, cut_us: int) -> ForecastScores:
        """Score the forecasts whose print was known by a time (``learned_at <= cut_us``).

        Raises:
            DomainError: a print was learned before the forecast's decision time.
        """
        known = self._labels.known_before(cut_us + 1)
        if np.any(known.known & (known.learned_at <= self._as_of)):
            raise DomainError("A print was learned before the forecast of it was decided: rebuild features and labels.")
        rows = known.known & np.isfinite(self._forecast) & np.isfinite(self._std)
        scale = np.full(len(rows), np.nan)
        for code in np.unique(self._series[rows]):
            mine = rows & (self._series == code)
            scale[mine] = np.median(self._std[mine])
        surprise = ((known.first_print - self._market) / scale)[rows]
        forecast = (self._forecast / scale)[rows]
        if len(surprise) < _LEAST_PAIRS:
            return ForecastScores(len(surprise), math.nan, math.nan, math.nan)
        large = np.abs(surprise) >= np.percentile(np.abs(surprise), _LARGE_SURPRISE)
        hits = np.sign(forecast[large]) == np.sign(surprise[large])
        return ForecastScores(
            len(surprise), _correlation(forecast, surprise), float(hits.mean()), skill(surprise - forecast, surprise)
        )


def _correlation(x: FloatArray, y: FloatArray) -> float:
    x, y = x - x.mean(), y - y.mean()
    spread = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / spread if spread > 1e-12 else math.nan
