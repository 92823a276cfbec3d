"""What betrays a leak in a finished panel, whose function is not there to be probed.

Belongs here: rules on a table of somebody else's features, its as-of times and
what the lake says of outcomes and later snapshots. A finished panel can only be
suspected; a function can be probed, see ``core.leak_probes``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import MISSING_TIME, Ints, Reals, codes, newest_versions, reals, times, vocabulary
from kalshi_assets.errors import DomainError

EVENT = "event_ticker"
# An outcome and when it was learned, in table ``labels``.
_OUTCOMES = (
    ("first_print", "first_print_learned_at"), ("revised", "revised_learned_at"),
    ("settled_lo", "settlement_learned_at"), ("settled_hi", "settlement_learned_at"),
    ("surprise_mean", "first_print_learned_at"), ("surprise_median", "first_print_learned_at"),
    ("surprise_std", "first_print_learned_at"),
)  # fmt: skip
_LEAST_ROWS = 5
_MOST_EQUAL = 0.9
_RELATIVE = 1e-9


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One rule on one column of a panel.

    Attributes:
        rule: ``as_of_before_release``, ``inputs_known``, ``equals_outcome`` or ``equals_later_snapshot``.
        column: the column looked at.
        rows: rows that the rule could be asked of.
        broken: rows that break it.
        passed: whether the rule holds; False also where it could be asked of no row, for the first rule.
        detail: what was found, in words.
    """

    rule: str
    column: str
    rows: int
    broken: int
    passed: bool
    detail: str


def panel_suspicions(
    panel: pa.Table, as_of_column: str, events: pa.Table, labels: pa.Table, own_panel: pa.Table
) -> list[Suspicion]:
    """Ask every rule of every column that it applies to.

    Args:
        panel: rows with ``event_ticker`` and an as-of time; every numeric column is a feature.
        as_of_column: name of the as-of time, a timestamp with a time zone.
        events: rows of that table; the newest version of each event counts.
        labels: rows of that table, all versions.
        own_panel: rows of table ``feature_panel``, for what each feature was later.

    Returns:
        The rule on as-of times first, then those on columns that were found wanting; a column without a finding
        gives no entry, save one in sum.

    Raises:
        DomainError: a column is absent or the as-of time is no time with a zone.
    """
    for needed in (EVENT, as_of_column):
        if needed not in panel.column_names:
            raise DomainError(f"The panel has no column {needed}; it has {', '.join(panel.column_names)}.")
    kind = panel.schema.field(as_of_column).type
    if not pa.types.is_timestamp(kind) or kind.tz is None:
        raise DomainError(
            f"Column {as_of_column} is {kind}, not a time with a zone; write it like 2024-10-10T04:00:00Z."
        )
    event = newest_versions(events, EVENT)
    words = vocabulary(event[EVENT])
    at, as_of = codes(panel[EVENT], words), times(panel[as_of_column])
    found = [_before_release(at, as_of, times(event["release_time"]), as_of_column)]
    features = [f.name for f in panel.schema if _is_number(f.type)]
    for field in panel.schema:
        if field.name.endswith("known_at") and pa.types.is_timestamp(field.type):
            later = times(panel[field.name]) > as_of
            detail = f"{int(later.sum())} rows name an input that was known after their as-of time"
            found.append(Suspicion("inputs_known", field.name, len(later), int(later.sum()), not later.any(), detail))
    for name in features:
        value = reals(panel[name])
        found += _equals_outcome(name, value, at, as_of, labels, words)
        if name in own_panel.column_names and _is_number(own_panel.schema.field(name).type):
            found += _equals_later(name, value, at, as_of, own_panel, words)
    checked = f"{len(features)} numeric columns compared with {len(_OUTCOMES)} outcomes and with later snapshots"
    found.append(Suspicion("columns_compared", "*", panel.num_rows, 0, bool(features), checked))
    return found


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def _before_release(at: Ints, as_of: Ints, release: Ints, column: str) -> Suspicion:
    known = at >= 0
    ok = known & (as_of != MISSING_TIME)
    ok[known] &= as_of[known] < release[at[known]]
    broken, strangers = int((known & ~ok).sum()), int((~known).sum())
    detail = f"{broken} rows are as of no time before their release; {strangers} rows are of no event in the lake"
    return Suspicion("as_of_before_release", column, int(known.sum()), broken, bool(known.any()) and not broken, detail)


def _equals_outcome(
    name: str, value: Reals, at: Ints, as_of: Ints, labels: pa.Table, words: pa.Array
) -> list[Suspicion]:
    """A column that is an outcome wherever that outcome was learned only later."""
    found = []
    for outcome, learned_column in _OUTCOMES:
        held = labels.filter(pc.is_valid(labels[outcome]))
        event = codes(held[EVENT], words)
        target, learned = np.full(len(words), np.nan), np.full(len(words), MISSING_TIME)
        order = np.argsort(times(held["known_at"]), kind="stable")
        order = order[event[order] >= 0]
        target[event[order]], learned[event[order]] = reals(held[outcome])[order], times(held[learned_column])[order]
        asked = np.flatnonzero((at >= 0) & np.isfinite(value))
        asked = asked[np.isfinite(target[at[asked]]) & (learned[at[asked]] > as_of[asked])]
        same = np.isclose(value[asked], target[at[asked]], rtol=_RELATIVE, atol=0.0)
        distinct = np.unique(target[at[asked]]).size
        if asked.size >= _LEAST_ROWS and distinct > 1 and same.mean() >= _MOST_EQUAL:
            said = f"equals {outcome} in {int(same.sum())} of {asked.size} rows, where it was learned only later"
            found.append(Suspicion("equals_outcome", name, asked.size, int(same.sum()), False, said))
    return found


def _equals_later(name: str, value: Reals, at: Ints, as_of: Ints, own: pa.Table, words: pa.Array) -> list[Suspicion]:
    """A column that is what our own panel says of a later snapshot and not what it said by then."""
    event, when, said = codes(own[EVENT], words), times(own["as_of"]), reals(own[name])
    order = np.lexsort((when, event))
    order = order[event[order] >= 0]
    event, when, said = event[order], when[order], said[order]
    first, stop = np.searchsorted(event, at, side="left"), np.searchsorted(event, at, side="right")
    # Position of the first later snapshot: events are blocks, and within a block times ascend.
    moment = np.unique(np.concatenate([when, as_of]))
    rank = event * (moment.size + 1) + np.searchsorted(moment, when)
    later = np.searchsorted(rank, at * (moment.size + 1) + np.searchsorted(moment, as_of), side="right")
    asked = np.flatnonzero((at >= 0) & (later > first) & (later < stop) & np.isfinite(value))
    now, then = said[later[asked] - 1], said[later[asked]]
    moved = np.isfinite(now) & np.isfinite(then) & (now != then)
    asked, now, then = asked[moved], now[moved], then[moved]
    same = np.isclose(value[asked], then, rtol=_RELATIVE, atol=0.0)
    if asked.size < _LEAST_ROWS or same.mean() < _MOST_EQUAL:
        return []
    detail = f"equals the lake's {name} of the next snapshot in {int(same.sum())} of {asked.size} rows"
    return [Suspicion("equals_later_snapshot", name, asked.size, int(same.sum()), False, detail)]
