"""The kernel that takes every snapshot of a batch from quotes to numbers, one pass and no Python per snapshot.

It only strings the ideas together: live quotes, repair, tails, moments,
quality, rungs. Each of them lives in its own module; Arrow tables and
defaults belong to ``distribution``, the names of the numbers to ``snapshot_numbers``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_assets.core import quality as q
from kalshi_assets.core import snapshot_numbers as num
from kalshi_assets.core.asof import QuoteColumns
from kalshi_assets.core.columns import MISSING_TIME
from kalshi_assets.core.compiled import in_place
from kalshi_assets.core.distances import N_DISTANCES, law_distances
from kalshi_assets.core.ladder import (
    CUT,
    HIGH,
    INT_ROWS,
    LOW,
    PULL,
    REAL_ROWS,
    UNSOLVED,
    S,
    solve_ladder,
    workspace_capacity,
)
from kalshi_assets.core.live_quotes import CONTRACT, carried, find_quotes, keep_live, measure_liquidity, median
from kalshi_assets.core.mixed import dense_workspace
from kalshi_assets.core.moments import law_mean_std, law_pmf
from kalshi_assets.core.quote_rows import QUOTE, pack_ladder
from kalshi_assets.core.rungs import RungRows, write_rungs
from kalshi_assets.core.snapshot_numbers import describe, measure, median_width, threshold, widen_band
from kalshi_assets.core.spec_index import Records, SpecIndex
from kalshi_assets.core.staleness import cutoff_minutes
from kalshi_assets.core.tails import N_POLICIES, STEP, TRUNCATE, close_tails, max_edges

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_USUAL_POINTS = 32  # room for a mass function; a batch of longer ones makes more


class Instants(NamedTuple):
    """The snapshots: times in microseconds, ``MISSING_TIME`` missing.

    Attributes:
        event: place in the spec index; -1 for an event without any contract.
        as_of: what may be seen.
        release: release time.
        listed: listing time of the event.
        multiplier: staleness multiplier of the event type.
        thresholds: tail thresholds, shape (n, 3); NaN for the ladder's percentiles.
    """

    event: Ints
    as_of: Ints
    release: Ints
    listed: Ints
    multiplier: Floats
    thresholds: Floats


class Rules(NamedTuple):
    """Scalars of ``DistributionConfig`` in the kernel's units (microseconds, micro-dollars)."""

    stale: tuple[float, ...]
    volume_window: int
    min_coverage: float
    good_coverage: float
    min_contracts: int
    max_width: float
    good_width: float
    max_cost: float
    max_spread: int
    price_tick: int
    stretch: bool
    fresh_days: float
    policy: int
    max_points: int
    wide_targets: bool
    lags: tuple[int, ...]
    lag_max_age: float


class Laws(NamedTuple):
    """Mass functions; that of snapshot s is at ``offsets[s]:offsets[s + 1]``, empty where it is gated.

    Attributes:
        offsets: shape (n + 1,), starting at 0.
        support: lattice indices, rising within a law.
        mass: their masses.
    """

    offsets: Ints
    support: Ints
    mass: Floats


class Scratch(NamedTuple):
    """Arrays that every snapshot reuses.

    Attributes:
        at: known contracts, records of dtype ``CONTRACT``.
        feed_seen: when each feed last reported.
        sorting: for medians.
        ints: workspace of the ladder.
        reals: workspace of the ladder.
        free: workspace of the ladder.
        edges: of the law under the tail policy (``step`` where the policy truncates).
        law: its survival.
        other_edges: of a second law.
        other_law: its survival.
        tail_ints: for closing tails.
        tail_reals: for closing tails.
        dense: workspace of mixed ladders, see ``mixed.dense_workspace``.
        lines: the same.
        places: the same.
        rows: the packed quotes of one event, see ``quote_rows.pack_ladder``.
        counted: for packing.
        oldest: for packing.
        traded: for packing.
        latest: for packing.
        packed: for packing.
        shift: where a contract's quotes lie in ``rows``.
        support: of a law to compare with.
        mass: the same.
        numbers: its numbers, which nobody reads.
        counts: its counts.
    """

    at: Records
    feed_seen: Ints
    sorting: Floats
    ints: Ints
    reals: Floats
    free: npt.NDArray[np.bool_]
    edges: Ints
    law: Floats
    other_edges: Ints
    other_law: Floats
    tail_ints: Ints
    tail_reals: Floats
    dense: Floats
    lines: Floats
    places: Ints
    rows: Records
    counted: Ints
    oldest: Ints
    traded: Ints
    latest: Ints
    packed: npt.NDArray[np.bool_]
    shift: Ints
    support: Ints
    mass: Floats
    numbers: Floats
    counts: Ints


def scratch_arrays(specs: SpecIndex, quotes: QuoteColumns, max_points: int) -> Scratch:
    """Scratch for the longest ladder of a batch and for the one with the most quotes."""
    max_contracts = int(np.diff(specs.offsets).max(initial=1))
    n_feeds, n_contracts = max(quotes.feed_carry_us.size, 1), quotes.offsets.size - 1
    capacity = workspace_capacity(max_contracts)
    n_edges = max_edges(capacity)
    quoted = np.concatenate([[0], np.cumsum(np.diff(quotes.offsets)[specs.rows["contract"]])])
    most = int((quoted[specs.offsets[1:]] - quoted[specs.offsets[:-1]]).max(initial=0))
    return Scratch(
        np.empty(max_contracts, CONTRACT), np.empty(n_feeds, np.int64), np.empty(max_contracts),
        np.empty((INT_ROWS, capacity), np.int64), np.empty((REAL_ROWS, capacity)), np.empty(capacity, np.bool_),
        np.empty(n_edges, np.int64), np.empty(n_edges), np.empty(n_edges, np.int64), np.empty(n_edges),
        np.empty((2, n_edges), np.int64), np.empty((4, n_edges)),
        *dense_workspace(max_contracts, capacity),
        np.empty(most, QUOTE), np.empty(int(np.diff(quotes.offsets).max(initial=0)), np.int64),
        np.empty(n_feeds, np.int64), np.empty(n_feeds, np.int64), np.empty(n_feeds, np.int64),
        np.empty(n_contracts, np.bool_), np.empty(n_contracts, np.int64),
        np.empty(max_points + n_edges, np.int64), np.empty(max_points + n_edges),
        np.empty(len(num.NUMBERS)), np.empty(len(num.COUNTS), np.int64),
    )  # fmt: skip


@in_place
def evaluate(
    begin: int, instants: Instants, specs: SpecIndex, quotes: QuoteColumns, rules: Rules, x: Scratch,
    ticks: Floats, numbers: Floats, counts: Ints, distances: Floats, rungs: RungRows, laws: Laws,
) -> int:  # fmt: skip
    """Evaluate snapshots; see ``distribution.build_distributions`` for what the numbers mean.

    Args:
        begin: first snapshot to evaluate; those before it are done.
        instants: the snapshots.
        specs: known contracts.
        quotes: their quotes.
        rules: limits and choices.
        x: scratch.
        ticks: receives each snapshot's lattice step, shape (n,).
        numbers: receives ``NUMBERS``, shape (n, len(NUMBERS)); NaN missing.
        counts: receives ``COUNTS``, shape (n, len(COUNTS)).
        distances: receives those to the law of each lag, shape (n, lags * N_DISTANCES); NaN where one of the
            two is gated, or the older one's newest quote is too old.
        rungs: receives the contracts of each snapshot.
        laws: receives the mass functions.

    Returns:
        One past the last snapshot that is done: earlier than the end where ``laws`` has no room for
        another mass function of the greatest length.
    """
    offsets, support, mass = laws
    longest = rules.max_points + x.edges.size
    # kernels take plain arrays, unpacked once: handing whole tuples to each would cost more than most of them do
    event_of, as_of_all, release_all, listed_all, multiplier, stated_thresholds = instants
    spec_offsets, spec_rows, by_ticker = specs
    quote_offsets, known_at, ts, feed_ends, feed_of_run, feed_rank, bids, asks, interests_of, traded_of = quotes[:10]
    feed_carry, reports_changes = quotes.feed_carry_us, quotes.feed_reports_changes
    rung_offsets, rung_spec, rung_rank, rung_numbers, rung_known_at = rungs
    at, feed_seen, sorting, ints, reals, free, edges, law, other_edges, other_law, tail_ints, tail_reals = x[:12]
    dense, lines, places = x.dense, x.lines, x.places
    cut, curve, low, high, pull = ints[CUT], reals[S], reals[LOW], reals[HIGH], reals[PULL]
    ages, permitted_ages, volumes, interests = at.age_s, at.permitted_s, at.volume, at.open_interest
    spreads, widths = at.spread, at.width
    traded = not math.isnan(rules.fresh_days)
    closing = STEP if rules.policy == TRUNCATE else rules.policy
    n_lags, packed = len(rules.lags), -1
    # each snapshot, and then the same snapshot one lag earlier for every lag, whose law is only compared with
    for turn in range(begin * (n_lags + 1), event_of.size * (n_lags + 1)):
        s, lagged = turn // (n_lags + 1), turn % (n_lags + 1)
        described = lagged == 0
        lag = 0 if described else rules.lags[lagged - 1]
        if described:
            if support.size - offsets[s] < longest:
                return s
            offsets[s + 1] = offsets[s]
            distances[s] = math.nan
        elif offsets[s + 1] == offsets[s]:  # nothing to compare with
            continue
        row, count = (numbers[s], counts[s]) if described else (x.numbers, x.counts)
        row[:] = math.nan
        event, as_of = event_of[s], as_of_all[s] - lag
        start = spec_offsets[event] if event >= 0 else 0
        stop = spec_offsets[event + 1] if event >= 0 else 0
        if event != packed:
            pack_ladder(
                start, stop, spec_rows, quote_offsets, known_at, ts, feed_ends, feed_of_run, feed_rank, bids,
                asks, interests_of, traded_of, rules.volume_window, x.counted, x.oldest, x.traded, x.latest, x.packed,
                x.shift, x.rows,
            )  # fmt: skip
            packed = event

        known = find_quotes(start, stop, as_of, spec_rows, quote_offsets, known_at, x.shift, x.rows, at, feed_seen)
        n = known.n
        minutes = math.nan if release_all[s] == MISSING_TIME else (release_all[s] - as_of) / 6e7
        # a law to compare with needs the cutoff only where it could decide
        proxy = math.nan
        if described or not carried(n, as_of, feed_carry, reports_changes, feed_seen, at):
            measure_liquidity(n, as_of, interests_of, rules.volume_window, at)
            proxy = q.liquidity(median(volumes, n, sorting), median(interests, n, sorting))
        cutoff_us = cutoff_minutes(minutes, multiplier[s], proxy, rules.stale) * 6e7
        live = keep_live(
            n, as_of, cutoff_us, spec_rows, feed_carry, reports_changes, feed_seen, rules.stretch, rules.fresh_days,
            at, ints, pull,
        )  # fmt: skip
        gate = q.quote_gate(
            n, known.resolved, known.quoted, live.fresh, live.n, rules.min_coverage, rules.min_contracts
        )
        if listed_all[s] != MISSING_TIME and as_of < listed_all[s]:
            gate = q.NOT_LISTED
        elif known.mixed_lattice:
            gate = q.MIXED_LATTICE
        spread = median(spreads, n, sorting)
        coverage = live.n / n if n > 0 else 0.0

        kind, m, first, last, feasible, off_one, overlaps, gaps = UNSOLVED, 0, -1, -1, True, 0.0, 0, 0
        if live.n > 0 and not known.mixed_lattice:
            kind, m, first, last, feasible, off_one, overlaps, gaps = solve_ladder(
                live.n, rules.max_spread, rules.price_tick, traded, rules.wide_targets, ints, reals, free, dense,
                lines, places,
            )  # fmt: skip
        solved = kind != UNSOLVED and first >= 0
        width, violation, n_edges = spread, 0.0, 0
        count[num.PRE], count[num.POST] = 0, 0
        if solved:
            n_edges = close_tails(cut, curve, low, high, m, first, last, closing, edges, law, tail_ints, tail_reals)
        if solved and (described or not feasible):
            repair = measure(live.n, kind, m, first, last, rules.max_spread, ints, reals, edges, law, n_edges)
            violation = repair.magnitude + off_one
            row[num.COST], row[num.L1], row[num.L2] = repair.cost, repair.l1, repair.l2
            row[num.MAGNITUDE], row[num.RENORM] = repair.magnitude, off_one
            count[num.PRE], count[num.POST] = repair.before, repair.after
        bounded = feasible and not traded
        # contradictory quotes leave only their own spreads; nor need others be asked where those are good as they are
        if solved and bounded and not (live.n == n and spread <= rules.good_width):
            width = median_width(n, spec_rows, at, cut, m, low, high, sorting)
        if gate == q.PASSED:
            if not solved:
                gate = q.TOO_LARGE if kind == UNSOLVED and m > 0 else q.WIDE
            elif not feasible and row[num.COST] > rules.max_cost:
                gate = q.INFEASIBLE
            elif width > rules.max_width + 1e-9:
                gate = q.WIDE
        for k in range(3):
            row[num.THRESHOLD + k] = threshold(stated_thresholds[s, k], k, cut, m, known.tick)
        if described:
            write_rungs(
                rung_offsets[s], start, stop, as_of, n, by_ticker, spec_rows, at, rules.max_spread,
                rules.price_tick, solved, bounded, traded, cut, m, low, high, edges, law, n_edges,
                rung_spec, rung_rank, rung_numbers, rung_known_at,
            )  # fmt: skip

        flags = live.flags
        final_edges, final_law, n_final = edges, law, n_edges
        if gate == q.PASSED and rules.policy == TRUNCATE:
            final_edges, final_law = other_edges, other_law
            n_final = close_tails(
                cut, curve, low, high, m, first, last, TRUNCATE, other_edges, other_law, tail_ints, tail_reals
            )
            if n_final == 0:
                gate = q.NO_INTERIOR
        if gate == q.PASSED:
            if not described:
                # too old, or on another lattice: what it would say is not the change since then
                if known.quotes_known_at >= as_of - rules.lag_max_age * lag and known.tick == ticks[s]:
                    size = law_pmf(final_edges, final_law, n_final, rules.max_points, x.support, x.mass)
                    here, first_distance = slice(offsets[s], offsets[s + 1]), (lagged - 1) * N_DISTANCES
                    law_distances(
                        support[here], mass[here], x.support[:size], x.mass[:size], known.tick,
                        distances[s, first_distance : first_distance + N_DISTANCES],
                    )  # fmt: skip
                continue
            offsets[s + 1] += law_pmf(
                final_edges, final_law, n_final, rules.max_points, support[offsets[s] :], mass[offsets[s] :]
            )
            if final_edges[n_final - 1] - final_edges[0] > rules.max_points:
                flags |= q.FLAG_COARSE
            describe(final_edges, final_law, n_final, known.tick, row)
            row[num.TAIL_LOW], row[num.TAIL_HIGH] = 1.0 - curve[first], curve[last]
            if max(row[num.TAIL_LOW], row[num.TAIL_HIGH]) > rules.good_width:
                flags |= q.FLAG_TAIL
            if bounded:
                for side in range(2):
                    n_other = close_tails(
                        cut, high if side else low, low, high, m, 0, m - 1, closing, other_edges, other_law,
                        tail_ints, tail_reals,
                    )  # fmt: skip
                    widen_band(side, other_edges, other_law, n_other, known.tick, row)
            for policy in range(N_POLICIES):
                n_other = close_tails(
                    cut, curve, low, high, m, first, last, policy, other_edges, other_law, tail_ints, tail_reals
                )
                if n_other > 0:
                    mean, std = law_mean_std(other_edges, other_law, n_other, known.tick)
                    row[num.SENSITIVITY + 2 * policy], row[num.SENSITIVITY + 2 * policy + 1] = mean, std

        if not described:
            continue
        ticks[s] = known.tick
        permitted = median(permitted_ages, n, sorting)
        for k in range(n):
            widths[k] = ages[k] / permitted_ages[k]
        age_share = median(widths, n, sorting)
        total, proxy_term, constraint_term = q.score(
            coverage, spread, 2.0 * rules.good_width, age_share, proxy, violation
        )
        row[num.COVERAGE], row[num.SPREAD], row[num.MISSING] = coverage, spread, 1.0 - coverage
        row[num.AGE] = median(ages, n, sorting)
        row[num.CUTOFF] = cutoff_us / 1e6 if math.isnan(permitted) else permitted
        row[num.PROXY] = proxy_term
        row[num.CONSTRAINT] = constraint_term if live.n > 0 else 0.0
        row[num.SCORE] = total if live.n > 0 else 0.0
        flags |= q.FLAG_COVERAGE if coverage < rules.good_coverage else 0
        flags |= q.FLAG_STALE if age_share > 1.0 else 0
        flags |= q.FLAG_FEW if live.n < rules.min_contracts else 0
        flags |= q.FLAG_UNRESOLVED if known.resolved < n or n == 0 else 0
        flags |= q.FLAG_BINS if overlaps > 0 else 0
        flags |= q.FLAG_GAPS if gaps > 0 else 0
        flags |= q.FLAG_DUPLICATE if known.duplicates > 0 else 0
        flags |= q.FLAG_ONE_SIDED if not traded and live.n > 0 and live.two_sided == 0 else 0
        flags |= q.FLAG_NON_MONOTONE if traded and row[num.COST] > rules.max_cost else 0
        flags |= 0 if feasible else q.FLAG_ARBITRAGE
        flags |= q.FLAG_WIDE if width > rules.good_width + 1e-9 else 0
        count[num.N], count[num.LIVE], count[num.TWO], count[num.GATE] = n, live.n, live.two_sided, gate
        count[num.FLAGS], count[num.ARBITRAGE] = flags, not feasible
        count[num.LEFT] = known.first < 0 or not at[known.first].alive
        count[num.RIGHT] = known.last < 0 or not at[known.last].alive
        count[num.KNOWN] = max(known.specs_known_at, known.quotes_known_at)
    return event_of.size


def evaluate_all(
    instants: Instants, specs: SpecIndex, quotes: QuoteColumns, rules: Rules,
    ticks: Floats, numbers: Floats, counts: Ints, distances: Floats, rungs: RungRows,
) -> Laws:  # fmt: skip
    """Run ``evaluate`` over all snapshots, with room for as many mass functions as there turn out to be."""
    total = instants.event.size
    x = scratch_arrays(specs, quotes, rules.max_points)
    longest = rules.max_points + x.edges.size
    laws = Laws(np.zeros(total + 1, np.int64), *_room(_USUAL_POINTS * total + longest))
    done = 0
    while done < total:
        done = evaluate(done, instants, specs, quotes, rules, x, ticks, numbers, counts, distances, rungs, laws)
        used = laws.offsets[done]
        if done < total:
            support, mass = _room(2 * used + longest)
            support[:used], mass[:used] = laws.support[:used], laws.mass[:used]
            laws = Laws(laws.offsets, support, mass)
    return laws


def _room(points: int) -> tuple[Ints, Floats]:
    return np.empty(points, np.int64), np.empty(points)
