"""Brier score of probabilities of yes, split by recalibration: miscalibration, discrimination, uncertainty.

CORP: consistent, optimally binned, reproducible, by pool-adjacent-violators
(Dimitriadis, Gneiting and Jordan 2021, PNAS 118(8), doi 10.1073/pnas.2016191118).
Which contracts are scored together is the caller's choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from kalshi_assets.errors import DomainError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CorpDecomposition:
    """``score = miscalibration − discrimination + uncertainty``; NaN without forecasts.

    Attributes:
        n: forecasts.
        score: Brier score, mean of (p − y)².
        miscalibration: what recalibration would gain; at least 0, and 0 for calibrated forecasts.
        discrimination: what the recalibrated forecasts gain on the base rate; at least 0.
        uncertainty: score of the base rate, ȳ (1 − ȳ).
        forecast: the distinct forecasts, rising.
        recalibrated: share of yes at each of them, made rising: the reliability curve.
        count: forecasts of each value.
    """

    n: int
    score: float
    miscalibration: float
    discrimination: float
    uncertainty: float
    forecast: Floats
    recalibrated: Floats
    count: Floats


def corp(probability: Floats, outcome: Floats) -> CorpDecomposition:
    """Decompose the Brier score.

    Args:
        probability: shape (n,), forecasts of yes in [0, 1].
        outcome: shape (n,), 1 for yes and 0 for no.

    Raises:
        DomainError: a forecast outside [0, 1] or an outcome that is neither; missing ones are the caller's to drop.
    """
    if not ((probability >= 0) & (probability <= 1)).all() or not ((outcome == 0) | (outcome == 1)).all():
        raise DomainError("A forecast is no probability or an outcome neither 0 nor 1: leave missing ones out.")
    n = len(probability)
    if n == 0:
        nothing = np.zeros(0)
        return CorpDecomposition(0, math.nan, math.nan, math.nan, math.nan, nothing, nothing, nothing)
    forecast, place, count = np.unique(probability, return_inverse=True, return_counts=True)
    weight = count.astype(np.float64)
    share = np.bincount(place, outcome) / weight
    recalibrated = np.asarray(isotonic_regression(share, weights=weight).x, np.float64)
    base = float(outcome.mean())
    score = float(np.mean((probability - outcome) ** 2))
    best = float(np.mean((recalibrated[place] - outcome) ** 2))
    uncertainty = base * (1.0 - base)
    return CorpDecomposition(n, score, score - best, uncertainty - best, uncertainty, forecast, recalibrated, weight)
