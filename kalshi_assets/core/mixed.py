"""Ladders whose contracts overlap: thresholds and ranges over one set of cutpoints, as one problem.

Every contract is worth the difference of the survival curve at its two ends,
``P = S_u - S_v``, so bids and asks are difference constraints. Whether any
curve satisfies them, and how far each point can move, is a shortest-path
question that integers answer exactly. The projection is a small quadratic
programme, solved by the dual active-set method of Goldfarb and Idnani (1983).
Pure threshold ladders (``repair``) and pure bins (``simplex``) have faster
exact algorithms and do not come here.

Node convention: node 0 is the certain start (S = 1), nodes 1..m the finite
cutpoints in rising order, node m + 1 the certain end (S = 0).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.compiled import compiled

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Dense linear algebra: beyond this many cutpoints the projection would take seconds, so such a ladder is gated.
MAX_CUTPOINTS = 96
# Pull towards a uniform density. It decides only what the quotes leave open, since the proximal steps remove its
# effect wherever there is a target (each shrinks it by about the ratio of pull to weight).
_PULL = 1e-4
_PROXIMAL_STEPS = 6
_TOLERANCE = 1e-13


@compiled
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


@compiled
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


@compiled
def _difference(x: Floats, p: int, q: int, m: int) -> float:
    """S_p - S_q with the fixed ends; ``x`` holds the free nodes."""
    start = 1.0 if p == 0 else (0.0 if p > m else x[p - 1])
    end = 1.0 if q == 0 else (0.0 if q > m else x[q - 1])
    return start - end


@compiled
def _active_set(
    inverse: Floats, gradient: Floats, p: Ints, q: Ints, goal: Floats, sign: Floats, n: int, m: int, x: Floats
) -> bool:
    """Minimise ``x'Hx/2 + g'x`` subject to ``sign (S_p - S_q - goal) >= 0``; False when it did not converge."""
    x[:] = -(inverse @ gradient)
    normals = np.zeros((m, m + 1))
    duals = np.zeros(m + 1)
    active = np.empty(m + 1, np.int64)
    size = 0
    for _ in range(50 * (n + 1)):
        worst, slack = -1, -_TOLERANCE
        for c in range(n):
            s = sign[c] * (_difference(x, p[c], q[c], m) - goal[c])
            if s < slack:
                worst, slack = c, s
        if worst < 0:
            return True
        normal: Floats = np.zeros(m)
        if 1 <= p[worst] <= m:
            normal[p[worst] - 1] += sign[worst]
        if 1 <= q[worst] <= m:
            normal[q[worst] - 1] -= sign[worst]
        dual = 0.0
        while True:
            direction = inverse @ normal
            ratio: Floats = np.zeros(size)
            if size > 0:
                basis = np.ascontiguousarray(normals[:, :size])
                spread = inverse @ basis
                ratio[:] = np.linalg.solve(basis.T @ spread, basis.T @ direction)
                direction = direction - spread @ ratio
            curvature = float(np.dot(direction, normal))
            blocking, step = -1, np.inf
            for j in range(size):
                if ratio[j] > 1e-12 and duals[j] / ratio[j] < step:
                    blocking, step = j, duals[j] / ratio[j]
            full = np.inf if curvature < 1e-12 * np.dot(normal, normal) or size >= m else -slack / curvature
            if step == np.inf and full == np.inf:
                return False
            length = min(step, full)
            if full != np.inf:
                x += length * direction
            duals[:size] -= length * ratio
            dual += length
            if full <= step:
                normals[:, size] = normal
                duals[size] = dual
                active[size] = worst
                size += 1
                break
            for j in range(blocking, size - 1):
                normals[:, j] = normals[:, j + 1]
                duals[j] = duals[j + 1]
                active[j] = active[j + 1]
            size -= 1
            slack = sign[worst] * (_difference(x, p[worst], q[worst], m) - goal[worst])
            if slack >= -_TOLERANCE:
                break
    return False


@compiled
def project_differences(
    u: Ints,
    v: Ints,
    lower: Floats,
    upper: Floats,
    target: Floats,
    weight: Floats,
    n: int,
    size: Floats,
    m: int,
    out: Floats,
) -> bool:
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
        m: number of finite cutpoints, at least 1.
        out: receives the survival at nodes 1..m, shape (>= m,).

    Returns:
        False when the iteration did not converge; ``out`` is then not to be used.
    """
    greatest = 0.0
    for i in range(n):
        greatest = max(greatest, weight[i])
    scale = 1.0 / greatest if greatest > 0.0 else 1.0
    hessian = np.zeros((m, m))
    fixed = np.zeros(m)
    for i in range(n):
        if weight[i] > 0.0:
            _add_square(hessian, fixed, u[i], v[i], m, weight[i] * scale, target[i])
    pull = np.empty(m + 1)
    unused = np.zeros(m)
    for j in range(m + 1):
        pull[j] = _PULL / size[j]
        _add_square(hessian, unused, j, j + 1, m, pull[j], 0.0)
    inverse = np.empty((m, m))
    inverse[:] = np.linalg.inv(hessian)
    total = 2 * n + m + 1
    p, q = np.empty(total, np.int64), np.empty(total, np.int64)
    goal, sign = np.empty(total), np.ones(total)
    for i in range(n):
        p[2 * i], q[2 * i], goal[2 * i] = u[i], v[i], lower[i]
        p[2 * i + 1], q[2 * i + 1], goal[2 * i + 1], sign[2 * i + 1] = u[i], v[i], upper[i], -1.0
    for j in range(m + 1):
        p[2 * n + j], q[2 * n + j], goal[2 * n + j] = j, j + 1, 0.0
    x = np.empty(m)
    anchor = np.zeros(m + 1)
    for _ in range(_PROXIMAL_STEPS):
        gradient = fixed.copy()
        scrap = np.zeros((m, m))
        for j in range(m + 1):
            _add_square(scrap, gradient, j, j + 1, m, pull[j], anchor[j])
        if not _active_set(inverse, gradient, p, q, goal, sign, total, m, x):
            return False
        for j in range(m + 1):
            anchor[j] = _difference(x, j, j + 1, m)
    ceiling = 1.0
    for k in range(m):  # rounding may leave a step of 1e-13 the wrong way
        ceiling = min(ceiling, max(x[k], 0.0))
        out[k] = ceiling
    return True
