"""A journal in memory; assertions do not belong here."""

from __future__ import annotations

from kalshi_assets.exchange.journal import Download


class MemoryJournal:
    """Keeps bodies in lists by download, and beside each its number, rows and cursor."""

    def __init__(self) -> None:
        self.kept: dict[Download, list[bytes]] = {}
        self.notes: dict[Download, list[tuple[int, int, str | None]]] = {}

    def pages(self, download: Download) -> list[bytes]:
        return list(self.kept.get(download, []))

    def keep(self, download: Download, page: int, body: bytes, *, rows: int, cursor: str | None) -> None:
        bodies, notes = self.kept.setdefault(download, []), self.notes.setdefault(download, [])
        assert page <= len(bodies) + 1, "pages are kept in order and without a gap"
        bodies[page - 1 : page] = [body]
        notes[page - 1 : page] = [(page, rows, cursor)]

    def forget(self, download: Download) -> None:
        self.kept.pop(download, None)
        self.notes.pop(download, None)
