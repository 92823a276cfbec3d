from __future__ import annotations

import numpy as np
import pytest

from kalshi_assets.emulator.consensus import BeliefLaw, belief_path, innovations, predicted, robust_sd

LAW = BeliefLaw(surprise_sd=0.1, drift_sd=0.05)
MINUTES = np.linspace(43_200, 5, 200)


def test_robust_sd_of_a_known_sample() -> None:
    assert robust_sd(np.array([1.0, 2.0, 3.0, 4.0, 1000.0])) == pytest.approx(1.4826)


def test_prediction_recovers_a_linear_law_despite_one_shock() -> None:
    rng = np.random.default_rng(1)
    y = list(rng.normal(0, 1, 13))
    for _ in range(400):
        y.append(y[-1] - 0.5 * (y[-1] - np.mean(y[-12:])) + 0.01 * rng.standard_normal())
        if len(y) == 200:
            y[-1] += 500.0
    prints = np.array(y)
    made = predicted(prints)
    assert np.isnan(made[:12]).all()
    quiet = np.r_[20:190, 240:410]
    assert np.median(np.abs(made[quiet] - prints[quiet])) < 0.02


@pytest.mark.parametrize("tails", ["normal", "heavy"])
def test_innovations_have_the_stated_spread_and_ignore_the_belief(tails: str) -> None:
    rng = np.random.default_rng(2)
    steps = rng.normal(0, 0.2, 130) if tails == "normal" else 0.2 * rng.standard_t(2, 130)
    prints = np.cumsum(steps)
    drawn = np.concatenate([innovations(prints, LAW, np.random.default_rng(s))[12:] for s in range(12)])
    known = np.tile((prints - predicted(prints))[12:], 12) - drawn
    assert np.std(drawn) == pytest.approx(LAW.innovation_sd, rel=0.1)
    assert abs(np.mean(drawn)) < 0.02
    # The part known at the listing says nothing about the rest, at either end of it.
    for side in (known > np.quantile(known, 0.8), known < np.quantile(known, 0.2)):
        assert abs(np.mean(drawn[side])) < 0.04


def test_paths_start_and_end_where_they_must() -> None:
    rng = np.random.default_rng(3)
    surprises, drifts = [], []
    for _ in range(4000):
        innovation = LAW.innovation_sd * rng.standard_normal()
        path = belief_path(3.0, innovation, MINUTES, np.ones(200), LAW, 0.0, rng)
        surprises.append(3.0 - path.consensus[-1])
        drifts.append(innovation - surprises[-1])
        assert np.array_equal(path.consensus, path.quoted)
    assert np.std(surprises) == pytest.approx(0.1, rel=0.05)
    assert np.std(drifts) == pytest.approx(0.05, rel=0.05)
    assert abs(np.corrcoef(surprises, drifts)[0, 1]) < 0.05
    assert path.sd[-1] == pytest.approx(0.1)
    assert path.sd[0] == pytest.approx(np.hypot(0.1, 0.05), rel=0.01)


def test_the_planted_overshoot_grows_along_the_drift_and_reverses() -> None:
    rng = np.random.default_rng(4)
    rest, drift = [], []
    for _ in range(2000):
        path = belief_path(0.0, LAW.innovation_sd * rng.standard_normal(), MINUTES, np.ones(200), LAW, 1.0, rng)
        rest.append(-path.quoted[-1])
        drift.append(path.quoted[-1] - path.quoted[0])
    # rest = surprise - s w and drift = W + s w, so their correlation is -s^2 / (sqrt(2) s sqrt(v^2 + s^2)).
    expected = -0.1 / (np.sqrt(2) * np.hypot(0.05, 0.1))
    assert np.corrcoef(rest, drift)[0, 1] == pytest.approx(expected, abs=0.05)
