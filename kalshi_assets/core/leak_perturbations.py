"""Changes to a pipeline's inputs that an honest row cannot notice, each relative to the row's own as-of time.

Belongs here: cutting, scrambling, injecting, delaying, shuffling and isolating
Arrow tables. An input with ``event_ticker`` is cut at the as-of time of each
row's own event, so that one call of the pipeline serves many probes; an input
without is shared by all events and is cut only where all probes have one as-of
time. Rebuilding and comparing belong to ``core.leak_probes``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import MISSING_TIME, Bools, Ints, codes, time_column, times, vocabulary
from kalshi_assets.core.leak_values import made_up
from kalshi_assets.core.tables import TABLES

Inputs = Mapping[str, pa.Table]

EVENTS = "events"
EVENT, CONTRACT, KNOWN_AT = "event_ticker", "ticker", "known_at"
# How long after the as-of time made-up rows become known, in microseconds: at once, and well within a day.
AFTER_US = (1, 3_600_000_000)
_JUST_BEFORE_US = 1
_DAY_US = 86_400_000_000
_NEW_CONTRACT = "-INJECTED"
# When a row was made; any other day in a key (a meeting, a period, a contract month) is what the row is about.
_WHEN = ("date", "observation_date", "ts")


@dataclass(frozen=True)
class Cut:
    """The as-of time of one probe for each of some events.

    Attributes:
        events: distinct event tickers, shape (n_events,).
        as_of: microseconds since 1970 UTC, shape (n_events,).
    """

    events: pa.Array
    as_of: Ints

    @cached_property
    def moment(self) -> int | None:
        """The one as-of time of all events; None where they differ."""
        return int(self.as_of[0]) if self.as_of.size and (self.as_of == self.as_of[0]).all() else None


@dataclass(frozen=True)
class Perturbed:
    """Changed inputs.

    Attributes:
        inputs: the tables.
        touched: whether any row that bears on the event was changed, removed or added, shape (n_events,).
    """

    inputs: Inputs
    touched: Bools


Perturbation = Callable[[Inputs, Cut, np.random.Generator], Perturbed]


@dataclass(frozen=True)
class _Rows:
    """One input with the cut of each row; ``event`` is -1 in a shared table, which bears on every event."""

    name: str
    table: pa.Table
    event: Ints
    known_at: Ints
    cut: Ints

    @property
    def later(self) -> Bools:
        """Rows that were not known by the as-of time of their event."""
        return np.asarray((self.known_at > self.cut) | (self.known_at == MISSING_TIME), bool)


def entities(inputs: Inputs, events: pa.Array) -> dict[str, pa.Table]:
    """The inputs with the rows of some events only; shared inputs as they are."""
    return {
        name: table.filter(pc.is_in(table[EVENT], value_set=events)) if EVENT in table.column_names else table
        for name, table in inputs.items()
    }


def truncated(inputs: Inputs, cut: Cut, _rng: np.random.Generator) -> Perturbed:
    """Without every row that became known after the as-of time, or never."""
    return _each(inputs, cut, lambda rows: (rows.table.filter(pa.array(~rows.later)), rows.later))


def scrambled(inputs: Inputs, cut: Cut, rng: np.random.Generator) -> Perturbed:
    """With made-up values in every row that became known after the as-of time; keys and times stay."""

    def scramble(rows: _Rows) -> tuple[pa.Table, Bools]:
        later = np.flatnonzero(rows.later)
        if not later.size:
            return rows.table, rows.later
        made = made_up(rows.name, rows.table.take(pa.array(later)), rng)
        # Rows keep their places: whether order matters is asked by another probe.
        place = np.arange(rows.table.num_rows)
        place[later] = rows.table.num_rows + np.arange(later.size)
        return pa.concat_tables([rows.table, made]).take(pa.array(place)), rows.later

    return _each(inputs, cut, scramble)


def injected(inputs: Inputs, cut: Cut, rng: np.random.Generator) -> Perturbed:
    """With made-up rows known after the as-of time: of every contract or series there is, and of a new contract."""

    def inject(rows: _Rows) -> tuple[pa.Table, Bools]:
        like = _newest_known(rows)
        fresh = [_known_later(rows, like, rng, after) for after in AFTER_US]
        if CONTRACT in rows.table.column_names and EVENT in rows.table.column_names:
            first = _of_first_contract(rows, like)
            fresh.append(_renamed(_known_later(rows, first, rng, AFTER_US[0]), CONTRACT, lambda t: t + _NEW_CONTRACT))
        return pa.concat_tables([rows.table, *fresh]), _at(rows, like)

    return _each(inputs, cut, inject)


def late(inputs: Inputs, cut: Cut, rng: np.random.Generator) -> Perturbed:
    """With made-up rows about the time before the as-of time that became known after it.

    For every contract or series one about the moment before, and one that revises its newest known fact.
    """

    def delay(rows: _Rows) -> tuple[pa.Table, Bools]:
        like = _newest_known(rows)
        about_now = _known_later(rows, like, rng, AFTER_US[0], about=-_JUST_BEFORE_US)
        known = like[~rows.later[like]]
        revision = _known_later(rows, known, rng, AFTER_US[0], about=None)
        return pa.concat_tables([rows.table, about_now, revision]), _at(rows, like)

    return _each(inputs, cut, delay)


def shuffled(inputs: Inputs, cut: Cut, rng: np.random.Generator) -> Perturbed:
    """With the rows of every table in another order."""
    tables = {n: t.take(pa.array(_one_cycle(t.num_rows, rng))) for n, t in inputs.items()}
    return Perturbed(tables, np.full(len(cut.events), any(t.num_rows > 1 for t in inputs.values())))


def _one_cycle(n: int, rng: np.random.Generator) -> Ints:
    """An order of ``n`` rows in which none keeps its place, so that no draw leaves a small table as it was."""
    cycle = rng.permutation(n)
    order = np.empty(n, np.int64)
    order[cycle] = np.roll(cycle, 1)
    return order


def isolated(inputs: Inputs, cut: Cut, rng: np.random.Generator, *, side: int) -> Perturbed:
    """With the rows of other events gone and a made-up event beside each that stays.

    Every second event in ticker order stays, so that none keeps its neighbours; a single event always does.
    The made-up one has the event's own rows, all times, under a name that sorts next to it, with other values.

    Args:
        inputs: the tables.
        cut: names the events; the as-of times play no part.
        rng: source of the made-up values.
        side: 0 keeps the first, third, ... event and puts the made-up ones before them; 1 the others, and after.
    """
    order = pc.array_sort_indices(cut.events).to_numpy()
    stays = np.zeros(len(cut.events), bool)
    stays[order[side::2] if order.size > 1 else order] = True
    kept = entities(inputs, cut.events.filter(pa.array(stays)))
    beside = _before if side == 0 else _after
    tables = {}
    for name, table in kept.items():
        tables[name] = table
        if EVENT in table.column_names:
            other = _renamed(made_up(name, table, rng), EVENT, beside)
            other = _renamed(other, CONTRACT, beside) if CONTRACT in table.column_names else other
            tables[name] = pa.concat_tables([table, other])
    return Perturbed(tables, stays & any(EVENT in t.column_names for t in inputs.values()))


def _each(inputs: Inputs, cut: Cut, change: Callable[[_Rows], tuple[pa.Table, Bools]]) -> Perturbed:
    """Change every table that can be cut; ``change`` gives the new table and which of the old rows it rests on."""
    tables, touched = {}, np.zeros(len(cut.events), bool)
    for name, table in inputs.items():
        tables[name] = table
        by_event = EVENT in table.column_names
        if KNOWN_AT not in table.column_names or not table.num_rows or (not by_event and cut.moment is None):
            continue
        event = codes(table[EVENT], cut.events) if by_event else np.full(table.num_rows, -1, np.int64)
        at = cut.as_of[event] if by_event else np.full(table.num_rows, cut.moment or 0, np.int64)
        rows = _Rows(name, table, event, times(table[KNOWN_AT]), at)
        tables[name], used = change(rows)
        if by_event:
            touched |= np.bincount(event[used & (event >= 0)], minlength=touched.size) > 0
        else:
            touched |= used.any()
    return Perturbed(tables, touched)


def _at(rows: _Rows, index: Ints) -> Bools:
    mask = np.zeros(rows.table.num_rows, bool)
    mask[index] = True
    return mask


def _newest_known(rows: _Rows) -> Ints:
    """Of each event's contract (or each shared series) the newest row known by the as-of time, else its first."""
    group = rows.event
    for column in identity(rows.name, rows.table):
        words = vocabulary(rows.table[column])
        group = group * (len(words) + 1) + codes(rows.table[column], words)
    order = np.lexsort((rows.known_at, group))
    ordered, later = group[order], rows.later[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    n_known = np.add.reduceat((~later).astype(np.int64), starts)
    # Rows without a time sort first in their group and count as later, hence the shift past them.
    unplaced = np.add.reduceat((rows.known_at[order] == MISSING_TIME).astype(np.int64), starts)
    return order[starts + np.where(n_known > 0, unplaced + n_known - 1, 0)]


def identity(name: str, table: pa.Table) -> list[str]:
    """Columns that say what a row is about, apart from when it was made: a table's key without ``_WHEN``.

    A table that is not the lake's is grouped by its texts.
    """
    spec = TABLES.get(name)
    key: Sequence[str] = spec.key if spec else [f.name for f in table.schema if pa.types.is_string(f.type)]
    return [c for c in key if c in table.column_names and c not in _WHEN]


def _of_first_contract(rows: _Rows, index: Ints) -> Ints:
    """The rows among ``index`` of each event's first contract by ticker."""
    words = vocabulary(rows.table[CONTRACT])
    contract, event = codes(rows.table[CONTRACT], words)[index], rows.event[index]
    first = np.full(event.max(initial=0) + 2, np.iinfo(np.int64).max)
    np.minimum.at(first, event, contract)
    return np.asarray(index[contract == first[event]], np.int64)


def _known_later(rows: _Rows, index: Ints, rng: np.random.Generator, after: int, *, about: int | None = 0) -> pa.Table:
    """Made-up rows like those at ``index``, known ``after`` microseconds past their cut.

    They are about the same thing, and were made at the moment ``about`` microseconds from when they became known (0)
    or from the cut (negative), or, where ``about`` is None, when their originals were.
    """
    same = ("event_date", "release_time", *identity(rows.name, rows.table))
    made = made_up(rows.name, rows.table.take(pa.array(index)), rng)
    known_at = rows.cut[index] + after
    moment = known_at if about == 0 else rows.cut[index] + (about or 0)
    for place, field in enumerate(made.schema):
        if field.name == KNOWN_AT:
            made = made.set_column(place, field, time_column(known_at).cast(field.type))
        elif about is None or field.name in same:
            continue
        elif field.name == "ts":
            made = made.set_column(place, field, time_column(moment).cast(field.type))
        elif pa.types.is_date(field.type):
            day = pa.array((moment // _DAY_US).astype(np.int32)).cast(pa.date32()).cast(field.type)
            made = made.set_column(place, field, day)
    return made


def _renamed(table: pa.Table, column: str, rename: Callable[[str], str]) -> pa.Table:
    encoded = table[column].combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    names: Any = pa.array([None if n is None else rename(n) for n in encoded.dictionary.to_pylist()], pa.string())
    place = table.schema.get_field_index(column)
    return table.set_column(place, table.schema.field(column), names.take(encoded.indices))


def _before(name: str) -> str:
    """A name that sorts next below: KXU3-24JUN gives KXU3-24JUM~."""
    return f"{name[:-1]}{chr(max(ord(name[-1]) - 1, 32))}~" if name else "!"


def _after(name: str) -> str:
    """A name that sorts next above."""
    return f"{name}!"
