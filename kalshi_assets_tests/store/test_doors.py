"""What became known later stays invisible through every door: random histories against a naive account of them.

Each door is asked exactly at a time at which something became known, and a microsecond before.
"""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.cli import cli
from kalshi_assets.core.tables import TABLES, TIME
from kalshi_assets.errors import UsageError
from kalshi_assets.research.on_demand import distribution_at
from kalshi_assets.research.store import open_store
from kalshi_assets.store.asof_lookup import lookup
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.mappings import assert_single_version, mapping_as_of
from kalshi_assets.store.sql import query
from kalshi_assets_tests.store.histories import (
    EVENTS,
    MAP,
    MICROSECOND,
    NAMES,
    ODD,
    OF_AN_EVENT,
    Fact,
    History,
    Move,
    Row,
    Version,
    histories,
    known,
    looked_up,
)
from kalshi_assets_tests.store.rows import at, day


def views(name: str) -> list[tuple[str, bool]]:
    """The views of a table, and whether each shows every version."""
    return [(name, False), *([(f"{name}_history", True)] if TABLES[name].versioned else [])]


def same(got: list[Row], expected: list[Row]) -> bool:
    return sorted(map(repr, map(plain, got))) == sorted(map(repr, map(plain, expected)))


def plain(row: Row) -> Row:
    """A row whose text is the same for the same values: one zone, one number of decimal places."""
    zoned = {c: v.astimezone(UTC) if isinstance(v, datetime) else v for c, v in sorted(row.items())}
    return {c: v.normalize() if isinstance(v, Decimal) else v for c, v in zoned.items()}


def columns(name: str) -> str:
    return ", ".join(f'"{c}"' for c in TABLES[name].schema.names)


def python(lake: Lake, home: Path, history: History, as_of: datetime) -> None:
    for name in history.names:
        for _, every in views(name):
            expected = known(history, name, as_of, every=every)
            assert same(lake.read(name, as_of=as_of, history=every).to_pylist(), expected), name
            if "event_date" in TABLES[name].partition_by:
                dates = [day(0), day(3)] if every else [day(1)]
                got = lake.read(name, as_of=as_of, event_dates=dates, history=every, columns=["known_at"])
                some = [{"known_at": r["known_at"]} for r in expected if r["event_date"] in dates]
                assert same(got.to_pylist(), some), name


def told(history: History, where: str = "true") -> str:
    """One question over every view: which key, under which date, known when."""
    parts = []
    for name in history.names:
        shown = "event_date::text" if "event_date" in TABLES[name].schema.names else "''"
        columns = f"{TABLES[name].key[0]}::text key, {shown} d, epoch_us(known_at) k"
        parts += [f"select '{view}' v, {columns} from {view}" for view, _ in views(name)]
    return f"select * from ({' union all '.join(parts)}) where {where}"


def account(history: History, as_of: datetime) -> list[Row]:
    """What the answer to that question must be."""
    return [
        {"v": v, "key": str(r[TABLES[name].key[0]]), "d": str(r.get("event_date", "")), "k": epoch_us(r["known_at"])}
        for name in history.names
        for v, every in views(name)
        for r in known(history, name, as_of, every=every)
    ]


def epoch_us(moment: datetime) -> int:
    return pa.scalar(moment, TIME).cast(pa.int64()).as_py()


def sql(lake: Lake, home: Path, history: History, as_of: datetime) -> None:
    # A filter on the date reaches the scans, where the folders' names speak.
    some = [r for r in account(history, as_of) if r["d"] == str(day(1))]
    assert same(query(lake, told(history, f"d = '{day(1)}'"), as_of=as_of).to_pylist(), some)
    for name in history.names[:3]:
        got = query(lake, f"select {columns(name)} from {name}", as_of=as_of).to_pylist()
        assert same(got, known(history, name, as_of, every=False)), name


def notebook(lake: Lake, home: Path, history: History, as_of: datetime) -> None:
    store = open_store(as_of, home=home)
    for name in history.names:
        assert same(store.table(name).to_pylist(), known(history, name, as_of, every=False)), name
    with store.connection() as connection:
        got = connection.sql(told(history)).to_arrow_table().to_pylist()
        assert same(got, account(history, as_of))
        # Also what stands behind the views: nothing later, and no event under a date of later.
        behind = [v for (v,) in connection.sql("show tables").fetchall() if v != "lake_snapshots"]
        newest = " union all ".join(f"select '{v}', max(known_at) > '{as_of.isoformat()}' from {v}" for v in behind)
        assert [v for v, late in connection.sql(newest).fetchall() if late] == []
        of_an_event = [v for v in behind if v.partition("__")[0].removesuffix("_history") in OF_AN_EVENT]
        stood = " union ".join(f"select event_ticker, event_date from {v}" for v in of_an_event)
        assert all(d == history.date_at(e, as_of) for e, d in connection.sql(stood).fetchall())


def command(lake: Lake, home: Path, history: History, as_of: datetime) -> None:
    arguments = ["sql", told(history), "--as-of", as_of.isoformat(), "--format", "json"]
    environment = {"KALSHI_ASSETS_HOME": str(home)}
    done = CliRunner().invoke(cli, arguments, env=environment, catch_exceptions=False)
    assert same(json.loads(done.stdout), account(history, as_of))


def searching(lake: Lake, home: Path, history: History, as_of: datetime) -> None:
    for name in history.names:
        lead = TABLES[name].order[0]
        if not pa.types.is_string(TABLES[name].schema.field(lead).type):
            continue
        names = sorted({r[lead] for r in history.rows(name)}) or ["nothing"]
        asked = [(n, d) for n in names for d in (None, *map(day, range(4)))]
        for dated in (False, True) if name in OF_AN_EVENT else (False,):
            some = [(n, d) for n, d in asked if (d is not None) == dated]
            requests = {lead: [n for n, _ in some], "as_of": pa.array([as_of] * len(some), TIME)}
            if dated:
                requests["event_date"] = pa.array([d for _, d in some], pa.date32())
            got = lookup(lake, name, pa.table(requests)).to_pylist()
            nothing = dict.fromkeys(TABLES[name].schema.names)
            expected = [looked_up(history, name, n, as_of, d) or nothing for n, d in some]
            assert list(map(plain, got)) == list(map(plain, expected)), name


def mapping(lake: Lake, home: Path, history: History, as_of: datetime) -> None:
    rows = mapping_as_of(lake, as_of)
    assert_single_version(rows)
    for row in rows.to_pylist():
        assert row["event_date"] == history.date_at(row["event_ticker"], as_of)
        assert row["known_at"] <= as_of
    recorded = {EVENTS[e] for e in range(3) if not (e == 2 and history.versions)}
    told = {EVENTS[e] for e in range(3) if history.moves[e][0].known <= (as_of - at(0)).total_seconds() / 60}
    mapped = set(rows["event_ticker"].to_pylist()) & recorded
    assert mapped <= told & recorded
    # SQL and notebooks join the same rows, and see every version that was known behind them.
    store, in_force = open_store(as_of, home=home), f"select {columns(MAP)} from {MAP}"
    with store.connection() as connection:
        own = connection.sql(in_force).to_arrow_table()
    for view in (query(lake, in_force, as_of=as_of), own, store.table(MAP)):
        assert same(view.to_pylist(), rows.to_pylist())
    every = query(lake, f"select {columns(MAP)} from {MAP}_history", as_of=as_of).to_pylist()
    assert same(every, lake.read(MAP, as_of=as_of, history=True).to_pylist())
    assert all(r["known_at"] <= as_of for r in every)


def on_demand(lake: Lake, home: Path, history: History, as_of: datetime) -> None:
    """What `kalshi-assets distribution` answers: which release it aims at, of which contracts, from how late a fact."""
    if "events" not in history.names:
        return
    events = {r["event_ticker"]: r for r in known(history, "events", as_of, every=False)}
    specs = known(history, "contract_specs", as_of, every=False)
    for event in {r["event_ticker"] for r in history.rows("events")}:
        if event not in events:
            with pytest.raises(UsageError, match=f"The event {event} was not known at"):
                distribution_at(lake, event, as_of)
            continue
        answer = distribution_at(lake, event, as_of)
        assert answer["release_time"] == events[event]["release_time"].isoformat()
        assert {r["ticker"] for r in answer["rungs"]} == {r["ticker"] for r in specs if r["event_ticker"] == event}
        used = answer["inputs_known_at"]
        assert used is None or datetime.fromisoformat(used) <= as_of


DOORS = (python, sql, notebook, command, searching, mapping, on_demand)


def check_doors(history: History, when: int) -> None:
    """Ask every door of a lake with this history at the ``when``-th of its moments."""
    with tempfile.TemporaryDirectory() as home:
        lake = Lake(Path(home) / "lake")
        history.write(lake)
        moments = history.moments()
        for door in DOORS:
            door(lake, Path(home), history, moments[when % len(moments)])


@settings(max_examples=5, deadline=None)
@given(history=histories, when=st.integers(0, 999))
def test_no_door_shows_what_was_not_known(history: History, when: int) -> None:
    check_doors(history, when)


@pytest.mark.soak
@settings(max_examples=300, deadline=None)
@given(history=histories, when=st.integers(0, 999))
def test_no_door_shows_what_was_not_known_in_hundreds_of_histories(history: History, when: int) -> None:
    check_doors(history, when)


EVERYTHING = History(
    facts=tuple(
        Fact(name, event, slot, known, filed, commit)
        for commit, (known, filed) in enumerate([(9, 1), (2, 0), (5, 1)])
        for name in NAMES
        for event in range(3)
        for slot in range(1 + commit)
    ),
    # One event that never moves, one that moves eleven times, one with v2 beside v10.
    moves=((Move(1, 0),), tuple(Move(m, m % 3) for m in range(1, 13)), (Move(0, 0),)),
    versions=(Version(10, 6, 3, None), Version(2, 8, 1, None), Version(1, 1, 2, 4)),
)


def test_every_table_of_one_history_at_a_turning_point(tmp_path: Path) -> None:
    """Every table has rows here, so that no door can pass by having nothing to show."""
    lake = Lake(tmp_path / "lake")
    EVERYTHING.write(lake)
    assert all(len(EVERYTHING.rows(name)) >= 3 for name in NAMES)
    # At this very microsecond a third of the facts became known, and an event moved once more; v10 stands beside v2.
    for door in DOORS:
        door(lake, tmp_path, EVERYTHING, at(9) + ODD)
    for door in (python, command, searching, on_demand):
        door(lake, tmp_path, EVERYTHING, at(9) + ODD - MICROSECOND)
    assert EVERYTHING.date_at(EVENTS[2], at(9)) == day(3)
