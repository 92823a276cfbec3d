"""Downloads that survive a kill: answers about the past are kept in a journal and recalled from it.

Only a range of time that is over can be kept, because the exchange still adds to one
that is not. What the answers mean, and where they are kept, do not belong here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from kalshi_assets.errors import MalformedResponse, RequestRefused
from kalshi_assets.exchange.journal import Download, Journal
from kalshi_assets.exchange.paging import Page, pages
from kalshi_assets.exchange.routing import unix_floor
from kalshi_assets.http.attempt import parse_object

_LONGEST_KEY = 200

T = TypeVar("T")


class Get(Protocol):
    """The JSON object at a path; ``keep`` is given the body as received."""

    def __call__(
        self, path: str, query: Mapping[str, Any] | None = None, *, keep: Callable[[bytes], object] | None = None
    ) -> dict[str, Any]:
        """Ask the exchange."""


def download_key(tickers: Sequence[str], period_minutes: int | None = None) -> str:
    """What a download asks for as one short text: the tickers, and the period where there is one.

    A long list is its first ticker and the SHA-256 of the whole list.
    """
    key = ",".join(tickers)
    if len(key) > _LONGEST_KEY:
        key = f"{tickers[0]},{hashlib.sha256(key.encode()).hexdigest()}"
    return key if period_minutes is None else f"{key}@{period_minutes}"


class Downloads:
    """Sends requests for market data, or recalls the answers that an earlier run received.

    Args:
        get: the JSON object at a path with a query.
        journal: where answers are kept; None keeps nothing.
        now: our clock: a range that ends before this second is over.
    """

    def __init__(self, get: Get, journal: Journal | None, now: Callable[[], datetime]) -> None:
        self._get = get
        self._journal = journal
        self._now = now

    def single(
        self,
        download: Download,
        path: str,
        query: Mapping[str, Any],
        read: Callable[[dict[str, Any]], T],
        rows: Callable[[T], int],
    ) -> T:
        """The answer to one request, read.

        Args:
            download: the request's name in the journal.
            path: appended to the base URL.
            query: the parameters.
            read: makes a value of the body, or raises MalformedResponse; only a body that it accepts is kept,
                and a kept body that it does not accept is forgotten and asked for again.
            rows: the rows in a value.

        Raises:
            NotFound: the exchange does not know what was asked for; that is never kept.
            ExchangeError: another refusal, or no answer.
        """
        journal = self._journal_for(download)
        if journal is None:
            return read(self._get(path, query))
        if kept := journal.pages(download):
            body = parse_object(kept[0])
            try:
                if isinstance(body, dict):
                    return read(body)
            except MalformedResponse:
                pass
            journal.forget(download)
        received = _Received()
        value = read(self._get(path, query, keep=received))
        if received:
            journal.keep(download, 1, received.body, rows=rows(value), cursor=None)
        return value

    def listing(
        self,
        download: Download,
        path: str,
        query: Mapping[str, Any],
        rows_key: str,
        read: Callable[[list[Any]], T],
        on_page: Callable[[Page], None] | None = None,
    ) -> T:
        """The rows of a cursor-paged listing, read; kept pages are replayed and the walk goes on behind them.

        A cursor can expire while nobody asks, and the exchange then answers with the first
        page. A walk that began with kept pages and comes to a loop, or to something that is no
        page, is therefore forgotten and walked once more from the first page on.

        Args:
            download: the listing's name in the journal.
            path: appended to the base URL.
            query: the parameters except the cursor.
            rows_key: where the rows are in a body.
            read: makes a value of all rows, or raises MalformedResponse, and then nothing stays kept: the same pages
                would fail every later run.
            on_page: called with each page, replayed ones too; after a new start from page 1 again.

        Raises:
            MalformedResponse: the listing loops, or a body is not what it should be.
            ExchangeError: another refusal, or no answer.
        """
        journal = self._journal_for(download)
        if journal is None:
            return read(self._walk(download, None, [], path, query, rows_key, on_page))
        if kept := journal.pages(download):
            try:
                return read(self._walk(download, journal, kept, path, query, rows_key, on_page))
            except (MalformedResponse, RequestRefused):
                journal.forget(download)
        found = self._walk(download, journal, [], path, query, rows_key, on_page)
        try:
            return read(found)
        except MalformedResponse:
            journal.forget(download)
            raise

    def _walk(
        self,
        download: Download,
        journal: Journal | None,
        kept: Sequence[bytes],
        path: str,
        query: Mapping[str, Any],
        rows_key: str,
        on_page: Callable[[Page], None] | None,
    ) -> list[Any]:
        replays = _by_cursor(kept)
        received = _Received()

        def fetch(cursor: str | None) -> dict[str, Any]:
            received.clear()
            # Each kept page is replayed once: asked for again, it is one that did not fit.
            replay = replays.pop(cursor, None)
            return replay if replay is not None else self._get(path, {**query, "cursor": cursor}, keep=received)

        def accept(page: Page) -> None:
            if journal is not None and received:
                journal.keep(download, page.number, received.body, rows=len(page.rows), cursor=page.cursor)
            if on_page is not None:
                on_page(page)

        return [row for page in pages(fetch, rows_key, endpoint=path, on_page=accept) for row in page.rows]

    def _journal_for(self, download: Download) -> Journal | None:
        """The journal where the download's range is over; None where nothing may be kept."""
        return self._journal if download.end_s < unix_floor(self._now()) else None


class _Received:
    """The last body as received."""

    def __init__(self) -> None:
        self.body = b""

    def __call__(self, body: bytes) -> None:
        self.body = body

    def __bool__(self) -> bool:
        return bool(self.body)

    def clear(self) -> None:
        self.body = b""


def _by_cursor(kept: Sequence[bytes]) -> dict[str | None, dict[str, Any]]:
    """The kept bodies by the cursor that led to each.

    Raises:
        MalformedResponse: a body is damaged.
    """
    bodies: dict[str | None, dict[str, Any]] = {}
    cursor: Any = None
    for data in kept:
        body = parse_object(data)
        if not isinstance(body, dict):
            raise MalformedResponse(f"A kept page {body}.")
        bodies.setdefault(cursor if isinstance(cursor, str) else None, body)
        cursor = body.get("cursor")
    return bodies
