"""Whether a set of ranges is a sound ladder of bins: inverted, overlapping, gapped or out of order.

Overlap is not fatal to a distribution (``mixed`` prices overlapping ranges),
but it is never silent. Gaps leave mass unpriced and do not make bins invalid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.compiled import in_place

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BinStructure:
    """What is wrong with a set of half-open bins [low, high).

    Attributes:
        overlaps: bins that start before an earlier bin ends, plus inverted bins.
        gap_share: uncovered length between the bins, as a share of the whole span.
        ordered: bins came in rising order of their lower edge.
        valid: no bin is inverted and none overlap.
    """

    overlaps: int
    gap_share: float
    ordered: bool
    valid: bool


@in_place
def count_overlaps(low: npt.NDArray[np.int64], high: npt.NDArray[np.int64], n: int) -> int:
    """Bins, sorted by lower edge, that are inverted or start before an earlier one ends."""
    overlaps = 0
    reached = np.int64(0)
    for k in range(n):
        if low[k] >= high[k]:
            overlaps += 1
            continue
        if k > 0 and low[k] < reached:
            overlaps += 1
        reached = high[k] if k == 0 else max(reached, high[k])
    return overlaps


def validate_bins(low: Floats, high: Floats) -> BinStructure:
    """Check the structure of a ladder of bins.

    Args:
        low: lower edges, shape (n,), any order.
        high: upper edges; a pair with a NaN is not a complete bin and is left out.

    Returns:
        The structure; no complete bin at all counts as valid.
    """
    complete = np.isfinite(low) & np.isfinite(high)
    low, high = low[complete], high[complete]
    if low.size == 0:
        return BinStructure(0, 0.0, True, True)
    ordered = bool(np.all(np.diff(low) >= 0))
    order = np.lexsort((high, low))
    low, high = low[order], high[order]
    inverted = int(np.count_nonzero(low >= high))
    reached = np.maximum.accumulate(high)
    overlapping = int(np.count_nonzero(low[1:] < reached[:-1]))
    gaps = float(np.maximum(low[1:] - reached[:-1], 0.0).sum())
    span = max(float(reached[-1] - low[0]), 1e-12)
    return BinStructure(overlapping + inverted, gaps / span, ordered, inverted + overlapping == 0)
