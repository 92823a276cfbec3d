"""Writing a partition of the catalog: what changed, moved or vanished since the last time, and what stays."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import DomainError
from kalshi_assets.stages.catalog import market_catalog
from kalshi_assets.stages.context import StageContext
from kalshi_assets.stages.contracts import contracts
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.mappings import mapping_as_of
from kalshi_assets_tests.stages.test_listing import (
    CLOSES,
    DECEMBER,
    EVENT,
    LISTED,
    RELEASE,
    SERIES,
    Listing,
    event,
    fetch,
    market,
    settled,
)  # fmt: skip

OLD, NEW = date(2027, 1, 13), date(2027, 1, 15)
TOLD = datetime(2026, 12, 1, tzinfo=UTC)
JUST_BEFORE = TOLD - timedelta(microseconds=1)
MOVED_TO = datetime(2027, 1, 15, 13, 30, tzinfo=UTC)
MOVED = (DECEMBER[0], MOVED_TO, TOLD)
FIRST, LATER, LAST = (datetime(2026, 12, day, tzinfo=UTC) for day in (2, 10, 20))
A, B, C = (f"{EVENT}-T0.{i}" for i in (3, 4, 5))
WRITTEN = ("series", "events", "contracts", "event_market_map", "coverage")
WHOLE = Scope([OLD], (SERIES,))


def context(lake, *entries, markets=None, events=None, now=FIRST, **series):
    listing = Listing(events or [event()], [market()] if markets is None else markets, **series)
    return StageContext(
        lake=lake,
        run_id="r",
        exchange=lambda: None,
        catalog=lambda series: fetch(listing, *entries),
        simulated=lambda: False,
        now=lambda: now,
    )


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


def contents(lake):
    return {name: lake.content_hash(name) for name in WRITTEN}


def complete(result):
    (gate,) = [g for g in result.gates if g.check_name == "catalog_complete"]
    return gate


def covered(lake):
    (row,) = lake.read("coverage").to_pylist()
    return row["expected"], row["received"], row["pages"], row["complete"], row["known_at"]


def rules(lake, as_of=None):
    return lake.read("contracts", as_of=as_of)["rules_primary"].to_pylist()


def test_a_date_that_nothing_was_ever_listed_for_is_refused(lake):
    with pytest.raises(DomainError, match="No event of KXCPIYOY falls on 2027-01-14"):
        market_catalog(context(lake), Scope([OLD, date(2027, 1, 14)], (SERIES,)))


# What changed


def test_what_did_not_change_changes_no_row(lake):
    listed = [market(A), settled(B, settlement_ts="2026-12-01T13:40:00Z"), market(C, status="disputed")]
    first = market_catalog(context(lake, markets=listed), WHOLE)
    assert (first.failed, covered(lake)) == ((), (3, 3, 3, True, LISTED))
    before = contents(lake)
    again = market_catalog(context(lake, markets=listed, now=LATER), WHOLE)
    assert contents(lake) == before
    assert {again.changed[name] for name in WRITTEN} == {0}


def test_a_text_that_is_edited_is_new_from_then_on_only(lake):
    market_catalog(context(lake), WHOLE)
    edited = market(rules_primary="If at least.", updated_time="2026-12-05T00:00:00Z")
    assert not market_catalog(context(lake, markets=[edited], now=LATER), WHOLE).failed
    edit = datetime(2026, 12, 5, tzinfo=UTC)
    assert (rules(lake, LATER), rules(lake, edit), rules(lake, FIRST)) == (
        ["If at least."],
        ["If at least."],
        ["If more."],
    )
    assert not contracts(context(lake), WHOLE).failed
    specs = lake.read("contract_specs", history=True)
    assert specs["known_at"].to_pylist() == [LISTED, edit]
    before = contents(lake)
    market_catalog(context(lake, markets=[edited], now=LAST), WHOLE)
    assert contents(lake) == before


def test_the_fees_of_a_series_keep_their_history(lake):
    market_catalog(context(lake), WHOLE)
    market_catalog(context(lake, now=LATER, fee_multiplier=2), WHOLE)
    rows = lake.read("series", history=True).to_pylist()
    assert [(r["known_at"], r["fee_multiplier"]) for r in rows] == [(LISTED, 1.0), (LATER, 2.0)]


# What moved


def test_an_event_that_moves_leaves_an_empty_date_that_blocks_nothing(lake):
    first = context(lake)
    assert not market_catalog(first, Scope([OLD], (SERIES,))).failed
    assert not contracts(first, Scope([OLD], (SERIES,))).failed
    after = context(lake, DECEMBER, MOVED)
    both = Scope([OLD, NEW], (SERIES,))
    result = market_catalog(after, both)
    assert not result.failed
    assert {g.detail for g in result.gates if g.event_date == OLD} == {"no event falls on this date any more"}
    assert not contracts(after, both).failed
    for name in ("events", "contracts", "contract_specs"):
        assert lake.event_dates(name) == [NEW]
    assert not market_catalog(after, both).failed


def test_the_mapping_remembers_where_the_event_was(lake):
    market_catalog(context(lake), Scope([OLD], (SERIES,)))
    market_catalog(context(lake, DECEMBER, MOVED), Scope([NEW], (SERIES,)))
    before = mapping_as_of(lake, datetime(2026, 11, 1, tzinfo=UTC))
    since = mapping_as_of(lake, datetime(2026, 12, 2, tzinfo=UTC))
    assert (before["event_date"].to_pylist(), before["version"].to_pylist()) == ([OLD], ["v1"])
    assert (since["event_date"].to_pylist(), since["version"].to_pylist()) == ([NEW], ["v2"])


@pytest.mark.parametrize("seen_before", [True, False])
def test_a_release_that_moved_is_read_as_it_was_known(lake, seen_before):
    if seen_before:
        market_catalog(context(lake), Scope([OLD], (SERIES,)))
    market_catalog(context(lake, DECEMBER, MOVED), Scope([OLD, NEW] if seen_before else [NEW], (SERIES,)))
    for moment, *facts in (
        (LISTED, RELEASE, "v1", OLD),
        (JUST_BEFORE, RELEASE, "v1", OLD),
        (TOLD, MOVED_TO, "v2", NEW),
    ):
        (row,) = lake.read("events", as_of=moment).to_pylist()
        assert [row["release_time"], row["mapping_version"], row["event_date"]] == facts


def test_what_was_known_before_a_move_follows_the_event(lake):
    market_catalog(context(lake), WHOLE)
    edited = [market(rules_primary="New.", updated_time="2026-12-05T00:00:00Z")]
    market_catalog(context(lake, markets=edited, now=LATER), WHOLE)
    moved = context(lake, DECEMBER, MOVED, markets=edited, now=LAST)
    # The new date is not written yet, so the old one keeps its rows.
    assert not market_catalog(moved, WHOLE).failed
    assert lake.event_dates("contracts") == [OLD]
    market_catalog(moved, Scope([NEW], (SERIES,)))
    assert (rules(lake, LISTED), rules(lake, LATER)) == (["If more."], ["New."])
    market_catalog(moved, WHOLE)
    assert lake.event_dates("contracts") == [NEW]
    assert (rules(lake, LISTED), rules(lake, LATER)) == (["If more."], ["New."])


def test_a_stand_in_release_moves_with_the_closing_time(lake):
    odd = event(sub_title="In November 2026")
    market_catalog(context(lake, events=[odd]), WHOLE)
    later = [market(close_time="2027-01-15T13:25:00Z", updated_time="2026-12-05T00:00:00Z")]
    both = Scope([OLD, NEW], (SERIES,))
    assert not market_catalog(context(lake, events=[odd], markets=later, now=LATER), both).failed
    moment = datetime(2026, 12, 5, tzinfo=UTC)
    mapped = lake.read("event_market_map").to_pylist()
    assert [(m["version"], m["effective_from"], m["event_date"]) for m in mapped] == [
        ("v1", LISTED, OLD), ("v2", moment, NEW),
    ]  # fmt: skip
    assert [(e["known_at"], e["release_time"], e["mapping_version"]) for e in events_of(lake)] == [
        (LISTED, RELEASE, "v1"), (moment, MOVED_TO, "v2"),
    ]  # fmt: skip
    assert lake.read("contracts", as_of=FIRST)["close_time"].to_pylist() == [CLOSES]
    before = contents(lake)
    market_catalog(context(lake, events=[odd], markets=later, now=LAST), both)
    assert contents(lake) == before


def test_a_calendar_that_is_read_late_replaces_the_stand_in_from_its_receipt(lake):
    market_catalog(context(lake, (date(2026, 11, 1), RELEASE, LISTED)), WHOLE)
    known = context(lake, (*MOVED[:2], datetime(2026, 1, 5, tzinfo=UTC)), now=LATER)
    assert not market_catalog(known, Scope([OLD, NEW], (SERIES,))).failed
    assert [(e["known_at"], e["release_time"], e["mapping_version"]) for e in events_of(lake)] == [
        (LISTED, RELEASE, "v1"), (LATER, MOVED_TO, "v2"),
    ]  # fmt: skip


def test_a_calendar_that_restates_a_recorded_time_is_believed_from_its_receipt(lake):
    told = datetime(2026, 1, 5, tzinfo=UTC)
    market_catalog(context(lake, (DECEMBER[0], RELEASE, told)), WHOLE)
    both = Scope([OLD, NEW], (SERIES,))
    restated = (DECEMBER[0], MOVED_TO, told)
    for now in (LATER, LAST):
        assert not market_catalog(context(lake, restated, now=now), both).failed
        assert [(e["known_at"], e["release_time"], e["mapping_version"]) for e in events_of(lake)] == [
            (LISTED, RELEASE, "v1"), (LATER, MOVED_TO, "v2"),
        ]  # fmt: skip


def events_of(lake):
    return lake.read("events", history=True).to_pylist()


# What vanished


def test_a_contract_that_vanished_stays_as_last_seen_and_fails_the_gate(lake):
    market_catalog(context(lake, markets=[market(A), market(B), market(C)]), WHOLE)
    rows = lake.content_hash("contracts"), lake.content_hash("events")
    less = context(lake, markets=[market(A)], now=LATER)
    result = market_catalog(less, WHOLE)
    assert (lake.content_hash("contracts"), lake.content_hash("events")) == rows
    gate = complete(result)
    said = f"2 of 3 contracts are not listed any more, the first is {B}; none of them provisional"
    assert (gate.passed, gate.first_offender) == (False, f"event_ticker={EVENT}: {said}")
    assert f"{EVENT}: {said}." in result.notes
    assert covered(lake) == (3, 1, 3, False, LATER)
    before = contents(lake)
    market_catalog(context(lake, markets=[market(A)], now=LAST), WHOLE)
    assert contents(lake) == before
    back = market_catalog(context(lake, markets=[market(A), market(B), market(C)], now=LAST), WHOLE)
    assert not back.failed
    assert (lake.content_hash("contracts"), lake.content_hash("events")) == rows
    assert covered(lake) == (3, 3, 3, True, LAST)


def test_provisional_contracts_may_vanish(lake):
    doomed = [market(t, is_provisional=True) for t in (B, C)]
    market_catalog(context(lake, markets=[market(A), *doomed]), WHOLE)
    gate = complete(market_catalog(context(lake, markets=[market(A)], now=LATER), WHOLE))
    assert (gate.passed, gate.detail) == (True, "1 rows checked; 2 provisional contracts are not listed any more")
    assert covered(lake) == (3, 1, 3, True, LATER)
    assert lake.read("contracts")["ticker"].to_pylist() == [A, B, C]


def test_a_contract_that_only_the_event_names_is_missing(lake):
    named = event(markets=[{"ticker": A}, {"ticker": B}])
    gate = complete(market_catalog(context(lake, events=[named], markets=[market(A)]), WHOLE))
    assert not gate.passed
    assert f"the first is {B}" in gate.first_offender


OTHER = "KXCPIYOY-26OCT"


@pytest.mark.parametrize("event_listed", [True, False])
def test_an_event_that_vanished_stays_and_fails_the_gate(lake, event_listed):
    november = event(OTHER), market(f"{OTHER}-T1", event_ticker=OTHER)
    market_catalog(context(lake, events=[event(), november[0]], markets=[market(), november[1]]), WHOLE)
    rows = lake.content_hash("contracts"), lake.content_hash("events")
    listed = [event(), november[0]] if event_listed else [event()]
    result = market_catalog(context(lake, events=listed, now=LATER), WHOLE)
    gate = complete(result)
    assert not gate.passed
    assert gate.detail.startswith("1 of 2 rows break the rule")
    assert f"event_ticker={OTHER}: " in gate.first_offender
    assert ("the event is not listed any more" in gate.first_offender) is not event_listed
    assert f"1 of 1 contracts are not listed any more, the first is {OTHER}-T1" in gate.first_offender
    left_out = f"{OTHER} lists no contract on either tier and is left out."
    assert (left_out in result.notes) is event_listed
    assert (lake.content_hash("contracts"), lake.content_hash("events")) == rows


def test_contracts_whose_event_is_not_listed_any_more_do_not_hide_that(lake):
    other = market(f"{OTHER}-T1", event_ticker=OTHER)
    market_catalog(context(lake, events=[event(), event(OTHER)], markets=[market(), other]), WHOLE)
    gate = complete(market_catalog(context(lake, markets=[market(), other], now=LATER), WHOLE))
    assert gate.first_offender == f"event_ticker={OTHER}: the event is not listed any more"


def test_other_coverage_is_judged_elsewhere_and_other_series_are_left_alone(lake):
    market_catalog(context(lake), WHOLE)
    (row,) = lake.read("coverage").to_pylist()
    unquoted = row | {"endpoint": "candlesticks", "received": 0, "reason": None}
    lake.upsert("coverage", pa.Table.from_pylist([unquoted], TABLES["coverage"].schema), run_id="r")
    for name in ("events", "contracts"):
        (row,) = lake.read(name).to_pylist()
        foreign = row | {"event_ticker": "KXU3-26DEC", "series_ticker": "KXU3"}
        foreign |= {"ticker": "KXU3-26DEC-T4"} if name == "contracts" else {}
        lake.upsert(name, pa.Table.from_pylist([foreign], TABLES[name].schema), run_id="r")
    market_catalog(context(lake, now=LATER), Scope([OLD]))
    assert lake.read("events")["event_ticker"].to_pylist() == [EVENT, "KXU3-26DEC"]
    again = market_catalog(context(lake, now=LATER), WHOLE)
    assert "KXU3-26DEC" in complete(again).first_offender
