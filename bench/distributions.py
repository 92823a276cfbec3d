"""Implied distributions: in memory, through the store, and repair alone, and how the time grows with the data."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from bench.ladders import Ladders, make_ladders
from bench.measuring import Result, Timing, best_of
from bench.shared_ladders import SCRIPT, shared_ladders
from kalshi_assets.core.asof import QUOTE_COLUMNS
from kalshi_assets.core.distribution import build_distributions
from kalshi_assets.core.ladder_batch import repaired_moments
from kalshi_assets.core.tables import TABLES
from kalshi_assets.store.lake import Lake, Scope

CONTRACTS, QUOTES, SNAPSHOTS = 10, 1200, 50
LADDERS = 1_000_000
# Snapshots to evaluate in memory at least, for each number of events.
RUNS = 20_000

# CPU microseconds per snapshot of the system that this one succeeds, by number of events, on ladders of the
# same size, in memory. Source: the reference measurement "original" (two shared cores); it is not measured here.
ORIGINAL_CPU_US = {20: 18_800.0, 50: 20_600.0, 100: 22_900.0, 200: 22_600.0}
_SOURCE = 'The original\'s figures are the reference measurement "original" on ladders of this size, not taken here.'


def measure() -> list[Result]:
    """Best of several after one warm-up, more of the shorter ones, for each number of events; then repair alone."""
    memory, store, cpu = [], [], {"memory": {}, "store": {}}  # type: ignore[var-annotated]
    shared = True
    for events, original in ORIGINAL_CPU_US.items():
        made = shared_ladders(events, snapshots=SNAPSHOTS)
        shared = made is not None
        made = made or make_ladders(events, contracts=CONTRACTS, quotes=QUOTES, snapshots=SNAPSHOTS)
        n = made.snapshots.num_rows
        # The warm-up also loads the compiled kernels, and tells how many snapshots are no empty case.
        warm = _in_memory(made).distributions
        gated = pc.sum(warm["hard_gate_failed"]).as_py() / n
        timing = best_of(max(3, RUNS // n), lambda made=made: _in_memory(made))  # type: ignore[misc]
        memory.append(
            (str(events), f"{made.quotes.num_rows:,}", f"{n:,}", f"{1 - gated:.0%}", *_ratio(timing, n, original))
        )
        cpu["memory"][events] = timing.cpu_s / n
        with tempfile.TemporaryDirectory() as folder:
            lake = Lake(Path(folder))
            scope = Scope(event_dates=pc.unique(made.quotes["event_date"]).to_pylist())
            lake.replace("quotes", made.quotes, scope=scope, run_id="bench")
            timing = _best_through_store(made, lake, scope)
        store.append((str(events), f"{made.quotes.num_rows:,}", f"{n:,}", *_ratio(timing, n, original)))
        cpu["store"][events] = timing.cpu_s / n
    notes = (
        f"Ladders of ../shared/bench/{SCRIPT.name}."
        if shared
        else f"Ladders of this bench's own: ../shared/bench/{SCRIPT.name} is not there, or no interpreter has pandas.",
        _SOURCE,
    )
    heads = ("us/snapshot", "CPU us", "original CPU us", "original/CPU")
    return [
        Result(
            f"Distributions in memory: {SNAPSHOTS} snapshots of ladders of {CONTRACTS} contracts x {QUOTES:,} quotes",
            ("events", "quotes", "snapshots", "ungated", *heads),
            memory,
            (_growth(cpu["memory"]), *notes),
        ),
        Result(
            "Distributions through the store: quotes read, distributions and rungs written",
            ("events", "quotes", "snapshots", *heads),
            store,
            (_growth(cpu["store"]), *notes, "The original is in memory: its store is not in its figure."),
        ),
        _repair(),
    ]


def _in_memory(made: Ladders):  # type: ignore[no-untyped-def]
    return build_distributions(made.specs, made.quotes, made.snapshots)


def _through_store(made: Ladders, lake: Lake) -> None:
    """Quotes come from a lake, results go there; specs and snapshots, which are few, lie in memory."""
    dates = pc.unique(made.quotes["event_date"]).to_pylist()
    scope = Scope(event_dates=dates)
    quotes = lake.read("quotes", columns=QUOTE_COLUMNS, event_dates=dates, history=True)
    built = build_distributions(made.specs, quotes, made.snapshots)
    lake.replace("distribution_rungs", built.rungs, scope=scope, run_id="bench")
    lake.replace("distributions", built.distributions, scope=scope, run_id="bench")


def _best_through_store(made: Ladders, lake: Lake, scope: Scope) -> Timing:
    """Best of three; what was written is taken out in between, for the same rows again would not be written."""
    timings = []
    for _ in range(4):
        timings.append(best_of(1, lambda: _through_store(made, lake)))
        for name in ("distribution_rungs", "distributions"):
            lake.replace(name, TABLES[name].schema.empty_table(), scope=scope, run_id="bench")
    return min(timings[1:], key=lambda t: t.wall_s)  # the first one makes the tables


def _ratio(timing: Timing, n: int, original: float) -> Sequence[str]:
    wall, cpu = 1e6 * timing.wall_s / n, 1e6 * timing.cpu_s / n
    return f"{wall:,.1f}", f"{cpu:,.1f}", f"{original:,.0f}", f"{original / cpu:,.0f}"


def _growth(cpu: dict[int, float]) -> str:
    few, many = min(cpu), max(cpu)
    grown, original = cpu[many] / cpu[few], ORIGINAL_CPU_US[many] / ORIGINAL_CPU_US[few]
    return f"Growth of CPU per snapshot, {many} against {few} events: {grown:.2f} (original {original:.2f})."


def _repair() -> Result:
    """Repair and moments of threshold ladders quoted two to four cents wide, one or two mids of which break."""
    rng = np.random.default_rng(7)
    rows = []
    for ladders in (LADDERS // 10, LADDERS):
        mids = np.sort(rng.integers(3, 97, (ladders, CONTRACTS)), axis=1)[:, ::-1]
        mids = mids + rng.integers(-1, 2, mids.shape)
        bid = np.clip(mids - rng.integers(1, 3, mids.shape), 0, 99).ravel() * 10_000
        ask = np.clip(mids + rng.integers(1, 3, mids.shape), 1, 100).ravel() * 10_000
        offsets = np.arange(ladders + 1) * CONTRACTS
        cut = np.tile(np.arange(CONTRACTS), ladders)
        given = (offsets, cut, bid, ask)
        repaired_moments(*given, tick=0.1)
        timing = best_of(3, lambda given=given: repaired_moments(*given, tick=0.1))  # type: ignore[misc]
        original = ORIGINAL_CPU_US[200] * ladders / 1e6
        rows.append(
            (f"{ladders:,}", f"{timing.wall_s:.2f}", f"{timing.cpu_s:.2f}", f"{1e6 * timing.cpu_s / ladders:.2f}",
             f"{original / timing.cpu_s:,.0f}")
        )  # fmt: skip
    return Result(
        f"Repair and moments alone: threshold ladders of {CONTRACTS} rungs",
        ("ladders", "seconds", "CPU s", "CPU us a ladder", "original/CPU"),
        rows,
        ("The original's whole snapshot, 200 events: it has no figure for its repair alone.", _SOURCE),
    )
