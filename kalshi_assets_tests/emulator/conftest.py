"""A small simulated archive, and exchanges that serve it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from kalshi_assets.emulator.archive import Archive, load_archive
from kalshi_assets.emulator.server import RunningServer, serve
from kalshi_assets.emulator.simulate import simulate

PROJECT = Path(__file__).resolve().parents[2]
FACTS = PROJECT / "data" / "facts"
SHARED = PROJECT.parent / "shared"


class Client:
    """Plain GETs against a running server."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.session = requests.Session()

    def get(self, path: str, expect: int = 200, headers: dict[str, str] | None = None, **params: Any) -> Any:
        reply = self.session.get(self.server.base_url + path, params=params, headers=headers, timeout=10)
        assert reply.status_code == expect, (path, params, reply.status_code, reply.text[:300])
        return reply.json()

    def fred(self, path: str, status: int = 200, **params: Any) -> Any:
        given = {"api_key": "0123456789abcdef0123456789abcdef", "file_type": "json", **params}
        sent = {k: v for k, v in given.items() if v is not None}
        reply = self.session.get(f"{self.server.fred_url}/{path}", params=sent, timeout=10)
        assert reply.status_code == status, (path, params, reply.status_code, reply.text[:300])
        return reply.json()

    def pages(self, path: str, key: str, **params: Any) -> list[Any]:
        rows: list[Any] = []
        cursor = ""
        while True:
            body = self.get(path, **params, **({"cursor": cursor} if cursor else {}))
            rows += body[key]
            cursor = body["cursor"]
            if not cursor:
                return rows


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(
        tmp_path_factory.mktemp("simulated"), facts=FACTS, seed=3, events=4, series=("KXCPIYOY", "KXPAYROLLS")
    )


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Archive:
    return load_archive(tiny_folder)


@pytest.fixture(scope="session")
def client(tiny: Archive) -> Iterator[Client]:
    with serve(tiny) as server:
        made = Client(server)
        yield made
        made.session.close()


@pytest.fixture(scope="session")
def schema() -> dict[str, Any]:
    path = SHARED / "reference" / "kalshi" / "schema.json"
    if not path.exists():
        pytest.skip("the exchange's schema is not beside the project (../shared)")
    return dict(json.loads(path.read_text()))


@pytest.fixture(scope="session")
def recorded() -> Archive:
    folder = SHARED / "archive" / "macro-run"
    if not folder.exists():
        pytest.skip("the recorded archive is not beside the project (../shared)")
    return load_archive(folder)
