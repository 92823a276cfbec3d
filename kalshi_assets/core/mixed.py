"""Ladders whose contracts overlap: thresholds and ranges over one set of cutpoints, as one problem.

Every contract is worth the difference of the survival curve at its two ends,
``P = S_u - S_v``, so bids and asks are difference constraints. Whether any
curve satisfies them, and how far each point can move, is a shortest-path
question that integers answer exactly. The projection is a small quadratic
programme, solved by the dual active-set method of Goldfarb and Idnani (1983).
Its linear algebra is spelt out: a library's depends on the processor in the
last bits, and takes longer to compile than everything else here together.
Pure threshold ladders (``repair``) and pure bins (``simplex``) have faster
exact algorithms and do not come here.

Node convention: node 0 is the certain start (S = 1), nodes 1..m the finite
cutpoints in rising order, node m + 1 the certain end (S = 0).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.compiled import in_place

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Dense linear algebra: beyond this many cutpoints the projection would take seconds, so such a ladder is gated.
MAX_CUTPOINTS = 96
# Pull towards a uniform density. It decides only what the quotes leave open, since the proximal steps remove its
# effect wherever there is a target (each shrinks it by about the ratio of pull to weight).
_PULL = 1e-4
_PROXIMAL_STEPS = 6
_TOLERANCE = 1e-13

# Places in the workspace.
(_HESSIAN, _INVERSE, _GRAM, _MATRICES) = range(4)
(_FIXED, _GRADIENT, _PULLS, _ANCHOR, _X, _GOAL, _SIGN, _DUALS, _RATIO, _DIRECTION, _REAL_LINES) = range(11)
(_P, _Q, _ACTIVE, _INT_LINES) = range(4)


@in_place
def difference_envelope(u: Ints, v: Ints, lower: Ints, upper: Ints, n: int, m: int, low: Ints, high: Ints) -> bool:
    """Range of the survival at each node under all quotes, and whether the quotes are coherent.

    Bellman-Ford on the difference constraints ``lower <= S_u - S_v <= upper``
    and ``S_k >= S_{k+1}``; a negative cycle is a set of trades with a sure profit.

    Args:
        u: start node of each contract.
        v: end node of each contract, above ``u``.
        lower: bids in micro-dollars.
        upper: asks in micro-dollars.
        n: number of contracts.
        m: number of finite cutpoints.
        low: receives the least survival per node in micro-dollars, shape (>= m + 2,).
        high: receives the greatest.

    Returns:
        True when coherent; otherwise ``low`` and ``high`` mean nothing.
    """
    one = np.int64(1_000_000)
    low[: m + 1] = 0
    high[: m + 1] = one
    low[0] = one
    low[m + 1] = 0
    high[m + 1] = 0
    for _ in range(m + 3):
        changed = False
        for i in range(n):
            a, b = u[i], v[i]
            top = min(high[a], high[b] + upper[i])
            bottom = max(low[a], low[b] + lower[i])
            if top < high[a] or bottom > low[a]:
                high[a], low[a], changed = top, bottom, True
            top = min(high[b], high[a] - lower[i])
            bottom = max(low[b], low[a] - upper[i])
            if top < high[b] or bottom > low[b]:
                high[b], low[b], changed = top, bottom, True
        for k in range(1, m + 2):
            if high[k] > high[k - 1]:
                high[k], changed = high[k - 1], True
        for k in range(m, -1, -1):
            if low[k] < low[k + 1]:
                low[k], changed = low[k + 1], True
        for k in range(m + 2):
            if low[k] > high[k]:
                return False
        if not changed:
            return True
    return False


@in_place
def _add_square(hessian: Floats, gradient: Floats, p: int, q: int, m: int, weight: float, goal: float) -> None:
    """Add ``weight * (S_p - S_q - goal)^2 / 2`` in the free nodes 1..m."""
    constant = (1.0 if p == 0 else 0.0) - goal
    if 1 <= p <= m:
        hessian[p - 1, p - 1] += weight
        gradient[p - 1] += weight * constant
    if 1 <= q <= m:
        hessian[q - 1, q - 1] += weight
        gradient[q - 1] -= weight * constant
    if 1 <= p <= m and 1 <= q <= m:
        hessian[p - 1, q - 1] -= weight
        hessian[q - 1, p - 1] -= weight


@in_place
def _difference(x: Floats, p: int, q: int, m: int) -> float:
    """S_p - S_q with the fixed ends; ``x`` holds the free nodes."""
    start = 1.0 if p == 0 else (0.0 if p > m else x[p - 1])
    end = 1.0 if q == 0 else (0.0 if q > m else x[q - 1])
    return start - end


@in_place
def _factor(a: Floats, n: int) -> bool:
    """Cholesky factor of a symmetric matrix, in its lower triangle; False when it is not positive definite."""
    for j in range(n):
        for i in range(j, n):
            total = a[i, j]
            for k in range(j):
                total -= a[i, k] * a[j, k]
            if i > j:
                a[i, j] = total / a[j, j]
            elif total > 0.0:
                a[j, j] = math.sqrt(total)
            else:
                return False
    return True


@in_place
def _solve(factor: Floats, n: int, x: Floats) -> None:
    """Solve with a factor from ``_factor``; ``x`` holds the right side and receives the solution."""
    for i in range(n):
        for k in range(i):
            x[i] -= factor[i, k] * x[k]
        x[i] /= factor[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            x[i] -= factor[k, i] * x[k]
        x[i] /= factor[i, i]


@in_place
def _slope(vector: Floats, p: int, q: int, sign: float, m: int) -> float:
    """Inner product of a vector over the free nodes with the gradient of ``sign (S_p - S_q)``."""
    at_start = vector[p - 1] if 1 <= p <= m else 0.0
    at_end = vector[q - 1] if 1 <= q <= m else 0.0
    return float(sign * (at_start - at_end))


@in_place
def _active_set(
    gradient: Floats, p: Ints, q: Ints, goal: Floats, sign: Floats, n: int, m: int, x: Floats,
    dense: Floats, lines: Floats, active: Ints,
) -> bool:  # fmt: skip
    """Minimise ``x'Hx/2 + g'x`` subject to ``sign (S_p - S_q - goal) >= 0``; False when it did not converge.

    ``dense[_INVERSE]`` holds the inverse of H. Gradients of constraints have at most two entries, so
    products with them are differences of two numbers.
    """
    inverse, gram = dense[_INVERSE], dense[_GRAM]
    duals, ratio, direction = lines[_DUALS], lines[_RATIO], lines[_DIRECTION]
    for k in range(m):
        x[k] = 0.0
        for j in range(m):
            x[k] -= inverse[k, j] * gradient[j]
    size = 0
    for _ in range(50 * (n + 1)):
        worst, slack = -1, -_TOLERANCE
        for c in range(n):
            s = sign[c] * (_difference(x, p[c], q[c], m) - goal[c])
            if s < slack:
                worst, slack = c, s
        if worst < 0:
            return True
        a, b, way = p[worst], q[worst], sign[worst]
        entries = (1.0 if 1 <= a <= m else 0.0) + (1.0 if 1 <= b <= m else 0.0)
        dual = 0.0
        while True:
            for k in range(m):
                direction[k] = _slope(inverse[k], a, b, way, m)
            for i in range(size):
                c = active[i]
                ratio[i] = _slope(direction, p[c], q[c], sign[c], m)
                for j in range(i + 1):
                    d = active[j]
                    at_start = _slope(inverse[p[c] - 1], p[d], q[d], sign[d], m) if 1 <= p[c] <= m else 0.0
                    at_end = _slope(inverse[q[c] - 1], p[d], q[d], sign[d], m) if 1 <= q[c] <= m else 0.0
                    gram[i, j] = sign[c] * (at_start - at_end)
            if not _factor(gram, size):
                return False
            _solve(gram, size, ratio)
            for j in range(size):
                c = active[j]
                for k in range(m):
                    direction[k] -= ratio[j] * _slope(inverse[k], p[c], q[c], sign[c], m)
            curvature = _slope(direction, a, b, way, m)
            blocking, step = -1, np.inf
            for j in range(size):
                if ratio[j] > 1e-12 and duals[j] / ratio[j] < step:
                    blocking, step = j, duals[j] / ratio[j]
            full = np.inf if curvature < 1e-12 * entries or size >= m else -slack / curvature
            if step == np.inf and full == np.inf:
                return False
            length = min(step, full)
            if full != np.inf:
                for k in range(m):
                    x[k] += length * direction[k]
            for j in range(size):
                duals[j] -= length * ratio[j]
            dual += length
            if full <= step:
                duals[size] = dual
                active[size] = worst
                size += 1
                break
            for j in range(blocking, size - 1):
                duals[j] = duals[j + 1]
                active[j] = active[j + 1]
            size -= 1
            slack = way * (_difference(x, a, b, m) - goal[worst])
            if slack >= -_TOLERANCE:
                break
    return False


def dense_workspace(max_contracts: int, max_cutpoints: int) -> tuple[Floats, Floats, Ints]:
    """Workspace of ``project_in_place``: square matrices, and lines of reals and of integers."""
    m = max(min(max_cutpoints, MAX_CUTPOINTS), 1)
    length = 2 * max_contracts + m + 2
    return np.empty((_MATRICES, m, m)), np.empty((_REAL_LINES, length)), np.empty((_INT_LINES, length), np.int64)


@in_place
def project_in_place(
    u: Ints, v: Ints, lower: Floats, upper: Floats, target: Floats, weight: Floats, n: int, size: Floats, m: int,
    out: Floats, dense: Floats, lines: Floats, places: Ints,
) -> bool:  # fmt: skip
    """As ``project_differences``, in a workspace from ``dense_workspace``."""
    greatest = 0.0
    for i in range(n):
        greatest = max(greatest, weight[i])
    scale = 1.0 / greatest if greatest > 0.0 else 1.0
    hessian, inverse = dense[_HESSIAN], dense[_INVERSE]
    fixed, gradient, pull, anchor, x = lines[_FIXED], lines[_GRADIENT], lines[_PULLS], lines[_ANCHOR], lines[_X]
    goal, sign = lines[_GOAL], lines[_SIGN]
    p, q, active = places[_P], places[_Q], places[_ACTIVE]
    hessian[:m, :m] = 0.0
    fixed[:m] = 0.0
    for i in range(n):
        if weight[i] > 0.0:
            _add_square(hessian, fixed, u[i], v[i], m, weight[i] * scale, target[i])
    gradient[:m] = 0.0
    for j in range(m + 1):
        pull[j] = _PULL / size[j]
        _add_square(hessian, gradient, j, j + 1, m, pull[j], 0.0)
        anchor[j] = 0.0
    if not _factor(hessian, m):
        return False
    for k in range(m):
        inverse[k, :m] = 0.0
        inverse[k, k] = 1.0
        _solve(hessian, m, inverse[k])
    for i in range(n):
        p[2 * i], q[2 * i], goal[2 * i], sign[2 * i] = u[i], v[i], lower[i], 1.0
        p[2 * i + 1], q[2 * i + 1], goal[2 * i + 1], sign[2 * i + 1] = u[i], v[i], upper[i], -1.0
    for j in range(m + 1):
        p[2 * n + j], q[2 * n + j], goal[2 * n + j], sign[2 * n + j] = j, j + 1, 0.0, 1.0
    for _ in range(_PROXIMAL_STEPS):
        for k in range(m):
            gradient[k] = fixed[k]
        for j in range(m + 1):
            _add_square(dense[_GRAM], gradient, j, j + 1, m, pull[j], anchor[j])  # only the gradient is wanted
        if not _active_set(gradient, p, q, goal, sign, 2 * n + m + 1, m, x, dense, lines, active):
            return False
        for j in range(m + 1):
            anchor[j] = _difference(x, j, j + 1, m)
    ceiling = 1.0
    for k in range(m):  # rounding may leave a step of 1e-13 the wrong way
        ceiling = min(ceiling, max(x[k], 0.0))
        out[k] = ceiling
    return True


def project_differences(
    u: Ints, v: Ints, lower: Floats, upper: Floats, target: Floats, weight: Floats, n: int, size: Floats, m: int,
    out: Floats,
) -> bool:  # fmt: skip
    """Survival nearest to the contracts' mids: ``min sum w (S_u - S_v - m)^2`` inside all bounds.

    What the quotes leave open is settled by the most uniform density.

    Args:
        u: start node of each contract.
        v: end node of each contract.
        lower: lower bounds of the contracts' probabilities; the problem must be feasible.
        upper: upper bounds.
        target: mids; ignored where ``weight`` is 0.
        weight: non-negative.
        n: number of contracts.
        size: lattice points in each of the m + 1 cells between nodes.
        m: number of finite cutpoints, at least 1 and at most ``MAX_CUTPOINTS``.
        out: receives the survival at nodes 1..m, shape (>= m,).

    Returns:
        False when the iteration did not converge; ``out`` is then not to be used.
    """
    workspace = dense_workspace(n, m)
    return bool(project_in_place(u, v, lower, upper, target, weight, n, size, m, out, *workspace))
