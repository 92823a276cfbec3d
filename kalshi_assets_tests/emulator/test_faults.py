"""Each fault as a client meets it: bytes on a socket, bodies, pages of a listing."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from kalshi_assets.emulator.archive import Archive
from kalshi_assets.emulator.fault_plan import FaultPlan
from kalshi_assets.emulator.faults import Rule, Script, Span
from kalshi_assets.emulator.server import RunningServer, serve
from kalshi_assets_tests.emulator.conftest import Client

STATUS = "/exchange/status"


@contextmanager
def struck(archive: Archive, *rules: dict[str, Any], **switches: Any) -> Iterator[Client]:
    with serve(archive, plan=FaultPlan.parse({"seed": 7, "rules": list(rules), **switches})) as server:
        made = Client(server)
        yield made
        made.session.close()


def raw(server: RunningServer, path: str = STATUS) -> tuple[bytes, BaseException | None]:
    """Everything that comes over one connection, and the error that ended it."""
    got = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(f"GET /trade-api/v2{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        try:
            while chunk := connection.recv(65536):
                got += chunk
        except OSError as error:
            return got, error
    return got, None


def parted(answer: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return {"status": lines[0].split()[1], **dict(line.split(": ", 1) for line in lines[1:])}, body


def test_reset_comes_before_any_byte(tiny: Archive) -> None:
    with struck(tiny, {"fault": "reset", "requests": [0]}) as c:
        got, error = raw(c.server)
        assert got == b""
        assert isinstance(error, ConnectionResetError)
        assert raw(c.server)[1] is None


def test_cut_ends_in_the_middle_of_the_announced_body(tiny: Archive) -> None:
    with struck(tiny, {"fault": "cut", "requests": [0]}) as c:
        (head, body), (_, whole) = parted(raw(c.server)[0]), parted(raw(c.server)[0])
        assert int(head["Content-Length"]) == len(whole)
        assert body == whole[: len(whole) // 2]


def test_truncate_announces_the_half_that_it_sends(tiny: Archive) -> None:
    with struck(tiny, {"fault": "truncate", "requests": [0]}) as c:
        (head, body), (_, whole) = parted(raw(c.server)[0]), parted(raw(c.server)[0])
        assert int(head["Content-Length"]) == len(body) == len(whole) // 2
        assert body == whole[: len(body)]
        with pytest.raises(json.JSONDecodeError):
            json.loads(body)


@pytest.mark.parametrize("status", [None, 200, 502])
def test_garbage_is_html(tiny: Archive, status: int | None) -> None:
    with struck(tiny, {"fault": "garbage", "requests": [0], **({"status": status} if status else {})}) as c:
        head, body = parted(raw(c.server)[0])
        assert (head["status"], head["Content-Type"]) == (str(status or 502), "text/html")
        assert b"<html>" in body


def test_latency_delays_the_true_answer(tiny: Archive) -> None:
    with struck(tiny, {"fault": "latency", "seconds": 0.3, "requests": [0]}) as c:
        with pytest.raises(requests.ReadTimeout):
            requests.get(c.server.base_url + STATUS, timeout=0.1)
        assert c.get(STATUS)["exchange_active"] is True
    with struck(tiny, {"fault": "latency", "seconds": 0.2}) as c:
        start = time.monotonic()
        assert c.get(STATUS)["exchange_active"] is True
        assert time.monotonic() - start >= 0.2


def test_stall_falls_silent_in_the_middle_of_the_body(tiny: Archive) -> None:
    with (
        struck(tiny, {"fault": "stall", "seconds": 0.3}) as c,
        socket.create_connection(("127.0.0.1", c.server.port), timeout=0.15) as connection,
    ):
        connection.sendall(b"GET /trade-api/v2/exchange/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head, body = parted(connection.recv(65536))
        assert 0 < len(body) < int(head["Content-Length"])
        with pytest.raises(TimeoutError):
            connection.recv(65536)
        connection.settimeout(5)
        while chunk := connection.recv(65536):
            body += chunk
        assert json.loads(body)["exchange_active"] is True


def test_a_burst_of_errors_ends_after_its_times(tiny: Archive) -> None:
    with struck(tiny, {"fault": "status", "status": 503, "requests": [1], "times": 3}) as c:
        answers = [c.session.get(c.server.base_url + STATUS, timeout=5) for _ in range(6)]
        assert [a.status_code for a in answers] == [200, 503, 503, 503, 200, 200]
        assert answers[1].json() == {"error": {"code": "service_unavailable", "message": "service unavailable"}}


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("nested", {"error": {"code": "bad_request", "message": "bad request"}}),
        ("flat", {"code": "bad_request", "message": "bad request", "details": "by the fault plan"}),
        ("msg", {"msg": "bad request"}),
        ("string", {"error": "bad request"}),
    ],
)
def test_the_four_error_shapes(tiny: Archive, shape: str, body: dict[str, Any]) -> None:
    with struck(tiny, {"fault": "status", "status": 400, "shape": shape}) as c:
        assert c.get(STATUS, 400) == body


def test_too_many_requests_with_and_without_a_wish(tiny: Archive) -> None:
    date = "Thu, 08 Jan 2026 08:00:02 GMT"
    wishes = [{}, {"retry_after": "2"}, {"retry_after": date}, {"retry_after": "+2"}]
    rules = [{"fault": "status", "status": 429, "requests": [i], **wish} for i, wish in enumerate(wishes)]
    with struck(tiny, *rules) as c:
        answers = [c.session.get(c.server.base_url + STATUS, timeout=5) for _ in wishes]
        assert all((a.status_code, a.json()) == (429, {"error": "too many requests"}) for a in answers)
        assert [a.headers.get("Retry-After") for a in answers[:3]] == [None, "2", date]
        told, sent = (parsedate_to_datetime(answers[3].headers[h]) for h in ("Retry-After", "Date"))
        assert (told - sent).total_seconds() in (1, 2)  # two readings of the clock, cut to seconds


def pulled(c: Client, path: str, rows: str, most: int = 12) -> list[tuple[list[str], str]]:
    """(tickers, cursor) of each page of five, until the last one or ``most`` pages."""
    found: list[tuple[list[str], str]] = []
    cursor = ""
    while len(found) < most:
        body = c.get(path, limit=5, **({"cursor": cursor} if cursor else {}))
        cursor = body["cursor"]
        found.append(([r.get("trade_id") or r.get("ticker") for r in body[rows]], cursor))
        if not cursor:
            break
    return found


LISTINGS = [("/historical/markets", "markets"), ("/markets/trades", "trades")]


@pytest.mark.parametrize(("path", "rows"), LISTINGS)
def test_a_duplicate_page_is_the_one_before_with_its_cursor(tiny: Archive, path: str, rows: str) -> None:
    with struck(tiny) as c, struck(tiny, {"path": path, "fault": "duplicate_page", "requests": [2]}) as d:
        true, seen = pulled(c, path, rows), pulled(d, path, rows)
        assert seen[:2] == true[:2]
        assert seen[2] == true[1]
        assert seen[3] == true[2]


@pytest.mark.parametrize(("path", "rows"), LISTINGS)
def test_repeated_rows_lose_none(tiny: Archive, path: str, rows: str) -> None:
    with struck(tiny) as c, struck(tiny, {"path": path, "fault": "repeat_rows", "rows": 2, "requests": [1]}) as d:
        true, seen = pulled(c, path, rows), pulled(d, path, rows)
        assert seen[1][0] == true[0][0][3:] + true[1][0][:3]
        assert seen[2][0][:2] == true[1][0][3:]


@pytest.mark.parametrize(("path", "rows"), LISTINGS)
@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_reorder_keeps_rows_and_cursor(tiny: Archive, path: str, rows: str, order: str) -> None:
    rule = {"path": path, "fault": "reorder", "order": order}
    with struck(tiny) as c, struck(tiny, rule) as d, struck(tiny, rule) as again:
        true, seen = pulled(c, path, rows), pulled(d, path, rows)
        assert [cursor for _, cursor in seen] == [cursor for _, cursor in true]
        assert [sorted(page) for page, _ in seen] == [sorted(page) for page, _ in true]
        assert seen != true
        assert seen == pulled(again, path, rows)
        if order == "reversed":
            assert [page[::-1] for page, _ in seen] == [page for page, _ in true]


@pytest.mark.parametrize(("path", "rows"), LISTINGS)
def test_an_expired_cursor_reads_as_page_one(tiny: Archive, path: str, rows: str) -> None:
    with struck(tiny, {"path": path, "fault": "expired_cursor", "requests": {"from": 2}}) as c:
        seen = pulled(c, path, rows, most=4)
        assert seen[2] == seen[3] == seen[0] != seen[1]


def test_paths_are_globs_and_the_first_rule_wins(tiny: Archive) -> None:
    rules = (
        {"path": "/markets/*/orderbook", "fault": "status", "status": 500},
        {"path": "/markets/*", "fault": "status", "status": 503},
        {"path": "/fred/*", "fault": "status", "status": 502},
    )
    with struck(tiny, *rules) as c:
        assert [
            c.session.get(c.server.base_url + p, timeout=5).status_code
            for p in ("/markets/A/orderbook", "/markets/A?x=/orderbook", "/markets", "/series")
        ] == [500, 503, 200, 200]
        assert c.session.get(f"{c.server.fred_url}/series", timeout=5).status_code == 502


def struck_numbers(script: Script, n: int) -> list[int]:
    return [i for i in range(n) if script.next("/x") is not None]


def test_chance_is_a_function_of_seed_place_and_number() -> None:
    rule = Rule("reset", probability=0.3)
    first = struck_numbers(Script(7, [rule]), 400)
    assert first == struck_numbers(Script(7, [rule]), 400)
    assert first == [n for n in range(400) if rule.strikes(7, 0, n)]
    assert first != struck_numbers(Script(8, [rule]), 400)
    assert first != struck_numbers(Script(7, [Rule("reset", path="/y"), rule]), 400)
    assert 80 < len(first) < 160
    assert struck_numbers(Script(7, [Rule("reset", probability=0.0)]), 50) == []


def test_chance_does_not_depend_on_threads() -> None:
    script, alone = Script(7, [Rule("reset", probability=0.3)]), Script(7, [Rule("reset", probability=0.3)])
    hits: list[bool] = []

    def ask() -> None:
        hits.extend(script.next("/x") is not None for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sum(hits) == len(struck_numbers(alone, 400))


def test_every_rule_counts_its_own_requests() -> None:
    script = Script(0, [Rule("reset", path="/a*", requests=(1,)), Rule("cut", path="/ab", requests=Span(1, 3))])
    met = [script.next(path) for path in ("/ab", "/b", "/ab", "/ab", "/ab")]
    assert [m and m.rule.fault for m in met] == [None, None, "reset", "cut", None]


def test_two_runs_over_http_meet_the_same_faults(tiny: Archive) -> None:
    rule = {"fault": "status", "status": 500, "probability": 0.4}

    def answers(seed: int) -> list[int]:
        with struck(tiny, rule, seed=seed) as c:
            return [c.session.get(c.server.base_url + STATUS, timeout=5).status_code for _ in range(40)]

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)
