"""The one way in which the core compiles a hot loop; kernels themselves live beside the idea they serve.

No fast-math and no threads: a kernel gives the same bits on every run, which
the leakage gates and the recomputation of verdicts rely on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel) -> Kernel:
    """Compile ``function`` to machine code on its first call, cached on disk beside its module."""
    return cast("Kernel", numba.njit(cache=True)(function))
