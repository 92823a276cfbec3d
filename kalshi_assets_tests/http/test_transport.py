"""The transport over real HTTP on loopback; only clocks and sleeps are injected."""

from __future__ import annotations

import gzip
import json
import logging
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from kalshi_assets.errors import (
    AuthenticationFailed,
    KalshiAssetsError,
    MalformedResponse,
    NotFound,
    RequestRefused,
    SettingsError,
    Unreachable,
)
from kalshi_assets.http import RequestEvent, RetryPolicy, ServerClock, TokenBucket, Transport, is_loopback
from kalshi_assets_tests.http.scripted_server import Reply, ScriptedServer

OK = Reply(200, {"answer": 1})
QUICK = RetryPolicy(base_s=0.001, cap_s=0.002)


@contextmanager
def scripted(script: Any, prefix: str = "", **options: Any) -> Iterator[tuple[ScriptedServer, Transport]]:
    options.setdefault("retry", QUICK)
    with ScriptedServer(script) as server, Transport(server.url + prefix, **options) as transport:
        yield server, transport


def test_numbers_with_a_fraction_arrive_as_decimals() -> None:
    with scripted([Reply(200, b'{"floor_strike": 0.3, "cap_strike": 4, "big": 0.1000000000000000055}')]) as (_, t):
        body = t.get_json("/m")
    assert body == {"floor_strike": Decimal("0.3"), "cap_strike": 4, "big": Decimal("0.1000000000000000055")}


def test_escaped_pairs_are_text() -> None:
    with scripted([Reply(200, b'{"x": "\\ud83d\\ude00"}')]) as (_, t):
        assert t.get_json("/m") == {"x": "\U0001f600"}


def test_query_and_headers_as_sent() -> None:
    with scripted([OK], prefix="/trade-api/v2") as (server, t):
        t.get_json("/markets", {"tickers": ["A", "B"], "cursor": None, "limit": 5, "list": "A,B"})
    (seen,) = server.seen
    assert seen.path == "/trade-api/v2/markets"
    assert seen.query == {"tickers": ["A", "B"], "limit": ["5"], "list": ["A,B"]}
    assert "Accept-Language" not in seen.headers
    assert "Authorization" not in seen.headers


@pytest.mark.parametrize(
    "bad",
    [
        Reply(429, {"error": "too many requests"}),
        Reply(500, {"error": {"code": "internal"}}),
        Reply(502, b"<html>bad gateway</html>"),
        Reply(503, {}),
        Reply(504, b""),
        Reply(200, b"<html>hello</html>"),
        Reply(200, b""),
        Reply(200, b"[1, 2]"),
        Reply(200, b'{"cut": '),
        Reply(200, b'{"x": NaN}'),
        Reply(200, b"\xff\xfe\x00"),
        Reply(200, b'{"half a pair": "\\ud83d"}'),
        Reply(200, b'{"half a pair": "\xed\xa0\xbd"}'),
        Reply(200, b"[" * 100_000),
        Reply(abort=True),
        Reply(200, b"{}", {"Content-Length": "10", "Connection": "close"}),
        Reply(200, b"not gzip", {"Content-Encoding": "gzip"}),
    ],
    ids=lambda r: f"{r.status}-{bytes(str(r.body)[:12], 'utf-8')!r}",
)
def test_what_may_pass_is_tried_again(bad: Reply) -> None:
    with scripted([bad, bad, OK]) as (server, t):
        assert t.get_json("/x") == {"answer": 1}
        assert len(server.seen) == 3
        assert (t.counters.requests, t.counters.retries, t.counters.failures) == (3, 2, 0)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, RequestRefused), (401, AuthenticationFailed), (403, AuthenticationFailed), (404, NotFound),
     (409, RequestRefused), (422, RequestRefused), (302, RequestRefused)],
)  # fmt: skip
def test_a_refusal_is_final_and_quoted(status: int, kind: type[Exception]) -> None:
    body = {"error": {"code": "c", "message": "the exchange said so"}}
    with scripted([Reply(status, body, {"Location": "http://127.0.0.1:1/other"}), OK]) as (server, t):
        with pytest.raises(kind) as caught:
            t.get_json("/markets/X", {"secretish": "q"})
        assert len(server.seen) == 1
    assert type(caught.value) is kind
    assert "GET /markets/X at 127.0.0.1" in str(caught.value)
    assert "secretish" not in str(caught.value)


def test_attempts_are_bounded_and_the_last_words_are_told() -> None:
    with scripted([Reply(503, {"message": "maintenance"})], retry=RetryPolicy(attempts=3, base_s=0.001)) as (server, t):
        with pytest.raises(Unreachable, match=r"503 \(maintenance\).*3 attempts"):
            t.get_json("/x")
        assert len(server.seen) == 3
        assert t.counters.failures == 1


def test_a_lasting_non_json_answer_is_malformed() -> None:
    with (
        scripted([Reply(200, b"<html>login</html>")], retry=RetryPolicy(attempts=2, base_s=0.001)) as (_, t),
        pytest.raises(MalformedResponse, match=r"HTML, not JSON.*base URL"),
    ):
        t.get_json("/x")


def test_retry_after_replaces_backoff_and_is_capped() -> None:
    slept: list[float] = []
    clock = ServerClock(lambda: 1_000_000_000.0)  # 2001-09-09T01:46:40Z
    script = [
        Reply(429, {"error": "too many requests"}, {"Retry-After": "2"}),
        Reply(429, {}, {"Retry-After": "Sun, 09 Sep 2001 01:46:43 GMT"}),
        Reply(429, {}, {"Retry-After": "86400"}),
        OK,
    ]
    policy = RetryPolicy(base_s=100.0, cap_s=100.0, retry_after_cap_s=5.0, budget_s=60.0)
    with scripted(script, retry=policy, sleep=slept.append, server_clock=clock) as (_, t):
        t.get_json("/x")
        assert slept == [2.0, 3.0, 5.0]
        assert t.counters.throttled == 3


def test_backoff_is_jittered_within_doubling_bounds() -> None:
    slept: list[float] = []
    policy = RetryPolicy(attempts=6, base_s=1.0, cap_s=4.0, budget_s=1000.0)
    with scripted([Reply(500)] * 5 + [OK], retry=policy, sleep=slept.append, rng=random.Random(3)) as (_, t):
        t.get_json("/x")
    assert len(slept) == 5
    assert all(0 <= s <= b for s, b in zip(slept, (1, 2, 4, 4, 4), strict=True))
    assert len(set(slept)) == 5


def test_pauses_and_attempts_share_one_budget() -> None:
    slept: list[float] = []
    policy = RetryPolicy(attempts=100, base_s=3.0, cap_s=3.0, budget_s=10.0)
    with scripted([Reply(500)], retry=policy, sleep=slept.append) as (_, t), pytest.raises(Unreachable):
        t.get_json("/x")
    assert sum(slept) <= 10.0
    assert len(slept) >= 3


def test_waiting_for_the_limiter_is_not_charged_to_the_budget() -> None:
    bucket = TokenBucket(25.0, 10.0)
    with scripted([Reply(500), Reply(500), OK], limiter=bucket, retry=RetryPolicy(base_s=0.001, budget_s=0.2)) as (
        _,
        t,
    ):
        assert t.get_json("/x") == {"answer": 1}


def test_each_attempt_pays_the_limiter() -> None:
    paid: list[float] = []

    class Meter(TokenBucket):
        def acquire(self, cost: float = 10.0) -> None:
            paid.append(cost)

    with scripted([Reply(500), OK], limiter=Meter(1, 1), cost_of=lambda path: 30.0 if path == "/x" else 1.0) as (_, t):
        t.get_json("/x")
    assert paid == [30.0, 30.0]


def test_a_dead_local_server_is_reported_within_seconds() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        port = held.getsockname()[1]
        started = time.monotonic()
        with Transport(f"http://127.0.0.1:{port}/v2") as t, pytest.raises(Unreachable) as caught:
            t.get_json("/exchange/status")
        assert time.monotonic() - started < 4.0
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "refused" in str(caught.value)
    assert caught.value.__context__ is None


def test_a_silent_server_times_out_within_the_budget() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        policy = RetryPolicy(attempts=3, read_timeout_s=0.1, budget_s=0.5, base_s=0.01)
        started = time.monotonic()
        with (
            Transport(f"http://127.0.0.1:{listener.getsockname()[1]}", retry=policy) as t,
            pytest.raises(Unreachable, match="timed out"),
        ):
            t.get_json("/x")
        assert time.monotonic() - started < 2.0


def test_a_dripping_body_cannot_hold_the_caller() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        stop = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not stop.wait(0.02):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        started = time.monotonic()
        policy = RetryPolicy(attempts=1, budget_s=0.3, read_timeout_s=5.0)
        with (
            Transport(f"http://127.0.0.1:{listener.getsockname()[1]}", retry=policy) as t,
            pytest.raises(Unreachable, match="time budget"),
        ):
            t.get_json("/x")
        assert time.monotonic() - started < 2.0
        stop.set()
        thread.join()


def test_a_compressed_chunked_body_is_read_whole() -> None:
    rows = {"rows": list(range(50_000))}
    data = gzip.compress(json.dumps(rows).encode())
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (data[i : i + 777] for i in range(0, len(data), 777)))

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
                connection.sendall(head + chunks + b"0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with Transport(f"http://127.0.0.1:{listener.getsockname()[1]}") as t:
            assert t.get_json("/x") == rows
        thread.join()


def test_signed_requests_carry_fresh_headers_for_the_path_as_sent() -> None:
    calls: list[tuple[str, str]] = []

    def authorize(method: str, path: str) -> dict[str, str]:
        calls.append((method, path))
        return {"X-Stamp": str(len(calls))}

    with scripted([Reply(500), OK], prefix="/trade-api/v2", authorize=authorize) as (server, t):
        t.get_json("/markets/GDP-232022%20Q4-T0.0", {"limit": 3}, signed=True)
        assert [s.headers["X-Stamp"] for s in server.seen] == ["1", "2"]
        t.get_json("/plain")
        assert "X-Stamp" not in server.seen[-1].headers
    assert calls == [("GET", "/trade-api/v2/markets/GDP-232022%20Q4-T0.0")] * 2
    assert {s.path for s in server.seen[:2]} == {"/trade-api/v2/markets/GDP-232022%20Q4-T0.0"}


def test_signing_without_a_key_never_reaches_the_network() -> None:
    with scripted([OK]) as (server, t):
        with pytest.raises(AuthenticationFailed, match="needs an API key"):
            t.get_json("/account/limits", signed=True)
        assert server.seen == []


EXPIRED = {"error": {"code": "header_timestamp_expired", "message": "header timestamp expired"}}


def test_an_expired_timestamp_sets_the_clock_and_is_tried_once_more() -> None:
    local = 1_000_000_000.0
    clock = ServerClock(lambda: local)
    script = [Reply(401, EXPIRED, {"Date": "Sun, 09 Sep 2001 01:48:40 GMT"}), OK]  # two minutes ahead
    with scripted(
        script, server_clock=clock, authorize=lambda m, p: {"X-Ms": str(clock.now_ms())}
    ) as (server, t):  # fmt: skip
        t.get_json("/x", signed=True)
        assert [int(s.headers["X-Ms"]) for s in server.seen] == [1_000_000_000_000, 1_000_000_120_500]


def test_a_timestamp_that_stays_expired_is_an_error_after_one_retry() -> None:
    with scripted([Reply(401, EXPIRED)], authorize=lambda m, p: {}) as (server, t):
        with pytest.raises(AuthenticationFailed, match="clock of this machine"):
            t.get_json("/x", signed=True)
        assert len(server.seen) == 2


def test_another_401_is_not_retried() -> None:
    body = {"error": {"code": "authentication_error", "details": "INCORRECT_API_KEY_SIGNATURE"}}
    with scripted([Reply(401, body)], authorize=lambda m, p: {}) as (server, t):
        with pytest.raises(AuthenticationFailed, match="INCORRECT_API_KEY_SIGNATURE"):
            t.get_json("/x", signed=True)
        assert len(server.seen) == 1


def test_an_answer_may_come_with_an_error_status() -> None:
    body = {"exchange_active": False, "trading_active": False}
    with scripted([Reply(503, body)]) as (_, t):
        assert t.get_json("/exchange/status", accepts=lambda status, b: "exchange_active" in b) == body


SECRET = "hunter2-Ünïcode key/with+odd&characters"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(400, {"error_code": 400, "error_message": f"Bad key {SECRET}."}),
        Reply(404, {"error_message": f"no {SECRET}"}),
        Reply(500, {"error": f"failed for {SECRET}"}),
        Reply(200, b"not json " + SECRET.encode()),
        Reply(400, {"msg": "x" * 290 + SECRET}),
        Reply(abort=True),
    ],
)
def test_a_secret_parameter_never_shows(reply: Reply, caplog: pytest.LogCaptureFixture) -> None:
    events: list[RequestEvent] = []
    policy = RetryPolicy(attempts=2, base_s=0.001)
    with (
        caplog.at_level(logging.DEBUG),
        scripted([reply], secret_params={"api_key": SECRET}, retry=policy, on_request=events.append) as (server, t),
    ):
        with pytest.raises(KalshiAssetsError) as caught:
            t.get_json("/series")
        assert server.seen[0].query["api_key"] == [SECRET]
        shown = [repr(t), str(caught.value), repr(caught.value), repr(events), caplog.text]
    error: BaseException | None = caught.value
    while error is not None:
        shown.append(repr(error))
        error = error.__cause__ or error.__context__
    assert caplog.text  # the library does log at this level, so the absence below means something
    for text in shown:
        assert "hunter2" not in text
        assert "odd&char" not in text
        assert "odd%26char" not in text


def test_a_secret_does_not_show_when_nobody_answers(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        policy = RetryPolicy(attempts=2, base_s=0.001)
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        with caplog.at_level(logging.DEBUG), Transport(url, retry=policy) as t:
            t.add_secret_params({"api_key": "hunter2"})
            with pytest.raises(Unreachable) as caught:
                t.get_json("/series")
    assert "hunter2" not in str(caught.value) + caplog.text
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "url", ["", "example.org", "ftp://example.org", "https://", "https://a.b/?q=1", "https://u:p@a.b", "https://[1"]
)
def test_a_base_url_is_checked(url: str) -> None:
    with pytest.raises(SettingsError, match="base URL"):
        Transport(url)


def test_a_key_is_not_sent_in_the_clear_to_another_machine() -> None:
    with pytest.raises(SettingsError, match="https"):
        Transport("http://example.org", authorize=lambda m, p: {})
    with pytest.raises(SettingsError, match="https"):
        Transport("http://example.org", secret_params={"api_key": "k"})
    with pytest.raises(SettingsError, match="https"):
        Transport("http://example.org").add_secret_params({"api_key": "k"})
    Transport("http://localhost:1", authorize=lambda m, p: {}).close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:80", True),
        ("http://[::1]/x", True),
        ("http://localhost", True),
        ("https://example.org", False),
        ("https://127.0.0.1.example.org", False),
        ("https://10.0.0.1", False),
    ],
)
def test_loopback(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected


def test_events_and_counters_tell_the_story() -> None:
    events: list[RequestEvent] = []
    with scripted([Reply(429, {}), OK, Reply(404, {})], on_request=events.append) as (_, t):
        t.get_json("/a")
        with pytest.raises(NotFound):
            t.get_json("/b")
        assert [(e.path, e.attempt, e.status, e.outcome) for e in events] == [
            ("/a", 1, 429, "retry"),
            ("/a", 2, 200, "ok"),
            ("/b", 1, 404, "refused"),
        ]
        counters = t.counters
        assert (counters.requests, counters.retries, counters.throttled, counters.failures) == (3, 1, 1, 1)
        assert counters.received_bytes == sum(e.received_bytes for e in events) > 0


def test_cookies_are_neither_kept_nor_sent() -> None:
    with scripted([Reply(200, {}, {"Set-Cookie": "a=b"}), OK]) as (server, t):
        t.get_json("/x")
        t.get_json("/x")
        assert "Cookie" not in server.seen[1].headers


def test_threads_share_a_transport() -> None:
    with scripted(lambda seen: Reply(200, {"n": int(seen.query["n"][0])})) as (_, t):
        wrong: list[int] = []

        def worker(base: int) -> None:
            wrong.extend(n for n in range(base, base + 25) if t.get_json("/x", {"n": n}) != {"n": n})

        threads = [threading.Thread(target=worker, args=(100 * i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert t.counters.requests == 150
