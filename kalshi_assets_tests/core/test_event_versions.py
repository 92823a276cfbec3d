"""An event at each time at which more of it became known."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from kalshi_assets.core.contract_history import CHANGED_AT
from kalshi_assets.core.event_versions import event_versions
from kalshi_assets.core.tables import TABLES

T0 = datetime(2024, 9, 19, 4, tzinfo=UTC)
KEY = {"event_ticker": "E", "series_ticker": "S", "event_date": date(2024, 11, 13)}


def at(hours):
    return T0 + timedelta(hours=hours)


def release(known, hour, event="E"):
    return {
        **KEY, "event_ticker": event, "ts": at(known), "known_at": at(known), "release_time": at(hour),
        "release_time_source": "calendar:bls", "changed_at": at(99),
    }  # fmt: skip


def contract(ticker, known, opens, closes, event="E"):
    times = {"ts": at(known), "known_at": at(known), "open_time": at(opens), "close_time": at(closes)}
    return {**KEY, **times, "event_ticker": event, "ticker": ticker, "status": "active"}


def versions(releases, contracts):
    events = pa.Table.from_pylist(releases, schema=TABLES["events"].schema.append(CHANGED_AT))
    made = event_versions(events, pa.Table.from_pylist(contracts, schema=TABLES["contracts"].schema))
    assert made.schema == events.schema
    assert made["ts"] == made["known_at"]
    names = ("known_at", "release_time", "listed_at", "close_time")
    return [(r["n_contracts"], *((r[c] - T0) // timedelta(hours=1) for c in names)) for r in made.to_pylist()]


def test_a_version_whenever_a_contract_or_a_release_becomes_known():
    ladder = [contract("A", 0, 5, 50), contract("B", 7, 8, 50), contract("C", 7, 4, 60)]
    # Settled contracts have a row more, which lists nothing.
    settled = [*ladder, contract("A", 70, 5, 50)]
    assert versions([release(3, 90), release(0, 80)], settled) == [
        (1, 0, 80, 5, 50), (1, 3, 90, 5, 50), (3, 7, 90, 4, 60),
    ]  # fmt: skip


def test_a_contract_that_closes_at_another_time_counts_with_that_once_it_is_known():
    ladder = [contract("A", 0, 5, 50), contract("A", 9, 5, 40), contract("B", 12, 5, 60), contract("A", 14, 5, 45)]
    assert versions([release(0, 80)], ladder) == [(1, 0, 80, 5, 50), (1, 9, 80, 5, 40), (2, 12, 80, 5, 60)]


def test_an_event_begins_with_its_first_release_and_its_first_contract():
    assert versions([release(4, 80)], [contract("A", 0, 5, 50), contract("B", 6, 5, 50)]) == [
        (1, 4, 80, 5, 50), (2, 6, 80, 5, 50),
    ]  # fmt: skip
    assert versions([release(0, 80)], [contract("A", 2, 5, 50)]) == [(1, 2, 80, 5, 50)]
    assert versions([release(0, 80), release(0, 70, "F")], [contract("A", 0, 5, 50)]) == [(1, 0, 80, 5, 50)]
