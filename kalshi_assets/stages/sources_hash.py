"""Which code did the work: one hash over the package's own sources, as they lie on disk.

A version number stays while code changes; evidence must name the code that was asked.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import kalshi_assets

_SHOWN = 16


@cache
def sources_hash() -> str:
    """SHA-256 over name and content of every module of the package, its first 16 hexadecimal digits.

    Read once a process: what runs is what lay there when it started, as near as can be told.
    """
    return hash_of_sources(Path(kalshi_assets.__file__).parent)


def hash_of_sources(folder: Path) -> str:
    """The same over the modules under a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}|{len(content)}|".encode())
        digest.update(content)
    return digest.hexdigest()[:_SHOWN]
