"""Our clock as the server sees it: the offset read from Date headers; signing does not belong here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class ServerClock:
    """A wall clock that can be set by the server's ``Date`` header.

    The header has a resolution of one second, so the local clock is trusted until
    the server says that a timestamp has expired; only then is the offset applied.

    Args:
        now_s: local wall clock, Unix seconds.
    """

    def __init__(self, now_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        self._offset_s = 0.0
        self._measured_s: float | None = None
        self._lock = threading.Lock()

    @property
    def measured_skew_s(self) -> float | None:
        """Server minus local time at the last answer, within about a second; None before any."""
        return self._measured_s

    @property
    def offset_s(self) -> float:
        """Seconds added to the local clock."""
        return self._offset_s

    def now_ms(self) -> int:
        """Milliseconds since the epoch, by the corrected clock."""
        return int((self._now_s() + self._offset_s) * 1000)

    def now(self) -> datetime:
        """The corrected present, in UTC."""
        return datetime.fromtimestamp(self._now_s() + self._offset_s, tz=UTC)

    def observe(self, date_header: str | None) -> None:
        """Measure the offset from one answer; an absent or unreadable header changes nothing."""
        if not date_header:
            return
        try:
            server = parsedate_to_datetime(date_header)
        except (ValueError, TypeError, IndexError, OverflowError):
            return
        if server.tzinfo is None:
            server = server.replace(tzinfo=UTC)
        with self._lock:
            # The header is cut to the second: on average the server is half a second further on.
            self._measured_s = server.timestamp() + 0.5 - self._now_s()

    def resync(self) -> None:
        """Apply the last measured offset."""
        with self._lock:
            if self._measured_s is not None:
                self._offset_s = self._measured_s
