"""Whether one forecast's losses are lower than another's, with the small-sample correction.

One statistic of one series of loss differences. Which losses are compared, and
on which events, is the caller's choice; many comparisons at once are
``core.resampling``'s business.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr

from kalshi_assets.errors import DomainError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# With fewer clusters Student's t says next to nothing.
LEAST_CLUSTERS = 5
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class LossComparison:
    """Result of a Diebold-Mariano test.

    Attributes:
        n: independent observations (clusters).
        mean_difference: mean loss difference of an observation; NaN for none.
        statistic: corrected t; negative where the first forecast has the lower loss. NaN below
            ``LEAST_CLUSTERS`` and for differences without spread.
        p_value: two-sided, from Student's t with n − 1 degrees of freedom; NaN with the statistic.
    """

    n: int
    mean_difference: float
    statistic: float
    p_value: float


def diebold_mariano(difference: Floats, *, steps_ahead: int = 1, cluster: Ints | None = None) -> LossComparison:
    """Diebold-Mariano test as corrected by Harvey, Leybourne and Newbold (1997).

    ``t = d̄ / √(2πf(0)/n) · √((n + 1 − 2h + h(h−1)/n) / n)`` with ``2πf(0) = γ₀ + 2 Σ_{k<h} γ_k``.

    Args:
        difference: shape (n,), loss of the first forecast less that of the second, in order of release; no NaN.
        steps_ahead: h; at 1 differences of consecutive releases are uncorrelated under the null.
        cluster: shape (n,), ascending codes of the release that an entry belongs to: series that share a release
            are one observation, their mean. None: each entry is one.

    Raises:
        DomainError: a missing difference, or fewer than one step ahead.
    """
    if not np.isfinite(difference).all() or steps_ahead < 1:
        raise DomainError("A Diebold-Mariano test needs known losses and at least one step ahead: drop missing pairs.")
    d = difference if cluster is None else _cluster_means(difference, cluster)
    n = len(d)
    mean = float(d.mean()) if n else math.nan
    if n < max(LEAST_CLUSTERS, steps_ahead + 1):
        return LossComparison(n, mean, math.nan, math.nan)
    centred = d - mean
    density = float(centred @ centred) / n
    density += 2.0 * sum(float(centred[k:] @ centred[:-k]) / n for k in range(1, steps_ahead))
    if density <= _TINY * max(float(np.abs(d).max()) ** 2, _TINY):
        return LossComparison(n, mean, math.nan, math.nan)
    correction = (n + 1 - 2 * steps_ahead + steps_ahead * (steps_ahead - 1) / n) / n
    statistic = mean / math.sqrt(density / n) * math.sqrt(correction)
    return LossComparison(n, mean, statistic, float(2.0 * stdtr(n - 1, -abs(statistic))))


def _cluster_means(values: Floats, cluster: Ints) -> Floats:
    _, place = np.unique(cluster, return_inverse=True)
    return np.asarray(np.bincount(place, values) / np.bincount(place), np.float64)
