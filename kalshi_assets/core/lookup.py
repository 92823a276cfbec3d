"""Which row of a sorted table was the newest one known at a time: kernels over runs of one contract or event.

Rows lie sorted by (name, known_at), so the rows of a name are one run. The newest row
known at a time is the one with the greatest ``ts`` among those with ``known_at`` up to it;
of equal ones the last in the run. Which rows are in hand belongs to the store; quotes
of many feeds, with their staleness, to ``asof``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.asof import last_known
from kalshi_assets.core.compiled import compiled

Ints = npt.NDArray[np.int64]


@compiled
def last_rows(starts: Ints, stops: Ints, known_at: Ints, as_of: Ints) -> Ints:
    """For each request the last row of its run that was known: the newest one where ``ts`` never falls in a run.

    Args:
        starts: shape (n_requests,), first row of each request's run.
        stops: shape (n_requests,), the row after its last one.
        known_at: shape (n_rows,), ascending in each run.
        as_of: shape (n_requests,), the times asked for, inclusive.

    Returns:
        Shape (n_requests,): row numbers, -1 where nothing was known.
    """
    found = np.empty(as_of.size, np.int64)
    for i in range(as_of.size):
        found[i] = last_known(known_at, starts[i], stops[i], as_of[i])
    return found


@compiled
def newest_rows(starts: Ints, stops: Ints, known_at: Ints, ts: Ints, as_of: Ints) -> Ints:
    """For each request the newest row of its run that was known, whatever the order of ``ts``.

    Args:
        starts: shape (n_requests,), first row of each request's run; requests of one run are neighbours.
        stops: shape (n_requests,), the row after its last one.
        known_at: shape (n_rows,), ascending in each run.
        ts: shape (n_rows,).
        as_of: shape (n_requests,), the times asked for, inclusive, ascending in each run.

    Returns:
        Shape (n_requests,): row numbers, -1 where nothing was known.
    """
    found = np.empty(as_of.size, np.int64)
    row, best = 0, -1
    for i in range(as_of.size):
        if i == 0 or starts[i] != starts[i - 1]:
            row, best = starts[i], -1
        while row < stops[i] and known_at[row] <= as_of[i]:
            if best < 0 or ts[row] >= ts[best]:
                best = row
            row += 1
        found[i] = best
    return found
