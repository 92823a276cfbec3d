"""The ridge and its design matrix against direct solutions and brute-force refits."""

from __future__ import annotations

import numpy as np
import pytest

from kalshi_assets.core.models import build_design, fit_ridge_path, seeded, skill

ALPHAS = np.array([0.1, 1.0, 25.0])


def problem(n: int = 40, p: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(3, 2, (n, p)), rng.normal(1, 2, (4, p)), rng.normal(size=(n, 2))


def direct(x: np.ndarray, y: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations with an unpenalised intercept as an extra column."""
    wide = np.column_stack([np.ones(len(x)), x])
    penalty = alpha * np.eye(wide.shape[1])
    penalty[0, 0] = 0
    solved = np.linalg.solve(wide.T @ wide + penalty, wide.T @ y)
    return solved[0], solved[1:]


def test_predictions_equal_the_normal_equations() -> None:
    train, test, y = problem()
    design = build_design(train, test)
    path = fit_ridge_path(design, y, ALPHAS, np.eye(40, dtype=bool))
    for a, alpha in enumerate(ALPHAS):
        intercept, coefficients = direct(design.train, y, alpha)
        assert np.allclose(path.prediction[a], intercept + design.test @ coefficients, atol=1e-10)


@pytest.mark.parametrize("width", [0, 1, 3])
def test_held_out_residuals_equal_refits_without_the_overlapping_rows(width: int) -> None:
    train, test, y = problem()
    design = build_design(train, test)
    rows = np.arange(40)
    overlap = np.abs(rows[:, None] - rows[None, :]) <= width
    path = fit_ridge_path(design, y, ALPHAS, overlap)
    for a, alpha in enumerate(ALPHAS):
        for i in (0, 7, 39):
            intercept, coefficients = direct(design.train[~overlap[i]], y[~overlap[i]], alpha)
            expected = y[i] - intercept - design.train[i] @ coefficients
            assert np.allclose(path.held_out[a, i], expected, atol=1e-9)


def test_nothing_left_to_train_on_is_nan() -> None:
    train, test, y = problem(6)
    path = fit_ridge_path(build_design(train, test), y, ALPHAS, np.ones((6, 6), dtype=bool))
    assert np.isnan(path.held_out).all()


def test_intercept_is_not_penalised() -> None:
    train, test, y = problem()
    path = fit_ridge_path(build_design(train, test), y + 100, np.array([1e12]), np.eye(40, dtype=bool))
    assert np.allclose(path.prediction, (y + 100).mean(axis=0), atol=1e-6)


def test_design_is_standardised_on_training_rows_alone() -> None:
    train, test, _ = problem()
    design = build_design(train, test)
    assert np.allclose(design.train.mean(axis=0), 0)
    assert np.allclose(design.train.std(axis=0), 1)
    assert np.allclose(design.test, (test - train.mean(axis=0)) / train.std(axis=0))
    assert np.array_equal(build_design(train, test * 1e6).train, design.train)


def test_missing_values_take_the_median_and_an_indicator() -> None:
    train = np.array([[1.0, 5.0], [2.0, np.nan], [9.0, 7.0], [4.0, np.inf]])
    design = build_design(train, np.array([[np.nan, np.nan]]))
    assert design.columns == (0, 1, -2)
    filled = np.array([[1, 5, 0], [2, 6, 1], [9, 7, 0], [4, 6, 1]], dtype=float)
    assert np.allclose(design.train, (filled - filled.mean(axis=0)) / filled.std(axis=0))
    assert np.allclose(design.test, (np.array([[3.0, 6.0, 1.0]]) - filled.mean(axis=0)) / filled.std(axis=0))


def test_columns_missing_or_constant_in_training_are_dropped() -> None:
    train = np.array([[np.nan, 4.0, 1.0], [np.nan, 4.0, 2.0], [np.nan, 4.0, 4.0]])
    design = build_design(train, np.array([[7.0, 9.0, 1.0]]))
    assert design.columns == (2,)
    empty = build_design(train[:, :2], np.array([[7.0, 9.0]]))
    assert empty.train.shape == (3, 0)
    path = fit_ridge_path(empty, np.array([[1.0], [2.0], [6.0]]), ALPHAS, np.eye(3, dtype=bool))
    assert np.allclose(path.prediction, 3.0)


def test_skill_is_relative_to_the_market() -> None:
    target = np.array([1.0, -2.0])
    assert skill(np.zeros(2), target) == 1.0
    assert skill(target, target) == 0.0
    assert np.isnan(skill(target, np.zeros(2)))


def test_seeds_depend_on_their_parts_alone() -> None:
    assert seeded(7, "a").random() == seeded(7, "a").random()
    assert seeded(7, "a").random() != seeded(8, "a").random() != seeded(7, "b").random()
