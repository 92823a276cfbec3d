"""Counts what the exchange sends beyond its documentation; refusing bad bodies does not belong here.

Fields come and go every few weeks without a version change. None of that may
stop a run, and all of it must be seen.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass

_MOST_KINDS = 10_000


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One kind of oddity.

    Attributes:
        endpoint: which response it was in.
        kind: ``unknown_field``, ``unknown_value`` or another short word.
        field: the field, with its value where that is the oddity.
        count: how often it was seen.
    """

    endpoint: str
    kind: str
    field: str
    count: int


class Findings:
    """Collects oddities by (endpoint, kind, field); safe to share between threads."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()

    def note(self, endpoint: str, kind: str, field: str, count: int = 1) -> None:
        """Count one oddity; the text is cut to a readable length."""
        key = (endpoint, kind, field[:120])
        with self._lock:
            if key in self._seen or len(self._seen) < _MOST_KINDS:
                self._seen[key] += count

    def summary(self) -> list[Finding]:
        """All findings so far, in a stable order."""
        with self._lock:
            return [Finding(*key, count) for key, count in sorted(self._seen.items())]

    def __len__(self) -> int:
        return len(self._seen)
