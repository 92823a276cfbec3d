from __future__ import annotations

from typing import Any

import pytest

from kalshi_assets.errors import MalformedResponse
from kalshi_assets.exchange.paging import Page, pages


class Listing:
    """Answers cursors from a table, as the exchange would."""

    def __init__(self, answers: dict[str | None, dict[str, Any]]) -> None:
        self.answers = answers
        self.asked: list[str | None] = []

    def __call__(self, cursor: str | None) -> dict[str, Any]:
        self.asked.append(cursor)
        return self.answers[cursor]


def walk(listing: Listing, **options: Any) -> list[Any]:
    return [row for page in pages(listing, "rows", endpoint="/things", **options) for row in page.rows]


@pytest.mark.parametrize("last", [{"cursor": ""}, {"cursor": None}, {}])
def test_the_walk_ends_on_an_empty_absent_or_null_cursor(last: dict[str, Any]) -> None:
    listing = Listing(
        {None: {"rows": [1, 2], "cursor": "a"}, "a": {"rows": [3], "cursor": "b"}, "b": {"rows": [4], **last}}
    )
    assert walk(listing) == [1, 2, 3, 4]
    assert listing.asked == [None, "a", "b"]


def test_an_empty_listing_is_no_error() -> None:
    assert walk(Listing({None: {"rows": [], "cursor": ""}})) == []
    assert walk(Listing({None: {"rows": None, "cursor": ""}})) == []


def test_an_empty_page_in_the_middle_is_passed() -> None:
    listing = Listing({None: {"rows": [1], "cursor": "a"}, "a": {"rows": [], "cursor": "b"}, "b": {"rows": [2]}})
    assert walk(listing) == [1, 2]


def test_a_cursor_that_comes_back_is_asked_for_twice_more_and_ends_the_walk_with_an_error() -> None:
    listing = Listing(
        {None: {"rows": [1], "cursor": "a"}, "a": {"rows": [2], "cursor": "b"}, "b": {"rows": [3], "cursor": "a"}}
    )
    with pytest.raises(MalformedResponse, match=r"/things.*page 3.*loops"):
        walk(listing)
    assert listing.asked == [None, "a", "b", "b", "b"]


def test_page_one_in_answer_to_a_lost_cursor_is_noticed() -> None:
    first = {"rows": [{"t": "X", "n": 1}, {"t": "Y"}]}
    listing = Listing({None: {**first, "cursor": "a"}, "a": {"rows": [{"n": 1, "t": "X"}, {"t": "Y"}], "cursor": "b"}})
    with pytest.raises(MalformedResponse, match=r"page 2 begins with the same row"):
        walk(listing)
    assert listing.asked == [None, "a", "a", "a"]


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("stale", [{"rows": [1], "cursor": "a"}, {"rows": [7], "cursor": "a"}, {"rows": [1]}])
def test_a_page_that_is_served_twice_is_asked_for_again(stale: dict[str, Any], times: int) -> None:
    answers = {None: {"rows": [1], "cursor": "a"}, "a": {"rows": [2], "cursor": "b"}, "b": {"rows": [3], "cursor": ""}}
    left = [stale] * times

    def fetch(cursor: str | None) -> dict[str, Any]:
        return left.pop() if cursor == "a" and left else answers[cursor]

    accepted: list[Page] = []
    walked = pages(fetch, "rows", endpoint="/things", on_page=accepted.append)
    if times > 2:
        with pytest.raises(MalformedResponse, match="loops"):
            list(walked)
        assert [p.number for p in accepted] == [1]
    else:
        assert [p.rows for p in walked] == [[1], [2], [3]]
        assert [p.number for p in accepted] == [1, 2, 3]


def test_a_row_on_two_pages_is_no_loop() -> None:
    listing = Listing({None: {"rows": [1, 2], "cursor": "a"}, "a": {"rows": [2, 3], "cursor": ""}})
    assert walk(listing) == [1, 2, 2, 3]


@pytest.mark.parametrize(
    "body", [{}, {"other": []}, {"rows": {}}, {"rows": "abc"}, {"rows": [], "cursor": 5}, {"rows": 7}]
)
def test_what_is_no_page_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(MalformedResponse, match="/things"):
        walk(Listing({None: body}))


def test_checkpoints() -> None:
    answers = {None: {"rows": [1], "cursor": "a"}, "a": {"rows": [2], "cursor": "b"}, "b": {"rows": [3], "cursor": ""}}
    kept: list[Page] = []
    assert walk(Listing(answers), on_page=kept.append) == [1, 2, 3]
    assert [(p.number, p.cursor) for p in kept] == [(1, "a"), (2, "b"), (3, None)]
