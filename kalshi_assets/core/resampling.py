"""Resampling tests on one row an observation: sign-flip null, bootstrap intervals, Hansen's SPA.

Seeds are arguments; the same seed gives the same draw. An observation is one
release date. Serial dependence between releases is not modelled: with
unequally spaced events of several kinds the independent bootstrap is the
declared choice. Closed-form Sharpe tests are in ``core.significance``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

FloatArray = npt.NDArray[np.float64]


def sign_flip_pvalue(returns: FloatArray, *, n_draws: int = 2000, seed: int = 0) -> float:
    """One-sided Monte-Carlo p-value of a positive mean, under returns symmetric about zero.

    Each draw turns the sign of every observation with a fair coin, which centres the null at
    zero whatever the data show. ``p = (1 + #{mean* ≥ mean}) / (1 + draws)``, so p is never 0.

    Args:
        returns: shape (n,), one value an observation.
        n_draws: number of sign vectors.
        seed: seed of the draw.

    Returns:
        The p-value; NaN for an empty series or one that holds a NaN.
    """
    n = len(returns)
    if n == 0 or not np.isfinite(returns).all():
        return math.nan
    bits = np.unpackbits(np.frombuffer(np.random.default_rng(seed).bytes(n_draws * ((n + 7) // 8)), dtype=np.uint8))
    flips = bits.reshape(n_draws, -1)[:, :n].astype(np.float32)
    # Σ s·r with s = 1 − 2·flip; the tolerance lets the draw equal to the data count as such.
    total = float(returns.sum())
    sums = total - 2.0 * (flips @ returns)
    slack = 1e-9 * float(np.abs(returns).sum())
    return (1 + int(np.count_nonzero(sums >= total - slack))) / (1 + n_draws)


def bootstrap_mean_interval(
    returns: FloatArray, *, confidence: float = 0.95, n_draws: int = 2000, seed: int = 0, method: str = "bca"
) -> tuple[float, float]:
    """Two-sided interval of the mean by the independent bootstrap.

    Args:
        returns: shape (n,), one value an observation.
        confidence: coverage.
        n_draws: bootstrap samples.
        seed: seed of the draw.
        method: ``bca`` (Efron 1987: bias-corrected and accelerated) or ``percentile``.

    Returns:
        Lower and upper bound; NaN for fewer than two observations or a NaN among them. A constant
        series has a point interval.
    """
    n = len(returns)
    if n < 2 or not np.isfinite(returns).all():
        return math.nan, math.nan
    counts = np.random.default_rng(seed).integers(0, n, (n_draws, n))
    means = returns[counts].mean(axis=1)
    levels = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    centred = returns - returns.mean()
    spread = float((centred**2).sum())
    if method == "bca" and spread > 0:
        share = float(np.mean(means < returns.mean()) + 0.5 * np.mean(means == returns.mean()))
        bias = float(ndtri(min(max(share, 0.5 / n_draws), 1 - 0.5 / n_draws)))
        # For a mean the jackknife acceleration is skewness of the influence, Σd³ / (6 (Σd²)^1.5).
        acceleration = float((centred**3).sum()) / (6 * spread**1.5)
        z = bias + ndtri(levels)
        levels = ndtr(bias + z / (1 - acceleration * z))
    low, high = np.quantile(means, levels)
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class SpaResult:
    """P-values of Hansen's test that the best of k strategies does not beat the benchmark.

    Attributes:
        lower: only strategies better than the benchmark are recentred away (liberal).
        consistent: poor strategies are left out of the null (Hansen's recommendation).
        upper: White's reality check, studentised (conservative).
    """

    lower: float
    consistent: float
    upper: float


def superior_predictive_ability(excess: FloatArray, *, n_draws: int = 1000, seed: int = 0) -> SpaResult:
    """Hansen's (2005) test of superior predictive ability, studentised, independent bootstrap.

    Args:
        excess: shape (n, k): return of each strategy minus the benchmark's, one row an observation.
            A strategy that never differs from the benchmark cannot be better and is left out.
        n_draws: bootstrap samples.
        seed: seed of the draw.

    Returns:
        Three p-values; NaN for fewer than two observations, no strategy or a NaN among the returns.
    """
    n = len(excess)
    live = excess[:, excess.std(axis=0) > 0] if n > 1 else excess[:, :0]
    if n < 2 or live.shape[1] == 0 or not np.isfinite(excess).all():
        return SpaResult(math.nan, math.nan, math.nan)
    mean, std = live.mean(axis=0), live.std(axis=0)
    root = math.sqrt(n)
    statistic = max(0.0, float((root * mean / std).max()))
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), n_draws).astype(np.float64)
    deviations = root * (weights @ live / n - mean) / std
    studentised = root * mean / std
    threshold = -math.sqrt(2 * math.log(math.log(n))) if n > 2 else 0.0
    recentring = {
        "lower": np.minimum(studentised, 0.0),
        "consistent": np.where(studentised <= threshold, studentised, 0.0),
        "upper": np.zeros_like(studentised),
    }
    draws = {name: np.maximum((deviations + g).max(axis=1), 0.0) for name, g in recentring.items()}
    return SpaResult(**{name: (1 + int(np.sum(d >= statistic))) / (1 + n_draws) for name, d in draws.items()})
