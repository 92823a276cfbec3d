"""Stage 1: the series, their events and contracts, and when each number is due.

Prints and calendars are filed here as well: an event belongs to a release,
and what had been published is known by its own times, not by who reads it.
What was known before stays known: a state that changed is a version of its own
(``core.contract_history``, ``core.corrections``), and what is not listed any more stays as last seen.
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
from kalshi_assets.core.corrections import ASSET_PRICES, MACRO_OBSERVATIONS, RELEASE_CALENDAR, corrected
from kalshi_assets.core.coverage import coverage_versions
from kalshi_assets.core.event_versions import event_versions
from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.gates import check_catalog_complete
from kalshi_assets.core.tables import TABLES, TEXT, TIME
from kalshi_assets.errors import DomainError
from kalshi_assets.stages.catalog_rows import coverage_row
from kalshi_assets.stages.commit import Gate, finish, whole
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.stages.filing import dates_of_events
from kalshi_assets.stages.listing import Catalog, EventListing
from kalshi_assets.store.event_dates import version_number
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.mappings import record_mapping

STAGE = "market_catalog"
_LISTING = "markets"
_UNLISTED = EventListing(frozenset(), {}, is_listed=False)
_BESIDE = (
    ("release_calendar", RELEASE_CALENDAR),
    ("macro_observations", MACRO_OBSERVATIONS),
    ("asset_prices", ASSET_PRICES),
)
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
    for name, what in _BESIDE:
        new = corrected(lake.read(name, history=True), getattr(catalog, name), what, received_at=received_at)
        changed[name] = lake.append(name, new, run_id=run_id).rows
    mapping = _dated_mappings(lake, catalog, received_at)
    changed["event_market_map"] = record_mapping(lake, mapping, run_id=run_id).rows

    dates, filed = dates_of_events(lake, scope), {}
    for rule, name in ((CONTRACTS, "contracts"), (EVENTS, "events")):
        held = lake.read(name, event_dates=dates, series=scope.series, history=True)
        filed[name] = refile(held, catalog.events, scope.event_dates, (rule.key,))
    owned, stranded = filed["contracts"]
    new = extend_history(owned, _within(catalog.contracts, scope), CONTRACTS, received_at=received_at)
    contracts = pa.concat_tables([owned, new])
    changed["contracts"] = _replace(lake, "contracts", [contracts, stranded], scope, run_id)
    owned, stranded = filed["events"]
    releases = [_within(catalog.former_events, scope), _as_mapped(lake, _within(catalog.events, scope))]
    grown = event_versions(pa.concat_tables(releases), contracts)
    new = extend_history(owned, grown, EVENTS, received_at=received_at)
    changed["events"] = _replace(lake, "events", [owned, new, stranded], scope, run_id)
    coverage = _coverage(scope, catalog, contracts, owned, received_at)
    held = lake.read("coverage", event_dates=dates, series=scope.series, history=True)
    news = coverage_versions(held, coverage, received_at)
    changed["coverage"] = lake.append("coverage", news, run_id=run_id).rows
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


def _replace(lake: Lake, name: str, rows: Sequence[pa.Table], scope: Scope, run_id: str) -> int:
    return lake.replace(name, pa.concat_tables(rows), scope=scope, run_id=run_id).rows


def _within(table: pa.Table, scope: Scope) -> pa.Table:
    mask = pc.is_in(table["event_date"], pa.array(list(scope.event_dates), pa.date32()))
    if scope.series is not None:
        mask = pc.and_(mask, pc.is_in(table["series_ticker"], pa.array(list(scope.series), pa.string())))
    return table.filter(mask)


def _newest_mappings(lake: Lake) -> dict[str, dict[str, Any]]:
    rows = lake.read("event_market_map").to_pylist()
    rows.sort(key=lambda r: version_number(r["version"]))
    return {r["event_ticker"]: r for r in rows}


def _dated_mappings(lake: Lake, catalog: Catalog, received_at: datetime) -> pa.Table:
    """What the catalog's mappings add to those held: the changes after the newest version.

    A recorded version is never rewritten. A calendar dates its changes itself. The exchange's closing times
    say nothing of when they were changed, a calendar that was read late was not there to be believed, and
    one that now says otherwise of a time already recorded did not say so then: these are dated by the
    change that the exchange tells, else by the receipt.
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
        if then is None:
            kept += rows
            continue
        since, change = then["effective_from"], changed_at[event]
        newest = max(rows, key=lambda r: r["known_at"])
        later = [r for r in rows if r["known_at"] > since]
        stand_in = newest["source"].startswith(_STAND_IN)
        calendars = not stand_in and not then["source"].startswith(_STAND_IN)
        if calendars and later:
            kept += later
        elif any(then[c] != newest[c] for c in _FACTS):
            moment = change if stand_in and since < change <= received_at else received_at
            kept += later or [{**newest, "ts": moment, "known_at": moment}]
    return pa.Table.from_pylist(kept, schema=catalog.event_market_map.schema)


def _as_mapped(lake: Lake, events: pa.Table) -> pa.Table:
    """Events under the mapping as recorded, known since that is effective."""
    recorded = _newest_mappings(lake)
    tickers = events["event_ticker"].to_pylist()
    since = pa.array([recorded[t]["effective_from"] for t in tickers], TIME)
    version = pa.array([recorded[t]["version"] for t in tickers], TEXT)
    for name, values in (("ts", since), ("known_at", since), ("mapping_version", version)):
        at = events.schema.get_field_index(name)
        events = events.set_column(at, events.schema.field(at), values)
    return events


def _coverage(scope: Scope, catalog: Catalog, contracts: pa.Table, events: pa.Table, received_at: datetime) -> pa.Table:
    """What is listed of each event of the scope, against what was ever seen of it.

    A row is known once the last of its contracts was; one that says that something is missing, at the receipt.

    Args:
        scope: the event dates.
        catalog: what is listed.
        contracts: all versions of the scope's contracts, listed or not.
        events: all versions of the scope's events that were held before.
        received_at: when the catalog was received.
    """
    key = ["event_ticker", "series_ticker", "event_date", "ts", "known_at"]
    listed = {r["event_ticker"]: r for r in _within(catalog.events, scope).select(key).to_pylist()}
    asked = events.filter(pc.is_in(events["series_ticker"], pa.array(list(catalog.pages), TEXT)))
    seen = {r["event_ticker"]: r for r in newest_versions(asked, "event_ticker").select(key).to_pylist()}
    bodies: dict[str, dict[str, str]] = defaultdict(dict)
    for r in newest_versions(contracts, "ticker").select(["event_ticker", "ticker", "raw_json"]).to_pylist():
        bodies[r["event_ticker"]][r["ticker"]] = r["raw_json"]
    first = contracts.group_by(["event_ticker", "ticker"]).aggregate([("known_at", "min")])
    whole = first.group_by("event_ticker").aggregate([("known_at_min", "max")])
    since = dict(zip(whole["event_ticker"].to_pylist(), whole["known_at_min_max"].to_pylist(), strict=True))
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
        moment = received_at if row["reason"] else since.get(event, place["known_at"])
        rows.append(row | {"ts": moment, "known_at": moment})
    return pa.Table.from_pylist(rows, schema=TABLES["coverage"].schema)
