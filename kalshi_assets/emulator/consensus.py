"""The simulated market's belief: a consensus that wanders from the listing to the release.

Prints are public facts and cannot be drawn, so each path is drawn backwards
from its print. It is done so that the belief stays a martingale: what happens
after the listing (the drift of the consensus and the final surprise) has mean
zero given what was public at the listing.

For print y let b be its linear prediction from the last print, the last
change and the mean of the last twelve, and r = y - b. With s the standard
deviation of the surprise, v that of the drift and S^2 = s^2 + v^2, the market
knows b + a at the listing, and

    r = a + I,    I ~ N(0, S^2) given a

is a Gaussian mixture over a. Its mixing distribution is estimated from the r of
the series by maximum likelihood (Kiefer and Wolfowitz 1956, by expectation
maximisation on a fine set of atoms), and each event's a is drawn from its
posterior given r. At the maximum the innovations I average zero at every atom,
so the belief at the listing cannot be improved by looking at itself, whatever
the tails of r; what the linear b misses of the history is within about one per
cent of the variance. A Brownian bridge then splits I into the increments of the
consensus c_t, which starts at c_0 = y - I, and the surprise.

A planted edge e adds an overshoot w ~ N(0, 1), cut at 2.5, one draw an event:

    quoted mean m_t = c_t + e s w f(t),   f rising from 0 at the listing to 1 at the release

so that print - m_T = surprise - e s w while the market's own drift m_t - m_0 carries
+ e s w f(t): drift predicts reversal. With e = 0 it predicts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_OVERSHOOT_LIMIT = 2.5
_MAD_TO_SD = 1.4826
_ATOM_OFFSETS = np.linspace(-2, 2, 17)
_EM_STEPS = 400
_REWEIGHTINGS = 20
_WINDOW = 12
# Share of the overshoot reached at so many minutes before the release: about even steps from horizon to horizon.
_RAMP_MINUTES = np.array([0.0, 60.0, 240.0, 1440.0, 4320.0, 10080.0, 20160.0, 43200.0])
_RAMP_SHARE = np.array([1.0, 0.97, 0.93, 0.85, 0.70, 0.50, 0.30, 0.0])


@dataclass(frozen=True, slots=True)
class BeliefLaw:
    """The spread of a series' news.

    Attributes:
        surprise_sd: standard deviation of print less final consensus, in the series' unit.
        drift_sd: standard deviation of the consensus' change from listing to release.
    """

    surprise_sd: float
    drift_sd: float

    @property
    def innovation_sd(self) -> float:
        """Standard deviation of print less the consensus at the listing."""
        return float(np.hypot(self.surprise_sd, self.drift_sd))


@dataclass(frozen=True, slots=True)
class BeliefPath:
    """One event's belief on a grid of times.

    Attributes:
        consensus: shape (g,); the fair mean at each time.
        quoted: shape (g,); the mean that prices follow, the consensus plus the planted overshoot.
        sd: shape (g,); standard deviation of the print around the consensus.
    """

    consensus: Floats
    quoted: Floats
    sd: Floats


def innovations(prints: Floats, law: BeliefLaw, rng: np.random.Generator) -> Floats:
    """Print less the consensus at the listing, for the prints of a series.

    Args:
        prints: shape (n,), the series' first prints in order of time, n > 12; no NaN.
        law: the spread of its news.
        rng: source of randomness.

    Returns:
        Shape (n,); the first twelve, which have too little history to predict from, are NaN.
    """
    rest = prints[_WINDOW:] - predicted(prints)[_WINDOW:]
    atoms = (rest[:, None] + law.innovation_sd * _ATOM_OFFSETS).ravel()
    likelihood = np.exp(-0.5 * ((rest[:, None] - atoms) / law.innovation_sd) ** 2)
    weight = np.full(len(atoms), 1 / len(atoms))
    for _ in range(_EM_STEPS):
        posterior = likelihood * weight
        posterior /= posterior.sum(axis=1, keepdims=True)
        weight = posterior.mean(axis=0)
    drawn = (np.cumsum(posterior, axis=1) < rng.random(len(rest))[:, None]).sum(axis=1)
    known = atoms[np.minimum(drawn, len(atoms) - 1)]
    return np.concatenate([np.full(_WINDOW, np.nan), rest - known])


def predicted(prints: Floats) -> Floats:
    """Each print predicted linearly from the one before, the change before it and the mean of twelve.

    The change to come is regressed on the last change and on the gap between the last print and the mean,
    both cut at four robust standard deviations, by Huber's weighting, so that one shock sets nothing.

    Args:
        prints: shape (n,), n > 13.

    Returns:
        Shape (n,); NaN for the first twelve.
    """
    n = len(prints)
    last = prints[_WINDOW - 1 : n - 1]
    sums = np.concatenate([[0.0], np.cumsum(prints)])
    mean = (sums[_WINDOW:n] - sums[: n - _WINDOW]) / _WINDOW
    momentum = _cut(last - prints[_WINDOW - 2 : n - 2])
    change = prints[_WINDOW:] - last
    design = np.column_stack([np.ones_like(change), _cut(last - mean), momentum])
    weight = np.ones(len(change))
    for _ in range(_REWEIGHTINGS):
        root = np.sqrt(weight)
        coefficients, *_ = np.linalg.lstsq(design * root[:, None], change * root, rcond=None)
        error = np.abs(change - design @ coefficients)
        scale = robust_sd(change - design @ coefficients)
        weight = 1 / np.maximum(1.0, error / scale) if scale > 0 else weight
    return np.concatenate([np.full(_WINDOW, np.nan), last + design @ coefficients])


def _cut(values: Floats) -> Floats:
    limit = 4 * robust_sd(values)
    return np.clip(values, -limit, limit) if limit > 0 else values


def robust_sd(values: Floats) -> float:
    """The median absolute deviation, scaled to a standard deviation."""
    return float(_MAD_TO_SD * np.median(np.abs(values - np.median(values))))


def belief_path(
    value: float,
    innovation: float,
    minutes_to_release: Floats,
    news: Floats,
    law: BeliefLaw,
    edge: float,
    rng: np.random.Generator,
) -> BeliefPath:
    """Split an event's innovation into a path and a surprise.

    Args:
        value: the print.
        innovation: print less the consensus at the listing.
        minutes_to_release: shape (g,), falling.
        news: shape (g,), weight of the news at each time; zero where the consensus rests.
        law: the spread of the news.
        edge: the planted overshoot in units of the surprise's standard deviation.
        rng: source of randomness.

    Returns:
        The path; its surprise is ``value - consensus[-1]``.
    """
    share = news / news.sum()
    variance = law.drift_sd**2 * share
    steps = np.sqrt(variance) * rng.standard_normal(len(share))
    surprise = law.surprise_sd * rng.standard_normal()
    missing = (innovation - steps.sum() - surprise) / law.innovation_sd**2
    steps += missing * variance
    consensus = value - innovation + np.cumsum(steps)
    overshoot = float(np.clip(rng.standard_normal(), -_OVERSHOOT_LIMIT, _OVERSHOOT_LIMIT))
    ramp = np.interp(minutes_to_release, _RAMP_MINUTES, _RAMP_SHARE)
    return BeliefPath(
        consensus=consensus,
        quoted=consensus + edge * law.surprise_sd * overshoot * ramp,
        sd=np.sqrt(law.surprise_sd**2 + law.drift_sd**2 * np.clip(1 - np.cumsum(share), 0, 1)),
    )
