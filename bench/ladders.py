"""Made-up ladders as rows of the lake's tables: what the benches of the distributions and of the store feed on.

A number is expected, the expectation wanders until the release and its spread
shrinks; contracts are quoted around their normal probability, to the cent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import ndtr

from kalshi_assets.core.contracts import resolve_specs
from kalshi_assets.core.horizons import SNAPSHOTS
from kalshi_assets.core.tables import COUNT, PRICE, TABLES

SERIES = "KXCPIYOY"
LIFE = timedelta(days=8)
_FIRST = date(2018, 1, 5)
_STEP, _CENTRE, _SPREAD = 0.1, 3.0, 0.14
_LIFE_US = LIFE // timedelta(microseconds=1)
_QUOTED = tuple(f"yes_{side}_{point}_usd" for side in ("bid", "ask") for point in ("open", "high", "low", "close"))


@dataclass(frozen=True, slots=True)
class Ladders:
    """Rows of ``contract_specs``, of ``quotes`` in the order in which the lake returns them, and snapshots."""

    specs: pa.Table
    quotes: pa.Table
    snapshots: pa.Table


def make_ladders(
    events: int, *, contracts: int = 10, quotes: int = 1200, snapshots: int = 50, seed: int = 7
) -> Ladders:
    """One event a week; ``quotes`` a contract, denser towards the release; ``snapshots`` evenly over the eight days."""
    rng = np.random.default_rng(seed)
    days = [_FIRST + timedelta(weeks=i) for i in range(events)]
    releases = [datetime(d.year, d.month, d.day, 13, 30, tzinfo=UTC) for d in days]
    names = [f"{SERIES}-E{i:04d}" for i in range(events)]
    strikes = np.round(_CENTRE + _STEP * (np.arange(contracts) - contracts // 2), 1)
    listing = [
        {**_event(name, day), "ticker": f"{name}-T{c:03d}", "status": "active", "ts": release - LIFE,
         "known_at": release - LIFE, "strike_type": "greater", "floor_strike": float(strike)}
        for name, day, release in zip(names, days, releases, strict=True)
        for c, strike in enumerate(strikes)
    ]  # fmt: skip
    moments = [
        {**_event(name, day), "event_type": "CPI", "horizon": f"s{k:03d}", "release_time": release,
         "as_of": release - LIFE * (1 - (k + 1) / (snapshots + 1)), "listed_at": release - LIFE}
        for name, day, release in zip(names, days, releases, strict=True)
        for k in range(snapshots)
    ]  # fmt: skip
    contracts_table = pa.Table.from_pylist(listing, schema=TABLES["contracts"].schema)
    return Ladders(
        specs=resolve_specs(contracts_table),
        quotes=_quotes(
            contracts_table, np.array([int(r.timestamp()) * 1_000_000 for r in releases]), strikes, quotes, rng
        ),
        snapshots=pa.Table.from_pylist(moments, schema=SNAPSHOTS),
    )


def _event(name: str, day: date) -> dict[str, Any]:
    return {"event_ticker": name, "series_ticker": SERIES, "event_date": day}


def _quotes(
    contracts: pa.Table,
    release: npt.NDArray[np.int64],
    strikes: npt.NDArray[np.float64],
    n: int,
    rng: np.random.Generator,
) -> pa.Table:
    shape = (release.size, strikes.size, n)
    left = np.square((np.arange(n, 0, -1) - rng.random(shape)) / n)  # share of the life before the release
    wander = 0.6 * _SPREAD * rng.standard_normal((release.size, 1, 1)) * (1 - left)
    fair = ndtr((_CENTRE + wander - strikes[:, None]) / (_SPREAD * (0.5 + 0.5 * left)))
    middle = np.clip(np.rint(100 * fair + 0.8 * rng.standard_normal(shape)), 2, 97).astype(np.int64)
    bid = middle - rng.integers(0, 2, shape)
    ask = middle + rng.integers(1, 3, shape)
    time = pa.array((release[:, None, None] - (left * _LIFE_US).astype(np.int64)).ravel()).cast(
        pa.timestamp("us", tz="UTC")
    )
    volume = rng.poisson(20, shape)
    rows = len(time)
    quoted = {"bid": decimals(bid * 10_000, PRICE), "ask": decimals(ask * 10_000, PRICE)}
    given = {
        **{c: _repeated(contracts[c], n) for c in ("event_ticker", "series_ticker", "event_date", "ticker")},
        "source": pa.repeat("candle", rows),
        "period_s": pa.repeat(60, rows),
        "ts": time,
        "known_at": time,
        **{c: quoted[c.split("_")[1]] for c in _QUOTED},
        "volume_contracts": decimals(volume * 100, COUNT),
        "open_interest_contracts": decimals((200 + np.cumsum(volume, axis=-1)) * 100, COUNT),
    }
    schema = TABLES["quotes"].schema
    return pa.table([given[f.name] if f.name in given else pa.nulls(rows, f.type) for f in schema], schema=schema)


def _repeated(column: pa.ChunkedArray, n: int) -> pa.Array:
    return column.combine_chunks().take(pa.array(np.repeat(np.arange(len(column)), n)))


def decimals(unscaled: npt.NDArray[np.int64], kind: pa.DataType) -> pa.Array:
    """Non-negative integers of the last decimal place as Arrow decimals, whose upper eight bytes are then zero."""
    words = np.zeros((unscaled.size, 2), np.int64)
    words[:, 0] = unscaled.ravel()
    return pa.Array.from_buffers(kind, unscaled.size, [None, pa.py_buffer(words)])
