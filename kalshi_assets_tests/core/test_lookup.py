"""Lookups into sorted rows against looking at every row."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.lookup import last_rows, newest_rows

contracts = st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=8), min_size=1, max_size=4)
asked = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 10)), max_size=12)


def newest(rows: list[tuple[int, int]], start: int, stop: int, as_of: int) -> int:
    """Rows are (known_at, ts)."""
    known = [i for i in range(start, stop) if rows[i][0] <= as_of]
    return max(known, key=lambda i: (rows[i][1], i), default=-1)


@settings(deadline=None)
@given(contracts=contracts, asked=asked)
def test_the_newest_row_known_is_found_in_each_run(
    contracts: list[list[tuple[int, int]]], asked: list[tuple[int, int]]
) -> None:
    runs = [sorted(c) for c in contracts]
    rows = [row for run in runs for row in run]
    edges = np.cumsum([0, *map(len, runs)])
    known_at, ts = (np.array([row[i] for row in rows], np.int64) for i in (0, 1))
    pairs = sorted((c % len(runs), a) for c, a in asked if len(runs[c % len(runs)]))
    starts, stops = (np.array([edges[c + i] for c, _ in pairs], np.int64) for i in (0, 1))
    as_of = np.array([a for _, a in pairs], np.int64)
    expected = [newest(rows, *bounds) for bounds in zip(starts, stops, as_of, strict=True)]
    assert newest_rows(starts, stops, known_at, ts, as_of).tolist() == expected
    # Where ts never falls, the last row known is the newest one.
    rising = np.concatenate([np.sort(ts[a:b]) for a, b in pairwise(edges)]).astype(np.int64)
    in_order = list(zip(known_at.tolist(), rising.tolist(), strict=True))
    expected = [newest(in_order, *bounds) for bounds in zip(starts, stops, as_of, strict=True)]
    assert last_rows(starts, stops, known_at, as_of).tolist() == expected
    assert newest_rows(starts, stops, known_at, rising, as_of).tolist() == expected


def test_a_late_row_about_the_past_displaces_nothing() -> None:
    known_at, ts = np.array([1, 2, 5, 6], np.int64), np.array([1, 2, 0, 2], np.int64)
    starts, stops, as_of = (np.array(x, np.int64) for x in ([0] * 5, [4] * 5, [0, 1, 2, 5, 6]))
    assert newest_rows(starts, stops, known_at, ts, as_of).tolist() == [-1, 0, 1, 1, 3]
    assert last_rows(starts, stops, known_at, as_of).tolist() == [-1, 0, 1, 2, 3]
