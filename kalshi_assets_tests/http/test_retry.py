from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.http.retry import RetryPolicy, retry_after_s

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("1.5", None),
        ("٣", None),
        ("Sun, 99 Nov 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_in_both_forms(header: str | None, expected: float | None) -> None:
    assert retry_after_s(header, NOW) == expected


@settings(deadline=None)
@given(st.text(max_size=40))
def test_retry_after_never_fails_and_is_never_negative(header: str) -> None:
    seconds = retry_after_s(header, NOW)
    assert seconds is None or seconds >= 0


@settings(deadline=None)
@given(attempt=st.integers(1, 60), seed=st.integers(0, 1000))
def test_backoff_is_jittered_below_a_doubling_bound(attempt: int, seed: int) -> None:
    policy = RetryPolicy(base_s=0.5, cap_s=8.0)
    assert 0 <= policy.pause_s(attempt, random.Random(seed)) <= min(8.0, 0.5 * 2 ** (attempt - 1))


def test_backoff_uses_the_whole_range() -> None:
    rng = random.Random(1)
    pauses = [RetryPolicy(base_s=1.0).pause_s(3, rng) for _ in range(500)]
    assert min(pauses) < 0.2
    assert max(pauses) > 3.8
    assert 1.8 < sum(pauses) / len(pauses) < 2.2


def test_the_servers_wish_replaces_backoff_and_is_capped() -> None:
    policy = RetryPolicy(retry_after_cap_s=15.0)
    assert policy.pause_s(5, random.Random(0), 2.0) == 2.0
    assert policy.pause_s(1, random.Random(0), 3600.0) == 15.0
