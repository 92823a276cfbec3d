"""What tests of a lake in a bucket share: the server's process, the settings that name it, and a wire to cut."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
import requests

from kalshi_assets.settings import Settings
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.opening import open_lake

PROJECT = Path(__file__).resolve().parent.parent.parent
SECRET = "wJalrSECRET"
BUCKET = "lake-of-tests"

needs_moto = pytest.mark.skipif(
    importlib.util.find_spec("moto") is None, reason="needs moto, an S3 server for tests: pip install '.[dev]'"
)


class BucketServer:
    """An S3 server in a child process, with one bucket."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None
        self.port = 0
        self._names = itertools.count()
        self._homes = tempfile.TemporaryDirectory(prefix="homes-of-buckets-")

    def __enter__(self) -> BucketServer:
        self.start()
        self.create_bucket()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._homes.cleanup()

    def start(self) -> None:
        """Start it, on the port that it had before."""
        command = [sys.executable, "-m", "kalshi_assets_tests.store.s3_server", str(self.port)]
        self._child = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._child.stdout is not None
        self.port = int(self._child.stdout.readline())

    def kill(self) -> None:
        """End it; what it held is gone, since it holds all in memory."""
        assert self._child is not None
        self.thaw()
        self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            assert stream is not None
            stream.close()

    def freeze(self) -> None:
        """Connections are accepted and nothing is answered, until ``thaw``."""
        assert self._child is not None
        os.kill(self._child.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._child is not None
        os.kill(self._child.pid, signal.SIGCONT)

    def create_bucket(self) -> None:
        requests.put(f"http://127.0.0.1:{self.port}/{BUCKET}", timeout=10).raise_for_status()

    def behave(self, **manners: int) -> int:
        """Set the server's manners (see ``s3_server``), and say how many requests it has had."""
        answer = requests.post(f"http://127.0.0.1:{self.port}/__manners", data=json.dumps(manners), timeout=10)
        return int(answer.json()["requests"])

    def new_address(self) -> str:
        return f"s3://{BUCKET}/lakes/{next(self._names)}"

    def variables(self, address: str, *, port: int | None = None, **more: str) -> dict[str, str]:
        """The environment that names a lake in the bucket."""
        return {
            "KALSHI_ASSETS_LAKE": address,
            "KALSHI_ASSETS_LAKE_TIMEOUT_S": "5",
            "AWS_ACCESS_KEY_ID": "test-key",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port or self.port}",
            **more,
        }

    def settings(self, address: str, *, home: str = "home", **more: Any) -> Settings:
        """Those of a home of this name."""
        return Settings.from_environment(self.variables(address, **more), home=self.home(home))

    def home(self, name: str) -> Path:
        """The folder of a home, which goes with the server."""
        return Path(self._homes.name) / name

    def lake(self, address: str, *, to_write: bool = False, **more: Any) -> Lake:
        return open_lake(self.settings(address, **more), to_write=to_write)

    def objects(self, address: str) -> list[str]:
        """The keys below an address, relative to it."""
        prefix = address.removeprefix(f"s3://{BUCKET}/") + "/"
        listing = requests.get(
            f"http://127.0.0.1:{self.port}/{BUCKET}", params={"list-type": "2", "prefix": prefix}, timeout=10
        ).text
        return [part.split("</Key>")[0].removeprefix(prefix) for part in listing.split("<Key>")[1:]]

    def content(self, address: str, key: str) -> bytes:
        return self._ask("GET", address, key).content

    def delete(self, address: str, key: str) -> None:
        self._ask("DELETE", address, key)

    def _ask(self, method: str, address: str, key: str) -> requests.Response:
        url = f"http://127.0.0.1:{self.port}/{address.removeprefix('s3://')}/{key}"
        # moto looks at a key's name and at no signature.
        named = {"Authorization": "AWS4-HMAC-SHA256 Credential=test-key/20240101/us-east-1/s3/aws4_request"}
        answer = requests.request(method, url, headers=named, timeout=10)
        answer.raise_for_status()
        return answer


class Wire:
    """A TCP proxy on a free port of 127.0.0.1, which can be cut.

    The server answers one request a connection, so what is said of connections holds for requests.

    Attributes:
        port: where to connect.
        sent: bytes that clients have sent through it.
        left: bytes that clients may still send before all is reset, again and again until it is mended; None: no end.
        spare_last: the request in which ``left`` ends gets through whole, and its answer is lost.
        lose: a request that begins so and holds the second text is passed on, and its answer is lost, once.
        cut_at: such a request is the first that does not get through, nor any after it.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self.sent = 0
        self.left: int | None = None
        self.spare_last = False
        self.lose: tuple[bytes, bytes] | None = None
        self.cut_at: tuple[bytes, bytes] | None = None
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def mend(self) -> None:
        self.left = None

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._to_port))
        except OSError:
            _reset(client)
            return
        lost = threading.Event()
        back = threading.Thread(target=self._answer, args=(server, client, lost), daemon=True)
        back.start()
        whole, spared = b"", False
        try:
            while piece := client.recv(65_536):
                with self._lock:
                    whole = (whole + piece)[:4096]
                    if _is(self.cut_at, whole):
                        self.cut_at, self.left = None, 0
                    if self.spare_last and self.left is not None and self.left < len(piece):
                        self.spare_last, spared, self.left = False, True, 0
                        lost.set()
                    allowed = len(piece) if self.left is None or spared else min(self.left, len(piece))
                    self.sent += allowed
                    if self.left is not None and not spared:
                        self.left -= allowed
                    if _is(self.lose, whole):
                        self.lose = None
                        lost.set()
                server.sendall(piece[:allowed])
                if allowed < len(piece):
                    _reset(client)
                    server.shutdown(socket.SHUT_RDWR)
                    break
        except OSError:
            pass
        back.join(10)
        client.close()

    def _answer(self, server: socket.socket, client: socket.socket, lost: threading.Event) -> None:
        try:
            while piece := server.recv(65_536):
                if lost.is_set():
                    _reset(client)
                    return
                client.sendall(piece)
            client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        finally:
            server.close()


def _is(wanted: tuple[bytes, bytes] | None, request: bytes) -> bool:
    return wanted is not None and request.startswith(wanted[0]) and wanted[1] in request


def _reset(connection: socket.socket) -> None:
    """Close so that the other side sees a reset."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Wakes the thread that waits for more, without which closing would do nothing yet.
        connection.shutdown(socket.SHUT_RD)
        connection.close()
    except OSError:
        pass
