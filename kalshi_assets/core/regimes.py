"""Macro regimes as tags, and how a strategy fared in each.

Belongs here: from a number known at a time to a tag, and from returns and tags
to a table. Looking the number up as of a time belongs to ``core.prints``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.columns import Reals
from kalshi_assets.errors import DomainError

Tags = npt.NDArray[np.str_]

INFLATION_HIGH, INFLATION_LOW = 3.5, 2.0
VOLATILITY_HIGH, VOLATILITY_LOW = 25.0, 15.0
UNKNOWN = "unknown"
_NEGLIGIBLE = 1e-12


@dataclass(frozen=True, slots=True)
class RegimePerformance:
    """A strategy's events in one regime.

    Attributes:
        regime: the tag.
        mean_return: mean return an event.
        count: number of events.
        win_rate: share of events with a return above zero.
        sharpe_proxy: mean over population standard deviation an event, the latter floored at 1e-12; not annualised.
    """

    regime: str
    mean_return: float
    count: int
    win_rate: float
    sharpe_proxy: float


def inflation_regime(cpi_yoy_percent: Reals) -> Tags:
    """``high`` from 3.5, ``low`` up to 2.0, else ``moderate``; ``unknown`` where the number is not finite."""
    return _banded(cpi_yoy_percent, INFLATION_LOW, INFLATION_HIGH)


def volatility_regime(vix: Reals) -> Tags:
    """``high`` from 25, ``low`` up to 15, else ``moderate``; ``unknown`` where the number is not finite."""
    return _banded(vix, VOLATILITY_LOW, VOLATILITY_HIGH)


def policy_regime(policy_rate_change_bps: Reals) -> Tags:
    """``tightening`` above zero, ``easing`` below, ``neutral`` at zero; ``unknown`` where not finite."""
    x = policy_rate_change_bps
    return np.select([~np.isfinite(x), x > 0, x < 0], [UNKNOWN, "tightening", "easing"], "neutral")


def performance_by_regime(returns: Reals, regimes: npt.NDArray[np.str_]) -> tuple[RegimePerformance, ...]:
    """Summarise returns by tag, in ascending order of the tag.

    An event whose return is not finite leaves together with its tag.

    Args:
        returns: one return an event, shape (n_events,).
        regimes: the tag of each event, shape (n_events,).

    Raises:
        DomainError: the two differ in length.
    """
    if returns.shape != regimes.shape:
        raise DomainError(f"{returns.size} returns came with {regimes.size} regime tags; give one tag a return")
    finite = np.isfinite(returns)
    r, tag = returns[finite], regimes[finite]
    rows = []
    for name in np.unique(tag):
        x = r[tag == name]
        mean = float(np.mean(x))
        rows.append(
            RegimePerformance(
                regime=str(name),
                mean_return=mean,
                count=int(x.size),
                win_rate=float(np.mean(x > 0)),
                sharpe_proxy=mean / max(float(np.std(x)), _NEGLIGIBLE),
            )
        )
    return tuple(rows)


def regime_stability(performance: tuple[RegimePerformance, ...]) -> float:
    """How alike the regimes' mean returns are: clip(exp(-std(means) / mean(|means|)), 0, 1).

    The standard deviation is the population's. NaN without a regime; 1 with a single one, or where
    mean(|means|) is below 1e-12. A single regime is no evidence of stability: read it beside the count.
    """
    if not performance:
        return float("nan")
    means = np.array([p.mean_return for p in performance])
    scale = float(np.mean(np.abs(means)))
    if means.size < 2 or scale < _NEGLIGIBLE:
        return 1.0
    return float(np.clip(np.exp(-np.std(means) / scale), 0.0, 1.0))


def _banded(x: Reals, low: float, high: float) -> Tags:
    return np.select([~np.isfinite(x), x >= high, x <= low], [UNKNOWN, "high", "low"], "moderate")
