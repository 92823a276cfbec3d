"""Random histories of a lake, and a naive account of what was known: lists of dictionaries and nothing else.

Every table takes part. Facts arrive in any order, a few commits each; events change their date; what is
asked of the account is answered by looking at every row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from kalshi_assets.core.tables import TABLES, TableSpec
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.mappings import record_mapping
from kalshi_assets_tests.store.rows import at, day, table

Row = dict[str, Any]
MAP = "event_market_map"
SERIES = ("KXCPI", "KXU3")
EVENTS = ("KXCPI-A", "KXCPI-B", "KXU3-A")
MICROSECOND = timedelta(microseconds=1)
# What Delta and Parquet may not cut: a moment between two milliseconds.
ODD = timedelta(microseconds=345)
# A float names nothing exactly, and the lake cannot order by one.
NAMES = tuple(
    n for n, t in TABLES.items() if n != MAP and not any(pa.types.is_floating(t.schema.field(c).type) for c in t.key)
)
OF_AN_EVENT = frozenset(
    n for n, t in TABLES.items() if t.partition_by and {"event_ticker", "series_ticker"} <= set(t.schema.names)
)


@dataclass(frozen=True)
class Fact:
    """One thing that became known: of which table, of which event, which of its keys, when, and where it is filed."""

    table: str
    event: int
    slot: int
    known: int
    filed: int
    commit: int


@dataclass(frozen=True)
class Move:
    """What was said of an event's date from a minute on."""

    known: int
    day: int


@dataclass(frozen=True)
class Version:
    """A version of a mapping written by hand: no order between number and time, ranges that need not meet."""

    number: int
    known: int
    day: int
    lasts: int | None

    def holds(self, moment: datetime) -> bool:
        """Whether it was known and in force at a time."""
        start = at(self.known) + ODD
        return start <= moment and (self.lasts is None or moment < start + timedelta(minutes=self.lasts))


@dataclass(frozen=True)
class History:
    facts: tuple[Fact, ...]
    moves: tuple[tuple[Move, ...], ...]
    versions: tuple[Version, ...]

    @property
    def names(self) -> list[str]:
        """The tables that anything became known of."""
        return sorted({f.table for f in self.facts})

    def rows(self, name: str) -> list[Row]:
        """All rows of a table with where they are filed; of two facts with one name the first counts."""
        spec, found = TABLES[name], {}
        for serial, fact in enumerate(self.facts):
            if fact.table == name:
                row = self._row(spec, fact, serial)
                versioned = ("known_at",) if spec.versioned else ()
                found.setdefault(tuple(row[c] for c in (*spec.key, *versioned)), row)
        return list(found.values())

    def dates(self, event: int) -> list[date]:
        """Every date that an event ever had, the first one first."""
        if event == 2 and self.versions:
            return [day(v.day) for v in sorted(self.versions, key=lambda v: v.number)]
        return [day(m.day) for m in self.moves[event]]

    def date_at(self, ticker: str, moment: datetime) -> date:
        """The date under which an event stood at a time; its first one before anything was said."""
        event = EVENTS.index(ticker)
        if event == 2 and self.versions:
            held = [v for v in self.versions if v.holds(moment)]
            return day(max(held, key=lambda v: v.number).day) if held else self.dates(event)[0]
        said = [m for m in self.moves[event] if at(m.known) + ODD <= moment]
        return day(said[-1].day) if said else self.dates(event)[0]

    def moments(self) -> list[datetime]:
        """Every time at which something became known, and the microsecond before it."""
        known = {r["known_at"] for name in self.names for r in self.rows(name)}
        known |= {at(m.known) + ODD for moves in self.moves for m in moves}
        known |= {at(v.known) + ODD for v in self.versions}
        known |= {at(v.known + v.lasts) + ODD for v in self.versions if v.lasts is not None}
        return sorted(known | {k - MICROSECOND for k in known})

    def write(self, lake: Lake) -> None:
        """Commit everything, late facts perhaps before early ones."""
        self._write_mappings(lake)
        for name in self.names:
            rows = {id(r): r for r in self.rows(name)}.values()
            for commit in range(3):
                batch = [r for r in rows if r["_commit"] == commit]
                if batch:
                    lake.upsert(name, table(name, batch), run_id=f"r{commit}")

    def _write_mappings(self, lake: Lake) -> None:
        by_hand = self.versions
        for event, moves in enumerate(self.moves):
            if not (event == 2 and by_hand):
                for move in moves:
                    given = [_mapping(event, move.known, move.day)]
                    record_mapping(lake, pa.Table.from_pylist(given, schema=_GIVEN), "m")
        rows = [
            {
                **_mapping(2, v.known, v.day),
                "version": f"v{v.number}",
                "effective_from": at(v.known) + ODD,
                "effective_to": None if v.lasts is None else at(v.known + v.lasts) + ODD,
            }
            for v in by_hand
        ]
        if rows:
            lake.upsert(MAP, table(MAP, rows), run_id="m")

    def _row(self, spec: TableSpec, fact: Fact, serial: int) -> Row:
        dates = self.dates(fact.event)
        filed = dates[fact.filed % len(dates)]
        name = f"{EVENTS[fact.event]}-{fact.slot}"
        known_at = at(fact.known) + (ODD if fact.filed % 2 else timedelta(0))
        given = {
            "event_ticker": EVENTS[fact.event],
            "series_ticker": SERIES[fact.event // 2],
            "event_date": filed if spec.name in OF_AN_EVENT else day(fact.slot),
            # Before anything is known: of what is past nobody knows sooner.
            "ts": at(fact.slot - 3),
            "known_at": known_at,
            "_commit": fact.commit,
        }
        # Every other required cell tells keys apart or says which fact it is.
        for field in spec.schema:
            if field.name not in given and not field.nullable:
                given[field.name] = _cell(field, name, fact.slot if field.name in spec.key else serial)
        told = next((f for f in spec.schema if f.nullable and f.type in (pa.string(), pa.float64())), None)
        return given if told is None else {**given, told.name: _cell(told, f"said {serial}", serial)}


def _cell(field: pa.Field, text: str, number: int) -> Any:
    kinds = {
        pa.string(): text,
        pa.float64(): 1.0 / (1 + number),
        pa.int64(): number,
        pa.bool_(): number % 2 == 0,
        pa.date32(): day(number % 5),
    }
    if pa.types.is_decimal(field.type):
        return Decimal(number % 10) / 10
    return kinds[field.type] if field.type in kinds else at(number)


_GIVEN = pa.schema([f for f in TABLES[MAP].schema if f.name not in ("version", "effective_from", "effective_to")])


def _mapping(event: int, known: int, to: int) -> Row:
    moment = at(known) + ODD
    return {
        "event_ticker": EVENTS[event], "series_ticker": SERIES[event // 2], "event_date": day(to),
        "release_time": at(1000 + to), "source": "calendar", "ts": moment, "known_at": moment,
    }  # fmt: skip


def _moves(minutes: list[int], days: list[int]) -> tuple[Move, ...]:
    return tuple(Move(m, d) for m, d in zip(sorted(minutes), days, strict=False))


MINUTE = st.integers(0, 12)
tables_asked = st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True)


def facts(names: list[str]) -> st.SearchStrategy[tuple[Fact, ...]]:
    """Facts of some tables; few keys, so that there are many versions of each."""
    one = st.builds(
        Fact,
        table=st.sampled_from(names),
        event=st.integers(0, 2),
        slot=st.integers(0, 2),
        known=MINUTE,
        filed=st.integers(0, 3),
        commit=st.integers(0, 2),
    )
    return st.lists(one, min_size=20, max_size=60).map(tuple)


moves = st.builds(
    _moves,
    st.lists(MINUTE, min_size=1, max_size=12, unique=True),
    st.lists(st.integers(0, 3), min_size=12, max_size=12),
)
versions = st.builds(
    Version,
    number=st.integers(1, 12),
    known=MINUTE,
    day=st.integers(0, 3),
    lasts=st.one_of(st.none(), st.integers(1, 6)),
)
histories = st.builds(
    History,
    tables_asked.flatmap(facts),
    st.tuples(moves, moves, moves),
    st.lists(versions, max_size=4, unique_by=lambda v: v.number).map(tuple),
)


# The account


def known(history: History, name: str, as_of: datetime, *, every: bool) -> list[Row]:
    """The rows that were known, of each key the one known last (or every one), under the dates of that time."""
    spec, best = TABLES[name], {}
    for row in history.rows(name):
        if row["known_at"] <= as_of:
            key = (*(row[c] for c in spec.key), *((row["known_at"],) if every else ()))
            if key not in best or best[key]["known_at"] < row["known_at"]:
                best[key] = row
    return [dated(history, name, row, as_of) for row in best.values()]


def dated(history: History, name: str, row: Row, as_of: datetime) -> Row:
    """A row as the lake gives it back: declared columns, and the date under which its event stood."""
    shown = {c: row.get(c) for c in TABLES[name].schema.names}
    return shown | ({"event_date": history.date_at(row["event_ticker"], as_of)} if name in OF_AN_EVENT else {})


def looked_up(history: History, name: str, lead: str, as_of: datetime, day_asked: date | None) -> Row | None:
    """Of the rows that bear a name: greatest ``ts``, then ``known_at``, then the last one where it is filed."""
    spec = TABLES[name]
    rows = [r for r in history.rows(name) if r["known_at"] <= as_of and r[spec.order[0]] == lead]
    order = (*spec.partition_by, *spec.order)
    newest = max(rows, key=lambda r: (r["ts"], r["known_at"], *(r[c] for c in order)), default=None)
    shown = None if newest is None else dated(history, name, newest, as_of)
    return None if shown is None or day_asked not in (None, shown.get("event_date")) else shown
