"""Option-surface factors, and how far they disagree with an event's implied distribution.

Belongs here: formulas on arrays that are joined already. Looking a surface up
as of a time belongs to the stage that feeds them, z-scores against history to
``core.disagreement``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kalshi_assets.core.columns import Reals
from kalshi_assets.errors import DomainError

TRADING_DAYS = 252
RANK_WINDOW, RANK_MIN = 252, 60
_REALISED = {10: 7, 30: 20, 60: 40}
_SKEW_SCALE = 0.10
_MIN_VARIANCE = 1e-12
_MONTH_OF_YEAR = 30.0 / 365.0


@dataclass(frozen=True, slots=True)
class OptionFactors:
    """Surface factors, one value a day, shape (n_days,); annualised volatilities as fractions, NaN where missing.

    Attributes:
        term_slope_30_90: 30-day minus 90-day at-the-money volatility.
        skew_25d: 25-delta put minus call volatility; put minus at-the-money where the call is missing.
        curvature: mean of put and call volatility minus at-the-money.
        vrp_10, vrp_30, vrp_60: implied (30, 30, 60 days) minus realised volatility over that many days.
        iv_rank_1y, skew_rank_1y, vrp_rank_1y: share of the last 252 values not above the latest.
        entropy_proxy: entropy of a normal with the month's implied variance, in nats.
        iv_repricing_speed_per_hour: change of the 30-day volatility an hour.
        tail_proxy: logistic of skew / 0.10; a heuristic, not a probability.
    """

    term_slope_30_90: Reals
    skew_25d: Reals
    curvature: Reals
    vrp_10: Reals
    vrp_30: Reals
    vrp_60: Reals
    iv_rank_1y: Reals
    skew_rank_1y: Reals
    vrp_rank_1y: Reals
    entropy_proxy: Reals
    iv_repricing_speed_per_hour: Reals
    tail_proxy: Reals


@dataclass(frozen=True, slots=True)
class OptionGaps:
    """Implied distribution minus option reference, shape (n_snapshots,); NaN where either side is missing."""

    entropy_gap: Reals
    tail_gap: Reals
    repricing_speed_gap: Reals
    uncertainty_gap: Reals


def option_factors(
    hours: Reals, iv_30: Reals, iv_60: Reals, iv_90: Reals, put_25d: Reals, call_25d: Reals, close: Reals
) -> OptionFactors:
    """Compute the factors of a daily surface; each value uses its own and earlier days only.

    Args:
        hours: time of each row in hours, strictly increasing.
        iv_30: at-the-money implied volatility, 30 days; likewise ``iv_60`` and ``iv_90``.
        iv_60: 60 days.
        iv_90: 90 days.
        put_25d: 25-delta put volatility.
        call_25d: 25-delta call volatility.
        close: the underlying's close, for realised volatility.

    Raises:
        DomainError: times that do not increase.
    """
    step = np.diff(hours)
    if not np.all(step > 0):
        raise DomainError("the option surface's times do not increase; sort its rows and drop repeated times")
    skew = np.where(np.isnan(call_25d), put_25d - iv_30, put_25d - call_25d)
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = np.append(np.full(min(1, close.size), np.nan), close[1:] / close[:-1] - 1.0)
    realised = {n: _rolling_volatility(returns, n, least) for n, least in _REALISED.items()}
    vrp = {10: iv_30 - realised[10], 30: iv_30 - realised[30], 60: iv_60 - realised[60]}
    return OptionFactors(
        term_slope_30_90=iv_30 - iv_90,
        skew_25d=skew,
        curvature=(put_25d + call_25d) / 2.0 - iv_30,
        vrp_10=vrp[10],
        vrp_30=vrp[30],
        vrp_60=vrp[60],
        iv_rank_1y=_rolling_rank(iv_30),
        skew_rank_1y=_rolling_rank(skew),
        vrp_rank_1y=_rolling_rank(vrp[30]),
        entropy_proxy=entropy_proxy(iv_30),
        iv_repricing_speed_per_hour=np.append(np.full(min(1, iv_30.size), np.nan), np.diff(iv_30) / step),
        tail_proxy=tail_proxy(skew),
    )


def entropy_proxy(iv: Reals) -> Reals:
    """Entropy in nats of a normal with variance iv² · 30/365: ½ ln(2πe · variance), the variance floored at 1e-12."""
    return np.asarray(0.5 * np.log(2.0 * np.pi * np.e * np.maximum(iv**2 * _MONTH_OF_YEAR, _MIN_VARIANCE)))


def tail_proxy(skew: Reals) -> Reals:
    """Logistic of skew / 0.10: one half without skew."""
    return np.asarray(1.0 / (1.0 + np.exp(-skew / _SKEW_SCALE)))


def option_gaps(
    entropy: Reals, tail_p_1: Reals, speed_mean_per_hour: Reals, variance: Reals,
    reference_entropy: Reals, reference_tail: Reals, reference_speed: Reals, reference_iv_30: Reals,
) -> OptionGaps:  # fmt: skip
    """Subtract the reference joined to each snapshot; all of shape (n_snapshots,)."""
    return OptionGaps(
        entropy_gap=entropy - reference_entropy,
        tail_gap=tail_p_1 - reference_tail,
        repricing_speed_gap=speed_mean_per_hour - reference_speed,
        uncertainty_gap=variance - reference_iv_30**2 * _MONTH_OF_YEAR,
    )


def _windows(values: Reals, size: int) -> Reals:
    """The last ``size`` values up to each row, shape (n, size), padded with NaN at the start."""
    padded = np.concatenate([np.full(size - 1, np.nan), values])
    return np.lib.stride_tricks.sliding_window_view(padded, size)


def _rolling_volatility(returns: Reals, size: int, least: int) -> Reals:
    """Annualised sample standard deviation of the last ``size`` returns; NaN with fewer than ``least``."""
    windows = _windows(returns, size)
    known = np.isfinite(windows)
    count = known.sum(axis=1)
    mean = np.where(known, windows, 0.0).sum(axis=1) / np.maximum(count, 1)
    squares = np.where(known, (windows - mean[:, None]) ** 2, 0.0).sum(axis=1)
    volatility = np.sqrt(squares / np.maximum(count - 1, 1) * TRADING_DAYS)
    return np.where(count >= least, volatility, np.nan)


def _rolling_rank(values: Reals) -> Reals:
    """Share of the finite values among the last 252 that are not above the latest; NaN with fewer than 60."""
    windows = _windows(values, RANK_WINDOW)
    known = np.isfinite(windows)
    count = known.sum(axis=1)
    not_above = (known & (windows <= values[:, None])).sum(axis=1)
    return np.where((count >= RANK_MIN) & np.isfinite(values), not_above / np.maximum(count, 1), np.nan)
