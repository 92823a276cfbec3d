"""Dagster's SQLite files, whole, damaged, busy and sealed."""

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from kalshi_assets.doctor.run_storage_checks import (
    DatabaseSurvey,
    check_run_storage,
    judge_databases,
    judge_folder,
    survey_database,
)
from kalshi_assets_tests.doctor.conftest import sealing


@pytest.fixture
def database(tmp_path) -> Path:
    path = tmp_path / "history" / "index.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, body TEXT)")
        made.execute("CREATE INDEX bodies ON events (body)")
        made.executemany("INSERT INTO events (body) VALUES (?)", [(f"{i:0200}",) for i in range(2_000)])
        made.commit()
    return path


def found(folder: Path) -> dict[str, tuple[str, str]]:
    return {c.name: (c.state, c.found) for c in check_run_storage(folder)}


def test_a_filled_home_is_whole_and_stays_untouched(filled):
    folder = filled[1].home / "dagster"
    before = sorted(folder.rglob("*"))
    assert found(folder)["dagster.folder"][0] == "ok"
    state, words = found(folder)["dagster.files"]
    assert state == "ok"
    assert "runs.db" in {p.name for p in before}
    assert f"of {len(list(folder.rglob('*.db')))} SQLite files are whole" in words
    assert sorted(folder.rglob("*")) == before


def test_nothing_stored_yet(tmp_path):
    assert found(tmp_path / "dagster")["dagster.files"][0] == "skipped"
    assert found(tmp_path / "dagster")["dagster.folder"][0] == "ok"


def test_a_damaged_file_is_named(database, tmp_path):
    data = bytearray(database.read_bytes())
    data[4096 * 20 : 4096 * 24] = b"\xff" * 4096 * 4
    database.write_bytes(data)
    state, words = found(tmp_path)["dagster.files"]
    assert state == "failure"
    assert "history/index.db is damaged" in words


def test_a_file_that_is_no_database_is_named(database, tmp_path):
    database.write_bytes(b"not a database at all" * 100)
    assert found(tmp_path)["dagster.files"][0] == "failure"


def test_a_file_in_use_is_whole(database, tmp_path):
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO events (body) VALUES ('pending')")
        assert database.with_name("index.db-wal").exists()
        assert found(tmp_path)["dagster.files"][0] == "ok"


def test_a_sealed_folder_is_read_as_far_as_it_can_be(open_home, database):
    shutil.copy(database, open_home / "runs.db")
    with sealing(open_home):
        assert found(open_home)["dagster.folder"][0] == "failure"
        assert "Permission denied" in found(open_home)["dagster.folder"][1]
        assert found(open_home)["dagster.files"] == ("ok", "1 of 1 SQLite files are whole.")
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("INSERT INTO events (body) VALUES ('more')")
        writer.commit()
        # What a killed writer leaves: a log that only somebody who may write can read again.
        for path in (database, database.with_name("index.db-wal")):
            shutil.copy(path, open_home)
    with sealing(open_home):
        state, words = found(open_home)["dagster.files"]
    assert state == "warning"
    assert "index.db could not be opened" in words


def test_the_time_is_bounded(database):
    past = time.monotonic() - 1
    assert survey_database(database, "index.db", past) == DatabaseSurvey("index.db", "unfinished")
    check = judge_databases([DatabaseSurvey("a", "whole"), DatabaseSurvey("b", "unfinished")])
    assert check.state == "ok"
    assert "1 of 2 SQLite files are whole; there was no time to read 1" in check.found


def test_files_are_judged_together():
    check = judge_databases(
        [DatabaseSurvey("a", "whole"), *(DatabaseSurvey(name, "damaged", "bad page") for name in ("b", "c"))]
    )
    assert check.state == "failure"
    assert "b is damaged: bad page, and 1 more" in check.found
    assert "only the history of runs" in check.advice
    assert judge_folder(Path("/x"), "No space left on device").state == "failure"
