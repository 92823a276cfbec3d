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

from kalshi_assets.core.columns import (
    MISSING_TIME,
    Bools,
    Ints,
    Reals,
    codes,
    newest_versions,
    reals,
    times,
    vocabulary,
)
from kalshi_assets.core.contract_outcomes import contract_outcomes
from kalshi_assets.core.lookup import last_rows
from kalshi_assets.core.outcome_likeness import LEAST_ROWS, MOST_EQUAL, RELATIVE, Outcome, likeness
from kalshi_assets.errors import DomainError

EVENT = "event_ticker"
CONTRACT = "ticker"
RESULT_COLUMNS = (CONTRACT, "known_at", "result", "outcome_type", "settlement_value_usd", "volume_contracts")
RUNG_COLUMNS = (CONTRACT, "as_of", "repaired_prob")
# An outcome and when it was learned, in table ``labels``; and what the lake's own panel forecasts it with.
_OUTCOMES = (
    ("first_print", "first_print_learned_at", "mean"), ("revised", "revised_learned_at", "mean"),
    ("settled_lo", "settlement_learned_at", "mean"), ("settled_hi", "settlement_learned_at", "mean"),
    ("surprise_mean", "first_print_learned_at", "mean"), ("surprise_median", "first_print_learned_at", "mean"),
    ("surprise_std", "first_print_learned_at", "mean"),
    ("surprise_consensus", "first_print_learned_at", "consensus_gap"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One rule on one column of a panel.

    Attributes:
        rule: ``as_of_before_release``, ``inputs_known``, ``equals_outcome``, ``tracks_outcome``,
            ``separates_outcome``, ``equals_later_snapshot`` or ``columns_compared``.
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


@dataclass(frozen=True, slots=True)
class _Rows:
    """The panel's rows, shape (n_rows,): event and series as codes (-1 for a stranger's), as-of time."""

    event: Ints
    series: Ints
    as_of: Ints


def panel_suspicions(
    panel: pa.Table,
    as_of_column: str,
    events: pa.Table,
    labels: pa.Table,
    own_panel: pa.Table,
    contracts: pa.Table,
    rungs: pa.Table,
) -> list[Suspicion]:
    """Ask every rule of every column that it applies to.

    Args:
        panel: rows with ``event_ticker`` and an as-of time; every column of numbers or booleans is a feature. With a
            ``ticker`` each row is of that contract, and its result is one more outcome.
        as_of_column: name of the as-of time, a timestamp with a time zone.
        events: rows of that table; the newest version of each event counts.
        labels: rows of that table, all versions.
        own_panel: rows of table ``feature_panel``, for what each feature was later.
        contracts: rows of that table, all versions, at least ``RESULT_COLUMNS``.
        rungs: rows of table ``distribution_rungs``, at least ``RUNG_COLUMNS``.

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
    series = np.append(codes(event["series_ticker"], vocabulary(event["series_ticker"])), -1)
    at = codes(panel[EVENT], words)
    rows = _Rows(at, series[at], times(panel[as_of_column]))
    found = [_before_release(rows, times(event["release_time"]), as_of_column)]
    for field in panel.schema:
        if field.name.endswith("known_at") and pa.types.is_timestamp(field.type):
            later = times(panel[field.name]) > rows.as_of
            detail = f"{int(later.sum())} rows name an input that was known after their as-of time"
            found.append(Suspicion("inputs_known", field.name, len(later), int(later.sum()), not later.any(), detail))
    outcomes = _event_outcomes(rows, labels, own_panel, words)
    if CONTRACT in panel.column_names:
        outcomes.append(_contract_result(rows, pc.fill_null(panel[CONTRACT].cast(pa.string()), ""), contracts, rungs))
    snapshots = _Snapshots.of(rows, own_panel, words)
    features = [f.name for f in panel.schema if _is_number(f.type) or pa.types.is_boolean(f.type)]
    for name in features:
        value = reals(panel[name])
        alike = [a for o in outcomes if (a := likeness(value, o, rows.event, rows.series))]
        found += [Suspicion(a.rule, name, a.rows, a.alike, False, a.detail) for a in alike]
        if name in own_panel.column_names and _is_number(own_panel.schema.field(name).type):
            found += _equals_later(name, value, snapshots, reals(own_panel[name]))
    checked = f"{len(features)} columns of numbers compared with {len(outcomes)} outcomes and with later snapshots"
    found.append(Suspicion("columns_compared", "*", panel.num_rows, 0, bool(features), checked))
    return found


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def _before_release(rows: _Rows, release: Ints, column: str) -> Suspicion:
    known = rows.event >= 0
    ok = known & (rows.as_of != MISSING_TIME)
    ok[known] &= rows.as_of[known] < release[rows.event[known]]
    broken, strangers = int((known & ~ok).sum()), int((~known).sum())
    detail = f"{broken} rows are as of no time before their release; {strangers} rows are of no event in the lake"
    return Suspicion("as_of_before_release", column, int(known.sum()), broken, bool(known.any()) and not broken, detail)


def _event_outcomes(rows: _Rows, labels: pa.Table, own: pa.Table, words: pa.Array) -> list[Outcome]:
    """The outcomes of table ``labels``, its newest versions."""
    by_event = codes(own[EVENT], words)
    forecasts = {
        name: _newest_said(rows.event, rows.as_of, by_event, times(own["as_of"]), reals(own[name]))
        for name in {forecast for *_, forecast in _OUTCOMES}
    }
    found = []
    for outcome, learned_column, forecast in _OUTCOMES:
        held = labels.filter(pc.is_valid(labels[outcome]))
        event = codes(held[EVENT], words)
        # One entry more, which a stranger's code of -1 finds.
        target, learned = np.full(len(words) + 1, np.nan), np.full(len(words) + 1, MISSING_TIME)
        order = np.argsort(times(held["known_at"]), kind="stable")
        order = order[event[order] >= 0]
        target[event[order]], learned[event[order]] = reals(held[outcome])[order], times(held[learned_column])[order]
        truth = np.where(learned[rows.event] > rows.as_of, target[rows.event], np.nan)
        found.append(Outcome(outcome, truth, forecasts[forecast]))
    return found


def _contract_result(rows: _Rows, tickers: pa.ChunkedArray, contracts: pa.Table, rungs: pa.Table) -> Outcome:
    """What YES paid for each row's contract, and the lake's probability of it."""
    settled, words = contract_outcomes(contracts, tickers), vocabulary(tickers)
    truth = np.where(settled.learned_at > rows.as_of, settled.yes_payout_usd, np.nan)
    said = (codes(rungs[CONTRACT], words), times(rungs["as_of"]), reals(rungs["repaired_prob"]))
    return Outcome("result", truth, _newest_said(codes(tickers, words), rows.as_of, *said))


def _newest_said(key: Ints, as_of: Ints, of: Ints, when: Ints, said: Reals) -> Reals:
    """The newest ``said`` of each key at its as-of time, NaN where nothing was said by then."""
    order = np.lexsort((when, of))
    order = order[(of[order] >= 0) & np.isfinite(said[order])]
    starts, stops = (np.searchsorted(of[order], key, side=side) for side in ("left", "right"))
    at = last_rows(starts, stops, when[order], as_of)
    return np.append(said[order], np.nan)[at]


@dataclass(frozen=True, slots=True)
class _Snapshots:
    """Every pair of a row of the panel and a snapshot of its event in the lake.

    Attributes:
        row: the panel's row, ascending; shape (n_pairs,) as all of these.
        own: the lake's row.
        known: whether all that the lake's row rests on was known by the panel row's as-of time.
        here: whether both are as of one time.
    """

    n_rows: int
    row: Ints
    own: Ints
    known: Bools
    here: Bools

    @classmethod
    def of(cls, rows: _Rows, own_panel: pa.Table, words: pa.Array) -> _Snapshots:
        event, when = codes(own_panel[EVENT], words), times(own_panel["as_of"])
        order = np.lexsort((when, event))
        order = order[event[order] >= 0]
        first, stop = (np.searchsorted(event[order], rows.event, side=side) for side in ("left", "right"))
        n_own = stop - first
        row = np.repeat(np.arange(n_own.size), n_own)
        own = order[np.arange(row.size) + np.repeat(first - np.cumsum(n_own) + n_own, n_own)]
        known = times(own_panel["inputs_known_at"])[own] <= rows.as_of[row]
        return cls(n_own.size, row, own, known, when[own] == rows.as_of[row])

    def any(self, pairs: Bools) -> Bools:
        """The rows of the panel that have one of these pairs."""
        return np.bincount(self.row[pairs], minlength=self.n_rows) > 0


def _equals_later(name: str, value: Reals, pairs: _Snapshots, said: Reals) -> list[Suspicion]:
    """A column that is what the lake's panel said only later, where it does not say what that said by then."""
    own, late = said[pairs.own], ~pairs.known
    same = np.isclose(value[pairs.row], own, rtol=RELATIVE, atol=0.0)
    now, then = np.full(pairs.n_rows, np.nan), np.full(pairs.n_rows, np.nan)
    # Pairs ascend in time, and numpy keeps the last of repeated assignments.
    now[pairs.row[pairs.known]] = own[pairs.known]
    then[pairs.row[late][::-1]] = own[late][::-1]
    differs = pairs.any(pairs.here) & ~pairs.any(pairs.here & same)
    # Between two snapshots an honest column may have moved ahead of the lake's, if seldom all the way.
    moved = ~pairs.any(pairs.here) & np.isfinite(now) & np.isfinite(then) & (now != then)
    asked = np.isfinite(value) & pairs.any(late) & (differs | moved)
    ahead = asked & pairs.any(same & late) & ~pairs.any(same & pairs.known)
    # Few values, like a share of ten contracts, meet by chance.
    if np.unique(value[ahead]).size < LEAST_ROWS or ahead.sum() < MOST_EQUAL * asked.sum():
        return []
    detail = (
        f"equals what the lake's {name} was only at a later snapshot in {int(ahead.sum())} of {int(asked.sum())} rows"
        " that could tell"
    )
    return [Suspicion("equals_later_snapshot", name, int(asked.sum()), int(ahead.sum()), False, detail)]
