"""Runs the benches: all of them, or those that are named."""

from __future__ import annotations

import argparse
import importlib
import time

from bench.measuring import Result, as_text, machine

BENCHES = ("distributions", "panel", "store", "object-store", "exchange", "requests-per-event", "event-log", "startup")


def main() -> None:
    """Print one table a bench, with the load before and after it."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Speeds, side by side with their rivals.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"which to run: {', '.join(BENCHES)} (default: all)")
    parser.add_argument("--rows", type=int, help="rows of the store's largest table, for a shorter or a longer run")
    arguments = parser.parse_args()
    names = [name.replace("_", "-") for name in arguments.names]
    for name in names:
        if name not in BENCHES:
            parser.error(f"there is no bench {name!r}; choose among {', '.join(BENCHES)}")
    for name in names or BENCHES:
        before, start = machine(), time.perf_counter()
        sizes = {"rows": arguments.rows} if name == "store" and arguments.rows else {}
        results = importlib.import_module(f"bench.{name.replace('-', '_')}").measure(**sizes)
        for result in [results] if isinstance(results, Result) else results:
            print(f"\n{as_text(result)}", flush=True)
        print(f"  {name}: {time.perf_counter() - start:.0f} s; before: {before}; after: {machine()}", flush=True)


if __name__ == "__main__":
    main()
