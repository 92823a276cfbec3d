"""Settings: the home, the source, the packaged facts, versions and DAGSTER_HOME. Keys are ``key_checks``'."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from kalshi_assets.doctor.check import Check, failure, failure_of, ok, warning
from kalshi_assets.doctor.folders import nearest_existing, write_refusal
from kalshi_assets.errors import SettingsError
from kalshi_assets.settings import Settings, Source, facts_folder

OLDEST_PYTHON = (3, 11)
_LISTED = ("kalshi_assets", "dagster", "dagster-webserver")


@dataclass(frozen=True, slots=True)
class Reading:
    """What could be read of the settings.

    Attributes:
        settings: the settings; where a part could not be read, its default stands in and must not be relied on.
        home_known: whether ``settings.home`` is the configured one.
        source_usable: whether ``settings.source`` is the configured one and, for an archive, there.
        checks: what was wrong with the parts that could not be read, and the source if it could.
    """

    settings: Settings
    home_known: bool
    source_usable: bool
    checks: tuple[Check, ...]


def read_settings(environ: Mapping[str, str], source: str | None) -> Reading:
    """Read the settings part by part, so that one wrong part does not hide the others."""
    checks: list[Check] = []
    try:
        settings, home_known = Settings.from_environment(environ, source="demo"), True
    except SettingsError as error:
        checks.append(failure_of("settings.home", error))
        settings, home_known = Settings.from_environment(environ, home=Path.cwd(), source="demo"), False
    try:
        chosen = Settings.from_environment(environ, home=settings.home, source=source).source
    except SettingsError as error:
        checks.append(failure_of("settings.source", error))
        return Reading(settings, home_known, False, tuple(checks))
    judged = judge_source(chosen, archive_there=_holds_archive(chosen))
    checks.append(judged)
    return Reading(replace(settings, source=chosen), home_known, judged.state == "ok", tuple(checks))


def check_home(home: Path) -> list[Check]:
    """Whether the home is there and takes files, or can be made."""
    there = nearest_existing(home)
    return [judge_home(home, exists=there == home, above=there, refusal=write_refusal(there))]


def check_installation(environ: Mapping[str, str]) -> list[Check]:
    """Facts, versions and DAGSTER_HOME."""
    try:
        facts = ok("settings.facts", f"Packaged public facts in {facts_folder()}.")
    except SettingsError as error:
        facts = failure_of("settings.facts", error)
    named = environ.get("DAGSTER_HOME", "").strip() or None
    configured = named is not None and (Path(named).expanduser() / "dagster.yaml").is_file()
    return [
        facts,
        judge_versions(sys.version_info[:2], platform.python_version(), {n: installed_version(n) for n in _LISTED}),
        judge_dagster_home(named, configured=configured),
    ]


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def judge_source(source: Source, *, archive_there: bool) -> Check:
    """An archive must be where the source says."""
    if source.archive is not None and not archive_there:
        return failure(
            "settings.source",
            f"The source is {source}, and there is no archive.json in that folder.",
            "Name the folder that `kalshi-assets simulate --out` wrote (--source or KALSHI_ASSETS_SOURCE).",
        )
    return ok("settings.source", f"The source is {source}.")


def judge_home(home: Path, *, exists: bool, above: Path, refusal: str | None) -> Check:
    """A home that takes files, or one that can be made.

    Args:
        home: the configured folder.
        exists: whether it is there.
        above: the home itself, or the closest folder above it that is there.
        refusal: why no file can be made in ``above``; None where one can.
    """
    advice = "Give this user write access, or choose another folder (KALSHI_ASSETS_HOME)."
    if refusal is None:
        return ok("settings.home", f"{home} takes files." if exists else f"{home} is not there yet and can be made.")
    if exists:
        return failure("settings.home", f"{home} cannot be written: {refusal}.", advice)
    return failure("settings.home", f"{home} is not there and cannot be made in {above}: {refusal}.", advice)


def judge_versions(python: tuple[int, ...], python_text: str, versions: Mapping[str, str | None]) -> Check:
    """Python is new enough and the packages are installed, the Dagster family at one version."""
    found = ", ".join([f"Python {python_text}", *(f"{n} {v or 'not installed'}" for n, v in versions.items())]) + "."
    if python < OLDEST_PYTHON:
        return failure("settings.versions", found, "Install Python 3.11 or newer and make the environment anew.")
    absent = [n for n, v in versions.items() if v is None]
    if absent:
        return failure("settings.versions", found, f"Install {', '.join(absent)}: pip install -c requirements.lock .")
    if versions.get("dagster") != versions.get("dagster-webserver"):
        return warning("settings.versions", found, "Install dagster and dagster-webserver at the same version.")
    return ok("settings.versions", found)


def judge_dagster_home(named: str | None, *, configured: bool) -> Check:
    """Where Dagster's own commands look for dagster.yaml.

    Args:
        named: the value of DAGSTER_HOME, if it is set.
        configured: whether a dagster.yaml lies there.
    """
    name = "settings.dagster_home"
    if named is None:
        return ok(name, "DAGSTER_HOME is not set: kalshi-assets finds its own dagster.yaml.")
    if not Path(named).is_absolute():
        return warning(
            name, f"DAGSTER_HOME is {named}, which Dagster refuses: it is no absolute path.", "Name it from the root."
        )
    if not configured:
        return warning(
            name,
            f"DAGSTER_HOME is {named}, where there is no dagster.yaml: Dagster would keep its runs there.",
            "Unset DAGSTER_HOME, or name the folder that holds this project's dagster.yaml.",
        )
    return ok(name, f"DAGSTER_HOME is {named}.")


def _holds_archive(source: Source) -> bool:
    return source.archive is not None and (source.archive / "archive.json").is_file()
