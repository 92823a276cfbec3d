"""What a download that can be resumed is, and where its pages are kept; keeping them does not belong here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, order=True)
class Download:
    """One request, or one cursor-paged listing, over a range of time that is already past.

    Attributes:
        endpoint: the path without its variable segments, such as ``/markets/trades``.
        key: what was asked for: the ticker or tickers, and the period where there is one.
        start_s, end_s: the range as asked, Unix seconds, both ends included.
    """

    endpoint: str
    key: str
    start_s: int
    end_s: int


class Journal(Protocol):
    """Keeps the bodies of finished requests until whoever asked has committed what they hold."""

    def pages(self, download: Download) -> list[bytes]:
        """The bodies kept so far, first page first; empty where there is none."""

    def keep(self, download: Download, page: int, body: bytes, *, rows: int, cursor: str | None) -> None:
        """Keep one body; ``page`` counts from 1 and ``cursor`` leads to the next (None: this was the last)."""

    def forget(self, download: Download) -> None:
        """Drop the bodies of a download that turned out to be unusable."""
