"""Child processes that write to a lake in a bucket: spawned, so they live in an importable module."""

from __future__ import annotations

import time

from kalshi_assets.settings import Settings
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.opening import open_lake
from kalshi_assets.store.transactions import transaction
from kalshi_assets_tests.store.rows import day, macro, quote, table


def replace_dates(variables: dict[str, str], dates: list[int], rounds: int, strike: str, gate: object) -> None:
    """Replace each date in turn with as many rows as the round says, all of one strike."""
    lake = _opened(variables)
    gate.wait()  # type: ignore[attr-defined]
    for n in range(1, rounds + 1):
        for d in dates:
            rows = table("quotes", [quote(day(d), m, strike=strike) for m in range(n)])
            lake.replace("quotes", rows, scope=Scope([day(d)]), run_id=f"{strike}-{n}")


def upsert_days(variables: dict[str, str], days: list[int], gate: object) -> None:
    """Add one observation a commit."""
    lake = _opened(variables)
    gate.wait()  # type: ignore[attr-defined]
    for d in days:
        lake.upsert("macro_observations", table("macro_observations", [macro(day(d), 0, float(d))]), run_id="r")


def half_a_stage(variables: dict[str, str], ready: object) -> None:
    """Write one table of a stage, and never get to the next."""
    lake = _opened(variables)
    with transaction(lake, "killed"):
        rows = table("quotes", [quote(day(0), m) for m in range(9)])
        lake.replace("quotes", rows, scope=Scope([day(0)]), run_id="killed")
        ready.set()  # type: ignore[attr-defined]
        while True:
            time.sleep(60)


def _opened(variables: dict[str, str]) -> Lake:
    return open_lake(Settings.from_environment(variables), to_write=True)
