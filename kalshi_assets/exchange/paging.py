"""Walks a cursor-paged listing to its end; what the rows mean does not belong here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kalshi_assets.errors import MalformedResponse
from kalshi_assets.exchange.record import canonical_json

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
    cursor: str | None = None,
    on_page: Callable[[Page], None] | None = None,
) -> Iterator[Page]:
    """Yield every page until the cursor is empty, absent or null.

    The exchange answers a cursor that it does not know with its first page, so an
    endless walk looks like progress. A cursor that comes back, or a page that
    begins with the row another page began with, therefore ends it with an error.

    Args:
        fetch: the response body for a cursor (None for the first page).
        rows_key: where the rows are in the body; null is an empty page, absence an error.
        endpoint: named in errors.
        cursor: where to resume.
        on_page: called with each page before it is yielded, for checkpoints.

    Raises:
        MalformedResponse: the listing loops, or a body is not a page.
    """
    seen_cursors: set[str | None] = {cursor}
    seen_openings: set[str] = set()
    for number in range(1, _MOST_PAGES + 1):
        body = fetch(cursor)
        # An absent key is a changed shape and must not pass for an empty listing; null is an empty list.
        rows = body.get(rows_key, "absent")
        if rows is None:
            rows = []
        if not isinstance(rows, list):
            raise MalformedResponse(f"{endpoint}: page {number} has no list {rows_key!r}.")
        following = body.get("cursor")
        if following is not None and not isinstance(following, str):
            raise MalformedResponse(f"{endpoint}: the cursor of page {number} is not a text.")
        if rows:
            opening = canonical_json(rows[0])
            if opening in seen_openings:
                raise MalformedResponse(
                    f"{endpoint}: page {number} begins with the same row as an earlier page; the listing loops."
                )
            seen_openings.add(opening)
        if following and following in seen_cursors:
            raise MalformedResponse(f"{endpoint}: the cursor of page {number} was given before; the listing loops.")
        page = Page(number, rows, following or None)
        if on_page is not None:
            on_page(page)
        yield page
        if not following:
            return
        seen_cursors.add(following)
        cursor = following
    raise MalformedResponse(f"{endpoint}: more than {_MOST_PAGES} pages; the listing has no end.")
