"""Plans from files, the switches that they set, and the command that takes them."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from kalshi_assets.emulator.archive import Archive
from kalshi_assets.emulator.drift import Drift
from kalshi_assets.emulator.fault_plan import CutoffMove, FaultPlan
from kalshi_assets.emulator.faults import Rule, Span
from kalshi_assets.emulator.process import ServedArchive
from kalshi_assets.emulator.server import serve
from kalshi_assets.errors import UsageError
from kalshi_assets_tests.conftest import COMMAND
from kalshi_assets_tests.emulator.conftest import Client
from kalshi_assets_tests.emulator.test_signatures import ed25519_headers, ed25519_pair

WHOLE = {
    "seed": 7,
    "rules": [
        {"path": "/markets/trades*", "requests": [3, 4], "fault": "latency", "seconds": 0.5},
        {"requests": {"from": 10, "to": 20}, "probability": 0.1, "fault": "status", "status": 429, "times": 2},
    ],
    "rate_limit": 50,
    "cutoff": {"market_settled_ts": "2026-01-01T00:00:00Z"},
    "cutoff_moves": [{"after_requests": 50, "trades_created_ts": "2026-02-01T00:00:00Z"}],
    "overlap_s": 3600,
    "now": "2026-03-01T12:00:00Z",
    "drift": {"add": {"market": {"mood": "good"}}, "drop": {"series": ["tags"]}},
    "clock_skew_s": -12.5,
    "maintenance": True,
}


def test_a_whole_plan() -> None:
    plan = FaultPlan.parse(WHOLE)
    assert plan == FaultPlan(
        seed=7,
        rules=(
            Rule("latency", path="/markets/trades*", requests=(3, 4), seconds=0.5),
            Rule("status", requests=Span(10, 20), probability=0.1, status=429, times=2),
        ),
        rate_limit=50,
        cutoff={"market_settled_ts": "2026-01-01T00:00:00Z"},
        cutoff_moves=(CutoffMove(50, trades_created_ts="2026-02-01T00:00:00Z"),),
        overlap_s=3600,
        now=datetime(2026, 3, 1, 12, tzinfo=UTC),
        drift=Drift(add={"market": {"mood": "good"}}, drop={"series": frozenset({"tags"})}),
        clock_skew_s=-12.5,
        maintenance=True,
    )
    line = plan.told()
    assert "\n" not in line
    for said in ("seed 7", "latency seconds=0.5 on /markets/trades*", "status=429 x2 p=0.1 on *", "cutoff_moves"):
        assert said in line
    assert FaultPlan.parse({}) == FaultPlan()
    assert "nothing goes wrong" in FaultPlan().told()


@pytest.mark.parametrize(
    ("document", "place", "complaint"),
    [
        ({"sead": 7}, "at sead:", "unknown"),
        ([], "", "object"),
        ({"seed": "7"}, "at seed:", "integer"),
        ({"rules": {"fault": "reset"}}, "at rules:", "array"),
        ({"rules": [{"fault": "reset"}, {"path": "/x"}]}, "at rules[1]:", "'fault' is missing"),
        ({"rules": [{"fault": "explode"}]}, "at rules[0].fault:", "'latency'"),
        ({"rules": [{"fault": "latency"}]}, "at rules[0]:", "needs seconds"),
        ({"rules": [{"fault": "latency", "seconds": -1}]}, "at rules[0].seconds:", "greater than"),
        ({"rules": [{"fault": "reset", "seconds": 1}]}, "at rules[0]:", "takes no seconds"),
        ({"rules": [{"fault": "status", "status": 200}]}, "at rules[0]:", "from 400 on"),
        ({"rules": [{"fault": "status", "status": 429, "retry_after": "soon"}]}, "at rules[0]:", "retry_after"),
        ({"rules": [{"fault": "reset", "probability": 1.5}]}, "at rules[0].probability:", "less than"),
        ({"rules": [{"fault": "reset", "requests": [0, -1]}]}, "at rules[0].requests[1]:", "greater than"),
        ({"rules": [{"fault": "reset", "requests": {"to": 3}}]}, "at rules[0].requests:", "'from' is missing"),
        ({"rules": [{"fault": "reset", "times": 0}]}, "at rules[0].times:", "greater than"),
        ({"rules": [{"fault": "reorder", "order": "sideways"}]}, "at rules[0].order:", "'reversed'"),
        ({"rate_limit": 0}, "at rate_limit:", "greater than"),
        ({"rate_limit": float("nan")}, "at rate_limit:", "finite"),
        ({"cutoff": {"settled": "2026-01-01T00:00:00Z"}}, "at cutoff.settled:", "'market_settled_ts'"),
        ({"cutoff": {"market_settled_ts": "2026-01-01"}}, "at cutoff.market_settled_ts:", "RFC 3339"),
        ({"cutoff_moves": [{"after_requests": 2}, {"after_requests": 2}]}, "", "ascending"),
        ({"now": "yesterday"}, "at now:", "datetime"),
        ({"now": "2026-01-01T00:00:00"}, "at now:", "timezone"),
        ({"drift": {"drop": {"mood": ["a"]}}}, "at drift.drop.mood:", "'market'"),
        ({"public_keys": {"me": "nowhere.pem"}}, "at public_keys.me", "nowhere.pem"),
    ],
)
def test_a_wrong_plan_is_one_sentence_that_names_the_place(
    tmp_path: Path, document: Any, place: str, complaint: str
) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(document))
    with pytest.raises(UsageError) as refused:
        FaultPlan.load(file)
    said = str(refused.value)
    assert str(file) in said
    assert place in said
    assert complaint in said
    assert "\n" not in said
    assert "pydantic" not in said


@pytest.mark.parametrize(("content", "complaint"), [(b"{", "not JSON"), (b"\xff\xfe", "not JSON"), (None, "No such")])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    file = tmp_path / "plan.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=complaint):
        FaultPlan.load(file)


def test_keys_are_pem_or_files_beside_the_plan(tmp_path: Path, tiny: Archive) -> None:
    private, pem = ed25519_pair()
    (tmp_path / "key.pem").write_text(pem)
    file = tmp_path / "plan.json"
    for given in (pem, "key.pem"):
        file.write_text(json.dumps({"public_keys": {"me": given}}))
        with serve(tiny, plan=FaultPlan.load(file)) as server:
            c = Client(server)
            c.get("/account/limits", headers=ed25519_headers(private, "me", "/account/limits"))
            c.session.close()
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(UsageError, match="me is not a PEM"):
        FaultPlan.load(file)


def test_single_switches_stand_over_the_plan(tiny: Archive) -> None:
    with serve(tiny, plan=FaultPlan(maintenance=True, seed=3), maintenance=False) as server:
        c = Client(server)
        assert c.get("/exchange/status")["trading_active"] is True
        c.session.close()


def test_maintenance_answers_503_with_the_status(tiny: Archive) -> None:
    with serve(tiny, plan=FaultPlan(maintenance=True)) as server:
        c = Client(server)
        body = c.get("/exchange/status", 503)
        assert (body["trading_active"], body["exchange_index_statuses"][0]["trading_active"]) == (False, False)
        c.get("/markets", limit=1)
        c.session.close()


def test_a_skewed_server_clock_shows_and_judges(tiny: Archive) -> None:
    private, pem = ed25519_pair()
    with serve(tiny, plan=FaultPlan(clock_skew_s=60, public_keys={"me": pem})) as server:
        c = Client(server)
        path = "/account/limits"
        answer = c.session.get(server.base_url + "/exchange/status", timeout=5)
        ahead = parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()
        assert 57 < ahead <= 60
        refused = c.get(path, 401, headers=ed25519_headers(private, "me", path))
        assert refused["error"]["code"] == "header_timestamp_expired"
        c.get(path, headers=ed25519_headers(private, "me", path, skew_s=ahead))
        c.session.close()


def test_the_command_tells_the_plan_and_ends_quietly(tiny_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"seed": 5, "rules": [{"fault": "status", "status": 503, "requests": [0]}]}))
    arguments = [str(COMMAND), "emulate", "--archive", str(tiny_folder), "--faults", str(file)]

    # A suite that a shell started in the background ignores interrupts, and its children inherit that.
    def heed() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed
    ) as process:
        assert process.stdout is not None
        where, plan = process.stdout.readline(), process.stdout.readline()
        base_url = next(word for word in where.split() if word.startswith("http")).rstrip(",")
        assert "simulated" in where
        assert plan == "Fault plan with seed 5: status status=503 on *\n"
        assert [requests.get(f"{base_url}/exchange/status", timeout=5).status_code for _ in range(2)] == [503, 200]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_the_command_refuses_a_wrong_plan_in_one_sentence(tiny_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text('{"rules": [{"fault": "explode"}]}')
    done = subprocess.run(
        [str(COMMAND), "emulate", "--archive", str(tiny_folder), "--faults", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "rules[0].fault" in line


def test_a_process_of_its_own_follows_the_plan(tiny_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text('{"maintenance": true}')
    with ServedArchive(tiny_folder, file) as served:
        assert requests.get(f"{served.base_url}/exchange/status", timeout=5).status_code == 503
    with ServedArchive(tiny_folder) as served:
        assert requests.get(f"{served.base_url}/exchange/status", timeout=5).status_code == 200
    file.write_text("[]")
    with pytest.raises(UsageError, match="object"):
        ServedArchive(tiny_folder, file)
