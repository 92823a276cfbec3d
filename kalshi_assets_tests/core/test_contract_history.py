"""Versions of contracts: each state once, dated by when it can have been known, and nothing held ever changes."""

from datetime import timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from kalshi_assets.core.contract_history import CHANGED_AT, CONTRACTS, EVENTS, extend_history, refile
from kalshi_assets.core.tables import TABLES
from kalshi_assets_tests.core.contract_states import (
    CLOSE,
    DAY,
    FINAL_NO,
    FINAL_YES,
    NEXT,
    NONE,
    SETTLED,
    T0,
    at,
    contract,
    fresh,
    see,
    told,
)

LISTED = (0, "more than 3", "active", None)


def test_what_was_never_seen_counts_as_listed_and_settled_at_its_own_times():
    record = contract(settled=SETTLED, changed=at(51), **FINAL_YES)
    held = see(NONE, 1000, record)
    assert told(held) == [LISTED, (50, "more than 3", "finalized", "yes")]
    assert see(held, 2000, record) == held


def test_the_same_state_adds_nothing_whatever_its_body_its_tier_and_its_time_of_change():
    held = see(NONE, 60, contract(settled=SETTLED, **FINAL_YES))
    listed, settled = contract(settled=SETTLED, changed=at(70), **FINAL_YES)
    moved = [listed, settled | {"tier": "historical", "raw_json": "another"}]
    assert see(held, 80, moved) == held


def test_a_text_edit_is_known_when_the_record_changed_and_the_old_text_stays():
    held = see(NONE, 1, contract())
    held = see(held, 30, contract(text="at least 3", changed=at(20)))
    assert told(held) == [LISTED, (20, "at least 3", "active", None)]
    assert see(held, 31, contract(text="at least 3", changed=at(20))) == held


@pytest.mark.parametrize("changed", [None, T0, T0 - timedelta(hours=1), at(31)])
def test_an_edit_whose_time_cannot_be_is_known_at_its_receipt(changed):
    held = see(see(NONE, 1, contract()), 30, contract(text="new", changed=changed))
    assert told(held) == [LISTED, (30, "new", "active", None)]


@pytest.mark.parametrize("hours", [-3, 5])
def test_a_closing_time_that_moves_earlier_or_later_is_a_version(hours):
    moved = CLOSE + timedelta(hours=hours)
    held = see(see(NONE, 1, contract()), 30, contract(close=moved, changed=at(12)))
    assert [(r["known_at"], r["close_time"]) for r in held.to_pylist()] == [(T0, CLOSE), (at(12), moved)]


def test_a_contract_that_is_reopened_and_closed_again_shows_each_closing_time():
    late = CLOSE + timedelta(hours=8)
    held = see(NONE, 41, contract())
    held = see(held, 42, contract(close=late, changed=at(41.5)))
    held = see(held, 60, contract(close=late, settled=at(55), changed=at(55), **FINAL_NO))
    assert [(r["known_at"], r["close_time"], r["result"]) for r in held.to_pylist()] == [
        (T0, CLOSE, None), (at(41.5), late, None), (at(55), late, "no"),
    ]  # fmt: skip


def test_determined_disputed_and_amended_are_three_versions_and_the_first_result_stays():
    held = see(NONE, 1, contract())
    held = see(held, 42, contract(changed=at(41), **FINAL_YES | {"status": "determined"}))
    held = see(held, 44, contract(changed=at(43), status="disputed"))
    held = see(held, 46, contract(changed=at(45), **FINAL_NO | {"status": "amended"}))
    held = see(held, 52, contract(changed=at(50), settled=SETTLED, **FINAL_NO))
    text = "more than 3"
    assert told(held) == [
        LISTED, (41, text, "determined", "yes"), (43, text, "disputed", None), (45, text, "amended", "no"),
        (50, text, "finalized", "no"),
    ]  # fmt: skip


def test_a_result_amended_under_an_unchanged_settlement_time_is_known_at_its_receipt():
    held = see(see(NONE, 51, contract(settled=SETTLED, **FINAL_YES)), 70, contract(settled=SETTLED, **FINAL_NO))
    assert told(held)[1:] == [(50, "more than 3", "finalized", "yes"), (70, "more than 3", "finalized", "no")]


def test_an_outcome_that_was_only_due_is_known_no_later_than_its_receipt():
    determined = FINAL_YES | {"status": "determined"}
    held = see(NONE, 30, contract(due=at(40), **determined))
    assert told(held) == [LISTED, (30, "more than 3", "determined", "yes")]
    assert see(held, 31, contract(due=at(40), **determined)) == held
    settled = see(held, 60, contract(settled=at(33), **FINAL_YES))
    assert told(settled)[2:] == [(33, "more than 3", "finalized", "yes")]


def test_an_outcome_is_never_dated_by_a_change_before_it_was_due():
    held = see(NONE, 10, contract(changed=at(5)))
    held = see(held, 60, contract(changed=at(5), due=at(40), **FINAL_YES | {"status": "determined"}))
    assert told(held) == [LISTED, (40, "more than 3", "determined", "yes")]


def test_a_scalar_and_a_void_settlement_are_versions_like_any_other():
    scalar = {
        "status": "finalized",
        "result": "scalar",
        "outcome_type": "scalar",
        "settlement_value_usd": Decimal("0.5"),
    }
    void = {"status": "finalized", "outcome_type": "void"}
    held = see(NONE, 1, contract("A"), contract("B"))
    held = see(held, 60, contract("A", settled=SETTLED, **scalar), contract("B", settled=SETTLED, **void))
    rows = held.to_pylist()[2:]
    assert [(r["ticker"], r["outcome_type"], r["result"], r["settlement_value_usd"]) for r in rows] == [
        ("A", "scalar", "scalar", Decimal("0.500000")), ("B", "void", None, None),
    ]  # fmt: skip
    revalued = see(held, 70, contract("A", settled=SETTLED, **scalar | {"settlement_value_usd": Decimal("0.25")}))
    assert revalued.to_pylist()[-1]["known_at"] == at(70)


@pytest.mark.parametrize(
    ("changed", "versions"),
    [
        (20, [(20, "new", "active", None, "listing: new"), (50, "new", "finalized", "yes", "body")]),
        (50, [(50, "new", "finalized", "yes", "body")]),
        (
            55,
            [(50, "more than 3", "finalized", "yes", "listing: more than 3"), (55, "new", "finalized", "yes", "body")],
        ),
    ],
)
def test_an_edit_and_a_settlement_seen_together_keep_their_own_times(changed, versions):
    held = see(NONE, 1, contract())
    held = see(held, 60, contract(text="new", changed=at(changed), settled=SETTLED, **FINAL_YES))
    bodies = [r["raw_json"].split(": new {")[0] for r in held.sort_by("known_at").to_pylist()]
    assert [(*v, b) for v, b in zip(told(held), bodies, strict=True)][1:] == versions


def test_what_vanishes_stays_and_what_reappears_adds_nothing():
    held = see(NONE, 1, contract("A"), contract("B"))
    without = see(held, 10, contract("A"))
    assert without == held
    assert see(without, 20, contract("A"), contract("B")) == held
    assert extend_history(held, fresh([]), CONTRACTS, received_at=at(30)) == NONE


def test_a_clock_behind_the_exchange_makes_no_version_twice():
    record = contract(settled=SETTLED, **FINAL_YES)
    held = see(NONE, -5, record)
    assert told(held) == [LISTED, (50, "more than 3", "finalized", "yes")]
    assert see(held, -4, record) == held
    assert told(see(held, -3, contract(text="new")))[0] == LISTED
    assert see(held, 20, record) == held


def test_the_release_of_an_event_and_its_title_are_dated_apart():
    schema = pa.schema([*TABLES["events"].schema, CHANGED_AT])
    row = {
        "event_ticker": "E", "series_ticker": "S", "event_date": DAY, "release_time": CLOSE, "ts": T0, "known_at": T0,
        "release_time_source": "calendar", "title": "old", "mapping_version": "v1", "raw_json": "one",
    }  # fmt: skip
    moved = {"release_time": SETTLED, "mapping_version": "v2", "ts": at(7), "known_at": at(7), "raw_json": "two"}
    held = extend_history(
        schema.empty_table().drop_columns("changed_at"), pa.Table.from_pylist([row], schema), EVENTS, received_at=at(1)
    )
    now = pa.Table.from_pylist([row, row | moved | {"title": "new", "changed_at": at(9)}], schema)
    added = extend_history(held, now, EVENTS, received_at=at(20)).to_pylist()
    assert [(r["known_at"], r["release_time"], r["mapping_version"], r["title"], r["raw_json"]) for r in added] == [
        (at(7), SETTLED, "v2", "old", "one"), (at(9), SETTLED, "v2", "new", "two"),
    ]  # fmt: skip


def filed(held):
    return sorted((r["ticker"], str(r["event_date"]), r["rules_primary"]) for r in held.to_pylist())


def test_a_history_follows_its_event_to_the_new_date_and_is_never_lost_on_the_way():
    old = see(see(NONE, 1, contract()), 9, contract(text="new", changed=at(5)))
    present = pa.table({"event_ticker": ["E"], "event_date": pa.array([NEXT], pa.date32())})
    both = [("A", str(NEXT), "more than 3"), ("A", str(NEXT), "new")]
    assert [filed(t) for t in refile(old, present, [DAY, NEXT], ("ticker",))] == [both, []]
    assert [filed(t) for t in refile(old, present, [NEXT], ("ticker",))] == [both, []]
    # The new date is not written and holds nothing yet: the old one keeps what it has.
    assert [t.num_rows for t in refile(old, present, [DAY], ("ticker",))] == [0, 2]
    arrived, _ = refile(old, present, [NEXT], ("ticker",))
    twice = pa.concat_tables([old, arrived])
    assert [t.num_rows for t in refile(twice, present, [DAY], ("ticker",))] == [0, 0]
    assert [filed(t) for t in refile(twice, present, [DAY, NEXT], ("ticker",))] == [both, []]
    unlisted = pa.table({"event_ticker": pa.array([], pa.string()), "event_date": pa.array([], pa.date32())})
    assert [t.num_rows for t in refile(old, unlisted, [DAY], ("ticker",))] == [2, 0]
