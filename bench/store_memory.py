"""Peak memory of one piece of work, in a process of its own: run as ``python -m bench.store_memory WORK ...``."""

from __future__ import annotations

import gc
import sys
import tempfile
from pathlib import Path

import pyarrow as pa

MIB = 1024


def write(rows: int) -> None:
    """Print how many rows were written, and the peak in MiB above the memory that held them before."""
    import pyarrow.compute as pc

    from bench.ladders import make_ladders
    from kalshi_assets.store.lake import Lake, Scope

    quotes = make_ladders(rows // 50_000, contracts=10, quotes=5_000, snapshots=1).quotes
    scope = Scope(pc.unique(quotes["event_date"]).to_pylist())
    gc.collect()
    pa.default_memory_pool().release_unused()
    with tempfile.TemporaryDirectory(prefix="bench-store-memory-") as folder:
        # The peak starts anew from here.
        Path("/proc/self/clear_refs").write_text("5")
        before = status("VmRSS")
        Lake(folder).replace("quotes", quotes, scope=scope, run_id="bench")
        print(quotes.num_rows, (status("VmHWM") - before) / MIB)


def look_up(engine: str, home: Path, requests: Path) -> None:
    """Print the peak in MiB of the whole process."""
    from bench.store_lookup import ENGINES

    ENGINES[engine](home, requests)
    print(status("VmHWM") / MIB)


def status(name: str) -> int:
    """A figure of Linux about this process, in KiB."""
    (line,) = (t for t in Path("/proc/self/status").read_text().splitlines() if t.startswith(f"{name}:"))
    return int(line.split()[1])


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(int(sys.argv[2]))
    else:
        look_up(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
