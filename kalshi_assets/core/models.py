"""The ridge of the walk-forward and the design matrix it sees; seeds of the null models.

Arrays in, arrays out, for one fold at a time: which rows are training rows is
``core.folds``' decision, and turning predictions into tables ``core.walk_forward``'s.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_CONSTANT = 1e-12


@dataclass(frozen=True, slots=True)
class Design:
    """Standardised features of one fold.

    Attributes:
        train: shape (n_train, n_columns), each column mean 0 and standard deviation 1.
        test: shape (n_test, n_columns), on the training scale.
        columns: source column of each design column; ``-1 - j`` marks the missing-value indicator of column j.
    """

    train: FloatArray
    test: FloatArray
    columns: tuple[int, ...]


def build_design(train: FloatArray, test: FloatArray) -> Design:
    """Impute and standardise with what the training rows alone say.

    A value that is not finite is missing. A column missing in every training row is dropped. Other
    missing values take the training median, and a column with missing training values gets
    an indicator column. A column that is constant in training is dropped. A test value missing where training
    never was takes the median too: there is no training row from which an indicator could learn.

    Args:
        train: raw features, shape (n_train, n_features), n_train ≥ 1.
        test: raw features, shape (n_test, n_features).

    Returns:
        The design; zero columns when nothing varies.
    """
    present = np.isfinite(train)
    usable = np.flatnonzero(present.any(axis=0))
    partial = usable[~present[:, usable].all(axis=0)]
    median = _column_medians(train[:, usable], present[:, usable])

    def expand(rows: FloatArray) -> FloatArray:
        here = np.isfinite(rows)
        filled = np.where(here[:, usable], rows[:, usable], median)
        return np.hstack([filled, (~here[:, partial]).astype(np.float64)])

    raw, raw_test = expand(train), expand(test)
    centre, spread = raw.mean(axis=0), raw.std(axis=0)
    varies = spread > _CONSTANT * np.maximum(1.0, np.abs(centre))
    columns = np.concatenate([usable, -1 - partial])[varies]
    centre, spread = centre[varies], spread[varies]
    return Design((raw[:, varies] - centre) / spread, (raw_test[:, varies] - centre) / spread, tuple(columns.tolist()))


def _column_medians(values: FloatArray, present: BoolArray) -> FloatArray:
    ordered = np.sort(np.where(present, values, np.inf), axis=0)
    count = present.sum(axis=0)
    columns = np.arange(values.shape[1])
    return np.asarray((ordered[(count - 1) // 2, columns] + ordered[count // 2, columns]) / 2, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class RidgePath:
    """Ridge fits of several targets on one design, one for each penalty.

    Attributes:
        prediction: shape (n_alphas, n_test, n_targets).
        held_out: shape (n_alphas, n_train, n_targets): residual of each training row when it and every
            row that overlaps it are left out; NaN when nothing would remain to train on.
    """

    prediction: FloatArray
    held_out: FloatArray


def fit_ridge_path(design: Design, targets: FloatArray, alphas: FloatArray, overlap: BoolArray) -> RidgePath:
    """Minimise ``‖y − b₀ − Xb‖² + α‖b‖²`` for every α, with one singular value decomposition.

    The intercept is not penalised. Held-out residuals are exact for the standardisation of the
    whole training set: with hat matrix H and a left-out set S they solve
    ``(I − H_SS) r_S = e_S``, where e are the fitted residuals, so no model is refitted.

    Args:
        design: the fold's design.
        targets: shape (n_train, n_targets), finite.
        alphas: penalties, shape (n_alphas,), positive.
        overlap: shape (n_train, n_train), symmetric with a true diagonal: rows that leave together.

    Returns:
        Predictions and held-out residuals.
    """
    n = len(targets)
    intercept = targets.mean(axis=0)
    centred = targets - intercept
    left, singular, right = np.linalg.svd(design.train, full_matrices=False)
    shrink = singular / (singular**2 + alphas[:, None])
    loadings = left.T @ centred
    coefficients = right.T @ (shrink[:, :, None] * loadings)
    prediction = intercept + design.test @ coefficients
    keep = singular * shrink
    hat = (left[None] * keep[:, None, :]) @ left.T + 1 / n
    fitted = left @ (keep[:, :, None] * loadings)
    return RidgePath(prediction, _held_out_residuals(hat, centred - fitted, overlap))


def _held_out_residuals(hat: FloatArray, residual: FloatArray, overlap: BoolArray) -> FloatArray:
    n = len(overlap)
    size = int(overlap.sum(axis=1).max())
    if size >= n:
        return np.full_like(residual, np.nan)
    if size == 1:
        leverage = np.diagonal(hat, axis1=1, axis2=2)
        return np.asarray(residual / (1 - leverage)[:, :, None], dtype=np.float64)
    rows = np.arange(n)
    members = np.argsort(~overlap, axis=1, kind="stable")[:, :size]
    inside = overlap[rows[:, None], members]
    both = inside[:, :, None] & inside[:, None, :]
    blocks = np.eye(size) - np.where(both, hat[:, members[:, :, None], members[:, None, :]], 0.0)
    sides = np.where(inside[None, :, :, None], residual[:, members], 0.0)
    solved = np.linalg.solve(blocks, sides)
    own = (members == rows[:, None]).argmax(axis=1)
    return np.asarray(solved[:, rows, own], dtype=np.float64)


def skill(residual: FloatArray, target: FloatArray) -> float:
    """``1 − Σr²/Σy²``: share of the squared surprise explained; 0 is the market's own forecast, NaN if Σy² is 0."""
    total = float(np.sum(target**2))
    return 1 - float(np.sum(residual**2)) / total if total > 0 else float("nan")


def seeded(*parts: object) -> np.random.Generator:
    """A generator that depends on the named parts alone, never on what ran before."""
    digest = hashlib.sha256("|".join(str(p) for p in parts).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
