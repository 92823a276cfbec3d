"""How much of a result is selection: probability of backtest overfitting (CSCV), combinatorial purged splits.

Works on a matrix of returns or on label intervals; knows no strategy. The
deflated Sharpe ratio, which needs only the number of trials, is in
``core.significance``.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.compiled import compiled
from kalshi_assets.errors import DomainError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MAX_BLOCKS = 16
_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class OverfittingResult:
    """Outcome of combinatorially symmetric cross-validation.

    Attributes:
        pbo: share of splits in which the in-sample best falls below the out-of-sample median.
        n_splits: number of splits, C(S, S/2).
        n_blocks: S.
        logits: shape (n_splits,), logit of the relative out-of-sample rank of the in-sample best.
    """

    pbo: float
    n_splits: int
    n_blocks: int
    logits: FloatArray


@lru_cache(maxsize=8)
def symmetric_splits(n_blocks: int) -> npt.NDArray[np.bool_]:
    """Every choice of half of the blocks, shape (C(S, S/2), S); True where the block is in sample."""
    if n_blocks < 2 or n_blocks % 2 or n_blocks > MAX_BLOCKS:
        raise DomainError(
            f"{n_blocks} blocks cannot be split symmetrically: give an even number from 2 to {MAX_BLOCKS}."
        )
    chosen = np.array(list(itertools.combinations(range(n_blocks), n_blocks // 2)))
    splits = np.zeros((len(chosen), n_blocks), dtype=np.bool_)
    splits[np.arange(len(chosen))[:, None], chosen] = True
    splits.setflags(write=False)
    return splits


def backtest_overfitting(returns: FloatArray, *, n_blocks: int = MAX_BLOCKS) -> OverfittingResult:
    """Probability of backtest overfitting by CSCV (Bailey, Borwein, López de Prado, Zhu 2017).

    The rows are cut into S blocks of adjacent observations, as equal as possible. In every split the
    configuration with the highest in-sample Sharpe ratio is ranked out of sample among all N; ties share
    their mean rank; ω = rank/(N + 1) and PBO = P(logit ω < 0). Block sums and block sums of squares
    are all that a split needs.

    Args:
        returns: shape (n_observations, n_configurations), in time order; a configuration that
            did not trade has 0, and one whose returns are constant has Sharpe ratio 0.
        n_blocks: S, even.

    Returns:
        The result; ``pbo`` NaN and no logits for fewer than two configurations, fewer than two
        observations a block, or any NaN among the returns.
    """
    splits = symmetric_splits(n_blocks)
    n, n_configs = returns.shape
    if n_configs < 2 or n < 2 * n_blocks or not np.isfinite(returns).all():
        return OverfittingResult(math.nan, 0, n_blocks, np.empty(0))
    starts = np.linspace(0, n, n_blocks + 1).astype(np.int64)[:-1]
    sums = np.add.reduceat(returns, starts, axis=0)
    squares = np.add.reduceat(returns**2, starts, axis=0)
    sizes = np.diff(np.append(starts, n)).astype(np.float64)
    omega = _relative_ranks(splits, sums, squares, sizes)
    logits = np.log(omega / (1 - omega))
    return OverfittingResult(float(np.mean(logits < -_SLACK)), len(splits), n_blocks, logits)


@compiled
def _relative_ranks(
    splits: npt.NDArray[np.bool_], sums: FloatArray, squares: FloatArray, sizes: FloatArray
) -> FloatArray:
    """Mid-rank over N + 1, out of sample, of each split's in-sample best."""
    n_splits, n_blocks = splits.shape
    n_configs = sums.shape[1]
    omega = np.empty(n_splits)
    total = np.empty((2, n_configs))
    square = np.empty((2, n_configs))
    sharpe = np.empty((2, n_configs))
    size = np.empty(2)
    for split in range(n_splits):
        total[:], square[:], size[:] = 0.0, 0.0, 0.0
        for block in range(n_blocks):
            side = 0 if splits[split, block] else 1
            size[side] += sizes[block]
            for c in range(n_configs):
                total[side, c] += sums[block, c]
                square[side, c] += squares[block, c]
        for side in range(2):
            for c in range(n_configs):
                mean = total[side, c] / size[side]
                variance = square[side, c] / size[side] - mean * mean
                # Rounding leaves a variance of about 1e-17 for a constant series.
                live = variance > 1e-12 * max(mean * mean, 1e-12)
                sharpe[side, c] = mean / np.sqrt(variance) if live else 0.0
        best = int(np.argmax(sharpe[0]))
        rank = 0.5
        for c in range(n_configs):
            gap = sharpe[1, c] - sharpe[1, best]
            # Equal strategies tie although their sums differ in the last bit.
            if gap < -_SLACK:
                rank += 1.0
            elif gap <= _SLACK:
                rank += 0.5
        omega[split] = rank / (n_configs + 1)
    return omega


@dataclass(frozen=True, slots=True)
class CombinatorialSplit:
    """One split of combinatorial purged cross-validation.

    Attributes:
        test_groups: groups under test, ascending.
        train: positions of training events, ascending.
        test: positions of test events, ascending.
        paths: for each test group, the back-test path that takes its out-of-sample result.
    """

    test_groups: tuple[int, ...]
    train: IntArray
    test: IntArray
    paths: tuple[int, ...]


def path_count(n_groups: int, n_test_groups: int) -> int:
    """Number of back-test paths, C(N, k)·k/N."""
    return math.comb(n_groups, n_test_groups) * n_test_groups // n_groups


def combinatorial_purged_splits(
    label_start: IntArray,
    label_end: IntArray,
    *,
    n_groups: int = 6,
    n_test_groups: int = 2,
    purge: int = 0,
    embargo: int = 0,
) -> list[CombinatorialSplit]:
    """Combinatorial purged cross-validation over events (López de Prado 2018, chapter 12).

    Events are cut into N groups of adjacent events; every choice of k groups is tested once.
    A training event leaves when its half-open label interval [start, end) meets
    [test start − purge, test end + purge) of any tested event, or starts in [test end, test end + embargo).

    Args:
        label_start: shape (n,), ascending; any integer unit.
        label_end: shape (n,), the same unit, each after its start.
        n_groups: N.
        n_test_groups: k, less than N.
        purge: widening of the tested intervals, in the same unit.
        embargo: further time after a tested interval, in the same unit.

    Returns:
        C(N, k) splits. Group g of path p is predicted by exactly one split, so the paths rebuild
        ``path_count`` complete histories.

    Raises:
        DomainError: unordered starts, an interval that ends before it starts, or groups that do not fit.
    """
    n = len(label_start)
    if np.any(np.diff(label_start) < 0) or np.any(label_end < label_start):
        raise DomainError("Label intervals are unordered or end before they start: sort events by label start.")
    if not 0 < n_test_groups < n_groups <= n:
        raise DomainError(
            f"{n} events cannot make {n_groups} groups with {n_test_groups} under test: lower the groups."
        )
    bounds = np.linspace(0, n, n_groups + 1).astype(np.int64)
    group = np.searchsorted(bounds, np.arange(n), side="right") - 1
    overlaps = (label_start[:, None] < label_end[None, :] + purge) & (label_end[:, None] > label_start[None, :] - purge)
    after = label_start[:, None] - label_end[None, :]
    spoils = overlaps | ((after >= 0) & (after < embargo))
    used = [0] * n_groups
    splits = []
    for chosen in itertools.combinations(range(n_groups), n_test_groups):
        tested = np.isin(group, chosen)
        train = ~tested & ~spoils[:, tested].any(axis=1)
        paths = tuple(used[g] for g in chosen)
        for g in chosen:
            used[g] += 1
        splits.append(CombinatorialSplit(chosen, np.flatnonzero(train), np.flatnonzero(tested), paths))
    return splits


def assemble_paths(splits: list[CombinatorialSplit], outcomes: list[FloatArray], n_groups: int) -> FloatArray:
    """Back-test paths out of each split's out-of-sample values.

    Args:
        splits: as made by :func:`combinatorial_purged_splits`.
        outcomes: for each split, one value for each of its ``test`` events, in that order.
        n_groups: N of the splits.

    Returns:
        Shape (n_paths, n_events): every row is one complete out-of-sample history.
    """
    n = sum(len(s.test) for s in splits) // path_count(n_groups, len(splits[0].test_groups))
    bounds = np.linspace(0, n, n_groups + 1).astype(np.int64)
    paths = np.full((path_count(n_groups, len(splits[0].test_groups)), n), np.nan)
    for split, values in zip(splits, outcomes, strict=True):
        group = np.searchsorted(bounds, split.test, side="right") - 1
        path_of = dict(zip(split.test_groups, split.paths, strict=True))
        paths[[path_of[int(g)] for g in group], split.test] = values
    return paths
