from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.errors import ExchangeError, Unreachable
from kalshi_assets.http import ServerClock, Transport
from kalshi_assets.http.attempt import Answer, NoAnswer
from kalshi_assets.http.retry import RetryPolicy, retry_after_s
from kalshi_assets_tests.http.fake_time import FakeTime

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


@settings(deadline=None)
@given(seconds=st.integers(0, 10**8))
def test_both_forms_of_retry_after_say_the_same(seconds: int) -> None:
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retry_after_s(str(seconds), NOW) == retry_after_s(date, NOW) == seconds


# An attempt as the server makes it: how long it takes, its status (None: no answer), and the wish it comes with.
ATTEMPT = st.tuples(
    st.floats(0.0, 8.0),
    st.sampled_from([None, 200, 429, 429, 500, 503]),
    st.none() | st.tuples(st.just("seconds"), st.integers(0, 40)) | st.tuples(st.just("date"), st.integers(-5, 40)),
)


class BadDay:
    """Stands for the network: attempts by script on a fake clock, cut off at the deadline that each is given."""

    def __init__(self, script: list[Any]) -> None:
        self.time = FakeTime(start=NOW.timestamp())
        self.wishes: list[float | None] = []
        self._script = list(script)

    def __call__(self, session: Any, request: Any, *, deadline: float, **_: Any) -> Answer | NoAnswer:
        lasts, status, wish = self._script.pop(0) if self._script else (0.0, 503, None)
        left = deadline - self.time.now
        assert left > 0
        self.time.now += min(lasts, left)
        if status is None or lasts > left:
            self.wishes.append(None)
            return NoAnswer("the connection broke")
        if wish is None or status == 200:
            self.wishes.append(None)
            return Answer(status, {}, b"no JSON")
        form, seconds = wish
        now = datetime.fromtimestamp(self.time.now, UTC)
        date = format_datetime(now + timedelta(seconds=seconds), usegmt=True)
        header = str(seconds) if form == "seconds" else date
        self.wishes.append(retry_after_s(header, now))
        return Answer(status, {"Retry-After": header}, b"no JSON")


@settings(deadline=None, max_examples=150)
@given(script=st.lists(ATTEMPT, max_size=12), budget=st.floats(0.5, 25.0), cap=st.floats(0.0, 20.0))
def test_attempts_and_pauses_never_outlast_the_budget_and_wishes_are_obeyed_up_to_their_cap(
    script: list[Any], budget: float, cap: float
) -> None:
    day, policy = BadDay(script), RetryPolicy(attempts=8, budget_s=budget, retry_after_cap_s=cap)
    clock = day.time
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("kalshi_assets.http.transport.send", day)
        transport = Transport(
            "http://127.0.0.1:1",
            retry=policy,
            clock=clock.clock,
            sleep=clock.sleep,
            server_clock=ServerClock(clock.clock),
            rng=random.Random(1),
        )
        with transport, pytest.raises(ExchangeError, match=r"attempt"):
            transport.get_json("/x")
    # The last attempt is granted a twentieth of a second even where nothing is left.
    assert clock.now - NOW.timestamp() <= budget + 0.05 + 1e-6
    assert 1 <= len(day.wishes) <= policy.attempts
    assert len(clock.slept) == len(day.wishes) - 1
    for pause, wish in zip(clock.slept, day.wishes[:-1], strict=True):
        if wish is None:
            assert pause <= policy.cap_s
        else:
            assert pause == pytest.approx(min(wish, cap))


@contextmanager
def dripping(head: bytes) -> Iterator[str]:
    """A server that sends a head and then one byte every twentieth of a second, for five seconds."""
    done = threading.Event()

    def drip(client: socket.socket) -> None:
        with client:
            client.recv(65536)
            client.sendall(head + b"Content-Length: 100\r\n\r\n")
            for _ in range(100):
                if done.wait(0.05):
                    return
                try:
                    client.sendall(b" ")
                except OSError:
                    return

    def accept() -> None:
        while not done.is_set():
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=drip, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        done.set()
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\n",
        b"HTTP/1.1 404 Not Found\r\n",
        b"HTTP/1.1 503 Unavailable\r\nRetry-After: 0\r\n",
    ],
)
def test_no_body_drips_past_the_budget(head: bytes) -> None:
    started = time.monotonic()
    with (
        dripping(head) as url,
        Transport(url, retry=RetryPolicy(budget_s=0.4, base_s=0.001)) as transport,
        pytest.raises(Unreachable, match="time budget"),
    ):
        transport.get_json("/x")
    # Five seconds would be the whole body.
    assert time.monotonic() - started < 3
