"""What was known of a contract, an event or a series, and since when: versions that only grow.

The exchange says what is so now; what it said before is in the lake. Belongs
here: comparing the two and dating the difference. What a row means is
``core.tables``' matter, fetching and committing are the stages'.

The law: a row that is held never changes and never vanishes. A state that
differs from the version held at its receipt becomes a version of its own,
known no earlier than the change can have been known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import Bools, Ints, codes, micros_of, time_column, times, vocabulary
from kalshi_assets.core.ordering import last_of_each, sort_rows
from kalshi_assets.core.tables import DATE, TIME

# The column that fresh rows carry beside those of their table: when the exchange last changed the record.
CHANGED_AT = pa.field("changed_at", TIME)


@dataclass(frozen=True, slots=True)
class HistoryRule:
    """How the versions of one table come about.

    Attributes:
        key: the column that names one fact.
        dated: columns whose change became known at the row's own ``known_at``; the change of any
            other is dated by ``changed_at``.
        unversioned: columns that alone make no version: where a row is filed, which tier served
            it, and the body as received, in which quotes and new fields come and go.
        stated_by: the column that is filled where ``known_at`` is the exchange's word; elsewhere it
            is only when the fact was due. None where it always is.
    """

    key: str
    dated: tuple[str, ...] = ()
    unversioned: tuple[str, ...] = ()
    stated_by: str | None = None


_FILED = ("event_date", "raw_json")
CONTRACTS = HistoryRule(
    "ticker",
    dated=(
        "status", "settlement_time", "result", "outcome_type", "settlement_value_usd", "expiration_value",
        "volume_contracts", "tier",
    ),
    unversioned=(*_FILED, "tier"),
    stated_by="settlement_time",
)  # fmt: skip
EVENTS = HistoryRule(
    "event_ticker", dated=("release_time", "release_time_source", "mapping_version"), unversioned=_FILED
)
SERIES = HistoryRule("series_ticker", unversioned=("raw_json",))


def extend_history(held: pa.Table, fresh: pa.Table, rule: HistoryRule, *, received_at: datetime) -> pa.Table:
    """The versions that what the exchange says now adds to what is held.

    A key that is not held yet gets its fresh rows as they are: as listed at its creation, as settled
    at its settlement. Whether the text was edited before anybody looked is not known, also where the
    record says that it changed since: the text seen first counts as the text listed, because without
    a row at its listing a settled contract could not be studied at all. An outcome that was only due
    (no settlement time is stated) is known no later than its receipt.

    A key that is held is compared with its newest version known at the receipt. Its state now is its
    last fresh row. Where that differs, versions are added:

    * a change of ``dated`` columns is known at the row's own ``known_at`` if the exchange states that
      and it lies after the version held; if it does not state it, at ``changed_at``, but not before
      the fact was due;
    * any other change is known at ``changed_at``;
    * a time that is missing, not after the version held, or after the receipt, is replaced by the
      receipt. What would then fall on or before the version held follows it by a microsecond.

    Two changes known at different times make two versions. A state may come back: that is a version
    again. Of states that arrive late, each is compared with what was known at its own receipt and
    dated likewise, so late arrival alone alters nothing that was read of the states in between.

    Args:
        held: rows of the table, any number of versions of any keys.
        fresh: rows of the table with ``CHANGED_AT``; of one key the earliest first and the present one last.
        rule: how versions of this table come about.
        received_at: when the exchange said so, with time zone.

    Returns:
        Rows to add, in the columns of ``held``, ordered by key and ``known_at``, with ``ts = known_at``.
        None of them has key and ``known_at`` of a held row. Empty where nothing is new.
    """
    schema, receipt = held.schema, micros_of(received_at)
    words = vocabulary(fresh[rule.key])
    n, code, held_code = len(words), codes(fresh[rule.key], words), codes(held[rule.key], words)
    first, last = np.zeros(n, np.int64), np.zeros(n, np.int64)
    positions = np.arange(code.size)
    # numpy keeps the last of repeated assignments.
    first[code[::-1]], last[code] = positions[::-1], positions
    base_row = _newest_known(held, held_code, receipt, n)
    is_held = base_row >= 0
    rows = fresh.select(schema.names).cast(schema)

    new = np.isin(code, np.flatnonzero(~is_held))
    seen_first = _first_versions(rows.filter(pa.array(new)), code[new], rule, receipt)
    later = _later_versions(
        base=held.take(pa.array(base_row[is_held])),
        listed=rows.take(pa.array(first[is_held])),
        present=rows.take(pa.array(last[is_held])),
        changed_at=times(fresh[CHANGED_AT.name])[last[is_held]],
        rule=rule,
        receipt=receipt,
    )
    return sort_rows(_apart_from(held, pa.concat_tables([seen_first, *later]), rule), [rule.key, "known_at"])


def refile(held: pa.Table, present: pa.Table, dates: Sequence[date], key: Sequence[str]) -> tuple[pa.Table, pa.Table]:
    """Histories under the event dates where their events are now.

    A history is filed as a whole, under the newest date of its event: what reads the versions of a
    ladder finds them in one place, and the mapping tells under which date they were before.

    Args:
        held: versions of rows about events, from every date under which those ever were.
        present: ``event_ticker`` and ``event_date`` of the events that are listed; any other stays where it is.
        dates: the event dates that are about to be written.
        key: the columns that name one fact.

    Returns:
        All versions that belong under the dates; and the rows that must stay under one of them although
        their event moved, because the date where it belongs is not written now and does not hold it yet.
    """
    own, event = held["event_date"], held["event_ticker"]
    at = pc.index_in(event, value_set=present["event_ticker"].combine_chunks())
    target = pc.coalesce(pc.take(present["event_date"], at), own)
    written = pa.array(list(dates), DATE)
    moved, here = pc.not_equal(target, own), pc.is_in(target, value_set=written)
    if not pc.any(moved).as_py():
        return held.filter(here), held.slice(0, 0)
    arrived = pc.is_in(event, value_set=pc.unique(event.filter(pc.invert(moved))))
    stranded = pc.and_(pc.and_(moved, pc.is_in(own, value_set=written)), pc.invert(pc.or_(here, arrived)))
    filed = held.set_column(held.schema.get_field_index("event_date"), held.schema.field("event_date"), target)
    # Where the event was before and where it is now may both hold a version: the latter counts.
    both = pa.concat_tables([filed.filter(pc.and_(here, moved)), filed.filter(pc.and_(here, pc.invert(moved)))])
    numbered = both.append_column("place", pa.array(np.arange(both.num_rows)))
    return both.filter(pa.array(last_of_each(numbered, [*key, "known_at"], ["place"]))), held.filter(stranded)


def _newest_known(held: pa.Table, held_code: Ints, receipt: int, n: int) -> Ints:
    """Row of the newest version of each key that was known at the receipt; -1 where there is none."""
    known_at = times(held["known_at"])
    order = np.lexsort((known_at, held_code))
    order = order[(held_code[order] >= 0) & (known_at[order] <= receipt)]
    newest = np.full(n, -1, np.int64)
    newest[held_code[order]] = order
    return newest


def _first_versions(rows: pa.Table, code: Ints, rule: HistoryRule, receipt: int) -> pa.Table:
    """Fresh rows of keys that were never held, each known after the row before it."""
    known_at = times(rows["known_at"]).copy()
    order = np.lexsort((np.arange(code.size), code))
    listed = np.ones(code.size, bool)
    listed[order[1:]] = code[order[1:]] != code[order[:-1]]
    due = ~listed & ~_stated(rows, rule)
    known_at[due] = np.minimum(known_at[due], receipt)
    for place in np.flatnonzero(~listed[order]).tolist():
        here, before = order[place], order[place - 1]
        known_at[here] = max(known_at[here], known_at[before] + 1)
    return _known(rows, known_at)


def _later_versions(
    base: pa.Table, listed: pa.Table, present: pa.Table, changed_at: Ints, rule: HistoryRule, receipt: int
) -> list[pa.Table]:
    """Versions after the one held, row i of every table being of one key: first changes, then second ones."""
    content = [c for c in base.column_names if c not in (rule.key, "ts", "known_at", *rule.unversioned)]
    terms_differ = _differ(base, present, [c for c in content if c not in rule.dated])
    dated_differ = _differ(base, present, [c for c in content if c in rule.dated])
    before, own = times(base["known_at"]), times(present["known_at"])
    otherwise = np.maximum(receipt, before + 1)

    def if_possible(moment: Ints) -> Ints:
        return np.where((moment > before) & (moment <= receipt), moment, otherwise)

    terms_at = if_possible(changed_at)
    stated = _stated(present, rule) & (own > before)
    dated_at = np.where(stated, own, if_possible(np.maximum(own, changed_at)))

    both = terms_differ & dated_differ & (terms_at != dated_at)
    terms_first = terms_at < dated_at
    early = {}
    for name in base.column_names:
        if name in rule.dated:
            new = ~terms_first
        elif name in content or name == "raw_json":
            new = terms_first
        else:
            new = np.ones(terms_first.size, bool)
        # The body of the listing has no outcome in it, and that of the version held not the new text.
        source = listed if name == "raw_json" else present
        early[name] = pc.if_else(pa.array(new), source[name], base[name])
    halfway = pa.table(early, schema=base.schema)
    final_at = np.where(both, np.maximum(terms_at, dated_at), np.where(dated_differ, dated_at, terms_at))
    differs = pa.array(terms_differ | dated_differ)
    return [
        _known(halfway, np.minimum(terms_at, dated_at)).filter(pa.array(both)),
        _known(present, final_at).filter(differs),
    ]


def _stated(rows: pa.Table, rule: HistoryRule) -> Bools:
    if rule.stated_by is None:
        return np.ones(rows.num_rows, bool)
    return np.asarray(pc.is_valid(rows[rule.stated_by]), bool)


def _differ(left: pa.Table, right: pa.Table, columns: Sequence[str]) -> Bools:
    """Whether each row differs in any of the columns; null equals null."""
    differ = np.zeros(left.num_rows, bool)
    for name in columns:
        x, y = left[name], right[name]
        alike = pc.or_(pc.fill_null(pc.equal(x, y), False), pc.and_(pc.is_null(x), pc.is_null(y)))
        differ |= ~np.asarray(alike, bool)
    return differ


def _known(rows: pa.Table, known_at: Ints) -> pa.Table:
    moments = time_column(known_at)
    for name in ("ts", "known_at"):
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), moments)
    return rows


def _apart_from(held: pa.Table, added: pa.Table, rule: HistoryRule) -> pa.Table:
    """Added rows without those that are held, each at a ``known_at`` that its key does not have yet."""
    words = vocabulary(added[rule.key])
    code, held_code = codes(added[rule.key], words), codes(held[rule.key], words)
    moments, held_moments = times(added["known_at"]).copy(), times(held["known_at"])
    taken = {(held_code[i], held_moments[i]): i for i in np.flatnonzero(held_code >= 0).tolist()}
    content = [c for c in added.column_names if c not in ("ts", "known_at", *rule.unversioned)]
    keep = np.ones(code.size, bool)
    for row in range(code.size) if taken else ():
        while (at := taken.get((code[row], moments[row]))) is not None:
            if not _differ(added.slice(row, 1), held.slice(at, 1), content).any():
                keep[row] = False
                break
            moments[row] += 1
    return _known(added, moments).filter(pa.array(keep))
