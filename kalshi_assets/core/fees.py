"""The exchange's fee arithmetic, and which fee terms of a series held at a time.

Amounts only: whether a trade is worth its fee is ``core.pnl``'s question, and
the terms themselves come from the exchange (table ``series``), never from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kalshi_assets.core.columns import reals, times
from kalshi_assets.errors import DomainError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

TAKER_COEFFICIENT = 0.07
MAKER_COEFFICIENT = {
    "quadratic": 0.0,
    "quadratic_with_maker_fees": 0.0175,
    "quadratic_with_combo_maker_fees": 0.035,
}
_MICRO = 1_000_000
# Dollars to which each rule rounds up; None keeps the model fee.
_GRAIN_MICROUSD = {"model": None, "micro_ceil": 1, "ten_thousandth_ceil": 100, "cent_ceil": 10_000}


def taker_fee_usd(
    price_microusd: npt.ArrayLike,
    contracts: npt.ArrayLike,
    fee_type: str,
    multiplier: npt.ArrayLike = 1.0,
    *,
    rounding: str = "model",
) -> FloatArray:
    """Fee of a fill that takes liquidity: ``multiplier × 0.07 × C × P × (1 − P)`` dollars.

    Args:
        price_microusd: price paid a contract in micro-dollars, 0 to 1 000 000; any shape.
        contracts: number of contracts in the fill; broadcasts.
        fee_type: the series' fee type; every quadratic type charges takers alike.
        multiplier: the series' fee multiplier; broadcasts.
        rounding: ``model`` (none), ``micro_ceil`` (up to $0.000001, the documents of October 2026),
            ``ten_thousandth_ceil`` (up to $0.0001, those before August 2026) or ``cent_ceil``
            (up to the cent, the printed schedule of February 2026).

    Returns:
        Dollars, in the broadcast shape; NaN where an input is NaN.

    Raises:
        DomainError: an unknown fee type or rounding, or a price outside [0, 1] dollar.
    """
    _coefficient(fee_type)
    return _quadratic(price_microusd, contracts, TAKER_COEFFICIENT, multiplier, rounding)


def maker_fee_usd(
    price_microusd: npt.ArrayLike,
    contracts: npt.ArrayLike,
    fee_type: str,
    multiplier: npt.ArrayLike = 1.0,
    *,
    rounding: str = "model",
) -> FloatArray:
    """Fee of a fill that gives liquidity; zero on ``quadratic`` series. Otherwise as :func:`taker_fee_usd`."""
    return _quadratic(price_microusd, contracts, _coefficient(fee_type), multiplier, rounding)


def rounding_fee_usd(cost_usd: float, *, precision_usd: float = 0.01) -> float:
    """What is charged on top so that a balance moves by whole units of its precision.

    Args:
        cost_usd: price times contracts plus trade fee, in dollars.
        precision_usd: 0.01 for most members, 0.0001 for direct ones.

    Returns:
        Dollars in [0, precision), to the micro-dollar.
    """
    micro, grain = round(cost_usd * _MICRO), round(precision_usd * _MICRO)
    return float(-micro % grain) / _MICRO


@dataclass(frozen=True, slots=True)
class FeeTerms:
    """Fee terms that held for each of n requests.

    Attributes:
        fee_type: object array (n,), None where the exchange never stated one.
        multiplier: float array (n,), NaN where never stated.
        backdated: boolean array (n,), True where the oldest known terms were assumed to have held before
            they were first seen.
    """

    fee_type: npt.NDArray[Any]
    multiplier: FloatArray
    backdated: npt.NDArray[np.bool_]


def fee_terms_at(series: pa.Table, series_ticker: npt.NDArray[Any], at_us: IntArray) -> FeeTerms:
    """The terms of each series known at a time; the oldest ones, flagged, for a time before them.

    A fee schedule prices a trade, it does not predict one, so assuming the oldest known
    terms for the years before the first download leaks nothing into a forecast. The flag keeps the assumption visible.

    Args:
        series: rows of table ``series``, any number of versions of each series.
        series_ticker: object array (n,).
        at_us: microseconds since the epoch, shape (n,).

    Returns:
        Terms in the order of the requests. A null multiplier counts as unknown (NaN), never as one.
    """
    names = np.asarray(series["series_ticker"].to_pylist(), dtype=object)
    known = times(series["known_at"])
    types = np.asarray(series["fee_type"].to_pylist(), dtype=object)
    multipliers = reals(series["fee_multiplier"])
    fee_type = np.full(len(series_ticker), None, dtype=object)
    multiplier = np.full(len(series_ticker), np.nan)
    backdated = np.zeros(len(series_ticker), dtype=np.bool_)
    for name in set(series_ticker.tolist()):
        versions = np.flatnonzero((names == name) & np.array([t is not None for t in types], dtype=np.bool_))
        if not len(versions):
            continue
        versions = versions[np.argsort(known[versions], kind="stable")]
        rows = np.flatnonzero(series_ticker == name)
        position = np.searchsorted(known[versions], at_us[rows], side="right") - 1
        chosen = versions[np.maximum(position, 0)]
        fee_type[rows], multiplier[rows], backdated[rows] = types[chosen], multipliers[chosen], position < 0
    return FeeTerms(fee_type, multiplier, backdated)


def _coefficient(fee_type: str) -> float:
    if fee_type not in MAKER_COEFFICIENT:
        raise DomainError(
            f"Fee type {fee_type!r} has no published formula here: known are {sorted(MAKER_COEFFICIENT)}. "
            "Leave the series out or add its formula."
        )
    return MAKER_COEFFICIENT[fee_type]


def _quadratic(
    price_microusd: npt.ArrayLike,
    contracts: npt.ArrayLike,
    coefficient: float,
    multiplier: npt.ArrayLike,
    rounding: str,
) -> FloatArray:
    if rounding not in _GRAIN_MICROUSD:
        raise DomainError(f"Fee rounding {rounding!r} is unknown: choose one of {sorted(_GRAIN_MICROUSD)}.")
    price = np.asarray(price_microusd, dtype=np.float64)
    if np.any((price < 0) | (price > _MICRO)):
        raise DomainError("A fill price lies outside 0 to 1 dollar: give prices in micro-dollars, 0 to 1000000.")
    # An integer coefficient keeps small fills exact; the tolerance below keeps binary fractions of large
    # ones from pushing a fee that is a whole number of grains to the next one.
    scaled = round(coefficient * 10_000) * price * (_MICRO - price) * np.asarray(contracts) * np.asarray(multiplier)
    microusd = scaled / (10_000 * _MICRO)
    grain = _GRAIN_MICROUSD[rounding]
    if grain is not None:
        units = microusd / grain
        microusd = np.ceil(units - 1e-12 * np.maximum(units, 1.0)) * grain
    return np.asarray(microusd / _MICRO, dtype=np.float64)
