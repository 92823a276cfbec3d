"""The panel's columns that compare a snapshot with what others said: options, fed funds futures, a consensus.

Belongs here: joining each reference as of the snapshot and subtracting. Each
kind of reference has its own module; without one its columns are missing and
every other column stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import MISSING_TIME, Ints, Reals, codes, reals, times, vocabulary
from kalshi_assets.core.consensus import consensus_then
from kalshi_assets.core.disagreement import disagreement, history_known_at, z_scores_before
from kalshi_assets.core.horizons import DAILY, new_york_days
from kalshi_assets.core.option_reference import option_reference
from kalshi_assets.core.options import option_gaps
from kalshi_assets.core.rate_reference import RateReference, rate_reference
from kalshi_assets.core.series import RATE_DECISION, facts_for
from kalshi_assets.core.tables import CONSENSUS_GAPS, DISAGREEMENT, FUTURES_GAPS, OPTION_GAPS, TABLES

REFERENCE_TABLES = ("option_surfaces", "fed_funds_futures", "fomc_probabilities", "consensus")


@dataclass(frozen=True, slots=True)
class References:
    """Reference tables, all versions; an empty one stands for a reference that nobody supplied.

    Attributes:
        events: rows of that table, for the reference period that each event was known to stand for.
        option_surfaces, fed_funds_futures, fomc_probabilities, consensus: rows of those tables.
        policy_rate: what ``conditions.policy_rate`` gives.
        meetings: days of the committee's decisions. The day of a row's own event counts as well, that of
            another event beside it does not: a row may not depend on what it is built with.
    """

    events: pa.Table
    option_surfaces: pa.Table
    fed_funds_futures: pa.Table
    fomc_probabilities: pa.Table
    consensus: pa.Table
    policy_rate: pa.Table
    meetings: Sequence[date] = ()

    @classmethod
    def none(cls) -> References:
        """No reference at all."""
        empty = {name: TABLES[name].schema.empty_table() for name in ("events", *REFERENCE_TABLES)}
        rate = TABLES["asset_prices"].schema.empty_table().select(["date", "close", "ts", "known_at"])
        return cls(**empty, policy_rate=rate)


@dataclass(frozen=True, slots=True)
class ReferenceAges:
    """Greatest age of each reference that a snapshot may look back at; older counts as missing.

    Attributes:
        market: as-of time minus the instant that a surface, a curve or a policy rate describes.
        consensus: as-of time minus the time at which the forecast became known.
    """

    market: timedelta = timedelta(days=7)
    consensus: timedelta = timedelta(days=60)


def reference_features(
    snapshots: pa.Table,
    distributions: pa.Table,
    values: Mapping[str, Reals],
    as_of: Ints,
    references: References,
    ages: ReferenceAges,
) -> tuple[dict[str, Reals], Ints]:
    """Compare snapshots with the references known at their as-of times.

    The z-scores need no reference: they set entropy and tail mass against the event's own daily grid before the
    snapshot. The tail of the futures' distribution begins at the snapshot's own first threshold.

    Args:
        snapshots: named snapshots, rows of ``distributions``.
        distributions: rows of that table with the daily grid.
        values: ``mean``, ``variance``, ``entropy``, ``tail_p_1`` and ``speed_mean_per_hour`` of each snapshot.
        as_of: of each snapshot, microseconds since 1970 UTC.
        references: what was supplied.
        ages: how far back each join may reach.

    Returns:
        The columns by name, and the greatest ``known_at`` of what was used in each row.
    """
    mean, variance, entropy, tail = (values[n] for n in ("mean", "variance", "entropy", "tail_p_1"))
    options, options_known = option_reference(references.option_surfaces, as_of, max_age=ages.market)
    gaps = option_gaps(
        entropy, tail, values["speed_mean_per_hour"], variance, options["opt_entropy_proxy"],
        options["opt_heuristic_tail_proxy"], options["opt_iv_repricing_speed_per_hour"], options["opt_iv_atm_30"],
    )  # fmt: skip
    entropy_z, tail_z, history_known = _against_own_history(snapshots, distributions, entropy, tail, as_of)
    split = disagreement(
        entropy, tail, variance, options["opt_iv_atm_30"], options["opt_skew_25d"], entropy_z, tail_z
    )  # fmt: skip
    rate = _rates(snapshots, as_of, references, ages.market)
    consensus, consensus_time = consensus_then(
        references.consensus, references.events, snapshots["event_ticker"], as_of, max_age=ages.consensus
    )
    columns = dict(options)
    columns |= {name: getattr(gaps, name) for name in OPTION_GAPS}
    columns |= {name: getattr(split, name.removeprefix("disagree_")) for name in DISAGREEMENT}
    against = (rate.mean, rate.variance, rate.tail, mean - rate.mean, variance - rate.variance, tail - rate.tail)
    columns |= dict(zip(FUTURES_GAPS, against, strict=True))
    columns |= dict(zip(CONSENSUS_GAPS, (consensus, mean - consensus), strict=True))
    return columns, np.maximum.reduce([options_known, history_known, rate.known_at, consensus_time])


def _against_own_history(
    snapshots: pa.Table, distributions: pa.Table, entropy: Reals, tail: Reals, as_of: Ints
) -> tuple[Reals, Reals, Ints]:
    daily = distributions.filter(pc.equal(distributions["horizon"], DAILY))
    words = vocabulary(snapshots["event_ticker"])
    event, day = codes(daily["event_ticker"], words), times(daily["as_of"])
    order = np.lexsort((day, event))
    order = order[event[order] >= 0]
    offsets = np.searchsorted(event[order], np.arange(len(words) + 1)).astype(np.int64)
    group, day = codes(snapshots["event_ticker"], words), day[order]
    scores = [
        z_scores_before(value, group, as_of, offsets, day, reals(daily[name])[order])
        for name, value in (("entropy", entropy), ("tail_p_1", tail))
    ]
    known = history_known_at(group, as_of, offsets, day, times(daily["inputs_known_at"])[order])
    used = np.isfinite(scores[0]) | np.isfinite(scores[1])
    return scores[0], scores[1], np.where(used, known, MISSING_TIME)


def _rates(snapshots: pa.Table, as_of: Ints, references: References, max_age: timedelta) -> RateReference:
    out = RateReference.none(as_of.size)
    if not (references.fomc_probabilities.num_rows or references.fed_funds_futures.num_rows):
        return out
    series = vocabulary(snapshots["series_ticker"])
    facts = [facts_for(ticker) for ticker in series.to_pylist()]
    deciding = [i for i, f in enumerate(facts) if f is not None and f.event_type == RATE_DECISION]
    at = np.flatnonzero(np.isin(codes(snapshots["series_ticker"], series), deciding))
    if not at.size:
        return out
    rows = snapshots.take(pa.array(at))
    # The release as it was dated then: the event may be filed under another day since.
    found = rate_reference(
        new_york_days(rows["release_time"]), as_of[at], reals(rows["tail_threshold_1"]),
        probabilities=references.fomc_probabilities, futures=references.fed_funds_futures,
        target=references.policy_rate, meetings=references.meetings, max_age=max_age,
    )  # fmt: skip
    for name in ("mean", "variance", "tail", "known_at"):
        getattr(out, name)[at] = getattr(found, name)
    return out
