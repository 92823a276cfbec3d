"""The one way in which the core compiles a hot loop; kernels themselves live beside the idea they serve.

No fast-math and no threads: a kernel gives the same bits on every run, which
the leakage gates and the recomputation of verdicts rely on. Compiled code is
cached on disk beside its module. Numba renews a cached kernel only when the
kernel's own file changes; here it is also renewed when a kernel that it calls,
or a constant that it was compiled with, has changed.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, TypeVar, cast

import numba
from numba.core.dispatcher import Dispatcher

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def _globals_used(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Module-level names that a function reads, and names that it reads from modules."""
    names = function.__code__.co_names
    for name in names:
        value = function.__globals__.get(name)
        if isinstance(value, ModuleType):
            yield from ((attribute, getattr(value, attribute, None)) for attribute in names)
        else:
            yield name, value


def _stamp(kernel: Any) -> Any:
    return kernel._cache._cache_file._source_stamp


def _renewable(load: Callable[[], dict[Any, Any]]) -> Callable[[], dict[Any, Any]]:
    """Read a cache's index, or start anew: one that names a type which no longer exists cannot be read at all."""

    def load_or_renew() -> dict[Any, Any]:
        try:
            return load()
        except (AttributeError, ImportError, EOFError, pickle.UnpicklingError):
            return {}

    return load_or_renew


def compiled(function: Kernel) -> Kernel:
    """Compile ``function`` to machine code on its first call.

    Args:
        function: a kernel over arrays and scalars. The kernels that it calls
            must be defined above it, or else a change of theirs goes unnoticed.

    Returns:
        The compiled function; the plain one stays at its ``py_func``. Division by zero gives infinity or NaN.
    """
    return _compiled(function, numba.njit(cache=True, error_model="numpy"))


def in_place(function: Kernel) -> Kernel:
    """As ``compiled``, for a kernel that only fills arrays that it is given: it makes none and returns none.

    Such a kernel needs no reference counts. Where small kernels call each
    other with many arrays, counting takes most of the time, and much of the
    compiler's. A kernel that does make an array is refused by the compiler.
    """
    njit: Any = numba.njit  # its type hints lack the option for compiling without the memory manager
    return _compiled(function, njit(cache=True, error_model="numpy", _nrt=False))


def _compiled(function: Kernel, compile_lazily: Callable[[Any], Any]) -> Kernel:
    kernel: Any = compile_lazily(function)
    rests_on = tuple(
        (name, _stamp(value) if isinstance(value, Dispatcher) else repr(value))  # NaN equals only its text
        for name, value in _globals_used(function)
        if isinstance(value, Dispatcher | int | float | str | tuple)
    )
    cache_file = kernel._cache._cache_file
    cache_file._source_stamp = (_stamp(kernel), rests_on)
    cache_file._load_index = _renewable(cache_file._load_index)
    return cast("Kernel", kernel)


def has_code(kernel: Any) -> bool:
    """Whether compiled code of a kernel, as it stands now, lies on disk."""
    return bool(kernel._cache._cache_file._load_index())
