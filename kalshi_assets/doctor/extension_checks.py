"""Optional parts, the libraries below the lake and the kernels, and the kernels' compiled code."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from kalshi_assets.doctor.check import Check, failure, ok, warning
from kalshi_assets.doctor.folders import nearest_existing, write_refusal

_LIBRARIES = ("duckdb", "deltalake", "pyarrow", "numba", "scipy", "cryptography")
_INSTALL = "pip install -c requirements.lock '.[{}]'"
_CACHE_ADVICE = "Give this user write access to it, or set NUMBA_CACHE_DIR to a folder that can be written."


@dataclass(frozen=True, slots=True)
class Extension:
    """An optional part.

    Attributes:
        extra: the name that pip knows it by.
        module: what it installs.
        purpose: when it is needed.
    """

    extra: str
    module: str
    purpose: str


EXTENSIONS = (
    Extension("postgres", "dagster_postgres", "only to keep Dagster's runs in PostgreSQL"),
    Extension("s3", "obstore", "only for a lake in a bucket"),
)


def check_extensions(dagster_yaml: Path) -> list[Check]:
    """Optional parts, installed or not, against what dagster.yaml asks for."""
    text = dagster_yaml.read_text(errors="replace") if dagster_yaml.is_file() else ""
    return [
        judge_extension(e, installed=find_spec(e.module) is not None, needed=_asks_for(e, text)) for e in EXTENSIONS
    ]


def check_libraries() -> list[Check]:
    """Import what the lake and the kernels rest on; a wheel for another machine shows only here."""
    versions: dict[str, str] = {}
    errors: dict[str, str] = {}
    for name in _LIBRARIES:
        try:
            versions[name] = str(importlib.import_module(name).__version__)
        except Exception as error:  # A broken binary raises whatever it likes.
            errors[name] = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    return [judge_libraries(versions, errors)]


def check_kernels() -> list[Check]:
    """Where compiled kernels are kept and whether they are there."""
    try:
        from kalshi_assets.core.compiled import has_code
        from kalshi_assets.core.snapshots import evaluate
    except RuntimeError as error:
        # numba refuses to define a cached kernel where no folder for its code can be written.
        return [failure("extensions.kernels", f"The kernels cannot be kept: {error}.", _CACHE_ADVICE)]
    kernel: object = evaluate
    folder = Path(kernel._cache.cache_path)  # type: ignore[attr-defined]
    return [judge_kernels(folder, write_refusal(nearest_existing(folder)), compiled=has_code(evaluate))]


def judge_extension(extension: Extension, *, installed: bool, needed: bool) -> Check:
    """A note where it is absent, a failure where something configured needs it."""
    name = f"extensions.{extension.extra}"
    if installed:
        return ok(name, f"{extension.module} is installed.")
    install = _INSTALL.format(extension.extra)
    if needed:
        return failure(name, f"dagster.yaml asks for {extension.module}, which is not installed.", f"{install}")
    return ok(name, f"{extension.module} is not installed; it is needed {extension.purpose}.", f"If wanted: {install}")


def judge_libraries(versions: Mapping[str, str], errors: Mapping[str, str]) -> Check:
    """All libraries import."""
    found = ", ".join(f"{name} {version}" for name, version in versions.items())
    if errors:
        broken = "; ".join(f"{name} ({words})" for name, words in errors.items())
        return failure(
            "extensions.libraries",
            f"Cannot be imported: {broken}. {f'Importable: {found}.' if found else ''}".rstrip(),
            "Install them again for this machine: pip install --force-reinstall -c requirements.lock .",
        )
    return ok("extensions.libraries", f"{found}.")


def judge_kernels(folder: Path, refusal: str | None, *, compiled: bool) -> Check:
    """Compiled code is there, or can be kept once it is made.

    Args:
        folder: where numba keeps it.
        refusal: why nothing can be written there; None where it can.
        compiled: whether the code is there and up to date.
    """
    name = "extensions.kernels"
    if compiled and refusal is None:
        return ok(name, f"The kernels are compiled, in {folder}.")
    if compiled:
        return ok(name, f"The kernels are compiled, in {folder}, which cannot be written: {refusal}.", _CACHE_ADVICE)
    if refusal is None:
        return ok(name, f"The kernels are not compiled yet; the first run does it in about a minute, into {folder}.")
    return warning(name, f"The kernels would be compiled anew in every run: {folder}: {refusal}.", _CACHE_ADVICE)


def _asks_for(extension: Extension, dagster_yaml: str) -> bool:
    """Whether dagster.yaml names the extension outside its comments."""
    return any(extension.extra in line.partition("#")[0] for line in dagster_yaml.splitlines())
