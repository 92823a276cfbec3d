from __future__ import annotations

import json
import socket
import threading
import time

import pytest
import requests

from kalshi_assets.emulator.archive import Archive
from kalshi_assets.emulator.drift import Drift
from kalshi_assets.emulator.server import banner, serve
from kalshi_assets.errors import UsageError
from kalshi_assets_tests.emulator.conftest import Client


def test_addresses_and_banner(client: Client, tiny: Archive) -> None:
    port = client.server.port
    assert client.server.base_url == f"http://127.0.0.1:{port}/trade-api/v2"
    assert client.server.fred_url == f"http://127.0.0.1:{port}/fred"
    line = banner(tiny, client.server)
    assert "simulated" in line
    assert "\n" not in line


def test_listens_on_the_loopback_only(client: Client) -> None:
    with socket.socket() as other, pytest.raises(OSError):  # noqa: PT012
        other.settimeout(1)
        # Another loopback address would answer if the server listened everywhere.
        other.connect(("127.0.0.2", client.server.port))


def test_busy_port(client: Client, tiny: Archive) -> None:
    with pytest.raises(UsageError, match=f"Port {client.server.port}"):
        serve(tiny, port=client.server.port)


def test_close_frees_the_port_and_the_thread(tiny: Archive) -> None:
    server = serve(tiny)
    with requests.Session() as session:  # its connection stays open
        session.get(f"{server.base_url}/exchange/status", timeout=5)
        start = time.monotonic()
        server.close()
        assert time.monotonic() - start < 1
    server.close()
    assert not any(
        t.name == "loopback-exchange" and t.is_alive() and t is server._thread for t in threading.enumerate()
    )
    with serve(tiny, port=server.port) as again:
        assert again.port == server.port


def test_rate_limit_answers_a_string_without_advice(tiny: Archive) -> None:
    with serve(tiny, rate_limit=2) as server:
        c = Client(server)
        replies = [c.session.get(f"{server.base_url}/exchange/status", timeout=5) for _ in range(5)]
        assert [r.status_code for r in replies] == [200, 200, 429, 429, 429]
        assert replies[2].json() == {"error": "too many requests"}
        assert not {h for h in replies[2].headers if h.lower().startswith(("retry-after", "x-ratelimit"))}
        time.sleep(0.6)
        c.get("/exchange/status")
        c.session.close()


def test_drift_adds_and_drops_fields(tiny: Archive, client: Client) -> None:
    drift = Drift(
        add={"market": {"mood": "good"}, "candlestick": {"new": 1}},
        drop={"market": frozenset({"title"}), "series": frozenset({"tags"})},
    )
    with serve(tiny, drift=drift) as server:
        c = Client(server)
        plain, drifted = (x.get("/markets", limit=1)["markets"][0] for x in (client, c))
        assert drifted == {k: v for k, v in plain.items() if k != "title"} | {"mood": "good"}
        assert "tags" not in c.get("/series/KXCPIYOY")["series"]
        end = int(time.mktime(time.strptime(plain["close_time"][:10], "%Y-%m-%d")))
        body = c.get(
            "/markets/candlesticks",
            market_tickers=plain["ticker"],
            start_ts=end - 9000 * 3600,
            end_ts=end,
            period_interval=60,
        )
        assert body["markets"][0]["candlesticks"][0]["new"] == 1
        assert "mood" not in body["markets"][0]
        c.session.close()


def test_other_methods_are_refused(client: Client) -> None:
    assert requests.post(f"{client.server.base_url}/markets", json={}, timeout=5).status_code == 405


def test_concurrent_readers_get_the_same_bytes(client: Client) -> None:
    url = f"{client.server.base_url}/historical/markets?limit=1000"
    expected = requests.get(url, timeout=5).content
    found: list[bool] = []

    def read() -> None:
        with requests.Session() as session:
            found.extend(session.get(url, timeout=10).content == expected for _ in range(5))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == [True] * 40
    assert json.loads(expected)["cursor"] == ""
