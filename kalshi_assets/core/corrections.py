"""What a source states of facts now against what is held of them: a correction is a row of its own.

An observation counts as known when it could be had first, because an archive is read long after.
That can be said once: what is stated otherwise later was not there before, and is known from its
receipt on. Belongs here: comparing and dating. Contracts, whose exchange says when it changed them,
are ``core.contract_history``'s; fetching and committing are the stages'.

The law: a row that is held never changes and never vanishes, whatever is stated or left out now.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import Bools, Ints, micros_of, time_column, times
from kalshi_assets.core.ordering import key_numbers, last_of_each
from kalshi_assets.core.tables import TABLES

_FILED = ("event_ticker", "series_ticker", "event_date")


@dataclass(frozen=True, slots=True)
class CorrectionRule:
    """What a correction of one table is.

    Attributes:
        key: the columns that name one fact.
        apart: columns that alone make no correction.
        optional: columns that a source may leave out: null says nothing there.
        dated: whether the source dates versions of a fact itself, as agencies do; a row that it dates
            after the version held is then no correction and keeps its time.
        by: the column that says who states it: rows of others are no version of what this source states, and
            what it states of a fact counts only until the first of them was known.
    """

    key: tuple[str, ...]
    apart: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    dated: bool = False
    by: str | None = None


QUOTES = CorrectionRule(TABLES["quotes"].key, apart=_FILED)
# The place among trades of one microsecond follows from what the bodies say of their takers.
TRADES = CorrectionRule(
    TABLES["trades"].key, apart=(*_FILED, "sequence"), optional=("taker_side", "no_price_usd", "is_block_trade")
)
COVERAGE = CorrectionRule(TABLES["coverage"].key, apart=("ts",))
RELEASE_CALENDAR = CorrectionRule(TABLES["release_calendar"].key, apart=("release_name", "source"), dated=True)
MACRO_OBSERVATIONS = CorrectionRule(TABLES["macro_observations"].key, apart=("precision", "source"), dated=True)
REFERENCE_FILES = CorrectionRule(TABLES["reference_files"].key, apart=("ts",))
REFERENCE_REJECTS = CorrectionRule(TABLES["reference_rejects"].key, apart=("ts",))
ASSET_PRICES = CorrectionRule(TABLES["asset_prices"].key, dated=True, by="source")


def corrected(held: pa.Table, stated: pa.Table, rule: CorrectionRule, *, received_at: datetime) -> pa.Table:
    """The rows that what a source states now adds to what is held.

    A fact that is not held yet gets its rows as they are stated. Of one that is held, the last row
    stated is compared with the newest version held: where it says the same nothing is added, else it
    is a version known at the receipt, a microsecond after the newest version at least. So a state may
    come back, and a fact that is not stated any more stays. Where ``rule.dated``, rows dated after the
    newest version held are added as they are, but not if the last of them says what is held. Where
    ``rule.by``, nothing is added that would be known no sooner than what another source says of the fact.

    Args:
        held: rows of the table, any number of versions of any facts.
        stated: rows of the table; of one fact the one with the greatest ``known_at`` is the last.
        rule: what a correction is.
        received_at: when it was stated, with time zone.

    Returns:
        Rows to add, in the columns of ``held`` and the order of ``stated``. None of them has key and
        ``known_at`` of a held row. Empty where nothing is new.
    """
    stated = stated.select(held.column_names).cast(held.schema)
    if not held.num_rows:
        return stated
    fact = key_numbers(pa.concat_tables([held.select(rule.key), stated.select(rule.key)]), rule.key)
    before, now = fact[: held.num_rows], fact[held.num_rows :]
    known_at, held_known_at = times(stated["known_at"]), times(held["known_at"])
    ours = np.ones(before.size, bool)
    if rule.by is not None:
        ours = np.asarray(pc.is_in(held[rule.by], value_set=pc.unique(stated[rule.by])), bool)
    n_facts = int(fact.max(initial=-1)) + 1
    version = _newest(before, held_known_at, ours, n_facts)[now]
    last = _newest(now, known_at, np.ones(now.size, bool), n_facts)[now] == np.arange(now.size)

    compared = np.flatnonzero(last & (version >= 0))
    same = np.zeros(now.size, bool)
    content = [c for c in held.column_names if c not in {*rule.key, *rule.apart, "known_at"}]
    same[compared] = ~_differ(
        _rows(held.select(content), version[compared]), _rows(stated.select(content), compared), rule
    )
    as_stated = (version < 0) | (rule.dated & (known_at > held_known_at[version]))
    keep = ~same & (as_stated | last)
    moments = np.where(as_stated, known_at, np.maximum(micros_of(received_at), held_known_at[version] + 1))
    others = np.full(n_facts, np.iinfo(np.int64).max)
    np.minimum.at(others, before[~ours], held_known_at[~ours])
    keep &= moments < others[now]
    if not keep.any():
        return held.slice(0, 0)
    at = held.schema.get_field_index("known_at")
    dated = stated.set_column(at, held.schema.field(at), time_column(moments)).filter(pa.array(keep))
    place = (*rule.key, "known_at")
    both = pa.concat_tables([dated.select(place), held.select(place)])
    return dated.filter(pa.array(last_of_each(both, place, [])[: dated.num_rows]))


def newest_of_each(rows: pa.Table, rule: CorrectionRule) -> pa.Table:
    """The version of each fact that became known last, in the order of the rows."""
    mask = last_of_each(rows, rule.key, ["known_at"])
    return rows if mask.all() else rows.filter(pa.array(mask))


def _newest(fact: Ints, known_at: Ints, counts: Bools, n_facts: int) -> Ints:
    """Row of the newest version of each fact among the rows that count; -1 where there is none."""
    order = np.argsort(known_at, kind="stable")
    order = order[counts[order]]
    newest = np.full(n_facts, -1, np.int64)
    # numpy keeps the last of repeated assignments.
    newest[fact[order]] = order
    return newest


def _rows(table: pa.Table, rows: Ints) -> pa.Table:
    """Some rows of a table; the table itself where they are all of it."""
    return table if np.array_equal(rows, np.arange(table.num_rows)) else table.take(pa.array(rows))


def _differ(held: pa.Table, stated: pa.Table, rule: CorrectionRule) -> Bools:
    """Whether each row is stated otherwise than it is held; null equals null."""
    differ = np.zeros(held.num_rows, bool)
    for name, x, y in zip(held.column_names, held.columns, stated.columns, strict=True):
        alike = pc.fill_null(pc.equal(x, y), False)
        alike = pc.or_(alike, pc.is_null(y) if name in rule.optional else pc.and_(pc.is_null(x), pc.is_null(y)))
        differ |= ~np.asarray(alike, bool)
    return differ
