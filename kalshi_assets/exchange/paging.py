"""Walks a cursor-paged listing to its end; what the rows mean does not belong here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kalshi_assets.errors import MalformedResponse
from kalshi_assets.exchange.record import canonical_json

ASK_AGAIN = 2
_MOST_PAGES = 100_000


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing.

    Attributes:
        number: 1 for the first page of this walk.
        rows: the rows as parsed JSON.
        cursor: the cursor of the next page, None on the last.
    """

    number: int
    rows: list[Any]
    cursor: str | None


def pages(
    fetch: Callable[[str | None], dict[str, Any]],
    rows_key: str,
    *,
    endpoint: str,
    on_page: Callable[[Page], None] | None = None,
) -> Iterator[Page]:
    """Yield every page until the cursor is empty, absent or null.

    The exchange answers a cursor that it does not know with its first page, so an
    endless walk looks like progress. A page that gives a cursor which was given before,
    or begins with the row another page began with, was served twice: it is asked for
    again, ``ASK_AGAIN`` times at most, and then the listing counts as looping.

    Single rows may come on two pages, because a listing is no snapshot: that is no loop,
    and telling such twins by their key is the reader's work.

    Args:
        fetch: the response body for a cursor (None for the first page).
        rows_key: where the rows are in the body; null is an empty page, absence an error.
        endpoint: named in errors.
        on_page: called with each page once it is known to be one, before it is yielded.

    Raises:
        MalformedResponse: the listing loops, or a body is not a page.
    """
    cursor: str | None = None
    walked = _Walked()
    for number in range(1, _MOST_PAGES + 1):
        for _ in range(1 + ASK_AGAIN):
            page = _page(fetch(cursor), rows_key, number, endpoint)
            repeats = walked.repeats(page)
            if repeats is None:
                break
        else:
            raise MalformedResponse(f"{endpoint}: {repeats}, also when asked again; the listing loops.")
        walked.add(page)
        if on_page is not None:
            on_page(page)
        yield page
        if page.cursor is None:
            return
        cursor = page.cursor
    raise MalformedResponse(f"{endpoint}: more than {_MOST_PAGES} pages; the listing has no end.")


def _page(body: dict[str, Any], rows_key: str, number: int, endpoint: str) -> Page:
    # An absent key is a changed shape and must not pass for an empty listing; null is an empty list.
    rows = body.get(rows_key, "absent")
    if rows is None:
        rows = []
    if not isinstance(rows, list):
        raise MalformedResponse(f"{endpoint}: page {number} has no list {rows_key!r}.")
    cursor = body.get("cursor")
    if cursor is not None and not isinstance(cursor, str):
        raise MalformedResponse(f"{endpoint}: the cursor of page {number} is not a text.")
    return Page(number, rows, cursor or None)


class _Walked:
    """The cursors and first rows of the pages so far."""

    def __init__(self) -> None:
        self._cursors: set[str] = set()
        self._openings: set[str] = set()

    def repeats(self, page: Page) -> str | None:
        """In words, how the page repeats an earlier one; None where it does not."""
        if page.rows and canonical_json(page.rows[0]) in self._openings:
            return f"page {page.number} begins with the same row as an earlier page"
        if page.cursor in self._cursors:
            return f"the cursor of page {page.number} was given before"
        return None

    def add(self, page: Page) -> None:
        if page.rows:
            self._openings.add(canonical_json(page.rows[0]))
        if page.cursor is not None:
            self._cursors.add(page.cursor)
