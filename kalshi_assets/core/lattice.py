"""The publication lattice: exact conversion between strikes and lattice indices, and its tick when nobody states it.

A published value is ``index * tick``. Everything here is exact rational
arithmetic on the decimal text of a number, since 2.4 / 0.1 in floats is not 24.
What a contract pays on belongs to ``contracts``; probabilities to ``ladder``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

# Steps that agencies and exchanges publish on, coarsest first. Nothing coarser than 1 is ever inferred:
# strikes at 70, 80 and 90 degrees do not say that temperatures are published in tens.
_TICKS = tuple(
    Fraction(text)
    for text in (
        "1", "0.5", "0.25", "0.1", "0.05", "0.025", "0.01", "0.005", "0.0025", "0.001",
        "0.0005", "0.00025", "0.0001", "0.00001", "0.000001",
    )
)  # fmt: skip


def exact(value: float) -> Fraction:
    """The decimal number that a float was written as: ``exact(2.4) == Fraction(24, 10)``."""
    return Fraction(repr(float(value)))


def index_at_or_above(value: float, tick: float) -> int:
    """Smallest lattice index whose value is at least ``value``."""
    return math.ceil(exact(value) / exact(tick))


def index_above(value: float, tick: float) -> int:
    """Smallest lattice index whose value exceeds ``value``."""
    return math.floor(exact(value) / exact(tick)) + 1


def infer_tick(strikes: Iterable[float]) -> float | None:
    """Coarsest customary step that divides every strike.

    Args:
        strikes: finite strikes of one event, any order, repeats allowed.

    Returns:
        The step, at most 1 and at least 0.000001; None without a strike.
    """
    values = [exact(s) for s in strikes]
    if not values:
        return None
    for tick in _TICKS:
        if all((v / tick).denominator == 1 for v in values):
            return float(tick)
    return float(_TICKS[-1])
