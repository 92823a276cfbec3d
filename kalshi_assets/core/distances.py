"""How far apart two laws on one publication lattice are.

Supports are rising lattice indices with positive mass; a point that one law
lacks has mass zero there. Which two laws are compared is the caller's choice.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.compiled import in_place

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Half a cent, the resolution of a price: a rung that empties moves KL by what the market could tell, not by
# the logarithm of an arbitrary epsilon.
KL_FLOOR = 0.005
N_DISTANCES = 5


@in_place
def law_distances(x: Ints, p: Floats, y: Ints, q: Floats, tick: float, out: Floats) -> None:
    """Write KL, JS, Wasserstein-1, Kolmogorov-Smirnov and the CRPS difference of (p on x) against (q on y).

    - KL: ``sum p' ln(p'/q')`` over the union of the supports, both laws mixed
      with the floor: ``p' = (p + 0.005) / (1 + 0.005 n)``.
    - JS: ``KL(p, m)/2 + KL(q, m)/2`` with m the average, no floor; at most ln 2.
    - Wasserstein: ``sum |F - G| dx``, in the series' unit.
    - KS: ``max |F - G|``.
    - CRPS difference: ``sum (F - G)^2 dx``, the CRPS that a forecaster who says
      q loses on average against one who says p when p is the truth.

    Args:
        x: support of the first law, rising.
        p: its masses.
        y: support of the second law.
        q: its masses.
        tick: value of one lattice step.
        out: receives the five numbers.
    """
    i, j, n = 0, 0, 0
    while i < x.size or j < y.size:
        n += 1
        at_x = i < x.size and (j >= y.size or x[i] <= y[j])
        at_y = j < y.size and (i >= x.size or y[j] <= x[i])
        i += at_x
        j += at_y
    i, j = 0, 0
    norm = 1.0 + KL_FLOOR * n
    kl, js, wasserstein, ks, crps, gap = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    previous = np.int64(0)
    while i < x.size or j < y.size:
        at_x = i < x.size and (j >= y.size or x[i] <= y[j])
        at_y = j < y.size and (i >= x.size or y[j] <= x[i])
        here = x[i] if at_x else y[j]
        a = p[i] if at_x else 0.0
        b = q[j] if at_y else 0.0
        width = (here - previous) * tick
        wasserstein += abs(gap) * width
        crps += gap * gap * width
        gap += a - b
        ks = max(ks, abs(gap))
        floored = (a + KL_FLOOR) / norm
        kl += floored * math.log(floored / ((b + KL_FLOOR) / norm))
        middle = 0.5 * (a + b)
        if a > 0.0:
            js += 0.5 * a * math.log(a / middle)
        if b > 0.0:
            js += 0.5 * b * math.log(b / middle)
        previous = here
        i += at_x
        j += at_y
    out[0] = max(kl, 0.0)
    out[1] = max(js, 0.0)
    out[2] = wasserstein
    out[3] = ks
    out[4] = crps


def distances(x: Ints, p: Floats, y: Ints, q: Floats, tick: float) -> dict[str, float]:
    """Distances of two laws by name: ``kl``, ``js``, ``wasserstein``, ``ks``, ``crps``; see ``law_distances``."""
    out = np.empty(N_DISTANCES)
    law_distances(x.astype(np.int64), p.astype(np.float64), y.astype(np.int64), q.astype(np.float64), tick, out)
    return dict(zip(("kl", "js", "wasserstein", "ks", "crps"), out.tolist(), strict=True))
