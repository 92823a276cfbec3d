"""Scores of laws on a publication lattice against what came out: CRPS, log score, probability integral transform.

Many laws at once, in flat arrays. Errors of point forecasts, averages over
events and intervals of them do not belong here. The ranked probability score is
the CRPS over the lattice step, so it is not given apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kalshi_assets.errors import DomainError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Half a cent, the resolution of a price, as in the divergence of two laws (``core.distances``).
LOG_FLOOR = 0.005
_SAME_VALUE = 1e-9
_MASS_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class Laws:
    """Probability laws on finitely many points, one after the other.

    Attributes:
        offsets: shape (n + 1,); law i is ``support[offsets[i]:offsets[i + 1]]`` with its masses. A law without
            points is a missing one: every score of it is NaN.
        support: rising values within a law, in the series' unit.
        probability: masses, which add up to one within a law.
    """

    offsets: Ints
    support: Floats
    probability: Floats

    def __post_init__(self) -> None:
        inside = np.ones(max(len(self.support) - 1, 0), bool)
        starts = self.offsets[(self.offsets > 0) & (self.offsets < len(self.support))]
        inside[starts - 1] = False
        if not (np.diff(self.support)[inside] > 0).all():
            raise DomainError("A law's support does not rise: rebuild the distributions before scoring them.")
        wrong = np.abs(self._sums(self.probability) - 1.0) > _MASS_SLACK
        if (wrong & ~self.missing).any() or (self.probability < 0).any():
            raise DomainError("A law's masses are negative or do not add up to one: rebuild the distributions.")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """True for laws without points."""
        return np.asarray(np.diff(self.offsets) == 0, bool)

    def _owner(self) -> Ints:
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def _sums(self, values: Floats) -> Floats:
        return np.bincount(self._owner(), values, minlength=len(self)).astype(np.float64)

    def crps(self, outcome: Floats) -> Floats:
        """Continuous ranked probability score, ``E|X − y| − E|X − X'| / 2 = ∫ (F(x) − 1{x ≥ y})² dx``.

        Exact, in one pass: ``E|X − X'| / 2 = ∫ F (1 − F) dx`` (Gneiting and Raftery 2007, section 4.2).

        Args:
            outcome: shape (n,), in the series' unit; NaN where it is not known.

        Returns:
            Shape (n,), in the series' unit; NaN for a missing law or outcome. That of a point forecast
            is its absolute error.
        """
        owner = self._owner()
        distance = self._sums(self.probability * np.abs(self.support - outcome[owner]))
        cumulative = self._cumulative(owner)
        gap = np.diff(self.support, append=np.nan)
        last = np.append(owner[1:] != owner[:-1], np.ones(min(1, len(owner)), bool))
        spread = self._sums(np.where(last, 0.0, gap * cumulative * (1.0 - cumulative)))
        return np.where(self.missing, np.nan, distance - spread)

    def log_score(self, outcome: Floats, *, floor: float = LOG_FLOOR) -> Floats:
        """Logarithmic score ``−ln p'(y)`` with ``p' = (p + floor) / (1 + floor · K)``; lower is better.

        K counts the law's points and the outcome, which is a point of its own where the law gave it no mass, so
        that the floored masses still add up to one.

        Args:
            outcome: shape (n,); NaN where it is not known.
            floor: mass added to every point before the logarithm; with 0 an outcome without mass scores infinity.

        Returns:
            Shape (n,), in nats; NaN for a missing law or outcome.
        """
        low, high, held = self._around(outcome)
        points = np.diff(self.offsets) + ~held
        with np.errstate(divide="ignore"):
            score = np.log1p(floor * points) - np.log(np.where(np.isnan(low), np.nan, high - low) + floor)
        return np.where(self.missing, np.nan, score)

    def pit(self, outcome: Floats) -> tuple[Floats, Floats]:
        """Ends of the probability integral transform: ``F(y−)`` and ``F(y)``, shape (n,) each.

        On a lattice the transform is an interval; under a calibrated law a uniform draw from it is uniform on
        (0, 1). NaN for a missing law or outcome.
        """
        low, high, _ = self._around(outcome)
        return low, high

    def _around(self, outcome: Floats) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
        """``F(y−)``, ``F(y)`` and whether y is a point of the law."""
        owner = self._owner()
        slack = _SAME_VALUE * np.maximum(np.abs(outcome), 1.0)
        distance = self.support - outcome[owner]
        below, at = distance < -slack[owner], np.abs(distance) <= slack[owner]
        unknown = self.missing | np.isnan(outcome)
        low = self._sums(np.where(below, self.probability, 0.0))
        mass = self._sums(np.where(at, self.probability, 0.0))
        held = self._sums(at.astype(np.float64)) > 0
        return np.where(unknown, np.nan, low), np.where(unknown, np.nan, np.minimum(low + mass, 1.0)), held

    def _cumulative(self, owner: Ints) -> Floats:
        """``F`` at each point; within a law, so that rounding does not pile up over many laws."""
        total = np.cumsum(self.probability)
        before = np.append(0.0, total)[self.offsets[:-1]]
        return np.asarray(np.clip(total - before[owner], 0.0, 1.0), np.float64)


def randomised_pit(low: Floats, high: Floats, names: Sequence[str], *, seed: int) -> Floats:
    """One draw from each interval, ``F(y−) + V (F(y) − F(y−))`` with V uniform (Czado, Gneiting and Held 2009).

    V comes from a hash of seed and name, so that a forecast keeps its draw when others are added or left out.

    Args:
        low: shape (n,), ``F(y−)``.
        high: shape (n,), ``F(y)``.
        names: what each forecast is called; distinct.
        seed: of all draws.
    """
    digests = [hashlib.sha256(f"{seed}|{name}".encode()).digest()[:8] for name in names]
    uniform = (np.frombuffer(b"".join(digests), ">u8").astype(np.uint64) >> np.uint64(11)) * 2.0**-53
    return np.asarray(low + uniform * (high - low), np.float64)
