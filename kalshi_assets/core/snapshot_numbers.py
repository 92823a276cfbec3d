"""The numbers of one snapshot: their names and places, and the kernels that compute them from a solved ladder.

In which order a snapshot gets them is ``snapshots``' business.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.compiled import in_place
from kalshi_assets.core.ladder import ASK, BID, BINS, HI, LO, TARGET, THRESHOLDS, WEIGHT, S
from kalshi_assets.core.live_quotes import median
from kalshi_assets.core.moments import N_MOMENTS, lattice_value, law_mean, law_moments, law_quantile
from kalshi_assets.core.rungs import contract_band, law_probability
from kalshi_assets.core.spec_index import Records
from kalshi_assets.core.tables import MOMENTS, QUANTILE_BANDS, QUANTILES, TAIL_SENSITIVITY
from kalshi_assets.core.tails import survival_at

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

LEVELS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
# What a gate withholds comes first, what it keeps as evidence follows.
WITHHELD = (
    *MOMENTS, *QUANTILES, "tail_p_1", "tail_p_2", "tail_p_3", "tail_mass_low", "tail_mass_high",
    "mean_low", "mean_high", "median_low", "median_high", *QUANTILE_BANDS,
    *TAIL_SENSITIVITY,
)  # fmt: skip
EVIDENCE = (
    "tail_threshold_1", "tail_threshold_2", "tail_threshold_3", "repair_cost_usd", "repair_l1", "repair_l2",
    "violation_magnitude", "renormalization_delta", "coverage_ratio", "median_spread_usd", "median_quote_age_s",
    "stale_cutoff_s", "volume_oi_proxy", "constraint_violation_score", "quality_score", "mass_missing_estimate",
)  # fmt: skip
NUMBERS = (*WITHHELD, *EVIDENCE)
# Mean under each tail policy, in the order of their codes; the standard deviation follows each.
SENSITIVITY = WITHHELD.index(TAIL_SENSITIVITY[0])
MEAN, MEDIAN = MOMENTS.index("mean"), MOMENTS.index("median")
QUANTILE, TAIL_P = N_MOMENTS, N_MOMENTS + len(QUANTILES)
TAIL_LOW, TAIL_HIGH = TAIL_P + 3, TAIL_P + 4
MEAN_LOW, MEDIAN_LOW = TAIL_P + 5, TAIL_P + 7
# First number of each quantile's band, in the order of LEVELS; the upper end follows the lower.
BAND_LOW = tuple(WITHHELD.index("median_low" if q == "q50" else f"{q}_low") for q in QUANTILES)
(
    THRESHOLD, _, _, COST, L1, L2, MAGNITUDE, RENORM, COVERAGE, SPREAD, AGE, CUTOFF, PROXY, CONSTRAINT,
    SCORE, MISSING,
) = range(len(WITHHELD), len(NUMBERS))  # fmt: skip

COUNTS = (
    "violations_pre", "violations_post", "n_contracts", "n_live", "n_two_sided", "gate", "flags",
    "executable_arbitrage", "tail_left_missing", "tail_right_missing", "inputs_known_at",
)  # fmt: skip
(PRE, POST, N, LIVE, TWO, GATE, FLAGS, ARBITRAGE, LEFT, RIGHT, KNOWN) = range(len(COUNTS))


class Repair(NamedTuple):
    """What the repair took: probability moved (l1, l2), dollars outside the quotes, violations before and after."""

    cost: float
    l1: float
    l2: float
    magnitude: float
    before: int
    after: int


@in_place
def measure(
    n: int, kind: int, m: int, first: int, last: int, max_spread: int, ints: Ints, reals: Floats,
    edges: Ints, law: Floats, n_edges: int,
) -> Repair:  # fmt: skip
    """Compare the live contracts' quotes with their repaired probabilities.

    Violations are rises between neighbouring mids of a threshold ladder, one
    for bins whose mids cannot sum to one, and moved mids in a mixed ladder.
    """
    cost, l1, l2, moved = 0.0, 0.0, 0.0, 0
    for k in range(n):
        p = law_probability(ints[LO, k], ints[HI, k], edges, law, n_edges)
        low, high = ints[BID, k] / 1e6, ints[ASK, k] / 1e6
        cost += max(low - p, p - high, 0.0)
        if ints[ASK, k] - ints[BID, k] <= max_spread:
            shift = abs(p - 0.5 * (low + high))
            l1 += shift
            l2 += shift * shift
            moved += shift > 1e-9
    before, magnitude = moved, l1
    if kind == THRESHOLDS:
        before, magnitude, previous = 0, 0.0, math.inf
        for k in range(m):
            if reals[WEIGHT, k] > 0.0:
                rise = reals[TARGET, k] - previous
                if rise > 1e-12:
                    before += 1
                    magnitude += rise
                previous = reals[TARGET, k]
    elif kind == BINS:
        before, magnitude = int(moved > 0), 0.0
    after = 0
    for k in range(first + 1, last + 1):
        after += reals[S, k] > reals[S, k - 1] + 1e-12
    return Repair(cost if cost > 1e-9 else 0.0, l1, math.sqrt(l2), magnitude, before, after)


@in_place
def median_width(
    n: int, specs: Records, at: Records, cut: Ints, m: int, low: Floats, high: Floats, sorting: Floats
) -> float:
    """Median, over the known contracts, of the interval that all quotes together leave open."""
    for k in range(n):
        here = at[k]
        here.width = math.nan
        spec = specs[here.spec]
        if spec.resolved:
            bottom, top = contract_band(spec.lo, spec.hi, here.bid, here.ask, cut, m, low, high)
            here.width = top - bottom
    return median(at.width, n, sorting)


@in_place
def threshold(stated: float, which: int, cut: Ints, m: int, tick: float) -> float:
    """A tail threshold: the event type's, or else the 60th, 75th or 90th percentile of the ladder's cutpoints."""
    if not math.isnan(stated) or m == 0:
        return stated
    place = (0.60 if which == 0 else (0.75 if which == 1 else 0.90)) * (m - 1)
    below = math.floor(place)
    above = min(below + 1, m - 1)
    return float((cut[below] + (place - below) * (cut[above] - cut[below])) * tick)


@in_place
def describe(edges: Ints, law: Floats, n_edges: int, tick: float, row: Floats) -> None:
    """Moments, quantiles and tail probabilities of a closed law; the thresholds are already in ``row``."""
    law_moments(edges, law, n_edges, tick, row)
    for k in range(len(LEVELS)):
        row[QUANTILE + k] = lattice_value(law_quantile(edges, law, n_edges, LEVELS[k]), tick)
    for k in range(3):
        row[TAIL_P + k] = survival_at(math.ceil(row[THRESHOLD + k] / tick - 1e-9), edges, law, n_edges)


@in_place
def widen_band(side: int, edges: Ints, law: Floats, n_edges: int, tick: float, row: Floats) -> None:
    """Write one end of the bands of mean and quantiles from the law at that end of the envelope.

    The estimate lies in its own band, also where a tail policy is not monotone in the mids.
    """
    mean = law_mean(edges, law, n_edges, tick)
    row[MEAN_LOW + side] = max(mean, row[MEAN]) if side else min(mean, row[MEAN])
    for k in range(len(LEVELS)):
        value, estimate = lattice_value(law_quantile(edges, law, n_edges, LEVELS[k]), tick), row[QUANTILE + k]
        row[BAND_LOW[k] + side] = max(value, estimate) if side else min(value, estimate)
