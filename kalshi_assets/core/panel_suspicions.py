"""What betrays a leak in a finished panel, whose function is not there to be probed.

Belongs here: rules on a table of somebody else's features, its as-of times and
what the lake says of outcomes and later snapshots. A finished panel can only be
suspected; a function can be probed, see ``core.leak_probes``.
"""

from __future__ import annotations

import math
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
_LEAST_ROWS = 5
_MOST_EQUAL = 0.9
# Wide enough for columns kept as 32-bit floats.
_RELATIVE = 1e-6
# Ranks say something of a dozen events, not of their rows: all horizons of an event share its outcome.
_LEAST_EVENTS = 12
_LEAST_OF_A_VALUE = 3
_MOST_ALIKE = 0.98
_CLEARLY = 3.0


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

    def n_events(self, some: Ints) -> int:
        return int(np.unique(self.event[some]).size)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What an outcome was to be, shape (n_rows,).

    Attributes:
        truth: the outcome; NaN where it was learned by the row's as-of time, or never.
        own: the lake's own newest forecast of it at the row's as-of time; NaN where there is none.
    """

    name: str
    truth: Reals
    own: Reals


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

    An honest forecast resembles the outcome too, so a column is suspected where it does so clearly better than the
    lake's own forecast at the same as-of times.

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
        found += [s for o in outcomes if (s := _resembles(name, value, o, rows))]
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


def _event_outcomes(rows: _Rows, labels: pa.Table, own: pa.Table, words: pa.Array) -> list[_Outcome]:
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
        found.append(_Outcome(outcome, truth, forecasts[forecast]))
    return found


def _contract_result(rows: _Rows, tickers: pa.ChunkedArray, contracts: pa.Table, rungs: pa.Table) -> _Outcome:
    """What YES paid for each row's contract, and the lake's probability of it."""
    settled, words = contract_outcomes(contracts, tickers), vocabulary(tickers)
    truth = np.where(settled.learned_at > rows.as_of, settled.yes_payout_usd, np.nan)
    said = (codes(rungs[CONTRACT], words), times(rungs["as_of"]), reals(rungs["repaired_prob"]))
    return _Outcome("result", truth, _newest_said(codes(tickers, words), rows.as_of, *said))


def _newest_said(key: Ints, as_of: Ints, of: Ints, when: Ints, said: Reals) -> Reals:
    """The newest ``said`` of each key at its as-of time, NaN where nothing was said by then."""
    order = np.lexsort((when, of))
    order = order[(of[order] >= 0) & np.isfinite(said[order])]
    starts, stops = (np.searchsorted(of[order], key, side=side) for side in ("left", "right"))
    at = last_rows(starts, stops, when[order], as_of)
    return np.append(said[order], np.nan)[at]


def _resembles(name: str, value: Reals, outcome: _Outcome, rows: _Rows) -> Suspicion | None:
    """The first rule by which a column looks like an outcome wherever that was learned only later."""
    asked = np.flatnonzero(np.isfinite(value) & np.isfinite(outcome.truth))
    if found := _equals_outcome(name, value, outcome, asked):
        return found
    for group in (asked, *(asked[rows.series[asked] == s] for s in np.unique(rows.series[asked]))):
        if rows.n_events(group) < _LEAST_EVENTS:
            continue
        forecast = group[np.isfinite(outcome.own[group])]
        compared = forecast if rows.n_events(forecast) >= _LEAST_EVENTS else group
        own = outcome.own if compared is forecast else np.zeros_like(value)  # as good as none
        found = _tracks_outcome(name, value, outcome, own, compared, rows) or _separates_outcome(
            name, value, outcome, own, compared, rows
        )
        if found:
            return found
    return None


def _equals_outcome(name: str, value: Reals, outcome: _Outcome, asked: Ints) -> Suspicion | None:
    """Equal to it, where the lake's forecast put on the nearest outcome is less often; two values are to be parted."""
    truth, own = outcome.truth[asked], outcome.own[asked]
    if asked.size < _LEAST_ROWS or np.unique(truth).size < 3:
        return None
    same = np.isclose(value[asked], truth, rtol=_RELATIVE, atol=0.0)
    right = (_nearest(own, truth) == truth) & np.isfinite(own)
    if same.mean() < _MOST_EQUAL or right.mean() >= _MOST_EQUAL:
        return None
    said = f"equals {outcome.name} in {int(same.sum())} of {asked.size} rows, where it was learned only later"
    return Suspicion("equals_outcome", name, asked.size, int(same.sum()), False, said)


def _nearest(own: Reals, truth: Reals) -> Reals:
    """Forecasts put on the nearest outcome there was, as whoever publishes a forecast rounds it."""
    levels = np.unique(truth)
    return np.take(levels, np.searchsorted((levels[1:] + levels[:-1]) / 2, own))


def _tracks_outcome(
    name: str, value: Reals, outcome: _Outcome, own: Reals, asked: Ints, rows: _Rows
) -> Suspicion | None:
    """Ranked as it is, and that by standard errors of Fisher's transform better than the lake's forecast."""
    n, truth = rows.n_events(asked), outcome.truth[asked]
    alike = abs(_rank_correlation(value[asked], truth))
    forecast = max(abs(_rank_correlation(f, truth)) for f in (own[asked], _nearest(own[asked], truth)))
    # A perfect order of n is no better proved than one that half a swap of neighbours would spoil.
    most = 1 - 6 / (n**3 - n)
    better = (math.atanh(min(alike, most)) - math.atanh(min(forecast, most))) * math.sqrt(n - 3)
    if alike < _MOST_ALIKE or better < _CLEARLY:
        return None
    said = (
        f"|Spearman| {alike:.4f} with {outcome.name} over {n} events, where it was learned only later;"
        f" the lake's own forecast has {forecast:.4f}"
    )
    return Suspicion("tracks_outcome", name, asked.size, asked.size, False, said)


def _rank_correlation(a: Reals, b: Reals) -> float:
    """Spearman's, ties at their mean rank; 0 where one does not vary."""
    x, y = (_ranks(a), _ranks(b))
    spread = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / spread if spread > 0 else 0.0


def _ranks(values: Reals) -> Reals:
    """Ranks about their mean."""
    _, position, counts = np.unique(values, return_inverse=True, return_counts=True)
    rank: Reals = (np.cumsum(counts) - (counts - 1) / 2)[position]
    return np.subtract(rank, rank.mean())


def _separates_outcome(
    name: str, value: Reals, outcome: _Outcome, own: Reals, asked: Ints, rows: _Rows
) -> Suspicion | None:
    """Column or outcome has two values, which part the other one without an error, and the lake's forecast has some."""
    pairs = ((value[asked], outcome.truth[asked]), (outcome.truth[asked], value[asked]))
    for two, other in pairs:
        low = two == two.min()
        if np.unique(two).size != 2 or min(rows.n_events(asked[low]), rows.n_events(asked[~low])) < _LEAST_OF_A_VALUE:
            continue
        if _parted(other, low) and not _parted(own[asked], low):
            said = (
                f"separates {outcome.name} into two without an error over {rows.n_events(asked)} events,"
                " where it was learned only later; the lake's own forecast does not"
            )
            return Suspicion("separates_outcome", name, asked.size, asked.size, False, said)
    return None


def _parted(values: Reals, low: Bools) -> bool:
    below, above = values[low], values[~low]
    return bool(below.max() < above.min() or above.max() < below.min())


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
    same = np.isclose(value[pairs.row], own, rtol=_RELATIVE, atol=0.0)
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
    if np.unique(value[ahead]).size < _LEAST_ROWS or ahead.sum() < _MOST_EQUAL * asked.sum():
        return []
    detail = (
        f"equals what the lake's {name} was only at a later snapshot in {int(ahead.sum())} of {int(asked.sum())} rows"
        " that could tell"
    )
    return [Suspicion("equals_later_snapshot", name, int(asked.sum()), int(ahead.sum()), False, detail)]
