"""Entropy, tail and volatility gaps between an event's implied distribution and an options reference, with z-scores.

Belongs here: the gaps of one snapshot, and how unusual its own numbers are
against the event's earlier ones. The reference's own factors belong to
``core.options``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kalshi_assets.core.columns import MISSING_TIME, Ints, Reals
from kalshi_assets.core.compiled import compiled
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
    entropy_z: Reals,
    tail_z: Reals,
) -> Disagreement:
    """Compare snapshots with options.

    Args:
        entropy: implied entropy in nats, shape (n_snapshots,).
        tail_mass: implied tail probability.
        variance: implied variance.
        iv: annualised option volatility as a fraction; not above zero counts as missing.
        skew: 25-delta skew.
        entropy_z: ``z_scores_before`` of the entropies.
        tail_z: likewise of the tail masses.
    """
    usable_iv = np.where(iv > 0, iv, np.nan)
    tail_gap = tail_mass - tail_proxy(skew)
    return Disagreement(
        entropy_gap=entropy - entropy_proxy(usable_iv),
        entropy_gap_z=entropy_z,
        tail_gap=tail_gap,
        tail_gap_z=tail_z,
        iv_vol_gap=usable_iv - np.sqrt(np.maximum(variance, 0.0)),
        skew_tail_gap=tail_gap.copy(),
    )


def z_scores_before(
    value: Reals, group: Ints, as_of: Ints, history_offsets: Ints, history_as_of: Ints, history: Reals
) -> Reals:
    """(value - mean) / sample standard deviation of the finite history of the value's own group before its time.

    Args:
        value: shape (n,).
        group: the group of each value, shape (n,).
        as_of: microseconds since 1970 UTC, shape (n,); only history strictly earlier takes part.
        history_offsets: rows of group g are ``history_offsets[g]:history_offsets[g + 1]``.
        history_as_of: ascending within a group.
        history: shape of ``history_as_of``.

    Returns:
        NaN unless more than ten finite values with a deviation above 1e-12 are there.
    """
    return np.asarray(_z_scores_before(value, group, as_of, history_offsets, history_as_of, history))


def history_known_at(
    group: Ints, as_of: Ints, history_offsets: Ints, history_as_of: Ints, history_known_at: Ints
) -> Ints:
    """Greatest ``known_at`` of the history before each time; ``MISSING_TIME`` where there is none."""
    out = np.full(as_of.size, MISSING_TIME, np.int64)
    for g in np.unique(group):
        start, stop = history_offsets[g], history_offsets[g + 1]
        newest = np.maximum.accumulate(history_known_at[start:stop])
        rows = np.flatnonzero(group == g)
        n = np.searchsorted(history_as_of[start:stop], as_of[rows], side="left")
        out[rows[n > 0]] = newest[n[n > 0] - 1]
    return out


@compiled
def _z_scores_before(
    value: Reals, group: Ints, as_of: Ints, offsets: Ints, history_as_of: Ints, history: Reals
) -> Reals:
    out = np.full(value.size, np.nan)
    for i in range(value.size):
        start, stop = offsets[group[i]], offsets[group[i] + 1]
        end = start + np.searchsorted(history_as_of[start:stop], as_of[i], side="left")
        n, total = 0, 0.0
        for j in range(start, end):
            if np.isfinite(history[j]):
                n += 1
                total += history[j]
        if n <= MIN_HISTORY:
            continue
        mean, squares = total / n, 0.0
        for j in range(start, end):
            if np.isfinite(history[j]):
                squares += (history[j] - mean) ** 2
        deviation = np.sqrt(squares / (n - 1))
        if deviation > _NEGLIGIBLE:
            out[i] = (value[i] - mean) / deviation
    return out
