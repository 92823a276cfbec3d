"""The implied distribution of one event at any time, computed from the lake when asked.

It goes through the same core as the stage, from quotes or from trades as the
stage's rows of that event, so the answer at a stage's own snapshot is the stage's own row.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.asof import QUOTE_COLUMNS
from kalshi_assets.core.bases import traded_series
from kalshi_assets.core.distribution import QUOTES, TRADES, DistributionConfig, build_distributions
from kalshi_assets.core.horizons import SNAPSHOTS
from kalshi_assets.core.tables import MOMENTS, QUANTILE_BANDS, QUANTILES, TAIL_SENSITIVITY, TEXT
from kalshi_assets.errors import UsageError
from kalshi_assets.store.instants import utc_instant
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.snapshots import published

_QUALITY = (
    "quality_score", "quality_low", "quality_flags", "hard_gate_failed", "gate_reason", "n_contracts", "n_live",
    "coverage_ratio", "median_spread_usd", "median_quote_age_s", "executable_arbitrage", "repair_cost_usd",
    "violations_pre",
)  # fmt: skip


def distribution_at(
    lake: Lake,
    event_ticker: str,
    as_of: datetime | str,
    *,
    tail_policy: str = "step",
    snapshot: str | None = None,
    traded: Collection[str] = (),
) -> dict[str, Any]:
    """The distribution of an event from what was known at a time.

    Args:
        lake: the store; what it holds beyond the newest lake snapshot is not seen.
        event_ticker: the exchange's event, with or without the series' KX prefix.
        as_of: timezone-aware, or ISO text with a zone.
        tail_policy: ``step``, ``hazard`` or ``truncate``.
        snapshot: id of a lake snapshot to read instead of the newest one.
        traded: series that rest on trades where no distribution is stored yet that tells.

    Returns:
        A JSON-ready mapping: moments, quantiles, pmf, bands, quality, rungs; numbers are None where a gate failed.

    Raises:
        UsageError: for an event that does not exist or was not known then, an unknown snapshot, or no instant.
    """
    as_of = utc_instant(as_of)
    lake = published(lake, snapshot)
    event = _find_event(lake, event_ticker, as_of)
    dates, series = [event["event_date"]], [event["series_ticker"]]
    stored = lake.read("distributions", event_dates=dates, series=series, columns=("series_ticker", "basis"))
    by_trades = traded_series(stored) if stored.num_rows else {*series} & {*traded}
    basis = TRADES if by_trades else QUOTES
    prices = lake.read(
        "trades" if basis == TRADES else "quotes", as_of=as_of, event_dates=dates, series=series, history=True,
        columns=None if basis == TRADES else (*QUOTE_COLUMNS, "event_ticker"),
    )  # fmt: skip
    built = build_distributions(
        _of_event(lake.read("contract_specs", as_of=as_of, event_dates=dates, series=series, history=True), event),
        _of_event(prices, event),
        _snapshot(event, as_of),
        replace(DistributionConfig(), tail_policy=tail_policy, basis=basis),
    )
    row = built.distributions.to_pylist()[0]
    return {
        "event_ticker": event["event_ticker"],
        "series_ticker": event["series_ticker"],
        "as_of": as_of.isoformat(),
        "release_time": event["release_time"].isoformat(),
        "tail_policy": tail_policy,
        "basis": basis,
        **{c: row[c] for c in MOMENTS},
        "quantiles": {c: row[c] for c in QUANTILES},
        "pmf": {"support": row["support"], "probability": row["probability"]},
        "bands": {c: row[c] for c in ("mean_low", "mean_high", "median_low", "median_high", *QUANTILE_BANDS)},
        "tail_policies": {c: row[c] for c in TAIL_SENSITIVITY},
        "tail_mass_low": row["tail_mass_low"],
        "tail_mass_high": row["tail_mass_high"],
        "quality": {c: row[c] for c in _QUALITY},
        "inputs_known_at": row["inputs_known_at"].isoformat() if row["inputs_known_at"] else None,
        "spec_version": row["spec_version"],
        "rungs": [_rung(r) for r in built.rungs.sort_by("strike").to_pylist()],
    }


def _rung(row: dict[str, Any]) -> dict[str, Any]:
    wanted = (
        "ticker",
        "strike",
        "yes_bid_prob",
        "yes_ask_prob",
        "repaired_prob",
        "band_low_prob",
        "band_high_prob",
        "age_s",
    )
    return {c: row[c] for c in wanted}


def _find_event(lake: Lake, event_ticker: str, as_of: datetime) -> dict[str, Any]:
    """The event's row as known then. The log's file statistics say which partitions can hold it."""
    names = sorted({event_ticker, event_ticker.removeprefix("KX"), f"KX{event_ticker}"})
    files = lake.files("events")
    may_hold = [
        f.partition[0]
        for f in files
        if f.key_low is None or f.key_high is None or any(f.key_low <= name <= f.key_high for name in names)
    ]
    found = _named(lake.read("events", event_dates=may_hold, history=True), names)
    if not found:
        dates = len({f.partition[0] for f in files})
        held = f"the lake holds {dates} event dates" if dates else "the lake is empty: run `kalshi-assets run` first"
        raise UsageError(f"There is no event {event_ticker}: {held} (they are in the table events).")
    # Read again, because before a move an event stood under another date than the one it is filed under.
    moved = lake.moved_events()
    searched = may_hold if moved is None else [*may_hold, *moved.beside(may_hold)]
    known = _named(lake.read("events", as_of=as_of, event_dates=searched), names)
    exact = [e for e in known if e["event_ticker"] == event_ticker]
    if not known:
        raise UsageError(
            f"The event {event_ticker} was not known at {as_of.isoformat()}: ask for a later time (--as-of)."
        )
    event: dict[str, Any] = (exact or known)[0]
    return event


def _named(events: pa.Table, names: Sequence[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = events.filter(pc.is_in(events["event_ticker"], pa.array(names, TEXT))).to_pylist()
    return rows


def _of_event(table: pa.Table, event: dict[str, Any]) -> pa.Table:
    return table.filter(pc.equal(table["event_ticker"], event["event_ticker"]))


def _snapshot(event: dict[str, Any], as_of: datetime) -> pa.Table:
    wanted = {name: event.get(name) for name in SNAPSHOTS.names}
    return pa.Table.from_pylist([{**wanted, "horizon": "on_demand", "as_of": as_of}], schema=SNAPSHOTS)
