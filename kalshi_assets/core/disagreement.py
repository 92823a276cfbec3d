"""Entropy, tail and volatility gaps between an event's implied distribution and an options reference, with z-scores.

Belongs here: the gaps of one snapshot against its own history of gaps' inputs.
The reference's own factors belong to ``core.options``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kalshi_assets.core.columns import Reals
from kalshi_assets.core.options import entropy_proxy, tail_proxy

MIN_HISTORY = 10
_NEGLIGIBLE = 1e-12


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Gaps of each snapshot, shape (n_snapshots,); NaN where an input is missing.

    Attributes:
        entropy_gap: implied entropy minus the options' entropy proxy, in nats.
        entropy_gap_z: implied entropy against its history.
        tail_gap: implied tail mass minus the options' tail proxy.
        tail_gap_z: implied tail mass against its history.
        iv_vol_gap: implied volatility of options minus the square root of the event's variance.
        skew_tail_gap: the tail gap under the name that says where the reference comes from.
    """

    entropy_gap: Reals
    entropy_gap_z: Reals
    tail_gap: Reals
    tail_gap_z: Reals
    iv_vol_gap: Reals
    skew_tail_gap: Reals


def disagreement(
    entropy: Reals,
    tail_mass: Reals,
    variance: Reals,
    iv: Reals,
    skew: Reals,
    entropy_history: Reals,
    tail_history: Reals,
) -> Disagreement:
    """Compare snapshots with options.

    Args:
        entropy: implied entropy in nats, shape (n_snapshots,).
        tail_mass: implied tail probability.
        variance: implied variance.
        iv: annualised option volatility as a fraction; not above zero counts as missing.
        skew: 25-delta skew.
        entropy_history: earlier entropies, all known before every snapshot here, shape (n_history,).
        tail_history: earlier tail masses, likewise.
    """
    usable_iv = np.where(iv > 0, iv, np.nan)
    tail_gap = tail_mass - tail_proxy(skew)
    return Disagreement(
        entropy_gap=entropy - entropy_proxy(usable_iv),
        entropy_gap_z=z_score(entropy, entropy_history),
        tail_gap=tail_gap,
        tail_gap_z=z_score(tail_mass, tail_history),
        iv_vol_gap=usable_iv - np.sqrt(np.maximum(variance, 0.0)),
        skew_tail_gap=tail_gap.copy(),
    )


def z_score(values: Reals, history: Reals) -> Reals:
    """(value - mean) / sample standard deviation of the finite history.

    NaN unless more than ten finite values with a deviation above 1e-12 are there.
    """
    finite = history[np.isfinite(history)]
    if finite.size <= MIN_HISTORY:
        return np.full(values.shape, np.nan)
    deviation = float(np.std(finite, ddof=1))
    if deviation <= _NEGLIGIBLE:
        return np.full(values.shape, np.nan)
    return (values - float(np.mean(finite))) / deviation
