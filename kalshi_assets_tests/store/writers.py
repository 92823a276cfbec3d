"""Child processes of the store's tests: spawned, so they live in an importable module."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.locks import hold_home
from kalshi_assets.store.maintenance import maintain
from kalshi_assets.store.transactions import transaction
from kalshi_assets_tests.store.rows import day, macro, quote, table


def replace_dates(root: str, dates: list[int], rounds: int, strike: str, gate: object) -> None:
    """Replace each date in turn with as many rows as the round says, all of one strike."""
    lake = Lake(root)
    gate.wait()  # type: ignore[attr-defined]
    for n in range(1, rounds + 1):
        for d in dates:
            rows = table("quotes", [quote(day(d), m, strike=strike) for m in range(n)])
            lake.replace("quotes", rows, scope=Scope([day(d)]), run_id=f"{strike}-{n}")


def upsert_days(root: str, days: list[int], gate: object) -> None:
    """Add one observation a commit."""
    lake = Lake(root)
    gate.wait()  # type: ignore[attr-defined]
    for d in days:
        lake.upsert("macro_observations", table("macro_observations", [macro(day(d), 0, float(d))]), run_id="r")


def rewrite_for_ever(root: str, ready: object) -> None:
    """Replace ten dates in one commit, again and again, each time with one row more on each date."""
    lake = Lake(root)
    n = 1
    while True:
        rows = table("quotes", [quote(day(d), m) for d in range(10) for m in range(n)])
        lake.replace("quotes", rows, scope=Scope([day(d) for d in range(10)]), run_id=f"r{n}")
        n += 1
        ready.set()  # type: ignore[attr-defined]


def sit_on(home: str, ready: object) -> None:
    """Hold a home until killed."""
    with hold_home(Path(home)):
        ready.set()  # type: ignore[attr-defined]
        while True:
            time.sleep(60)


def half_a_stage(root: str, ready: object) -> None:
    """Write the first table of a stage, and never get to the second."""
    lake = Lake(root)
    with transaction(lake, "killed"):
        rows = table("quotes", [quote(day(0), m) for m in range(9)])
        lake.replace("quotes", rows, scope=Scope([day(0)]), run_id="killed")
        ready.set()  # type: ignore[attr-defined]
        while True:
            time.sleep(60)


def maintain_for_ever(root: str, ready: object) -> None:
    """Do the upkeep again and again, keeping as little as possible."""
    lake = Lake(root)
    ready.set()  # type: ignore[attr-defined]
    while True:
        maintain(lake, keep_days=0, keep_newest=2, now=datetime.now(UTC) + timedelta(days=400))
