from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.errors import AuthenticationFailed, NotFound, RequestRefused
from kalshi_assets.http.refusal import Refusal, parse_refusal, typed_error


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (
            {"error": {"code": "bad_request", "message": "bad request", "details": "invalid status filter"}},
            "bad_request",
            "invalid status filter",
        ),
        ({"error": {"code": "bad_request", "message": "bad request"}}, "bad_request", "bad_request"),
        ({"code": "bad_json", "message": "no JSON", "details": "at byte 3"}, "bad_json", "no JSON: at byte 3"),
        ({"msg": "Parameter validation failed"}, "", "Parameter validation failed"),
        ({"error": "too many requests"}, "too many requests", "too many requests"),
        ({"error_code": 400, "error_message": "The series does not exist."}, "400", "The series does not exist."),
        ({"error": {"code": 7, "message": None}}, "7", "7"),
        ({"error": None}, "", ""),
        ([], "", ""),
        ("gateway", "", ""),
        (None, "", ""),
    ],
)  # fmt: skip
def test_every_error_shape(body: Any, code: str, words: str) -> None:
    assert parse_refusal(body) == Refusal(code, words)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "code", "message", "msg", "details"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(anything)
def test_no_body_breaks_the_parser(body: Any) -> None:
    refusal = parse_refusal(body)
    assert len(refusal.words) <= 300


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, RequestRefused), (401, AuthenticationFailed), (403, AuthenticationFailed), (404, NotFound),
     (409, RequestRefused), (418, RequestRefused), (301, RequestRefused)],
)  # fmt: skip
def test_the_status_decides_the_type_and_the_words_are_quoted(status: int, kind: type[Exception]) -> None:
    error = typed_error(status, Refusal("x", "the exchange's own words"), "GET /markets at example.org")
    assert type(error) is kind
    assert "GET /markets at example.org" in str(error)
    assert str(status) in str(error)
    assert status == 301 or "the exchange's own words" in str(error)


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        (Refusal("authentication_error", "authentication_error: INCORRECT_API_KEY_SIGNATURE"), "does not belong to"),
        (Refusal("authentication_error", "NOT_FOUND"), "demo and the real exchange"),
        (Refusal("header_timestamp_expired", ""), "clock"),
    ],
)
def test_a_401_says_what_to_change(refusal: Refusal, advice: str) -> None:
    assert advice in str(typed_error(401, refusal, "GET /x"))
