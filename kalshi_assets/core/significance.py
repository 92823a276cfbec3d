"""How much a Sharpe ratio proves: PSR, deflated Sharpe, minimum track record and back-test length.

Everything is per observation; annualising is the caller's. One observation is
one release date, never one horizon row. Resampling tests are in
``core.resampling``, selection statistics over many configurations in
``core.overfitting``.

Two conventions exist and differ by several points on the same data, so each
function that depends on one takes it by name:

* ``2014``: Bailey and López de Prado (2012, 2014). Standard error at the observed Sharpe, n − 1.
* ``2025``: López de Prado, Lipton and Zoonekynd (2025). Standard error at the benchmark Sharpe, n,
  and for the best of K trials the spread of a maximum of K normals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from kalshi_assets.errors import DomainError

FloatArray = npt.NDArray[np.float64]
Convention = Literal["2014", "2025"]

EULER_GAMMA = 0.5772156649015329
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class SharpeSample:
    """What the tests need to know of a return series.

    Attributes:
        n: observations.
        sharpe: mean over standard deviation (ddof 1), per observation; NaN for fewer than two or a constant.
        skewness: third standardised moment (population).
        kurtosis: fourth standardised moment (population), 3 for a normal.
    """

    n: int
    sharpe: float
    skewness: float
    kurtosis: float


def sharpe_sample(returns: FloatArray) -> SharpeSample:
    """Sharpe ratio and shape of a return series.

    Args:
        returns: shape (n,), one value an observation. A NaN makes every statistic NaN: missing
            returns are for the caller to explain, not for this function to drop.

    Returns:
        The sample; moments NaN where undefined.
    """
    n = len(returns)
    if n < 2:
        return SharpeSample(n, math.nan, math.nan, math.nan)
    centred = returns - returns.mean()
    variance = float(np.mean(centred**2))
    if not variance > _TINY**2:
        return SharpeSample(n, math.nan, math.nan, math.nan)
    sharpe = float(returns.mean()) / math.sqrt(variance * n / (n - 1))
    return SharpeSample(n, sharpe, float(np.mean(centred**3)) / variance**1.5, float(np.mean(centred**4)) / variance**2)


def expected_maximum(n_trials: float) -> float:
    """Expected maximum of N standard normals, ``(1−γ)Φ⁻¹(1−1/N) + γΦ⁻¹(1−1/(Ne))``; 0 for N ≤ 1."""
    if not n_trials >= 1:
        raise DomainError(f"The number of trials is {n_trials}: at least one trial was needed to get a result.")
    if n_trials <= 1:
        return 0.0
    low, high = ndtri(1 - 1 / n_trials), ndtri(1 - 1 / (n_trials * math.e))
    return float((1 - EULER_GAMMA) * low + EULER_GAMMA * high)


@lru_cache(maxsize=256)
def maximum_std(n_trials: int) -> float:
    """Standard deviation of the maximum of N standard normals, by quadrature; decreases in N from 1."""
    grid = np.linspace(-9.0, 9.0, 20_001)
    density = n_trials * np.exp(-0.5 * grid**2) / math.sqrt(2 * math.pi) * ndtr(grid) ** (n_trials - 1)
    step = grid[1] - grid[0]
    mean = float(np.sum(grid * density) * step)
    return math.sqrt(float(np.sum(grid**2 * density) * step) - mean**2)


def deflated_benchmark(n_trials: float, sharpe_variance: float) -> float:
    """Sharpe ratio that the best of N worthless trials is expected to show, per observation."""
    if n_trials <= 1:
        return 0.0
    return math.sqrt(sharpe_variance) * expected_maximum(n_trials) if sharpe_variance >= 0 else math.nan


def probabilistic_sharpe_ratio(
    sample: SharpeSample, benchmark: float = 0.0, *, convention: Convention = "2014"
) -> float:
    """Probability that the true Sharpe ratio exceeds a benchmark.

    Args:
        sample: the observed series.
        benchmark: Sharpe ratio per observation.
        convention: ``2014`` or ``2025``, see the module.

    Returns:
        A probability; NaN when the sample has no Sharpe ratio or its variance estimate is not positive.
    """
    return _psr(sample, benchmark, 1.0, convention)


def deflated_sharpe_ratio(
    sample: SharpeSample, *, n_trials: int, sharpe_variance: float, convention: Convention = "2014"
) -> float:
    """PSR against the best of N worthless trials.

    Args:
        sample: the series of the selected configuration.
        n_trials: independent configurations tried.
        sharpe_variance: variance of the trials' Sharpe ratios, per observation; ignored for one trial.
        convention: ``2014`` or ``2025``, see the module.

    Returns:
        A probability; NaN when an input is.
    """
    benchmark = deflated_benchmark(n_trials, sharpe_variance)
    return _psr(sample, benchmark, maximum_std(n_trials) if convention == "2025" else 1.0, convention)


def minimum_track_record(
    sample: SharpeSample, benchmark: float = 0.0, *, confidence: float = 0.95, convention: Convention = "2014"
) -> float:
    """Observations needed before the Sharpe ratio exceeds the benchmark at the confidence.

    Returns:
        Observations; infinite when the Sharpe ratio does not exceed the benchmark, NaN without one.
    """
    if math.isnan(sample.sharpe):
        return math.nan
    if sample.sharpe <= benchmark:
        return math.inf
    at = sample.sharpe if convention == "2014" else benchmark
    ratio = float(ndtri(confidence)) / (sample.sharpe - benchmark)
    return (1.0 if convention == "2014" else 0.0) + _variance_factor(sample, at) * ratio**2


def minimum_backtest_length(n_trials: float, sharpe: float) -> float:
    """Years after which the best of N worthless trials is no longer expected to reach an annual Sharpe ratio."""
    return (expected_maximum(n_trials) / sharpe) ** 2 if sharpe > 0 else math.inf


def _variance_factor(sample: SharpeSample, at: float) -> float:
    return 1 - sample.skewness * at + (sample.kurtosis - 1) / 4 * at**2


def _psr(sample: SharpeSample, benchmark: float, spread: float, convention: Convention) -> float:
    if convention not in ("2014", "2025"):
        raise DomainError(f"Convention {convention!r} is unknown: name 2014 or 2025.")
    factor = _variance_factor(sample, sample.sharpe if convention == "2014" else benchmark)
    size = sample.n - 1 if convention == "2014" else sample.n
    if not (factor > 0 and size > 0 and math.isfinite(benchmark)):
        return math.nan
    return float(ndtr((sample.sharpe - benchmark) * math.sqrt(size / factor) / spread))
