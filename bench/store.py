"""The lake against the libraries under it: writing, reading, looking up, hashing, and how each grows with the data."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc

from bench.ladders import make_ladders
from bench.measuring import Result
from bench.store_growth import growth
from bench.store_lookup import lookups
from bench.store_reads import reads
from bench.store_writes import writes
from kalshi_assets.store.lake import Lake, Scope

ROWS = 10_000_000
CONTRACTS, QUOTES = 10, 5_000


def measure(rows: int = ROWS) -> Iterator[Result]:
    """One table after another, all on the same made-up quotes.

    Args:
        rows: how many quotes the largest table has.
    """
    quotes = make_ladders(rows // (CONTRACTS * QUOTES), contracts=CONTRACTS, quotes=QUOTES, snapshots=1).quotes
    with tempfile.TemporaryDirectory(prefix="bench-store-") as folder:
        yield writes(Path(folder, "writes"), quotes)
        home = Path(folder, "lake")
        Lake(home).replace("quotes", quotes, scope=Scope(pc.unique(quotes["event_date"]).to_pylist()), run_id="bench")
        yield reads(home, quotes)
        yield lookups(home, quotes)
        yield growth(Path(folder, "growth"), quotes)
