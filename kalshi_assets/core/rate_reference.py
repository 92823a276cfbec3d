"""The futures market's distribution of the committee's next target, as known at a time.

Belongs here: which published probabilities or which futures curve an observer
had at each as-of time, and the numbers that the panel compares with. The
arithmetic of a curve is ``core.fedwatch``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import MISSING_TIME, Ints, Reals, days, reals, span_micros, times
from kalshi_assets.core.fedwatch import STEP, average_rate, month_number, moves_through
from kalshi_assets.core.prints import newest_known

# The exchange asks about the upper end of the target range; published probabilities name its middle.
HALF_RANGE = STEP / 2
SUM_TOLERANCE = 0.02
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class RateReference:
    """Numbers of each question, shape (n,); NaN where no reference was known.

    Attributes:
        mean: of the upper end of the target range, per cent.
        variance: in squared per cent.
        tail: probability of an upper end at or above the question's threshold.
        known_at: greatest ``known_at`` behind them; ``MISSING_TIME`` where there is none.
    """

    mean: Reals
    variance: Reals
    tail: Reals
    known_at: Ints

    @classmethod
    def none(cls, n: int) -> RateReference:
        """No reference for any of ``n`` questions."""
        return cls(np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan), np.full(n, MISSING_TIME, np.int64))


@dataclass(frozen=True, slots=True)
class _Rows:
    """One table as arrays: what a row is about, its day, its value, and when it became known."""

    about: Reals
    day: Ints
    value: Reals
    ts: Ints
    known_at: Ints


def rate_reference(
    meeting: Ints,
    as_of: Ints,
    threshold: Reals,
    *,
    probabilities: pa.Table,
    futures: pa.Table,
    target: pa.Table,
    meetings: Sequence[date],
    max_age: timedelta,
) -> RateReference:
    """Look up the reference of each question.

    Published probabilities of the meeting come first: those of the newest day known, if they sum to one. Without
    them the newest futures curve known is put through ``core.fedwatch``, from the upper target known then. Only
    rows with ``known_at <= as_of`` take part, so a day that was known in part is used as far as it was.

    Args:
        meeting: day of the decision, days since 1970, shape (n,); one small curve is worked out a question.
        as_of: microseconds since 1970 UTC, shape (n,).
        threshold: where the tail begins, per cent, shape (n,); NaN gives no tail.
        probabilities: rows of ``fomc_probabilities``, all versions.
        futures: rows of ``fed_funds_futures``, all versions.
        target: the upper end of the target range, columns ``date``, ``close``, ``ts``, ``known_at``.
        meetings: days of decisions; of each question its own counts as well.
        max_age: oldest curve, distribution or target that counts, from the instant it describes.
    """
    n = as_of.size
    out = RateReference.none(n)
    reach = span_micros(max_age)
    by_meeting = {day: _of_meeting(probabilities, day) for day in np.unique(meeting).tolist()}
    curve, rates = _futures(futures), _target(target)
    for i in range(n):
        found = _published(by_meeting[int(meeting[i])], int(as_of[i]), reach)
        if found is None:
            found = _worked_out(curve, rates, meetings, int(meeting[i]), int(as_of[i]), reach)
        if found is None:
            continue
        upper, p, known_at = found
        out.mean[i] = float(upper @ p)
        out.variance[i] = float((upper - out.mean[i]) ** 2 @ p)
        if np.isfinite(threshold[i]):
            out.tail[i] = float(p[upper >= threshold[i] - 1e-9].sum())
        out.known_at[i] = known_at
    return out


def _of_meeting(probabilities: pa.Table, day: int) -> _Rows:
    rows = probabilities.filter(pc.equal(probabilities["meeting_date"], pa.scalar(day, pa.int32()).cast(pa.date32())))
    return _Rows(
        reals(rows["target_mid_pct"]), days(rows["date"]), reals(rows["probability"]), times(rows["ts"]),
        times(rows["known_at"]),
    )  # fmt: skip


def _futures(futures: pa.Table) -> _Rows:
    about = np.array([month_number(d) for d in futures["contract_month"].to_pylist()], np.float64)
    return _Rows(
        about, days(futures["date"]), reals(futures["price"]), times(futures["ts"]), times(futures["known_at"])
    )


def _target(target: pa.Table) -> _Rows:
    return _Rows(
        np.zeros(target.num_rows), days(target["date"]), reals(target["close"]), times(target["ts"]),
        times(target["known_at"]),
    )  # fmt: skip


def _newest_day(rows: _Rows, as_of: int, max_age: int) -> _Rows | None:
    """The newest version known of each row of the newest day known; None where that is too old."""
    at = int(newest_known(rows.day, rows.known_at, np.array([as_of]))[0])
    if at < 0 or as_of - int(rows.ts[at]) > max_age:
        return None
    mine = np.flatnonzero((rows.day == rows.day[at]) & (rows.known_at <= as_of))
    mine = mine[np.lexsort((rows.known_at[mine], rows.about[mine]))]
    last = np.append(rows.about[mine][1:] != rows.about[mine][:-1], True)
    mine = mine[last]
    return _Rows(rows.about[mine], rows.day[mine], rows.value[mine], rows.ts[mine], rows.known_at[mine])


def _published(rows: _Rows, as_of: int, max_age: int) -> tuple[Reals, Reals, int] | None:
    newest = _newest_day(rows, as_of, max_age)
    if newest is None or abs(newest.value.sum() - 1.0) > SUM_TOLERANCE:
        return None
    return newest.about + HALF_RANGE, newest.value / newest.value.sum(), int(newest.known_at.max())


def _worked_out(
    curve: _Rows, target: _Rows, meetings: Sequence[date], meeting: int, as_of: int, max_age: int
) -> tuple[Reals, Reals, int] | None:
    prices, rate = _newest_day(curve, as_of, max_age), _newest_day(target, as_of, max_age)
    if prices is None or rate is None:
        return None
    average = {int(m): average_rate(float(p)) for m, p in zip(prices.about, prices.value, strict=True)}
    since, until = (_EPOCH + timedelta(days=int(d)) for d in (prices.day[0], meeting))
    moves = moves_through(average, sorted({*meetings, until}), since, until)
    if moves is None:
        return None
    known_at = max(int(prices.known_at.max()), int(rate.known_at.max()))
    return float(rate.value[0]) + STEP * moves.steps, moves.probability, known_at
