"""How many threads the store uses at once for work that Arrow does outside the interpreter's lock."""

from __future__ import annotations

import os


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Each holds one partition; more threads than this would cost memory and gain little.
WORKERS = max(2, min(8, _cores()))
