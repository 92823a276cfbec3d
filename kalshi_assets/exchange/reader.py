"""What every question to the exchange shares: signed where a key is, paged where it must be.

Which questions there are does not belong here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from kalshi_assets.errors import MalformedResponse
from kalshi_assets.exchange.downloads import Downloads
from kalshi_assets.exchange.findings import Findings
from kalshi_assets.exchange.journal import Journal
from kalshi_assets.exchange.paging import Page, pages
from kalshi_assets.http import Transport

OnPage = Callable[[str, Page], None]
Query = Mapping[str, Any]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Reader:
    """Asks the exchange through one transport.

    Every call is signed where the transport holds a key, because the key's own budget
    then applies, and unsigned otherwise: market data need no key.

    Args:
        transport: requests, retries, budget and signatures.
        findings: collects what the documentation does not know; an own one by default.
        now: our clock, which stamps order books on receipt and tells which ranges are over.
        on_page: called with the endpoint and each page of a listing, for progress.
        journal: keeps the answers about the past, so that a download goes on after a kill.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        findings: Findings | None = None,
        now: Callable[[], datetime] = _utc_now,
        on_page: OnPage | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.transport = transport
        self.findings = findings if findings is not None else Findings()
        self._now = now
        self._on_page = on_page
        self._downloads = Downloads(self._get, journal, now)

    def _get(
        self, path: str, query: Query | None = None, *, keep: Callable[[bytes], object] | None = None
    ) -> dict[str, Any]:
        return self.transport.get_json(path, query, signed=self.transport.can_sign, keep=keep)

    def _pages(self, path: str, rows_key: str, query: Query) -> Iterator[Page]:
        return pages(
            lambda cursor: self._get(path, {**query, "cursor": cursor}),
            rows_key,
            endpoint=path,
            on_page=self._hook(path),
        )

    def _rows(self, path: str, rows_key: str, query: Query) -> list[Any]:
        return [row for page in self._pages(path, rows_key, query) for row in page.rows]

    def _hook(self, path: str) -> Callable[[Page], None] | None:
        hook = self._on_page
        return None if hook is None else lambda page: hook(path, page)


def object_in(body: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The object under a key of a body.

    Raises:
        MalformedResponse: there is none.
    """
    value = body.get(key)
    if not isinstance(value, dict):
        raise MalformedResponse(f"The response has no object {key!r}; its shape has changed.")
    return value


def list_in(body: Mapping[str, Any], key: str) -> list[Any]:
    """The list under a key of a body; null is an empty list.

    Raises:
        MalformedResponse: there is none, or something else.
    """
    value = body.get(key, "absent")
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedResponse(f"The response has no list {key!r}; its shape has changed.")
    return value
