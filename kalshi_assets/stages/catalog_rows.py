"""From the exchange's records to rows of the catalog's tables.

Shape only: which release an event belongs to is ``core.release_times``, which
predicate a contract is ``core.contracts``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from kalshi_assets.core.contract_history import CHANGED_AT
from kalshi_assets.core.release_times import Mapping as ReleaseMapping
from kalshi_assets.core.series import facts_for
from kalshi_assets.core.tables import TABLES
from kalshi_assets.exchange.models import EventRecord, MarketRecord, SeriesRecord

# Trading state is no part of what a contract is; kept in a body that is filed under an earlier
# time it would show the future.
_TRADING = ("bid", "ask", "price", "volume", "open_interest", "liquidity", "last_")
_OUTCOME = ("result", "settlement", "expiration_value", "status", "updated_time")
# Where trading is over and the outcome is stated, contested or final.
_DETERMINED = frozenset({"determined", "disputed", "amended", "finalized"})

# Version and effective range of a mapping are assigned where it is recorded.
_ASSIGNED = ("version", "effective_from", "effective_to")
# Tables whose rows become versions: they say beside their content when the exchange last changed it.
_VERSIONED = ("series", "events", "contracts")


def table_of(name: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as an Arrow table with the declared schema; absent columns are null.

    A mapping lacks what its recording assigns; series, events and contracts have ``CHANGED_AT`` too.
    """
    fields = [f for f in TABLES[name].schema if name != "event_market_map" or f.name not in _ASSIGNED]
    fields += [CHANGED_AT] if name in _VERSIONED else []
    return pa.Table.from_pylist(list(rows), schema=pa.schema(fields))


def series_row(record: SeriesRecord, *, known_at: datetime, simulated: bool) -> dict[str, Any]:
    """The row of table ``series``."""
    facts = facts_for(record.ticker)
    return {
        "series_ticker": record.ticker,
        "ts": known_at,
        "known_at": known_at,
        "changed_at": record.last_updated_ts,
        "title": record.title,
        "category": record.category,
        "frequency": record.frequency,
        "fee_type": record.fee_type,
        "fee_multiplier": None if record.fee_multiplier is None else float(record.fee_multiplier),
        "event_type": facts.event_type if facts else None,
        "simulated": simulated,
        "raw_json": record.raw_json,
    }


def event_row(
    record: EventRecord, markets: Sequence[MarketRecord], period: date | None, mapping: ReleaseMapping, filed: date
) -> dict[str, Any]:
    """The row of table ``events`` under one mapping of its release, known since that was effective.

    All rows of an event are filed under the event date of its newest mapping.
    """
    facts = facts_for(record.series_ticker)
    changes = [record.last_updated_ts, *(t for m in markets for t in (m.created_time, m.updated_time))]
    return {
        **_event_key(record, mapping),
        "event_date": filed,
        "release_time": mapping.release_time,
        "release_time_source": mapping.source,
        "ts": mapping.effective_from,
        "known_at": mapping.effective_from,
        "changed_at": max(t for t in changes if t is not None),
        "event_type": facts.event_type if facts else None,
        "title": record.title,
        "sub_title": record.sub_title,
        "period": period,
        "mutually_exclusive": record.mutually_exclusive,
        "collateral_return_type": record.collateral_return_type,
        "strike_date": record.strike_date,
        "strike_period": record.strike_period,
        "listed_at": min(m.open_time for m in markets),
        "close_time": max(m.close_time for m in markets),
        "n_contracts": len(markets),
        "mapping_version": mapping.version,
        "raw_json": record.raw_json,
    }


def mapping_rows(record: EventRecord, period: date | None, mappings: Sequence[ReleaseMapping]) -> list[dict[str, Any]]:
    """What ``store.mappings`` is told: one row for each time that the event's release became known."""
    facts = facts_for(record.series_ticker)
    return [
        {
            **_event_key(record, m),
            "release_time": m.release_time,
            "source": m.source,
            "ts": m.effective_from,
            "known_at": m.effective_from,
            "period": period,
            "event_type": facts.event_type if facts else None,
        }
        for m in mappings
    ]


def contract_rows(record: MarketRecord, event: EventRecord, mapping: ReleaseMapping) -> list[dict[str, Any]]:
    """The rows of table ``contracts``: as listed, and once determined also as settled.

    The listing carries nothing that was learned later: no outcome, no lifetime volume. Its terms are
    those of today, which counts for contracts that nobody saw before (see ``core.contract_history``).
    A contract that is disputed without a result has a second row too, without an outcome. Without a
    settlement time an outcome is known when it was due: at the release, the close or the expected
    expiration, whichever is last.
    """
    listed = {
        **_event_key(event, mapping),
        "ticker": record.ticker,
        "status": "active",
        "ts": record.created_time,
        "known_at": record.created_time,
        "changed_at": record.updated_time,
        "market_type": record.market_type,
        "strike_type": record.strike_type,
        "floor_strike": None if record.floor_strike is None else float(record.floor_strike),
        "cap_strike": None if record.cap_strike is None else float(record.cap_strike),
        "title": record.title,
        "yes_sub_title": record.yes_sub_title,
        "rules_primary": record.rules_primary,
        "rules_secondary": record.rules_secondary,
        "open_time": record.open_time,
        "close_time": record.close_time,
        "created_time": record.created_time,
        "expected_expiration_time": record.expected_expiration_time,
        "latest_expiration_time": record.latest_expiration_time,
        "notional_value_usd": record.notional_value_dollars,
        "raw_json": _listing_body(record.raw),
    }
    outcome = _outcome_type(record)
    if outcome is None and record.status not in _DETERMINED:
        return [listed]
    due = (mapping.release_time, record.close_time, record.expected_expiration_time)
    settled_at = record.settlement_ts or max(t for t in due if t is not None)
    return [
        listed,
        {
            **listed,
            "status": record.status,
            "ts": settled_at,
            "known_at": settled_at,
            "settlement_time": record.settlement_ts,
            "result": record.result,
            "outcome_type": outcome,
            "settlement_value_usd": record.settlement_value_dollars,
            "expiration_value": record.expiration_value,
            "volume_contracts": record.volume_fp,
            "tier": record.tier,
            "raw_json": record.raw_json,
        },
    ]


def coverage_row(
    event: Mapping[str, Any],
    expected: Mapping[str, bool],
    listed: Collection[str],
    *,
    event_listed: bool,
    pages: int | None,
) -> dict[str, Any]:
    """The row of table ``coverage`` for the contracts of one event.

    Args:
        event: ``event_ticker, series_ticker, event_date, ts, known_at``.
        expected: the contracts that there must be, each with whether it is provisional: those seen
            before, those in the listing, and those that the event's own body names.
        listed: the contracts in the listing, all of them expected.
        event_listed: whether the event itself is in the listing of its series.
        pages: pages of the listing, None where they were not counted.

    Returns:
        The row. It is complete where only provisional contracts are missing, which the exchange may
        delete; ``reason`` says what is missing.
    """
    missing = sorted(expected.keys() - set(listed))
    provisional = sum(expected[t] for t in missing)
    # An event goes with the last of its contracts; one that goes alone was lost on the way.
    explained = provisional == len(missing) and (event_listed or not listed)
    parts = []
    if not event_listed:
        parts.append("the event is not listed any more")
    if missing:
        parts.append(f"{len(missing)} of {len(expected)} contracts are not listed any more, the first is {missing[0]}")
        parts.append(f"{provisional} of them provisional" if provisional else "none of them provisional")
    return {
        **{k: event[k] for k in ("event_ticker", "series_ticker", "event_date", "ts", "known_at")},
        "endpoint": "markets",
        "expected": len(expected),
        "received": len(expected) - len(missing),
        "pages": pages,
        "complete": explained,
        "reason": "; ".join(parts) or None,
    }


def _event_key(record: EventRecord, mapping: ReleaseMapping) -> dict[str, Any]:
    return {
        "event_ticker": record.event_ticker,
        "series_ticker": record.series_ticker,
        "event_date": mapping.event_date,
    }


def _outcome_type(record: MarketRecord) -> str | None:
    """``binary``, ``scalar`` or ``void`` for a determined contract; None while it is open."""
    if record.result in ("yes", "no"):
        return "binary"
    if record.result == "scalar":
        return "scalar"
    if record.status == "finalized":
        return "scalar" if record.settlement_value_dollars is not None else "void"
    return None


def _listing_body(raw: Mapping[str, Any]) -> str:
    """The body without trading state and outcome, as canonical JSON."""
    kept = {k: v for k, v in raw.items() if not any(part in k for part in (*_TRADING, *_OUTCOME))}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), default=str)
