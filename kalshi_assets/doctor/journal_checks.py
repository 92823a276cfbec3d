"""The journal of downloads that are under way: its file, and the bodies in it."""

from __future__ import annotations

import sqlite3
import time
import zlib
from contextlib import closing
from pathlib import Path

from kalshi_assets.doctor.check import Check, failure, ok, skipped, warning
from kalshi_assets.doctor.run_storage_checks import DatabaseSurvey, survey_database
from kalshi_assets.store.journal import FILE_NAME

JOURNAL = "lake.downloads"
_BUDGET_S = 5.0


def check_journal(folder: Path) -> list[Check]:
    """The journal in a folder of the home."""
    path = folder / FILE_NAME
    return [judge_journal(survey_journal(path))] if path.exists() else [skipped(JOURNAL, "No download is under way.")]


def survey_journal(path: Path) -> DatabaseSurvey:
    """Let SQLite check the file, then unpack every body, for a few seconds."""
    deadline = time.monotonic() + _BUDGET_S
    survey = survey_database(path, f"{path.parent.name}/{path.name}", deadline)
    if survey.state != "whole":
        return survey
    # As ``survey_database`` opens it, so that looking leaves nothing behind.
    mode = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, timeout=1.0)) as connection:
            for endpoint, key, body in connection.execute("select endpoint, key, body from pages"):
                if time.monotonic() >= deadline:
                    return DatabaseSurvey(survey.name, "unfinished")
                try:
                    zlib.decompress(body)
                except (zlib.error, TypeError) as error:
                    return DatabaseSurvey(survey.name, "damaged", f"the page kept of {endpoint} {key}: {error}")
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "unable to open" in str(error):
            return DatabaseSurvey(survey.name, "unopened", str(error))
        return DatabaseSurvey(survey.name, "damaged", str(error))
    except sqlite3.DatabaseError as error:
        return DatabaseSurvey(survey.name, "damaged", str(error))
    return survey


def judge_journal(survey: DatabaseSurvey) -> Check:
    """What is kept of downloads can be used."""
    if survey.state == "damaged":
        return failure(
            JOURNAL,
            f"The journal of downloads {survey.name} is damaged: {survey.words}.",
            "Remove it, by hand or with `kalshi-assets doctor --repair`: only downloads under way begin anew.",
        )
    if survey.state == "unopened":
        return warning(
            JOURNAL,
            f"The journal of downloads {survey.name} could not be opened: {survey.words}.",
            "Give this user access to it; if a run is at work, wait until it ends.",
        )
    rest = "" if survey.state == "whole" else ", as far as there was time to read it"
    return ok(JOURNAL, f"The journal of downloads {survey.name} is whole{rest}.")
