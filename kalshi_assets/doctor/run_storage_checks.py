"""Dagster's own storage under the home: the folder and its SQLite files. What the runs say does not belong here."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kalshi_assets.doctor.check import Check, failure, ok, skipped, warning
from kalshi_assets.doctor.folders import nearest_existing, write_refusal

FOLDER, FILES = "dagster.folder", "dagster.files"
_BUDGET_S = 3.0
_STEPS = 20_000
_NO_ACCESS = ("unable to open", "locked", "readonly")


@dataclass(frozen=True, slots=True)
class DatabaseSurvey:
    """One SQLite file.

    Attributes:
        name: the file, relative to the storage's folder.
        state: ``unopened`` where SQLite did not get at it, ``unfinished`` where the time ended before the file.
        words: SQLite's, where it is damaged or was not opened.
    """

    name: str
    state: Literal["whole", "damaged", "unopened", "unfinished"]
    words: str = ""


def check_run_storage(folder: Path) -> list[Check]:
    """The storage's folder and its files, the newest first, as far as a few seconds reach."""
    refusal = write_refusal(nearest_existing(folder))
    if not folder.is_dir():
        return [judge_folder(folder, refusal), skipped(FILES, "Dagster has stored nothing yet.")]
    names = sorted(folder.rglob("*.db"), key=lambda p: p.stat().st_mtime, reverse=True)
    deadline = time.monotonic() + _BUDGET_S
    return [
        judge_folder(folder, refusal),
        judge_databases([survey_database(path, str(path.relative_to(folder)), deadline) for path in names]),
    ]


def survey_database(path: Path, name: str, deadline: float) -> DatabaseSurvey:
    """Let SQLite check one file, reading only, until ``deadline`` on the monotonic clock.

    A file without a write-ahead log is opened as immutable: a plain read-only connection would leave
    a log and an index of its own beside it, which another user's run could then not write.
    """
    modes = ["mode=ro"] if path.with_name(f"{path.name}-wal").exists() else ["mode=ro&immutable=1", "mode=ro"]
    survey = DatabaseSurvey(name, "unfinished")
    for mode in modes:
        if time.monotonic() >= deadline:
            return DatabaseSurvey(name, "unfinished")
        survey = _survey(path, name, mode, deadline)
        if survey.state != "damaged":
            return survey
        # A run may have begun to write meanwhile, which an immutable reading takes for damage.
    return survey


def judge_folder(folder: Path, refusal: str | None) -> Check:
    """The folder takes files."""
    if refusal is None:
        return ok(FOLDER, f"{folder} takes files." if folder.is_dir() else f"{folder} can be made.")
    advice = "Give this user write access, or choose another home (KALSHI_ASSETS_HOME)."
    return failure(FOLDER, f"{folder} cannot be written: {refusal}.", advice)


def judge_databases(surveys: Sequence[DatabaseSurvey]) -> Check:
    """All files are whole, as far as they were read."""
    broken = [s for s in surveys if s.state == "damaged"]
    if broken:
        more = f", and {len(broken) - 1} more files" if len(broken) > 1 else ""
        return failure(
            FILES,
            f"{broken[0].name} is damaged: {broken[0].words}{more}.",
            "Restore the folder dagster/ of the home from a copy, or remove it: the lake keeps all results, "
            "and only the history of runs is lost.",
        )
    unopened = [s for s in surveys if s.state == "unopened"]
    if unopened:
        return warning(
            FILES,
            f"{unopened[0].name} could not be opened: {unopened[0].words} ({len(unopened)} of {len(surveys)} files).",
            "Give this user access to the folder dagster/ of the home; if a run is at work, wait until it ends.",
        )
    whole = sum(s.state == "whole" for s in surveys)
    rest = f"; there was no time to read {len(surveys) - whole} to the end" if whole < len(surveys) else ""
    return ok(FILES, f"{whole} of {len(surveys)} SQLite files are whole{rest}.")


def _survey(path: Path, name: str, mode: str, deadline: float) -> DatabaseSurvey:
    try:
        words = _quick_check(path, mode, deadline)
    except sqlite3.Error as error:
        words = str(error)
        if "interrupted" in words:
            return DatabaseSurvey(name, "unfinished")
        if any(sign in words for sign in _NO_ACCESS):
            return DatabaseSurvey(name, "unopened", words)
    return DatabaseSurvey(name, "damaged", words) if words else DatabaseSurvey(name, "whole")


def _quick_check(path: Path, mode: str, deadline: float) -> str:
    """SQLite's first complaint; empty where there is none."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, timeout=1.0)) as connection:
        connection.set_progress_handler(lambda: int(time.monotonic() > deadline), _STEPS)
        (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    return "" if answer == "ok" else str(answer).splitlines()[0]
