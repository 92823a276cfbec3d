"""The command as a person runs it."""

import io
import json
import re
import socket
from pathlib import Path

import pytest

from kalshi_assets.doctor import Check, examine, exit_code
from kalshi_assets.doctor.examination import made_demo
from kalshi_assets.doctor.exchange_checks import REMOTE
from kalshi_assets.doctor.report import check_json, print_checks, summary
from kalshi_assets.settings import Settings
from kalshi_assets.sources import demo_archive
from kalshi_assets_tests.conftest import CommandLine
from kalshi_assets_tests.doctor.keys import ED, KEY_ID, private_pem

THEMES = {"settings", "disk", "key", "exchange", "clock", "fred", "extensions", "lake", "dagster"}


def dead_source() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{s.getsockname()[1]}/trade-api/v2"


def test_a_filled_home_is_well(filled, archive):
    ka = filled[1]
    before = sorted(ka.home.rglob("*"))
    answer = ka.json("doctor", "--source", f"archive:{archive}", "--json")
    assert answer["exit_code"] == 0
    assert answer["counts"]["failure"] == 0
    by_name = {c["name"]: c for c in answer["checks"]}
    assert {name.partition(".")[0] for name in by_name} == THEMES
    for name in ("lake.tables", "lake.snapshot", "dagster.files", "exchange.status", "clock.skew", "disk.operations"):
        assert by_name[name]["state"] == "ok", by_name[name]
    assert by_name["key.signature"]["state"] == "skipped"
    assert sorted(ka.home.rglob("*")) == before


def test_an_empty_home_is_examined_and_stays_absent(ka):
    answer = ka.json("doctor", "--json")
    by_name = {c["name"]: c["state"] for c in answer["checks"]}
    assert by_name["exchange.status"] == "ok"
    assert by_name["lake.tables"] == by_name["dagster.files"] == "skipped"
    assert not ka.home.exists()


def test_the_table_is_readable_in_a_pipe_and_says_what_to_do(ka):
    done = ka("doctor", "--source", dead_source())
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "exchange.status" in done.stdout
    assert "failure" in done.stdout
    assert "> Check the network" in done.stdout
    # Square brackets are text here and no markup.
    assert "'.[postgres]'" in done.stdout
    assert "\x1b[" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110


def test_a_wrong_setting_and_a_wrong_key_end_with_2_and_hide_nothing(ka):
    done = ka("doctor", "--json", "--source", "mars", KALSHI_API_KEY_ID=KEY_ID, FRED_API_KEY="short")
    assert done.returncode == 2
    answer = json.loads(done.stdout)
    failed = {c["name"] for c in answer["checks"] if c["state"] == "failure"}
    assert failed == {"settings.source", "key.exchange", "key.fred"}
    assert all(c["advice"] for c in answer["checks"] if c["state"] == "failure")
    assert {c["name"].partition(".")[0] for c in answer["checks"]} == THEMES
    assert KEY_ID[:5] not in done.stdout


def test_a_signature_is_tried_with_the_configured_key(ka, venue, tmp_path):
    key = tmp_path / "key.pem"
    key.write_text(private_pem(ED))
    key.chmod(0o644)
    environ = ka.environment(KALSHI_API_KEY_ID=KEY_ID, KALSHI_PRIVATE_KEY_PATH=str(key), FRED_API_KEY="a1" * 16)
    checks = examine(environ, source=venue.base_url, fred_url=venue.fred_url)
    by_name = {c.name: c.state for c in checks}
    assert by_name["key.signature"] == by_name["key.fred_accepted"] == by_name["fred.reachable"] == "ok"
    assert by_name["key.file"] == "warning"
    assert exit_code(checks) == 0


def test_an_encrypted_key_leaves_the_public_checks_standing(ka, venue):
    environ = ka.environment(KALSHI_API_KEY_ID=KEY_ID, KALSHI_PRIVATE_KEY=private_pem(ED, b"word"))
    by_name = {c.name: c for c in examine(environ, source=venue.base_url)}
    assert by_name["key.exchange"].state == "failure"
    assert "encrypted" in by_name["key.exchange"].found
    assert by_name["exchange.status"].state == "ok"
    assert "cannot be used" in by_name["key.signature"].found


@pytest.mark.parametrize("source", ["kalshi", "kalshi-demo", "https://exchange.invalid/trade-api/v2"])
def test_offline_asks_nothing_of_other_machines(ka, source, monkeypatch):
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    checks = {c.name: c for c in examine(ka.environment(FRED_API_KEY="a1" * 16), source=source, offline=True)}
    for name in (*REMOTE, "fred.reachable", "key.fred_accepted"):
        assert (checks[name].state, checks[name].found) == ("skipped", "Not asked, because of --offline.")


def test_a_home_that_refuses_is_examined_all_the_same(sealed, venue):
    environ = {"KALSHI_ASSETS_HOME": str(sealed)}
    checks = examine(environ, source=venue.base_url)
    by_name = {c.name: c.state for c in checks}
    assert by_name["settings.home"] == by_name["dagster.folder"] == "failure"
    assert by_name["exchange.status"] == "ok"
    assert exit_code(checks) == 2


def test_a_file_for_a_home_skips_what_lies_in_it(venue):
    by_name = {c.name: c.state for c in examine({"KALSHI_ASSETS_HOME": __file__}, source=venue.base_url)}
    assert by_name["settings.home"] == "failure"
    assert by_name["disk.space"] == by_name["lake.tables"] == by_name["dagster.folder"] == "skipped"
    assert by_name["exchange.status"] == "ok"


def test_an_archive_that_cannot_be_read_is_named(ka, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "archive.json").write_text("{}")
    done = ka("doctor", "--json", "--source", f"archive:{folder}")
    assert done.returncode == 2
    by_name = {c["name"]: c["state"] for c in json.loads(done.stdout)["checks"]}
    assert by_name["settings.archive"] == "failure"
    assert by_name["exchange.status"] == "skipped"


def test_the_demos_archive_is_looked_for_where_a_run_makes_it(tmp_path):
    settings = Settings(home=tmp_path)
    made_demo(settings).mkdir(parents=True)
    (made_demo(settings) / "archive.json").touch()
    assert demo_archive(settings) == made_demo(settings)


@pytest.mark.parametrize("library", ["pyarrow", "numba"])
def test_a_library_that_does_not_load_is_named_and_the_rest_examined(ka, tmp_path, library):
    (tmp_path / "broken" / library).mkdir(parents=True)
    (tmp_path / "broken" / library / "__init__.py").write_text("raise ImportError('invalid ELF header')")
    done = ka.installed("doctor", PYTHONPATH=str(tmp_path / "broken"))
    assert done.returncode == 1, done.stderr
    words = " ".join(done.stdout.split())
    assert f"Cannot be imported: {library} (ImportError: invalid ELF header)" in words
    for name in ("settings.home", "disk.operations", "dagster.folder"):
        assert re.search(rf"{name} +ok", done.stdout), done.stdout


@pytest.mark.parametrize(
    ("offline", "found"),
    [
        (False, {"settings.lake": "failure", "lake.tables": "skipped"}),
        (True, {"lake.tables": "skipped", "lake.snapshot": "skipped"}),
    ],
)
def test_a_lake_in_a_bucket_is_opened_only_where_it_may_be(ka, venue, offline, found):
    environ = ka.environment(KALSHI_ASSETS_LAKE="ftp://nowhere")
    checks = {c.name: c.state for c in examine(environ, source=venue.base_url, offline=offline)}
    assert found.items() <= checks.items()
    assert ("settings.lake" in checks) == (not offline)


def test_reports():
    checks = [Check("a.b", "ok", "[red]fine[/]"), Check("c.d", "failure", "bad", "Do it.")]
    assert summary(checks) == "1 ok, 1 failure"
    assert check_json(checks) == {
        "exit_code": 1,
        "counts": {"ok": 1, "warning": 0, "failure": 1, "skipped": 0},
        "checks": [
            {"name": "a.b", "state": "ok", "found": "[red]fine[/]", "advice": None},
            {"name": "c.d", "state": "failure", "found": "bad", "advice": "Do it."},
        ],
    }
    printed = io.StringIO()
    print_checks(checks, printed)
    assert "[red]fine[/]" in printed.getvalue()
    assert "> Do it." in printed.getvalue()


def test_the_help_names_the_command(tmp_path: Path):
    assert "doctor" in CommandLine(tmp_path)("--help").stdout
