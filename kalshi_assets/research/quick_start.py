"""Makes a single question start fast: compiled code is loaded without what only a compiler needs.

numba imports scipy.linalg and cffi, almost half a second, to learn what it could
compile calls to. Code that lies on disk needs no such answer.
"""

from __future__ import annotations

import sys

from kalshi_assets.core.compiled import has_code

_ASKED = ("scipy.linalg", "cffi")


def skip_the_compiler() -> None:
    """Let numba believe that there is nothing to compile with, if there is nothing to compile."""
    from kalshi_assets.core.snapshots import evaluate

    if not has_code(evaluate):
        return
    hidden = [name for name in _ASKED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        # Importing these asks once and remembers the answer.
        import numba.core.typing.cffi_utils
        import numba.np.arraymath  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
