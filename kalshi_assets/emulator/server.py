"""The HTTP server in front of the loopback exchange and the loopback FRED, on 127.0.0.1 only.

Threads of the standard library with keep-alive: measured here, they answer as
many requests a second as an event loop does, and Arrow renders pages of several
connections at once. What is answered is decided elsewhere.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any, ClassVar

from kalshi_assets.emulator.archive import Archive
from kalshi_assets.emulator.drift import drifted
from kalshi_assets.emulator.exchange import PREFIX as EXCHANGE_PREFIX
from kalshi_assets.emulator.exchange import LoopbackExchange
from kalshi_assets.emulator.fault_plan import FaultPlan
from kalshi_assets.emulator.faults import Script
from kalshi_assets.emulator.fred import PREFIX as FRED_PREFIX
from kalshi_assets.emulator.fred import LoopbackFred
from kalshi_assets.emulator.query import NO_SLIP, Slip
from kalshi_assets.emulator.replies import Reply, nested_error, not_found
from kalshi_assets.emulator.served import Clock, index_archive
from kalshi_assets.emulator.signatures import SignatureCheck
from kalshi_assets.errors import UsageError

HOST = "127.0.0.1"
_POLL_S = 0.02

# Closing with this option set discards what is unsent and sends RST instead of FIN.
_LINGER_NOT = struct.pack("ii", 1, 0)

Answer = Callable[[str, str, Mapping[str, str], Slip], Reply]


class RunningServer:
    """A server on a thread of its own; a context manager that stops it."""

    def __init__(self, server: _Server, archive: Archive) -> None:
        """Start answering."""
        self._server = server
        self.simulated = archive.simulated
        self.port: int = server.server_address[1]
        self.base_url = f"http://{HOST}:{self.port}{EXCHANGE_PREFIX}"
        self.fred_url = f"http://{HOST}:{self.port}{FRED_PREFIX}"
        self._thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": _POLL_S}, name="loopback-exchange", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop, and free the port. Calling it again does nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def wait(self) -> None:
        """Block until the server is closed."""
        self._thread.join()

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(
    archive: Archive, *, port: int = 0, plan: FaultPlan | None = None, now: Clock | None = None, **switches: Any
) -> RunningServer:
    """Serve an archive on 127.0.0.1.

    Args:
        archive: what to serve.
        port: the port; 0 takes a free one.
        plan: faults and switches; without one the archive is served faithfully.
        now: Unix seconds of a replay that goes on, instead of the plan's fixed instant. With either, later
            candles, trades and outcomes are hidden, and it is the clock of signatures and ``Date`` headers.
            Without both the archive is shown as recorded.
        switches: single fields of the plan (``rate_limit=2``, ``public_keys={"me": pem}``), over its own.

    Returns:
        The running server.

    Raises:
        UsageError: the port is taken, a public key cannot be read, or the cutoff is no time.
    """
    plan = replace(plan or FaultPlan(), **switches)
    if now is None and plan.now is not None:
        instant = plan.now.timestamp()
        now = lambda: instant  # noqa: E731
    served = index_archive(
        archive,
        now=now,
        cutoff={str(name): moment for name, moment in plan.cutoff.items()},
        overlap_s=plan.overlap_s,
        clock_skew_s=plan.clock_skew_s,
        maintenance=plan.maintenance,
    )
    exchange = LoopbackExchange(
        served,
        signatures=SignatureCheck(plan.public_keys),
        rate_limit=plan.rate_limit,
        moves=[(move.after_requests, move.fields()) for move in plan.cutoff_moves],
    )
    fred = LoopbackFred(archive, served.clock)

    def answer(method: str, target: str, headers: Mapping[str, str], slip: Slip) -> Reply:
        if target.startswith(f"{FRED_PREFIX}/"):
            return fred.answer(method, target)
        if not target.startswith(EXCHANGE_PREFIX):
            return not_found()
        return drifted(exchange.answer(method, target, headers, slip), plan.drift)

    try:
        server = _Server(port, answer, served.clock, Script(plan.seed, plan.rules))
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"Port {port} on {HOST} cannot be opened ({error}). Choose another, or 0 for a free one."
        ) from error
    return RunningServer(server, archive)


def run_forever(
    archive: Archive, *, port: int = 0, plan: FaultPlan | None = None, echo: Callable[[str], None] = print
) -> None:
    """Serve an archive until the process is interrupted, after a line that says where and one that tells the plan.

    Args:
        archive: what to serve.
        port: the port; 0 takes a free one.
        plan: faults and switches.
        echo: prints a line.

    Raises:
        UsageError: the port is taken.
    """
    with serve(archive, port=port, plan=plan) as server:
        try:
            echo(banner(archive, server))
            if plan is not None:
                echo(plan.told())
            server.wait()
        except KeyboardInterrupt:
            return


def banner(archive: Archive, server: RunningServer) -> str:
    """One line: what is served, whether it is simulated, and where."""
    kind = "simulated" if archive.simulated else "recorded"
    return f"Serving the {kind} archive {archive.name}: exchange {server.base_url}, FRED {server.fred_url}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Closing must not wait for idle keep-alive connections.
    block_on_close = False
    request_queue_size = 128
    # Another process's port must not be shared by accident.
    allow_reuse_port = False

    def __init__(self, port: int, answer: Answer, clock: Clock, script: Script) -> None:
        self.answer = answer
        self.clock = clock
        self.script = script
        super().__init__((HOST, port), _Handler)

    def server_bind(self) -> None:
        # The base class asks the resolver for this host's name, which can take seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no event worth a traceback."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    error_content_type = "application/json"
    _reasons: ClassVar[dict[int, str]] = {code: names[0] for code, names in BaseHTTPRequestHandler.responses.items()}

    def do_GET(self) -> None:
        strike = self.server.script.next(self.path.partition("?")[0].removeprefix(EXCHANGE_PREFIX))
        fault = None if strike is None else strike.rule.fault
        seconds = 0.0 if strike is None else strike.rule.seconds or 0.0
        if fault == "reset":
            self._reset()
            return
        if fault == "latency":
            time.sleep(seconds)
        reply = None if strike is None else strike.reply(self.server.clock())
        if reply is None:
            reply = self._answer(NO_SLIP if strike is None else strike.slip())
        head, body = self._head(reply), reply.body
        half = len(body) // 2
        if fault == "truncate":
            head, body = self._head(replace(reply, body=body[:half])), body[:half]
        if fault == "cut":
            self.close_connection = True
            body = body[:half]
        if fault == "stall":
            self.wfile.write(head + body[:half])
            time.sleep(seconds)
            head, body = b"", body[half:]
        # One write for head and body: two would wait for the client's delayed acknowledgement.
        self.wfile.write(head + body)

    def do_POST(self) -> None:
        self.close_connection = True
        self.do_GET()

    do_DELETE = do_PUT = do_PATCH = do_POST  # noqa: N815 - the names are http.server's

    def _answer(self, slip: Slip) -> Reply:
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            return self.server.answer(self.command, self.path, headers, slip)
        except Exception as error:  # an answer is due even for a defect of the emulator itself
            return nested_error(500, "internal_server_error", f"the loopback exchange failed: {error!r}")

    def _head(self, reply: Reply) -> bytes:
        lines = [
            f"HTTP/1.1 {reply.status} {self._reasons.get(reply.status, '')}",
            f"Content-Type: {reply.content_type}",
            f"Content-Length: {len(reply.body)}",
            f"Date: {formatdate(self.server.clock(), usegmt=True)}",
            *(f"{name}: {value}" for name, value in reply.headers.items()),
            *(["Connection: close"] if self.close_connection else []),
        ]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        # The base class would shut the socket down first, and that says FIN.
        socket.close(self.connection.detach())

    def log_message(self, format: str, *args: object) -> None:
        """The server keeps silent."""
