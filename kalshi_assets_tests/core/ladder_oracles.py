"""Slow, obvious references for the ladder's kernels: other algorithms, plain numpy, no cleverness."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression, linprog, nnls

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def least_squares_in_polyhedron(design: Floats, goal: Floats, normals: Floats, offsets: Floats) -> Floats:
    """``min |design x - goal|`` subject to ``normals x >= offsets``, by reduction to non-negative least squares.

    Lawson and Hanson, Solving Least Squares Problems, chapter 23. The design has full column rank.
    """
    q, r = np.linalg.qr(design)
    inverse = np.linalg.inv(r)
    g = normals @ inverse
    h = offsets - g @ (q.T @ goal)
    system = np.vstack([g.T, h])
    unit = np.zeros(system.shape[0])
    unit[-1] = 1.0
    u, _ = nnls(system, unit, maxiter=100 * system.shape[1])
    residual = system @ u - unit
    z = -residual[:-1] / residual[-1]
    return inverse @ (z + q.T @ goal)


def isotonic_in_bounds(target: Floats, weight: Floats, lower: Floats, upper: Floats) -> Floats:
    """Weighted projection onto non-increasing curves within bounds."""
    n = target.size
    root = np.sqrt(weight)
    falling = np.eye(n)[:-1] - np.eye(n, k=1)[:-1]
    normals = np.vstack([falling, np.eye(n), -np.eye(n)])
    offsets = np.concatenate([np.zeros(max(n - 1, 0)), lower, -upper])
    return least_squares_in_polyhedron(np.diag(root), root * target, normals, offsets)


def unbounded_decreasing(target: Floats, weight: Floats) -> Floats:
    return np.asarray(isotonic_regression(target, weights=weight, increasing=False).x)


def bins_in_bounds(target: Floats, weight: Floats, lower: Floats, upper: Floats) -> Floats:
    """Weighted projection onto probability vectors within bounds; the last cell is eliminated."""
    n = target.size
    root = np.sqrt(weight)
    free = np.vstack([np.eye(n - 1), -np.ones(n - 1)])
    constant = np.zeros(n)
    constant[-1] = 1.0
    design, goal = root[:, None] * free, root * (target - constant)
    normals = np.vstack([free, -free])
    offsets = np.concatenate([lower - constant, constant - upper])
    return free @ least_squares_in_polyhedron(design, goal, normals, offsets) + constant


def difference_rows(u: Ints, v: Ints, m: int) -> tuple[Floats, Floats]:
    """Contracts as ``rows @ S + constant`` in the free nodes 1..m; node 0 is worth 1 and node m + 1 nothing."""
    padded = np.zeros((u.size, m + 2))
    np.add.at(padded, (np.arange(u.size), u), 1.0)
    np.add.at(padded, (np.arange(u.size), v), -1.0)
    return padded[:, 1 : m + 1], padded[:, 0]


def cells(m: int) -> tuple[Floats, Floats]:
    return difference_rows(np.arange(m + 1), np.arange(1, m + 2), m)


def differences_in_bounds(
    u: Ints, v: Ints, target: Floats, weight: Floats, lower: Floats, upper: Floats, m: int
) -> Floats:
    """Survival at the free nodes nearest to the contracts' targets; every node must be determined by them."""
    rows, constant = difference_rows(u, v, m)
    steps, first = cells(m)
    root = np.sqrt(weight)
    normals = np.vstack([rows, -rows, steps])
    offsets = np.concatenate([lower - constant, constant - upper, -first])
    return least_squares_in_polyhedron(root[:, None] * rows, root * (target - constant), normals, offsets)


def survival_range(u: Ints, v: Ints, lower: Ints, upper: Ints, m: int) -> tuple[Floats, Floats] | None:
    """Least and greatest survival at every free node by linear programming; None when the bounds contradict."""
    rows, constant = difference_rows(u, v, m)
    steps, first = cells(m)
    a = np.vstack([rows, -rows, -steps])
    b = np.concatenate([upper / 1e6 - constant, constant - lower / 1e6, first])
    ends: list[list[float]] = []
    for sign in (1.0, -1.0):
        found = []
        for k in range(m):
            c = np.zeros(m)
            c[k] = sign
            solved = linprog(c, A_ub=a, b_ub=b, bounds=[(0.0, 1.0)] * m, method="highs")
            if solved.status != 0:
                return None
            found.append(sign * solved.fun)
        ends.append(found)
    return np.array(ends[0]), np.array(ends[1])


def pmf_moments(x: Floats, p: Floats) -> dict[str, float]:
    """Moments of a mass function, term by term."""
    mean = float(np.sum(p * x))
    variance = float(np.sum(p * (x - mean) ** 2))
    positive = p[p > 0]
    cumulative = np.cumsum(p)
    return {
        "mean": mean,
        "variance": variance,
        "std": variance**0.5,
        "skewness": float(np.sum(p * (x - mean) ** 3)) / variance**1.5 if variance > 1e-12 else 0.0,
        "kurtosis": float(np.sum(p * (x - mean) ** 4)) / variance**2 if variance > 1e-12 else np.nan,
        "entropy": float(-np.sum(positive * np.log(positive))),
        "median": float(x[np.argmax(cumulative >= 0.5 - 1e-12)]),
        "mode": float(x[np.argmax(p > p.max() - 1e-12)]),
    }
