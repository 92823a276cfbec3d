"""An S3 server of the tests' own, in a process of its own: moto behind a lock, with a few ill manners on request.

Run as a module it serves on a free port of 127.0.0.1, prints the port, and ends with its parent's pipe.
"""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from typing import Any

_FORBIDDEN = b'<?xml version="1.0"?><Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message></Error>'


class Manners:
    """Answers as moto does, unless told otherwise at ``/__manners``.

    Attributes:
        manners: ``forbid`` answers 403 to all, ``forbid_data`` for data files; ``overwrite`` ignores If-None-Match;
            ``fail`` answers 500;
            ``wait_ms`` waits so long before each answer, many at a time.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        # moto looks whether an object is there, then stores it; S3 does both at once.
        self._one_at_a_time = threading.Lock()
        self.manners: dict[str, int] = {}
        self.requests = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        # Read before the lock is taken, so that a client that stalls holds nobody up.
        body = environ["wsgi.input"].read(length) if length else b""
        environ["wsgi.input"] = io.BytesIO(body)
        if environ["PATH_INFO"] == "/__manners":
            self.manners = json.loads(body) if body else self.manners
            answer = json.dumps({"requests": self.requests}).encode()
            start_response("200 OK", [("Content-Length", str(len(answer)))])
            return [answer]
        self.requests += 1
        time.sleep(self.manners.get("wait_ms", 0) / 1000)
        if len(body) < length:
            start_response("400 Bad Request", [("Content-Length", "0")])
            return [b""]
        data = environ["PATH_INFO"].endswith(".parquet")
        if self.manners.get("forbid") or (data and self.manners.get("forbid_data")):
            start_response("403 Forbidden", [("Content-Length", str(len(_FORBIDDEN)))])
            return [_FORBIDDEN]
        if self.manners.get("fail"):
            start_response("500 Internal Server Error", [("Content-Length", "0")])
            return [b""]
        if self.manners.get("overwrite"):
            environ.pop("HTTP_IF_NONE_MATCH", None)
        with self._one_at_a_time:
            return list(self._app(environ, start_response))


def main() -> None:
    import logging

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = Manners(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.port, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
