"""States of a contract as the exchange would list them, and a table that grows with each; tests do not belong here."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa

from kalshi_assets.core.contract_history import CHANGED_AT, CONTRACTS, extend_history
from kalshi_assets.core.tables import TABLES

T0 = datetime(2026, 1, 5, tzinfo=UTC)
DAY, NEXT = date(2026, 6, 11), date(2026, 6, 18)
CLOSE, SETTLED = T0 + timedelta(hours=40), T0 + timedelta(hours=50)
SCHEMA = TABLES["contracts"].schema


def at(hours):
    return T0 + timedelta(hours=hours)


def contract(ticker="A", *, changed=None, text="more than 3", close=CLOSE, settled=None, due=CLOSE, **outcome):
    """The fresh rows of a contract: as listed, and with an outcome or a status also as settled."""
    listed = {
        "event_ticker": "E", "series_ticker": "S", "event_date": DAY, "ticker": ticker, "status": "active",
        "ts": T0, "known_at": T0, "rules_primary": text, "close_time": close, "changed_at": changed,
        "raw_json": f"listing: {text}",
    }  # fmt: skip
    if not outcome:
        return [listed]
    known = {"ts": settled or due, "known_at": settled or due, "settlement_time": settled}
    return [listed, {**listed, **known, "tier": "live", "raw_json": f"body: {text} {outcome}", **outcome}]


FINAL_YES = {"status": "finalized", "result": "yes", "outcome_type": "binary", "settlement_value_usd": Decimal(1)}
FINAL_NO = {"status": "finalized", "result": "no", "outcome_type": "binary", "settlement_value_usd": Decimal(0)}


def fresh(rows):
    return pa.Table.from_pylist(rows, schema=pa.schema([*SCHEMA, CHANGED_AT]))


def see(held, hours, *records):
    """What is held after a receipt; nothing that was held may differ afterwards."""
    added = extend_history(held, fresh([r for rows in records for r in rows]), CONTRACTS, received_at=at(hours))
    assert added.schema.equals(SCHEMA)
    return pa.concat_tables([held, added])


def told(held, ticker="A"):
    """(hours, text, close, status, result) of the versions of a contract, in order of time."""
    rows = [r for r in held.sort_by("known_at").to_pylist() if r["ticker"] == ticker]
    assert all(r["ts"] == r["known_at"] for r in rows)
    return [((r["known_at"] - T0) / timedelta(hours=1), r["rules_primary"], r["status"], r["result"]) for r in rows]


NONE = SCHEMA.empty_table()
