"""Bootstrap intervals of statistics that are functions of means: bias-corrected and accelerated.

Efron (1987), for the independent bootstrap of a few dozen observations. The
interval of a plain mean return is in ``core.resampling``; what the columns
mean is the caller's knowledge.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

Floats = npt.NDArray[np.float64]


def bca_intervals(
    columns: Floats,
    statistics: Callable[[Floats], Floats],
    *,
    confidence: float = 0.95,
    n_draws: int = 2000,
    seed: int = 0,
) -> Floats:
    """Two-sided intervals of several statistics from the same resamples.

    Args:
        columns: shape (n, k), one row an independent observation, no NaN.
        statistics: maps column means of shape (m, k) to the statistics of each, shape (m, s).
        confidence: coverage.
        n_draws: bootstrap samples.
        seed: seed of the draw.

    Returns:
        Shape (s, 2), lower and upper bound. A statistic that no observation moves has a point interval; NaN for
        fewer than two observations and for a statistic that is undefined in some resample.
    """
    n = len(columns)
    estimate = statistics(columns.mean(axis=0, keepdims=True))[0] if n else np.full(0, np.nan)
    intervals = np.full((len(estimate), 2), np.nan)
    if n < 2:
        return intervals
    drawn = statistics(_resamples(n, n_draws, seed) @ columns)
    left_out = statistics((columns.sum(axis=0) - columns) / (n - 1))
    levels = np.array([(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    for i, value in enumerate(estimate):
        if not (np.isfinite(drawn[:, i]).all() and np.isfinite(left_out[:, i]).all()):
            continue
        influence = left_out[:, i].mean() - left_out[:, i]
        spread = float((influence**2).sum())
        slack = 1e-12 * max(abs(float(value)), 1e-300)
        if spread <= slack**2:
            intervals[i] = value
            continue
        below, equal = drawn[:, i] < value - slack, np.abs(drawn[:, i] - value) <= slack
        share = float(below.mean() + 0.5 * equal.mean())
        bias = float(ndtri(np.clip(share, 0.5 / n_draws, 1.0 - 0.5 / n_draws)))
        acceleration = float((influence**3).sum()) / (6.0 * spread**1.5)
        z = bias + ndtri(levels)
        intervals[i] = np.quantile(drawn[:, i], ndtr(bias + z / (1.0 - acceleration * z)))
    return intervals


@lru_cache(maxsize=8)
def _resamples(n: int, n_draws: int, seed: int) -> Floats:
    """Weight of each observation in each resample, shape (n_draws, n); horizons of one series share them."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), n_draws) / n
