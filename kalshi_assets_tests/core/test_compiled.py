"""The cache of compiled kernels is renewed when what a kernel rests on has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core.errors import TypingError

from kalshi_assets.core.compiled import in_place

LOW = """
from kalshi_assets.core.compiled import compiled

@compiled
def inner(x):
    return x + {step}
"""
HIGH = """
from kalshi_assets.core.compiled import compiled
from low import inner

@compiled
def outer(x):
    return inner(x)
"""


def run(folder: Path) -> int:
    """What the pair of modules in the folder computes, in a process of its own."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", "import high; print(high.outer(40))"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(root)])},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def write(path: Path, text: str, version: int) -> None:
    path.write_text(text)
    os.utime(path, (1_700_000_000 + version, 1_700_000_000 + version))  # a clock too coarse must not decide the test


def test_a_changed_callee_renews_its_callers(tmp_path: Path) -> None:
    write(tmp_path / "high.py", HIGH, 0)
    write(tmp_path / "low.py", LOW.format(step=1), 0)
    assert run(tmp_path) == 41
    assert list((tmp_path / "__pycache__").glob("high.outer*.nbi"))
    write(tmp_path / "low.py", LOW.format(step=2), 1)
    assert run(tmp_path) == 42


def test_a_cache_that_cannot_be_read_is_renewed(tmp_path: Path) -> None:
    write(tmp_path / "high.py", HIGH, 0)
    write(tmp_path / "low.py", LOW.format(step=1), 0)
    assert run(tmp_path) == 41
    for index in (tmp_path / "__pycache__").glob("*.nbi"):
        index.write_bytes(index.read_bytes()[:-10])
    assert run(tmp_path) == 41


def test_a_kernel_in_place_may_not_make_an_array() -> None:
    @in_place
    def doubled(values, out):  # type: ignore[no-untyped-def]
        for i in range(values.size):
            out[i] = 2.0 * values[i]

    @in_place
    def made(values):  # type: ignore[no-untyped-def]
        return np.zeros(values.size)

    out = np.empty(3)
    doubled(np.arange(3.0), out)
    assert out.tolist() == [0.0, 2.0, 4.0]
    with pytest.raises(TypingError):
        made(out)
