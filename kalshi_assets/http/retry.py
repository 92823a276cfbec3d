"""How long to wait before the next attempt, and when to stop trying; sending does not belong here."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds on the attempts of one call.

    Attributes:
        attempts: requests sent at most.
        base_s: upper bound of the first pause; it doubles with each attempt.
        cap_s: upper bound of any pause that we choose.
        budget_s: seconds that attempts and pauses may take together. Waiting for the rate
            limiter does not count: a queue is not a failure.
        loopback_budget_s: the same where a server on this machine refuses the connection,
            which means that nobody listens.
        retry_after_cap_s: longest ``Retry-After`` that is obeyed to the letter.
        connect_timeout_s: seconds for the connection.
        read_timeout_s: seconds of silence from the server.
    """

    attempts: int = 6
    base_s: float = 0.25
    cap_s: float = 8.0
    budget_s: float = 20.0
    loopback_budget_s: float = 3.0
    retry_after_cap_s: float = 15.0
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 15.0

    def pause_s(self, attempt: int, rng: random.Random, retry_after_s: float | None = None) -> float:
        """Seconds to wait after attempt number ``attempt`` (from 1).

        The server's wish replaces our backoff, it is not added to it. Without one
        the pause is uniform on (0, min(cap, base * 2^(attempt-1))): full jitter, so
        that clients which failed together do not come back together.
        """
        if retry_after_s is not None:
            return min(retry_after_s, self.retry_after_cap_s)
        return rng.uniform(0.0, min(self.cap_s, self.base_s * 2.0 ** (attempt - 1)))


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, in either of its two forms.

    Args:
        header: ``"7"`` or an HTTP date.
        now: the server's present, aware.

    Returns:
        A number >= 0 (a date gone by is 0), or None where the header is absent or unreadable.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
