"""Damaged answers over a real socket: a typed error or the body that was meant, never anything else."""

from __future__ import annotations

import gzip
import json
import random
import socket
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from kalshi_assets.errors import ExchangeError, Unreachable
from kalshi_assets.exchange import Exchange
from kalshi_assets.exchange.connect import connect
from kalshi_assets.http import RetryPolicy
from kalshi_assets_tests.exchange import bodies
from kalshi_assets_tests.exchange.damage import damaged_bytes

ANSWERS = 600
QUICK = RetryPolicy(attempts=2, base_s=0.0005, cap_s=0.001, budget_s=2.0, read_timeout_s=0.5)
MARKET = json.dumps({"market": bodies.market(title="Más de 0,3?")}, default=float, ensure_ascii=False).encode()
CRLF = b"\r\n"


def answer(body: bytes, *headers: str, status: str = "200 OK", length: str | None = None) -> bytes:
    """The bytes of one HTTP answer; ``length`` replaces the true one, an empty text leaves it out."""
    said = str(len(body)) if length is None else length
    lines = [f"HTTP/1.1 {status}", *headers, *([f"Content-Length: {said}"] if said else [])]
    return CRLF.join(line.encode("latin-1") for line in lines) + CRLF * 2 + body


def chunked(body: bytes, rng: random.Random, *, spoilt: bool) -> bytes:
    """The body in chunks of random size; spoilt, one of their sizes or ends is wrong."""
    parts = [body[at : at + 97] for at in range(0, len(body), 97)]
    framed = [f"{len(p):x}".encode() + CRLF + p + CRLF for p in parts] + [b"0" + CRLF * 2]
    if spoilt:
        at = rng.randrange(len(framed))
        framed[at] = rng.choice(
            (b"zz" + CRLF, b"-5" + CRLF + framed[at], b"fffffffffffffffff" + CRLF, framed[at][:-3], b"61" + CRLF)
        )
    return answer(b"".join(framed), "Transfer-Encoding: chunked", length="")


# Each makes the bytes of an answer that carries MARKET in a frame that is wrong, odd, or odd but allowed.
FRAMES: dict[str, Callable[[random.Random], bytes]] = {
    "length too small": lambda r: answer(MARKET, length=str(r.randrange(len(MARKET)))),
    "length too large": lambda r: answer(MARKET, length=str(len(MARKET) + r.randrange(1, 10**6))),
    "length absurd": lambda r: answer(MARKET, length=r.choice(("-1", "x", "1e3", "0x10", str(10**30), "1, 2", " "))),
    "lengths at odds": lambda _: answer(MARKET, f"Content-Length: {len(MARKET) - 1}"),
    "no length": lambda _: answer(MARKET, length=""),
    "cut": lambda r: answer(MARKET)[: r.randrange(len(MARKET))],
    "chunks": lambda r: chunked(MARKET, r, spoilt=False),
    "bad chunks": lambda r: chunked(MARKET, r, spoilt=True),
    "gzip": lambda _: answer(gzip.compress(MARKET), "Content-Encoding: gzip"),
    "bad gzip": lambda r: answer(damaged_bytes(gzip.compress(MARKET), r), "Content-Encoding: gzip"),
    "cut gzip": lambda r: answer(gzip.compress(MARKET)[: -r.randrange(1, 60)], "Content-Encoding: gzip"),
    "not gzip": lambda r: answer(MARKET, f"Content-Encoding: {r.choice(('gzip', 'deflate', 'br', 'gzip, gzip'))}"),
    "deflate": lambda _: answer(zlib.compress(MARKET), "Content-Encoding: deflate"),
    "bad status line": lambda r: r.choice((b"", b"HTTP/1.1", b"HTTP/9.9 200 OK", b"200 OK", b"HTTP/1.1 2OO OK"))
    + answer(MARKET)[15:],
    "odd status": lambda r: answer(MARKET, status=r.choice(("99 x", "000 x", "1000 x", "599 x", "-200 x", "204 No"))),
    "interim": lambda _: b"HTTP/1.1 103 Early Hints" + CRLF * 2 + answer(MARKET),
    "redirect": lambda r: answer(
        MARKET, f"Location: {r.choice(('http://[', '//', 'ftp://x', '/x', 'http://a:99999/', ''))}", status="302 Found"
    ),
    "damaged head": lambda r: damaged_bytes(answer(MARKET)[:-len(MARKET)], r) + MARKET,
    "long header": lambda r: answer(MARKET, "X-Long: " + "a" * r.choice((10_000, 70_000))),
    "many headers": lambda r: answer(MARKET, *(f"X-{i}: 1" for i in range(r.choice((50, 500))))),
    "odd headers": lambda _: answer(MARKET, "Date: never", "Retry-After: -", "Set-Cookie: =;;;é", "No colon", ": x"),
    "old protocol": lambda _: answer(MARKET, length="").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "nothing": lambda _: b"",
}  # fmt: skip

# Each makes a body that is no answer, in a sound frame.
CONTENTS: dict[str, Callable[[random.Random], bytes]] = {
    "damaged bytes": lambda r: damaged_bytes(MARKET, r),
    "no UTF-8": lambda r: MARKET.decode().encode(r.choice(("latin-1", "utf-16", "utf-32"))),
    "byte order mark": lambda _: b"\xef\xbb\xbf" + MARKET,
    "huge numbers": lambda r: MARKET.replace(b"1800", r.choice((b"9" * 5000, b"1e999999999", b"-1e-999999999"))),
    "deep": lambda r: b'{"market":' * r.choice((500, 50_000)) + MARKET + b"}" * 500,
    "doubled key": lambda _: MARKET.replace(b'"title"', b'"ticker": 1, "title"'),
    "another JSON": lambda r: r.choice((b"[]", b"null", b"1", b'"x"', b"{}", b'{"market":[]}', b"NaN", b"\x00", b" ")),
    "an error with 200": lambda _: b'{"error":{"code":"internal","message":"internal"}}',
}
BOMB = gzip.compress(b'{"market":"' + b" " * 20_000_000 + b'"}')


class Replaying:
    """Answers every request on a connection of its own with the same bytes, then closes it."""

    def __init__(self) -> None:
        self.bytes = b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/trade-api/v2"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with client:
                client.settimeout(0.2)
                try:
                    client.recv(65536)
                    client.sendall(self.bytes)
                    # Closing with unread input would reset the connection and take the answer along.
                    client.shutdown(socket.SHUT_WR)
                    client.recv(1)
                except OSError:
                    pass

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()


@contextmanager
def replaying() -> Iterator[tuple[Replaying, Exchange]]:
    server = Replaying()
    try:
        exchange = connect(server.url, retry=QUICK)
        with exchange.transport:
            yield server, exchange
    finally:
        server.close()


def outcome(exchange: Exchange) -> str:
    """What came of asking for the market: its raw JSON, or the name of the typed error."""
    try:
        return exchange.market("X").raw_json
    except ExchangeError as error:
        return type(error).__name__


class TestFrames:
    def test_a_wrong_frame_gives_an_error_or_the_whole_body(self) -> None:
        rng, seen = random.Random("frames"), Counter[str]()
        with replaying() as (server, exchange):
            server.bytes = answer(MARKET)
            meant = outcome(exchange)
            for i in range(ANSWERS // 2):
                kind = list(FRAMES)[i % len(FRAMES)]
                server.bytes = FRAMES[kind](rng)
                result = outcome(exchange)
                assert result in {meant, "Unreachable", "MalformedResponse", "RequestRefused"}, (kind, result)
                seen[result] += 1
        assert seen[meant] > 50
        assert seen["Unreachable"] > 60
        assert seen["MalformedResponse"] > 10


class TestContents:
    def test_a_wrong_body_gives_an_error_or_a_market(self) -> None:
        rng, seen = random.Random("contents"), Counter[str]()
        with replaying() as (server, exchange):
            for i in range(ANSWERS // 2):
                body = CONTENTS[list(CONTENTS)[i % len(CONTENTS)]](rng)
                packed = gzip.compress(body, 1)
                server.bytes = rng.choice((answer(body), answer(packed, "Content-Encoding: gzip")))
                result = outcome(exchange)
                seen["a market" if result.startswith("{") else result] += 1
        assert seen["MalformedResponse"] > 60
        assert seen["a market"] > 30

    def test_a_small_bomb_is_an_error_too(self) -> None:
        with replaying() as (server, exchange):
            server.bytes = answer(BOMB, "Content-Encoding: gzip")
            assert len(BOMB) < 30_000
            assert outcome(exchange) == "MalformedResponse"

    def test_error_bodies_of_any_content_keep_the_statuss_error(self) -> None:
        rng = random.Random("errors")
        with replaying() as (server, exchange):
            for status, kind in ((401, "AuthenticationFailed"), (404, "NotFound"), (400, "RequestRefused")):
                for name in CONTENTS:
                    server.bytes = answer(CONTENTS[name](rng), status=f"{status} x")
                    assert outcome(exchange) == kind, name


def test_the_server_is_heard_again_afterwards() -> None:
    with replaying() as (server, exchange):
        with pytest.raises(Unreachable):
            exchange.market("X")
        server.bytes = answer(MARKET)
        assert exchange.market("X").title == "Más de 0,3?"
