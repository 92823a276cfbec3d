"""An environment of its own for the exchange's official SDK, beside the project's; nothing outside it is touched.

Releases since 3.2.1 declare a newer Python than they need, and plain pip then takes
an outdated one without a word. So the requirement is set aside, and the SDK's own
dependencies are installed by what its metadata says.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

PACKAGE = "kalshi-python-sync"
MODULE = "kalshi_python_sync"
KNOWN_TO_WORK = "3.34.0"
_SECONDS = 300
_REQUIREMENTS = f"""
import importlib.metadata, json
print(json.dumps([r for r in importlib.metadata.requires({PACKAGE!r}) or [] if "extra ==" not in r]))
"""


class NotInstallable(Exception):
    """The SDK cannot be had here; the text says why."""


def interpreter(folder: Path) -> tuple[Path, str]:
    """The interpreter of an environment that holds the newest SDK that works, and the SDK's version.

    Args:
        folder: the environment, made if it is not there.

    Raises:
        NotInstallable: no package index, no network, or an SDK that cannot be imported.
    """
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    newest = _newest(python)
    reason = ""
    for version in dict.fromkeys((newest or KNOWN_TO_WORK, KNOWN_TO_WORK)):
        try:
            _install(python, version)
        except NotInstallable as failure:
            reason = reason or str(failure)
        else:
            return python, version
    raise NotInstallable(reason)


def _newest(python: Path) -> str | None:
    try:
        said = _pip(python, "index", "versions", "--ignore-requires-python", PACKAGE)
    except NotInstallable:
        return None
    listed = re.search(r"^Available versions: ([^,\s]+)", said, re.MULTILINE)
    return listed and listed[1]


def _install(python: Path, version: str) -> None:
    if _imports(python) == version:
        return
    _pip(python, "install", "--ignore-requires-python", "--no-deps", f"{PACKAGE}=={version}")
    needed = json.loads(_run([str(python), "-c", _REQUIREMENTS]))
    _pip(python, "install", *needed)
    if _imports(python) != version:
        raise NotInstallable(f"{PACKAGE} {version} was installed, but cannot be imported with {sys.version.split()[0]}")


def _imports(python: Path) -> str | None:
    """The version that can be imported; the metadata alone would not tell a half-made environment."""
    code = f"import importlib.metadata as m, {MODULE}; print(m.version({PACKAGE!r}))"
    try:
        return _run([str(python), "-c", code]).strip()
    except NotInstallable:
        return None


def _pip(python: Path, *arguments: str) -> str:
    quiet = ("--disable-pip-version-check", "--no-input", "--retries", "1", "--timeout", "15")
    return _run([str(python), "-m", "pip", *arguments, *quiet])


def _run(command: list[str]) -> str:
    # Without pip's cache nothing is written outside the environment.
    environment = {**os.environ, "PIP_NO_CACHE_DIR": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstallable(str(error)) from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise NotInstallable(said[-1] if said else f"{command[0]} ended with {done.returncode}")
    return done.stdout
