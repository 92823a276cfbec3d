"""Optional parts, libraries and kernels."""

from pathlib import Path

import pytest

from kalshi_assets.doctor.extension_checks import (
    EXTENSIONS,
    Extension,
    check_extensions,
    check_kernels,
    check_libraries,
    judge_extension,
    judge_kernels,
    judge_libraries,
)

POSTGRES, S3 = EXTENSIONS
ABSENT = Extension("postgres", "no_such_module_of_dagster", "never")


def test_an_absent_part_is_a_note_unless_something_needs_it():
    assert judge_extension(POSTGRES, installed=True, needed=True).state == "ok"
    note = judge_extension(S3, installed=False, needed=False)
    assert note.state == "ok"
    assert "[s3]" in note.advice
    missing = judge_extension(POSTGRES, installed=False, needed=True)
    assert missing.state == "failure"
    assert "[postgres]" in missing.advice


@pytest.mark.parametrize(
    ("text", "needed"),
    [("storage: {postgres: {}}", True), ("# storage: {postgres: {}}", False), ("storage: {sqlite: {}}", False)],
)
def test_dagster_yaml_says_what_is_needed(text, needed, tmp_path, monkeypatch):
    monkeypatch.setattr("kalshi_assets.doctor.extension_checks.EXTENSIONS", (ABSENT,))
    (tmp_path / "dagster.yaml").write_text(text)
    (check,) = check_extensions(tmp_path / "dagster.yaml")
    assert check.state == ("failure" if needed else "ok")
    (check,) = check_extensions(tmp_path / "absent.yaml")
    assert check.state == "ok"


def test_the_libraries_of_this_installation_import():
    (check,) = check_libraries()
    assert check.state == "ok"
    assert "duckdb 2." in check.found


def test_a_library_that_does_not_import_is_named(monkeypatch):
    monkeypatch.setattr("kalshi_assets.doctor.extension_checks._LIBRARIES", ("numpy", "no_such_library"))
    (check,) = check_libraries()
    assert check.state == "failure"
    assert "no_such_library (ModuleNotFoundError" in check.found
    assert "Importable: numpy" in check.found
    assert judge_libraries({"a": "1"}, {}).state == "ok"


def test_the_kernels_of_this_installation_can_be_kept():
    (check,) = check_kernels()
    assert check.state == "ok"


@pytest.mark.parametrize(
    ("refusal", "compiled", "state", "words"),
    [
        (None, True, "ok", "are compiled"),
        (None, False, "ok", "about a minute"),
        ("Permission denied", True, "ok", "cannot be written"),
        ("Permission denied", False, "warning", "anew in every run"),
    ],
)
def test_kernels(refusal, compiled, state, words):
    check = judge_kernels(Path("/cache"), refusal, compiled=compiled)
    assert check.state == state
    assert words in check.found
