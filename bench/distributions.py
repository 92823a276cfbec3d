"""Implied distributions in memory, per snapshot, and how that grows with the number of events."""

from __future__ import annotations

import pyarrow.compute as pc

from bench.ladders import make_ladders
from bench.measuring import Result, best_of
from kalshi_assets.core.distribution import build_distributions

CONTRACTS, QUOTES, SNAPSHOTS = 10, 1200, 50

# CPU microseconds per snapshot of the system that this one succeeds, by number of events, on ladders of the
# same size. Source: the reference measurement "original" (two shared cores); it is not measured here.
ORIGINAL_CPU_US = {20: 18_800.0, 50: 20_600.0, 100: 22_900.0, 200: 22_600.0}


def measure() -> Result:
    """Best of three after one warm-up, for each number of events."""
    rows, cpu_us = [], {}
    for events, original in ORIGINAL_CPU_US.items():
        made = make_ladders(events, contracts=CONTRACTS, quotes=QUOTES, snapshots=SNAPSHOTS)
        # The warm-up also loads the compiled kernels, and tells how many snapshots are no empty case.
        warm = build_distributions(made.specs, made.quotes, made.snapshots).distributions
        gated = pc.sum(warm["hard_gate_failed"]).as_py() / warm.num_rows
        timing = best_of(3, lambda made=made: build_distributions(made.specs, made.quotes, made.snapshots))
        wall_us = 1e6 * timing.wall_s / warm.num_rows
        cpu_us[events] = 1e6 * timing.cpu_s / warm.num_rows
        rows.append(
            (
                str(events),
                f"{made.quotes.num_rows:,}",
                f"{warm.num_rows:,}",
                f"{1 - gated:.0%}",
                f"{wall_us:,.1f}",
                f"{cpu_us[events]:,.1f}",
                f"{original:,.0f}",
                f"{original / cpu_us[events]:,.0f}",
            )
        )
    few, many = min(cpu_us), max(cpu_us)
    grown, original_grown = cpu_us[many] / cpu_us[few], ORIGINAL_CPU_US[many] / ORIGINAL_CPU_US[few]
    return Result(
        f"Distributions: {SNAPSHOTS} snapshots of ladders of {CONTRACTS} contracts x {QUOTES:,} quotes, in memory",
        ("events", "quotes", "snapshots", "ungated", "us/snapshot", "CPU us", "original CPU us", "original/CPU"),
        rows,
        (
            f"Growth of CPU per snapshot, {many} against {few} events: {grown:.2f} (original {original_grown:.2f}).",
            'The original\'s figures are the reference measurement "original" on ladders of this size, not taken here.',
        ),
    )
