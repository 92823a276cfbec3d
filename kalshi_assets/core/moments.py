"""Moments, quantiles and the mass function of a closed law on the publication lattice.

A closed law is a list of cells (see ``tails``): survival at rising edges,
uniform over the lattice points of each cell. Everything is computed cell by
cell in closed form, so a coarse ladder on a fine lattice costs no more than a
fine one. How the law came about is not known here.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.compiled import in_place

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

N_MOMENTS = 8
# A cumulative probability that misses a level by rounding still reaches it.
_LEVEL_SLACK = 1e-12
_MASS_FLOOR = 1e-15


@in_place
def lattice_value(index: int, tick: float) -> float:
    """The published value of a lattice index: 73 tenths is 7.3, where 73 * 0.1 is 7.300000000000001."""
    parts = math.floor(1.0 / tick + 0.5)
    if parts > 1 and abs(parts * tick - 1.0) < 1e-12:
        return float(index / parts)
    return float(index * tick)


@in_place
def law_quantile(edges: Ints, survival: Floats, n: int, level: float) -> int:
    """Smallest lattice index x with P(X <= x) >= level."""
    for k in range(n - 1):
        if 1.0 - survival[k + 1] >= level - _LEVEL_SLACK:
            mass = survival[k] - survival[k + 1]
            if mass <= _MASS_FLOOR:
                continue
            size = edges[k + 1] - edges[k]
            needed = (level - _LEVEL_SLACK - (1.0 - survival[k])) / mass * size
            return int(edges[k] + min(max(math.ceil(needed), 1), size) - 1)
    return int(edges[n - 1] - 1)


@in_place
def law_moments(edges: Ints, survival: Floats, n: int, tick: float, out: Floats) -> None:
    """Write mean, std, variance, skewness, kurtosis, entropy, median and mode.

    Variance is the population variance; skewness is 0 and kurtosis NaN for a
    point mass; kurtosis is not excess (3 for a normal law); entropy in nats
    over lattice points; the mode is the lowest of equally likely points.

    Args:
        edges: lattice indices, shape (>= n,).
        survival: P(X >= edge), from 1 down to 0.
        n: number of edges, at least 2.
        tick: value of one lattice step.
        out: receives the eight numbers, in the series' unit.
    """
    mean = 0.0
    origin = edges[0]
    for k in range(n - 1):
        mass = survival[k] - survival[k + 1]
        mean += mass * ((edges[k] - origin) + (edges[k + 1] - 1 - origin)) / 2.0
    second, third, fourth, entropy, densest = 0.0, 0.0, 0.0, 0.0, 0.0
    mode = edges[0]
    for k in range(n - 1):
        mass = survival[k] - survival[k + 1]
        if mass <= _MASS_FLOOR:
            continue
        size = float(edges[k + 1] - edges[k])
        centre = ((edges[k] - origin) + (edges[k + 1] - 1 - origin)) / 2.0 - mean
        # central moments of a uniform law over `size` consecutive integers
        square = (size * size - 1.0) / 12.0
        quartic = square * (3.0 * size * size - 7.0) / 20.0
        second += mass * (centre**2 + square)
        third += mass * (centre**3 + 3.0 * centre * square)
        fourth += mass * (centre**4 + 6.0 * centre**2 * square + quartic)
        density = mass / size
        entropy -= mass * math.log(density)
        if density > densest + _LEVEL_SLACK:
            densest = density
            mode = edges[k]
    out[0] = (mean + origin) * tick
    out[1] = math.sqrt(second) * tick
    out[2] = second * tick * tick
    degenerate = second <= 1e-12
    out[3] = 0.0 if degenerate else third / second**1.5
    out[4] = math.nan if degenerate else fourth / second**2
    out[5] = max(entropy, 0.0)
    out[6] = lattice_value(law_quantile(edges, survival, n, 0.5), tick)
    out[7] = lattice_value(mode, tick)


@in_place
def law_mean(edges: Ints, survival: Floats, n: int, tick: float) -> float:
    """Mean alone, for the bands."""
    mean = 0.0
    for k in range(n - 1):
        mean += (survival[k] - survival[k + 1]) * ((edges[k] - edges[0]) + (edges[k + 1] - 1 - edges[0])) / 2.0
    return float((mean + edges[0]) * tick)


@in_place
def law_mean_std(edges: Ints, survival: Floats, n: int, tick: float) -> tuple[float, float]:
    """Mean and population standard deviation alone, for comparing tail policies."""
    first, second = 0.0, 0.0
    for k in range(n - 1):
        mass, width = survival[k] - survival[k + 1], float(edges[k + 1] - edges[k])
        middle = (edges[k] - edges[0]) + 0.5 * (width - 1.0)
        first += mass * middle
        second += mass * (middle * middle + (width * width - 1.0) / 12.0)
    return (first + edges[0]) * tick, math.sqrt(max(second - first * first, 0.0)) * tick


@in_place
def law_pmf(edges: Ints, survival: Floats, n: int, max_points: int, index: Ints, mass: Floats) -> int:
    """Write the mass function on the lattice points of positive mass.

    A law that spans more than ``max_points`` lattice points is listed on
    evenly spaced points of each cell instead of on all of them.

    Returns:
        Number of points written, at most ``max_points + n``.
    """
    whole = edges[n - 1] - edges[0] <= max_points
    per_cell = max(max_points // (n - 1), 1)
    count = 0
    for k in range(n - 1):
        total = survival[k] - survival[k + 1]
        if total <= _MASS_FLOOR:
            continue
        size = edges[k + 1] - edges[k]
        points = size if whole else min(size, per_cell)
        share = total / points
        for j in range(points):
            index[count + j] = edges[k] + j
            mass[count + j] = share
        if points < size:
            for j in range(points):
                index[count + j] = edges[k] + int((j + 0.5) * size / points)
        count += points
    return count
