from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import pytest

from kalshi_assets.errors import KalshiAssetsError, MalformedResponse, NotFound, RequestRefused
from kalshi_assets.http import RetryPolicy, Transport
from kalshi_assets.macro.fred import EARLIEST, LATEST, OBSERVATIONS, Fred, request_params
from kalshi_assets_tests.http.scripted_server import Reply, ScriptedServer
from kalshi_assets_tests.macro.fake_fred import FakeFred

KEY = "abcdefghijklmnopqrstuvwxyz012345"
D = date.fromisoformat

# Made-up vintages of a made-up series: one value revised twice, one missing, one never revised.
ROWS = [
    ("2026-01-01", "2026-02-10", "2.1"),
    ("2026-01-01", "2026-03-10", "2.3"),
    ("2026-01-01", "2026-03-20", "2.2"),
    ("2026-02-01", "2026-03-10", "."),
    ("2026-03-01", "2026-04-10", "-0.4"),
]


@contextmanager
def fred(answers: Any) -> Iterator[Fred]:
    with ScriptedServer(answers) as server:
        transport = Transport(server.url + "/fred", retry=RetryPolicy(attempts=2, base_s=0.001))
        with transport:
            yield Fred(transport, KEY)


def everything(client: Fred, **changes: Any) -> list[dict[str, Any]]:
    window = {"realtime_start": EARLIEST, "realtime_end": LATEST, **changes}
    return client.observations("XYZ", "lin", **window).to_pylist()  # type: ignore[no-any-return]


def test_one_row_per_observation_and_real_time_period_and_missing_is_no_row() -> None:
    with fred(FakeFred({("XYZ", "lin"): ROWS})) as client:
        assert client.observations("XYZ", "lin", realtime_start=EARLIEST, realtime_end=LATEST).schema == OBSERVATIONS
        rows = everything(client)
    got = [(r["observation_date"], r["realtime_start"], r["realtime_end"], r["value"]) for r in rows]
    assert got == [
        (D("2026-01-01"), D("2026-02-10"), D("2026-03-09"), 2.1),
        (D("2026-01-01"), D("2026-03-10"), D("2026-03-19"), 2.3),
        (D("2026-01-01"), D("2026-03-20"), LATEST, 2.2),
        (D("2026-03-01"), D("2026-04-10"), LATEST, -0.4),
    ]
    assert {(r["series_id"], r["units"]) for r in rows} == {("XYZ", "lin")}


def test_long_answers_are_paged() -> None:
    fake = FakeFred({("XYZ", "lin"): ROWS}, most=2)
    with fred(fake) as client:
        assert len(everything(client)) == 4
    assert [q["offset"] for _, q in fake.asked] == ["0", "2", "4"]


def test_without_a_window_only_todays_values() -> None:
    with fred(FakeFred({("XYZ", "lin"): ROWS})) as client:
        rows = client.observations("XYZ", "lin", observation_start=D("2026-01-01")).to_pylist()
    assert [r["value"] for r in rows] == [2.2, -0.4]


def test_vintage_dates_are_never_asked_for() -> None:
    fake = FakeFred({("XYZ", "lin"): ROWS}, {"10": ["2026-02-10"]})
    with fred(fake) as client:
        everything(client, observation_start=D("2026-02-01"))
        client.release_dates(10, D("2026-01-01"), LATEST)
    assert len(fake.asked) == 2
    for _, query in fake.asked:
        assert not any("vintage" in name for name in query)
        assert "output_type" not in query
    for name in ("vintage_date", "vintage_dates", "output_type", "api_key"):
        with pytest.raises(ValueError, match=name):
            request_params(**{name: "2026-01-01"})


def test_release_dates_include_scheduled_ones_and_are_half_open() -> None:
    fake = FakeFred(releases={"10": ["2026-12-10", "2026-01-13", "2026-02-11", "2027-01-13", "2025-12-18"]})
    with fred(fake) as client:
        assert client.release_dates(10, D("2026-01-13"), D("2027-01-13")) == [
            D("2026-01-13"), D("2026-02-11"), D("2026-12-10"),
        ]  # fmt: skip


def test_what_fred_does_not_have_is_not_found() -> None:
    with fred(FakeFred()) as client:
        with pytest.raises(NotFound, match=r"does not have XYZ.*does not exist"):
            everything(client)
        with pytest.raises(NotFound, match="release 10"):
            client.release_dates(10, EARLIEST, LATEST)


def test_another_refusal_is_quoted() -> None:
    body = {"error_code": 400, "error_message": "Bad Request. The value for variable api_key is not registered."}
    with fred([Reply(400, body)]) as client, pytest.raises(RequestRefused, match="is not registered"):
        everything(client)


def observation(**changes: Any) -> dict[str, Any]:
    row = {"realtime_start": "2026-01-01", "realtime_end": "9999-12-31", "date": "2025-12-01", "value": "1.0"}
    return {**row, **changes}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"observations": None},
        {"observations": ["x"]},
        {"observations": [], "count": 5},
        {"observations": [observation(value="")], "count": 1},
        {"observations": [observation(value="n/a")], "count": 1},
        {"observations": [observation(value="Infinity")], "count": 1},
        {"observations": [observation(value="1e999999")], "count": 1},
        {"observations": [observation(value=None)], "count": 1},
        {"observations": [observation(value=1.5)], "count": 1},
        {"observations": [observation(date="2025-13-01")], "count": 1},
        {"observations": [observation(realtime_start=20260101)], "count": 1},
    ],
)
def test_what_is_no_observation_is_refused(body: dict[str, Any]) -> None:
    with fred([Reply(200, body)]) as client, pytest.raises(MalformedResponse):
        everything(client)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(400, {"error_code": 400, "error_message": f"Bad Request. The key {KEY} is not registered."}),
        Reply(500, {"error_message": f"{KEY}"}),
        Reply(200, f"<html>{KEY}</html>".encode()),
        Reply(abort=True),
    ],
)
def test_the_key_never_shows(reply: Reply, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), fred([reply]) as client:
        with pytest.raises(KalshiAssetsError) as caught:
            everything(client)
        shown = [repr(client), caplog.text]
    error: BaseException | None = caught.value
    while error is not None:
        shown += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    assert "Starting new HTTP connection" in caplog.text
    assert reply.abort or "api_key=" in caplog.text
    assert not any(KEY in text for text in shown)


def test_the_rate_limit_is_for_the_real_host_only() -> None:
    real, local = Transport("https://example.org/fred"), Transport("http://127.0.0.1:1/fred")
    Fred(real, KEY)
    Fred(local, KEY)
    assert real.limiter is not None
    assert real.limiter.rate_per_s == 20.0
    assert local.limiter is None
    real.close()
    local.close()
