"""This machine's clock against the exchange's; what the exchange offers is ``exchange_checks``'."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

from kalshi_assets.doctor.check import Check, failure, ok, skipped, warning
from kalshi_assets.errors import ExchangeError
from kalshi_assets.exchange.client import Exchange

GOOD_SKEW_S = 2.0
WORST_SKEW_S = 5.0
# The header is cut to the second, so the samples are spread over one.
SAMPLES_APART_S = 0.2
_NAME = "clock.skew"
_SAMPLES = 5
_SWITCH_ON = "Switch on NTP: `timedatectl set-ntp true` on Linux, Date & Time in the settings of macOS and Windows."


def measure_skew(
    exchange: Exchange, *, apart_s: float = SAMPLES_APART_S, sleep: Callable[[float], object] = time.sleep
) -> float | None:
    """Seconds that the exchange's clock is ahead of ours: the median over a few answers; None without a Date header."""
    samples: list[float] = []
    for number in range(_SAMPLES):
        if number:
            sleep(apart_s)
        try:
            exchange.status()
        except ExchangeError:
            break  # Whether it answers is another check's question.
        skew_s = exchange.transport.server_clock.measured_skew_s
        if skew_s is not None:
            samples.append(skew_s)
    return median_skew(samples)


def median_skew(samples: Sequence[float]) -> float | None:
    """The median of some measurements; None of none."""
    return median(samples) if samples else None


def judge_clock(skew_s: float | None) -> Check:
    """Ok below 2 s, a warning below 5 s, a failure from there on.

    Args:
        skew_s: the server's clock minus ours, in seconds, known within about half a second.
    """
    if skew_s is None:
        return skipped(_NAME, "The exchange's answers carry no date.")
    off = abs(skew_s)
    if off < GOOD_SKEW_S:
        return ok(_NAME, f"This clock agrees with the exchange's within {max(off, 0.5):.1f} s.")
    found = f"This clock is {_span(off)} {'behind' if skew_s > 0 else 'ahead of'} the exchange's."
    if off < WORST_SKEW_S:
        return warning(_NAME, found, f"{_SWITCH_ON} From {WORST_SKEW_S:.0f} s on signatures may be refused.")
    return failure(
        _NAME,
        f"{found} The exchange refuses signatures of such a clock, and order books would be stamped wrongly.",
        _SWITCH_ON,
    )


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600)):
        if seconds >= 2 * length:
            return f"{seconds:.1f} s ({seconds / length:.1f} {unit})"
    return f"{seconds:.1f} s"
