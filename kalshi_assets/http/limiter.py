"""A token bucket that many threads share; retries and HTTP do not belong here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_TOLERANCE = 1e-6  # tokens; below it a shortfall is rounding of the clock, not a debt
_LONGEST_NAP_S = 0.25  # a budget that grows meanwhile is noticed by then


class TokenBucket:
    """Spends at most ``capacity + rate * w`` tokens in any window of ``w`` seconds.

    A token is taken at the moment the caller goes on, not at the moment it
    asked. A late wake-up therefore never lets two requests leave together that
    the budget wanted apart, and the time slept too long is credited to the
    next caller, up to the capacity.

    A request that costs more than the capacity waits for a full bucket and
    leaves it in debt.

    Args:
        rate_per_s: tokens that flow back each second.
        capacity: tokens that the bucket can hold; it starts full.
        clock: seconds on a clock that never runs back.
        sleep: waits for a number of seconds.
    """

    def __init__(
        self,
        rate_per_s: float,
        capacity: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        _check(rate_per_s, capacity)
        self._rate = rate_per_s
        self._capacity = capacity
        self._tokens = capacity
        self._clock = clock
        self._sleep = sleep
        self._filled_at = clock()
        # One caller waits at a time and the rest queue behind it; the balance has a lock of its
        # own, so that reconfigure never waits for a sleeper.
        self._turn = threading.Lock()
        self._balance = threading.Lock()

    @property
    def rate_per_s(self) -> float:
        """Tokens that flow back each second."""
        return self._rate

    @property
    def capacity(self) -> float:
        """Tokens that the bucket can hold."""
        return self._capacity

    def acquire(self, cost: float = 10.0) -> None:
        """Return once ``cost`` tokens are taken, sleeping as long as that needs."""
        if cost <= 0:
            return
        with self._turn:
            while (wait := self._take(cost)) > 0:
                self._sleep(min(wait, _LONGEST_NAP_S))

    def reconfigure(self, rate: float, capacity: float) -> None:
        """Go on with another budget; what was saved up stays, up to the new capacity."""
        _check(rate, capacity)
        with self._balance:
            self._refill()
            self._rate = rate
            self._capacity = capacity
            self._tokens = min(self._tokens, capacity)

    def _take(self, cost: float) -> float:
        with self._balance:
            self._refill()
            needed = min(cost, self._capacity)
            if self._tokens >= needed - _TOLERANCE:
                self._tokens -= cost
                return 0.0
            return (needed - self._tokens) / self._rate

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self._capacity, self._tokens + max(0.0, now - self._filled_at) * self._rate)
        self._filled_at = now


def _check(rate: float, capacity: float) -> None:
    if not (rate > 0 and capacity > 0):
        raise ValueError(f"a token bucket needs a positive rate and capacity, not {rate} and {capacity}")
