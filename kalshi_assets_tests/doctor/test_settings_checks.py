"""Home, source, versions and DAGSTER_HOME."""

from pathlib import Path

import pytest

from kalshi_assets.doctor.settings_checks import (
    check_home,
    check_installation,
    judge_dagster_home,
    judge_home,
    judge_source,
    judge_versions,
    read_settings,
)
from kalshi_assets.settings import Source

BOTH = {"dagster": "1.13.27", "dagster-webserver": "1.13.27"}


def test_a_home_is_written_made_or_refused(tmp_path):
    assert [c.state for c in check_home(tmp_path)] == ["ok"]
    (check,) = check_home(tmp_path / "a" / "b")
    assert check.state == "ok"
    assert "can be made" in check.found
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_written_says_why(sealed):
    (check,) = check_home(sealed)
    assert check.state == "failure"
    assert f"{sealed} cannot be written: Permission denied" in check.found
    assert "KALSHI_ASSETS_HOME" in check.advice
    (check,) = check_home(sealed / "below")
    assert check.state == "failure"
    assert f"cannot be made in {sealed}" in check.found


def test_a_home_is_judged_by_what_the_system_said():
    home = Path("/a/b")
    assert judge_home(home, exists=True, above=home, refusal=None).state == "ok"
    assert judge_home(home, exists=True, above=home, refusal="Read-only file system").state == "failure"


@pytest.mark.parametrize(
    ("environ", "source", "failed", "home_known", "usable"),
    [
        ({}, None, [], True, True),
        ({"KALSHI_ASSETS_SOURCE": "kalshi"}, None, [], True, True),
        ({"KALSHI_ASSETS_SOURCE": "prod"}, None, ["settings.source"], True, False),
        ({"KALSHI_ASSETS_SOURCE": "prod"}, "demo", [], True, True),
        ({"KALSHI_ASSETS_HOME": __file__}, None, ["settings.home"], False, True),
        ({"KALSHI_ASSETS_HOME": __file__}, "nowhere", ["settings.home", "settings.source"], False, False),
        ({}, "archive:/no/such/folder", ["settings.source"], True, False),
    ],
)
def test_one_wrong_setting_does_not_hide_the_others(environ, source, failed, home_known, usable):
    reading = read_settings({**environ, "FRED_API_KEY": "x"}, source)
    assert [c.name for c in reading.checks if c.state == "failure"] == failed
    assert all(c.advice for c in reading.checks if c.state == "failure")
    assert (reading.home_known, reading.source_usable) == (home_known, usable)
    assert reading.settings.fred_api_key == "x"


def test_an_archive_must_be_there(archive):
    (check,) = read_settings({}, f"archive:{archive}").checks
    assert check.state == "ok"
    assert judge_source(Source("archive", archive), archive_there=False).state == "failure"
    assert judge_source(Source("demo"), archive_there=False).state == "ok"


@pytest.mark.parametrize(
    ("python", "versions", "state"),
    [
        ((3, 11), BOTH, "ok"),
        ((3, 14), BOTH, "ok"),
        ((3, 10), BOTH, "failure"),
        ((3, 11), {**BOTH, "dagster": None}, "failure"),
        ((3, 11), {**BOTH, "dagster-webserver": "1.13.28"}, "warning"),
    ],
)
def test_versions(python, versions, state):
    assert judge_versions(python, ".".join(map(str, python)), versions).state == state


def test_this_installation_is_well(tmp_path):
    checks = {c.name: c for c in check_installation({})}
    assert {c.state for c in checks.values()} == {"ok"}
    assert "Python 3." in checks["settings.versions"].found
    checks = {c.name: c for c in check_installation({"DAGSTER_HOME": str(tmp_path)})}
    assert checks["settings.dagster_home"].state == "warning"
    (tmp_path / "dagster.yaml").touch()
    checks = {c.name: c for c in check_installation({"DAGSTER_HOME": str(tmp_path)})}
    assert checks["settings.dagster_home"].state == "ok"


@pytest.mark.parametrize(
    ("named", "configured", "state"),
    [
        (None, False, "ok"),
        ("/srv/dagster", True, "ok"),
        ("/srv/dagster", False, "warning"),
        ("dagster", True, "warning"),
    ],
)
def test_dagster_home(named, configured, state):
    check = judge_dagster_home(named, configured=configured)
    assert check.state == state
    assert (check.advice is None) == (state == "ok")
