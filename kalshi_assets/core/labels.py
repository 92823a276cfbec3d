"""The label table: what was published first, how it was revised, how the exchange settled, and when each was learned.

Belongs here: finding an event's print among the vintages and writing one row
per state of knowledge. Which of these a model may train on is a matter of
``core.label_sets``; asset returns are in ``core.responses``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import (
    MISSING_TIME,
    Bools,
    Ints,
    Reals,
    codes,
    days,
    newest_versions,
    real_column,
    reals,
    span_micros,
    time_column,
    times,
    vocabulary,
)
from kalshi_assets.core.consensus import consensus_known, consensus_of_events
from kalshi_assets.core.prints import Vintages, vintages_of
from kalshi_assets.core.reference_features import ReferenceAges
from kalshi_assets.core.series import facts_for
from kalshi_assets.core.settlement import Settlements, settlements
from kalshi_assets.core.tables import DATE, TABLES, TEXT

EARLY_PRINT_TOLERANCE = timedelta(minutes=5)
MAX_IMPLIED_AGE = timedelta(days=7)
MAX_CONSENSUS_AGE = ReferenceAges().consensus

EVENT_COLUMNS = (
    "event_ticker", "series_ticker", "event_date", "release_time", "event_type", "period", "known_at",
)  # fmt: skip
CONTRACT_COLUMNS = (
    "ticker", "event_ticker", "result", "settlement_time", "close_time", "expiration_value", "known_at",
)  # fmt: skip
SPEC_COLUMNS = ("ticker", "event_ticker", "tick", "lo_index", "hi_index", "known_at")
IMPLIED_COLUMNS = ("event_ticker", "as_of", "horizon", "hard_gate_failed", "mean", "median", "std")

NO_STATISTIC = "no_statistic"
NO_PERIOD = "no_reference_period"
NOT_RECORDED = "not_recorded"
NOT_PUBLISHED = "not_published"
NOT_YET_PUBLISHED = "not_yet_published"
PRINT_PRECEDES_RELEASE = "print_precedes_release"
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class _Prints:
    """For each event the range [first, stop) of its vintages in the flat arrays; -1 and a reason where none counts.

    ``reason_known_at`` is when the reason could be known.
    """

    first: Ints
    stop: Ints
    reason: npt.NDArray[np.object_]
    reason_known_at: Ints
    known_at: Ints
    value: Reals
    vintage_date: Ints
    row: Ints


def label_table(
    events: pa.Table,
    macro_observations: pa.Table,
    contracts: pa.Table,
    distributions: pa.Table,
    specs: pa.Table,
    *,
    consensus: pa.Table | None = None,
    early_print_tolerance: timedelta = EARLY_PRINT_TOLERANCE,
    max_implied_age: timedelta = MAX_IMPLIED_AGE,
) -> pa.Table:
    """Label every event, one row per state of knowledge, in the schema of the table ``labels``.

    The first print is the earliest vintage of the event's reference period. It counts when it became known less
    than ``early_print_tolerance`` before the nominal release; that is no longer than the shortest named horizon,
    and a snapshot sees what is known by its own instant, so no named snapshot has seen the print it predicts. A
    period whose first vintage came earlier has no label: its next vintage would be a revision under a false name.

    An event with a print has a row at the first print, one at each later vintage, and one at the settlement
    where that comes at another moment; a column is filled on a row only if it was known by the row's
    ``known_at``. The first print's columns are repeated on each. Any other event has one row, known at
    its settlement (no earlier than its release; at the latest close of its contracts where the exchange gives
    no settlement time) or, without one, when its ``unlabelled_reason`` could be known: at the release, and for
    ``not_published`` when a later period's print showed the gap.

    Args:
        events: rows of that table, at least ``EVENT_COLUMNS``; the newest version of each event counts.
        macro_observations: rows of that table, values in the series' unit; rounded here as published.
        contracts: rows of that table, at least ``CONTRACT_COLUMNS``; the newest version of each contract counts.
        distributions: rows of that table, at least ``IMPLIED_COLUMNS``. The implied values are those of the last
            ungated snapshot before the release.
        specs: rows of ``contract_specs``, at least ``SPEC_COLUMNS``.
        consensus: rows of that table, all versions; the newest known before the release counts.
        early_print_tolerance: a print known this long before the nominal release, or longer, does not count.
        max_implied_age: oldest such snapshot, measured back from the release.

    Returns:
        The labels in canonical order. Surprises are in the series' unit, first print minus implied mean, implied
        median or consensus; ``surprise_std`` counts implied deviations and is null where that is zero.
    """
    event = newest_versions(events, "event_ticker")
    release = times(event["release_time"])
    prints = _event_prints(event, release, macro_observations, span_micros(early_print_tolerance))
    settled = settlements(contracts, specs, event["event_ticker"])
    learned_last = np.where(settled.learned_at == MISSING_TIME, settled.close_time, settled.learned_at)
    settled_known = np.maximum(learned_last, release)
    printed = np.flatnonzero(prints.first >= 0)
    settled_known[printed] = np.maximum(settled_known[printed], prints.known_at[prints.first[printed]])

    at, known_at, vintage = _states_of_knowledge(prints, settled, settled_known)
    has_print = vintage >= 0
    first = np.where(has_print, prints.first[at], -1)
    revised = np.where(vintage > first, vintage, -1)
    shows_settlement = settled.known[at] & (settled_known[at] <= known_at)
    first_print = _real_at(prints.value, first)
    implied = _implied(event, release, distributions, span_micros(max_implied_age))[at]
    surprise = first_print[:, None] - implied
    expected = _consensus(event, release, consensus)[at]
    deviation = np.where(implied[:, 2] > 0, implied[:, 2], np.nan)
    taken = event.take(pa.array(at))
    needs_reason = ~has_print & ~((prints.reason[at] == NO_STATISTIC) & shows_settlement)

    columns = {
        "ts": taken["release_time"],
        "known_at": time_column(known_at),
        "first_print": real_column(first_print),
        "first_print_learned_at": time_column(_int_at(prints.known_at, first)),
        "first_print_source": _sources(macro_observations, _int_at(prints.row, first)),
        "revised": real_column(_real_at(prints.value, revised)),
        "revised_vintage": _date_column(_int_at(prints.vintage_date, revised)),
        "revised_learned_at": time_column(_int_at(prints.known_at, revised)),
        "settled_lo": real_column(np.where(shows_settlement, settled.lo[at], np.nan)),
        "settled_hi": real_column(np.where(shows_settlement, settled.hi[at], np.nan)),
        "settlement_learned_at": time_column(np.where(shows_settlement, settled.learned_at[at], MISSING_TIME)),
        "settlement_value": settled.value.take(pa.array(at, mask=~shows_settlement)),
        "implied_mean": real_column(implied[:, 0]),
        "implied_median": real_column(implied[:, 1]),
        "implied_std": real_column(implied[:, 2]),
        "surprise_mean": real_column(surprise[:, 0]),
        "surprise_median": real_column(surprise[:, 1]),
        "surprise_std": real_column(surprise[:, 0] / deviation),
        "consensus": real_column(expected),
        "surprise_consensus": real_column(first_print - expected),
        "unlabelled_reason": pa.array(prints.reason[at], TEXT, mask=~needs_reason),
    }
    spec = TABLES["labels"]
    labels = pa.table({n: columns[n] if n in columns else taken[n] for n in spec.schema.names})
    return labels.sort_by([(name, "ascending") for name in spec.order]).cast(spec.schema).combine_chunks()


def _event_prints(event: pa.Table, release: Ints, macro_observations: pa.Table, tolerance: int) -> _Prints:
    n = event.num_rows
    first, stop = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    reason = np.full(n, NO_STATISTIC, dtype=object)
    reason_known_at = release.copy()
    period, has_period = days(event["period"]), np.asarray(pc.is_valid(event["period"]), bool)
    series = vocabulary(event["series_ticker"])
    code = codes(event["series_ticker"], series)
    parts: list[Vintages] = []
    start = 0
    for i, ticker in enumerate(series.to_pylist()):
        facts = facts_for(ticker)
        if facts is None or facts.statistic is None:
            continue
        vintages = vintages_of(macro_observations, facts)
        mine = np.flatnonzero(code == i)
        begin, end, why, why_known_at = _match(vintages, period[mine], has_period[mine], release[mine], tolerance)
        first[mine] = np.where(begin >= 0, begin + start, -1)
        stop[mine] = np.where(begin >= 0, end + start, -1)
        reason[mine], reason_known_at[mine] = why, why_known_at
        parts.append(vintages)
        start += vintages.period.size
    empty_int, empty_real = np.zeros(0, np.int64), np.zeros(0)
    return _Prints(
        first,
        stop,
        reason,
        reason_known_at,
        known_at=np.concatenate([empty_int, *(p.known_at for p in parts)]),
        value=np.concatenate([empty_real, *(p.value for p in parts)]),
        vintage_date=np.concatenate([empty_int, *(p.vintage_date for p in parts)]),
        row=np.concatenate([empty_int, *(p.row for p in parts)]),
    )


def _match(
    vintages: Vintages, period: Ints, has_period: Bools, release: Ints, tolerance: int
) -> tuple[Ints, Ints, npt.NDArray[np.object_], Ints]:
    """The vintages [begin, end) of each period, or -1, a reason and when that could be known."""
    periods = vintages.period[vintages.first]
    bounds = np.append(vintages.first, vintages.period.size)
    if not periods.size:
        why = np.where(has_period, NOT_RECORDED, NO_PERIOD).astype(object)
        return np.full(period.size, -1, np.int64), np.full(period.size, -1, np.int64), why, release
    known_at = vintages.known_at[vintages.first]
    at = np.searchsorted(periods, period)
    within = np.minimum(at, periods.size - 1)
    exists = has_period & (periods[within] == period)
    early = exists & (known_at[within] <= release - tolerance)
    # The least known_at among later periods: when a gap in the sequence of prints became visible.
    later_known = np.append(np.minimum.accumulate(known_at[::-1])[::-1], _NEVER)[at]
    skipped = has_period & ~exists & (at > 0) & (later_known != _NEVER)
    why = np.select(
        [~has_period, early, ~exists & (at == 0), skipped],
        [NO_PERIOD, PRINT_PRECEDES_RELEASE, NOT_RECORDED, NOT_PUBLISHED],
        NOT_YET_PUBLISHED,
    ).astype(object)
    counts = exists & ~early
    begin, end = np.where(counts, bounds[within], -1), np.where(counts, bounds[within + 1], -1)
    return begin, end, why, np.where(skipped, np.maximum(later_known, release), release)


def _states_of_knowledge(prints: _Prints, settled: Settlements, settled_known: Ints) -> tuple[Ints, Ints, Ints]:
    """Rows ordered by event and time: the event, when the row became known, its newest vintage (-1 for none)."""
    printed = np.flatnonzero(prints.first >= 0)
    counts = prints.stop[printed] - prints.first[printed]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    vintage = np.repeat(prints.first[printed], counts) + within
    resolved = np.flatnonzero(settled.known)
    others = np.flatnonzero((prints.first < 0) & ~settled.known)
    at = np.concatenate([np.repeat(printed, counts), resolved, others])
    known_at = np.concatenate([prints.known_at[vintage], settled_known[resolved], prints.reason_known_at[others]])
    vintage = np.concatenate([vintage, np.full(resolved.size + others.size, -1, np.int64)])

    order = np.lexsort((vintage, known_at, at))
    at, known_at, vintage = at[order], known_at[order], vintage[order]
    last = np.append((at[1:] != at[:-1]) | (known_at[1:] != known_at[:-1]), np.ones(min(1, at.size), bool))
    at, known_at, vintage = at[last], known_at[last], vintage[last]
    # A settlement is never known before the print, so the first row of an event with a print carries a vintage
    # and carrying forward cannot reach into the event before.
    carried = np.maximum.accumulate(np.where(vintage >= 0, np.arange(at.size), 0))
    vintage = np.where(prints.first[at] >= 0, vintage[carried], -1)
    return at, known_at, vintage


def _implied(event: pa.Table, release: Ints, distributions: pa.Table, max_age: int) -> Reals:
    """Mean, median and std of each event's last ungated snapshot before the release, shape (n_events, 3)."""
    at = codes(distributions["event_ticker"], pa.array(event["event_ticker"].to_pylist(), TEXT))
    as_of = times(distributions["as_of"])
    moments = np.column_stack([reals(distributions[name]) for name in ("mean", "median", "std")])
    ungated = reals(distributions["hard_gate_failed"]) == 0.0
    usable = (at >= 0) & ungated & np.isfinite(moments[:, 0]) & (as_of != MISSING_TIME)
    age = np.where(usable, release[np.maximum(at, 0)] - as_of, -1) if release.size else np.zeros(as_of.size)
    usable &= (age > 0) & (age <= max_age)
    horizon = codes(distributions["horizon"], vocabulary(distributions["horizon"]))
    order = np.lexsort((horizon, as_of, at))
    order = order[usable[order]]
    implied = np.full((event.num_rows, 3), np.nan)
    last = np.append(at[order][1:] != at[order][:-1], np.ones(min(1, order.size), bool))
    implied[at[order][last]] = moments[order][last]
    return implied


def _consensus(event: pa.Table, release: Ints, consensus: pa.Table | None) -> Reals:
    if consensus is None:
        return np.full(release.shape, np.nan)
    of_events = consensus_of_events(consensus, event)
    last_moment = release - 1  # what came with the release was no forecast
    return consensus_known(of_events, event["event_ticker"], last_moment, max_age=MAX_CONSENSUS_AGE)[0]


def _sources(macro_observations: pa.Table, row: Ints) -> pa.Array:
    """Where each first print came from: the vintage's own source, else FRED's series and units."""
    taken = macro_observations.take(pa.array(row, mask=row == MISSING_TIME))
    named = pc.binary_join_element_wise(taken["series_id"], taken["units"], ":")
    return pc.coalesce(taken["source"], named)


def _real_at(values: Reals, index: Ints) -> Reals:
    found = np.full(index.shape, np.nan)
    found[index >= 0] = values[index[index >= 0]]
    return found


def _int_at(values: Ints, index: Ints) -> Ints:
    found = np.full(index.shape, MISSING_TIME, np.int64)
    found[index >= 0] = values[index[index >= 0]]
    return found


def _date_column(day: Ints) -> pa.Array:
    missing = day == MISSING_TIME
    return pa.array(np.where(missing, 0, day).astype(np.int32), pa.int32(), mask=missing).cast(DATE)
