"""Stage 1: the series, their events and contracts, and when each number is due.

Prints and calendars are filed here as well: an event belongs to a release,
and what had been published is known by its own times, not by who reads it.
What was known before stays known: a state that changed is a version of its own
(``core.contract_history``), and what is not listed any more stays as last seen.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import newest_versions
from kalshi_assets.core.contract_history import CONTRACTS, EVENTS, SERIES, extend_history, refile
from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.gates import check_catalog_complete
from kalshi_assets.core.tables import INT, TABLES, TEXT, TIME
from kalshi_assets.errors import DomainError
from kalshi_assets.stages.catalog_rows import coverage_row
from kalshi_assets.stages.commit import Gate, finish, whole
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.stages.listing import Catalog, EventListing
from kalshi_assets.store.event_dates import version_number
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.mappings import record_mapping

STAGE = "market_catalog"
_LISTING = "markets"
_UNLISTED = EventListing(frozenset(), {}, is_listed=False)
_STATED = ("event_date", "expected", "received", "pages", "complete", "reason")
# A release that stands in until a calendar knows better; it moves with the exchange's closing times.
_STAND_IN = "exchange_close"
_FACTS = ("series_ticker", "event_date", "release_time", "period")


@whole
def market_catalog(context: StageContext, scope: Scope) -> StageResult:
    """Write the catalog of the scope's event dates.

    Raises:
        DomainError: when a date of the scope has no event in the catalog.
    """
    lake, run_id = context.lake, context.run_id
    catalog = context.catalog(tuple(scope.series or ()))
    received_at = context.now()
    # A range may hold dates of other series, and dates that an event has left: the lake knows both.
    mapped = {*lake.event_dates("events"), *lake.read("event_market_map", history=True)["event_date"].to_pylist()}
    absent = sorted({*scope.event_dates} - {*catalog.event_dates} - mapped)
    if absent:
        raise DomainError(
            f"No event of {', '.join(scope.series or ['any series'])} falls on {absent[0]}"
            f"{f' and {len(absent) - 1} more dates' if len(absent) > 1 else ''}: "
            "register the dates that the exchange lists (kalshi-assets run does)."
        )
    series = extend_history(lake.read("series", history=True), catalog.series, SERIES, received_at=received_at)
    changed = {"series": lake.append("series", series, run_id=run_id).rows}
    for name in ("release_calendar", "macro_observations", "asset_prices"):
        changed[name] = lake.upsert(name, getattr(catalog, name), run_id=run_id).rows
    mapping = _dated_mappings(lake, catalog, received_at)
    changed["event_market_map"] = record_mapping(lake, mapping, run_id=run_id).rows

    dates = _dates_of_events(lake, scope)
    filed = {}
    for rule, name in ((CONTRACTS, "contracts"), (EVENTS, "events")):
        held = lake.read(name, event_dates=dates, series=scope.series, history=True)
        filed[name] = refile(held, catalog.events, scope.event_dates, rule.key)
    coverage = _coverage(lake, scope, catalog, filed["contracts"][0], filed["events"][0], received_at)
    present = _recounted(lake, _within(catalog.events, scope), coverage)
    fresh = {
        "contracts": _within(catalog.contracts, scope),
        "events": pa.concat_tables([_within(catalog.former_events, scope), present]),
    }
    changed["coverage"] = lake.upsert("coverage", coverage, run_id=run_id).rows
    for rule, name in ((CONTRACTS, "contracts"), (EVENTS, "events")):
        owned, stranded = filed[name]
        rows = pa.concat_tables([owned, stranded, extend_history(owned, fresh[name], rule, received_at=received_at)])
        changed[name] = lake.replace(name, rows, scope=scope, run_id=run_id).rows
    missing = [f"{r['event_ticker']}: {r['reason']}." for r in coverage.to_pylist() if r["reason"]]
    return finish(
        context, STAGE, scope.event_dates, changed=changed, gate=_complete(lake), notes=[*catalog.notes, *missing]
    )


def _complete(lake: Lake) -> Gate:
    def gate(stored: Mapping[str, pa.Table], dates: Sequence[date]) -> Sequence[GateResult]:
        coverage = lake.read("coverage", event_dates=dates)
        # What is missing of quotes and trades is judged where they are pulled.
        listed = coverage.filter(pc.equal(coverage["endpoint"], _LISTING))
        return check_catalog_complete(stored["events"], stored["contracts"], listed, dates)

    return gate


def _within(table: pa.Table, scope: Scope) -> pa.Table:
    mask = pc.is_in(table["event_date"], pa.array(list(scope.event_dates), pa.date32()))
    if scope.series is not None:
        mask = pc.and_(mask, pc.is_in(table["series_ticker"], pa.array(list(scope.series), pa.string())))
    return table.filter(mask)


def _dates_of_events(lake: Lake, scope: Scope) -> list[date]:
    """Every date under which an event ever was that is or was under one of the scope's."""
    rows = lake.read("event_market_map", history=True, columns=["event_ticker", "event_date"])
    here = rows["event_ticker"].filter(pc.is_in(rows["event_date"], pa.array(list(scope.event_dates), pa.date32())))
    theirs = rows["event_date"].filter(pc.is_in(rows["event_ticker"], value_set=pc.unique(here)))
    return sorted({*scope.event_dates, *theirs.to_pylist()})


def _newest_mappings(lake: Lake) -> dict[str, dict[str, Any]]:
    rows = lake.read("event_market_map").to_pylist()
    rows.sort(key=lambda r: version_number(r["version"]))
    return {r["event_ticker"]: r for r in rows}


def _dated_mappings(lake: Lake, catalog: Catalog, received_at: datetime) -> pa.Table:
    """The catalog's mappings; where a stand-in is or was in force, what replaces it is dated by the change.

    The exchange's closing times say nothing of when they were changed, and a calendar that was read
    late was not there to be believed: neither can rewrite what was recorded for an earlier time.
    """
    held = _newest_mappings(lake)
    changes = catalog.events.select(["event_ticker", "changed_at"]).to_pylist()
    changed_at = {r["event_ticker"]: r["changed_at"] for r in changes}
    by_event: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in catalog.event_market_map.to_pylist():
        by_event[row["event_ticker"]].append(row)
    kept: list[dict[str, Any]] = []
    for event, rows in by_event.items():
        then = held.get(event)
        rows.sort(key=lambda r: r["known_at"])
        newest = rows[-1]
        if then is None or not (then["source"].startswith(_STAND_IN) or newest["source"].startswith(_STAND_IN)):
            kept += rows
        elif any(then[c] != newest[c] for c in _FACTS):
            since, change = then["effective_from"], changed_at[event]
            later = [r for r in rows if r["known_at"] > since]
            by_exchange = newest["source"].startswith(_STAND_IN) and since < change <= received_at
            moment = change if by_exchange else received_at
            kept += later or [{**newest, "ts": moment, "known_at": moment}]
    return pa.Table.from_pylist(kept, schema=catalog.event_market_map.schema)


def _recounted(lake: Lake, events: pa.Table, coverage: pa.Table) -> pa.Table:
    """Events under the mapping as recorded, with contracts that vanished counted too."""
    recorded = _newest_mappings(lake)
    counts = dict(zip(coverage["event_ticker"].to_pylist(), coverage["expected"].to_pylist(), strict=True))
    tickers = events["event_ticker"].to_pylist()
    since = [recorded[t]["effective_from"] for t in tickers]
    for name, values in (
        ("ts", pa.array(since, TIME)),
        ("known_at", pa.array(since, TIME)),
        ("mapping_version", pa.array([recorded[t]["version"] for t in tickers], TEXT)),
        ("n_contracts", pa.array([counts[t] for t in tickers], INT)),
    ):
        at = events.schema.get_field_index(name)
        events = events.set_column(at, events.schema.field(at), values)
    return events


def _coverage(
    lake: Lake, scope: Scope, catalog: Catalog, contracts: pa.Table, events: pa.Table, received_at: datetime
) -> pa.Table:
    """What is listed of each event of the scope, against what was ever seen of it.

    A row that says what is stored already is the stored one; one that says something new of an event
    that was seen before, or that something is missing, is known at the receipt.
    """
    key = ["event_ticker", "series_ticker", "event_date", "ts", "known_at"]
    listed = {r["event_ticker"]: r for r in _within(catalog.events, scope).select(key).to_pylist()}
    asked = events.filter(pc.is_in(events["series_ticker"], pa.array(list(catalog.pages), TEXT)))
    seen = {r["event_ticker"]: r for r in newest_versions(asked, "event_ticker").select(key).to_pylist()}
    bodies: dict[str, dict[str, str]] = defaultdict(dict)
    for r in newest_versions(contracts, "ticker").select(["event_ticker", "ticker", "raw_json"]).to_pylist():
        bodies[r["event_ticker"]][r["ticker"]] = r["raw_json"]
    stored = lake.read("coverage", event_dates=scope.event_dates, series=scope.series)
    held = {(r["event_ticker"], r["event_date"]): r for r in stored.to_pylist() if r["endpoint"] == _LISTING}
    rows = []
    for event, place in sorted({**seen, **listed}.items()):
        listing = catalog.listings.get(event, _UNLISTED)
        expected = {t: json.loads(b or "{}").get("is_provisional") is True for t, b in bodies[event].items()}
        expected |= {**listing.named, **dict.fromkeys(listing.tickers, False)}
        row = coverage_row(
            place,
            expected,
            listing.tickers,
            event_listed=listing.is_listed,
            pages=catalog.pages.get(place["series_ticker"]),
        )
        before = held.get((event, place["event_date"]))
        if before is not None and all(before[c] == row[c] for c in _STATED):
            row = before
        elif before is not None or row["reason"]:
            row |= {"ts": received_at, "known_at": received_at}
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=TABLES["coverage"].schema)
