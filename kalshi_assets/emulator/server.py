"""The HTTP server in front of the loopback exchange and the loopback FRED, on 127.0.0.1 only.

Threads of the standard library with keep-alive: measured here, they answer as
many requests a second as an event loop does, and Arrow renders pages of several
connections at once. What is answered is decided elsewhere.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import ClassVar

from kalshi_assets.emulator.archive import Archive
from kalshi_assets.emulator.exchange import PREFIX as EXCHANGE_PREFIX
from kalshi_assets.emulator.exchange import LoopbackExchange
from kalshi_assets.emulator.faults import Drift, Fault, Faults, drifted
from kalshi_assets.emulator.fred import PREFIX as FRED_PREFIX
from kalshi_assets.emulator.fred import LoopbackFred
from kalshi_assets.emulator.replies import Reply, nested_error, not_found
from kalshi_assets.emulator.served import Clock, index_archive
from kalshi_assets.emulator.signatures import SignatureCheck
from kalshi_assets.errors import UsageError

HOST = "127.0.0.1"
_POLL_S = 0.02

Answer = Callable[[str, str, Mapping[str, str]], Reply]


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
    archive: Archive,
    *,
    port: int = 0,
    rate_limit: float | None = None,
    public_keys: Mapping[str, str | bytes] | None = None,
    now: Clock | None = None,
    cutoff: Mapping[str, str] | None = None,
    overlap_s: float = 0.0,
    drift: Drift | None = None,
    faults: Faults | None = None,
) -> RunningServer:
    """Serve an archive on 127.0.0.1.

    Args:
        archive: what to serve.
        port: the port; 0 takes a free one.
        rate_limit: requests a second to the exchange; beyond it 429. None for no limit.
        public_keys: PEM public keys by key id. Requests that carry the access headers are verified
            against them; endpoints for members refuse unsigned requests with or without keys.
        now: Unix seconds of a replay. With it, later candles, trades and outcomes are hidden, and it is
            the clock of signatures and ``Date`` headers. Without it the archive is shown as recorded.
        cutoff: moves the boundary of the tiers, by field of ``/historical/cutoff``.
        overlap_s: seconds before the cutoff in which a settled market is on both tiers.
        drift: fields added to, or dropped from, the bodies.
        faults: chooses a fault for a request.

    Returns:
        The running server.

    Raises:
        UsageError: the port is taken, a public key cannot be read, or the cutoff is no time.
    """
    served = index_archive(archive, now=now, cutoff=cutoff, overlap_s=overlap_s)
    exchange = LoopbackExchange(served, signatures=SignatureCheck(public_keys), rate_limit=rate_limit)
    fred = LoopbackFred(archive, served.clock)

    def answer(method: str, target: str, headers: Mapping[str, str]) -> Reply:
        if target.startswith(f"{FRED_PREFIX}/"):
            return fred.answer(method, target)
        if not target.startswith(EXCHANGE_PREFIX):
            return not_found()
        reply = exchange.answer(method, target, headers)
        return reply if drift is None else drifted(reply, drift)

    try:
        server = _Server(port, answer, served.clock, faults)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"Port {port} on {HOST} cannot be opened ({error}). Choose another, or 0 for a free one."
        ) from error
    return RunningServer(server, archive)


def run_forever(archive: Archive, *, port: int = 0, echo: Callable[[str], None] = print) -> None:
    """Serve an archive until the process is interrupted, after one line that says where.

    Args:
        archive: what to serve.
        port: the port; 0 takes a free one.
        echo: prints the line.

    Raises:
        UsageError: the port is taken.
    """
    with serve(archive, port=port) as server:
        echo(banner(archive, server))
        try:
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

    def __init__(self, port: int, answer: Answer, clock: Clock, faults: Faults | None) -> None:
        self.answer = answer
        self.clock = clock
        self._faults = faults
        self._numbers = itertools.count()
        super().__init__((HOST, port), _Handler)

    def server_bind(self) -> None:
        # The base class asks the resolver for this host's name, which can take seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def fault(self, target: str) -> Fault | None:
        """The fault of the next request."""
        number = next(self._numbers)
        return None if self._faults is None else self._faults(number, target.partition("?")[0])

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no event worth a traceback."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    error_content_type = "application/json"
    _reasons: ClassVar[dict[int, str]] = {code: names[0] for code, names in BaseHTTPRequestHandler.responses.items()}

    def do_GET(self) -> None:
        fault = self.server.fault(self.path)
        if fault is not None and fault.delay_s:
            time.sleep(fault.delay_s)
        if fault is not None and fault.drop:
            self.close_connection = True
            return
        if fault is not None and fault.status is not None:
            self._send(Reply(fault.status, fault.body, fault.content_type))
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            reply = self.server.answer(self.command, self.path, headers)
        except Exception as error:  # an answer is due even for a defect of the emulator itself
            reply = nested_error(500, "internal_server_error", f"the loopback exchange failed: {error!r}")
        if fault is not None and fault.truncate:
            reply = Reply(reply.status, reply.body[: len(reply.body) // 2], reply.content_type)
        self._send(reply)

    def do_POST(self) -> None:
        self.close_connection = True
        self.do_GET()

    do_DELETE = do_PUT = do_PATCH = do_POST  # noqa: N815 - the names are http.server's

    def _send(self, reply: Reply) -> None:
        head = [
            f"HTTP/1.1 {reply.status} {self._reasons.get(reply.status, '')}",
            f"Content-Type: {reply.content_type}",
            f"Content-Length: {len(reply.body)}",
            f"Date: {formatdate(self.server.clock(), usegmt=True)}",
            *(f"{name}: {value}" for name, value in reply.headers.items()),
            *(["Connection: close"] if self.close_connection else []),
        ]
        # One write for head and body: two would wait for the client's delayed acknowledgement.
        self.wfile.write("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + reply.body)

    def log_message(self, format: str, *args: object) -> None:
        """The server keeps silent."""
