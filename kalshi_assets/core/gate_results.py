"""The verdict of a check on one event date, and how a rule on rows becomes one verdict a date.

Belongs here: counting, failing closed on nothing, naming the first offender.
The rules themselves belong to ``core.gates``, keeping evidence to the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from kalshi_assets.core.columns import Bools, Ints, day_number
from kalshi_assets.errors import DomainError

NOTHING_TO_CHECK = "no rows to check"


@dataclass(frozen=True, slots=True)
class GateResult:
    """What one check found on one event date.

    Attributes:
        check_name: the check.
        event_date: the partition it speaks for.
        passed: False also where there was nothing to check.
        n_rows: rows that the check looked at.
        detail: what was found, in words.
        first_offender: the first row that broke the rule; None where none did.
    """

    check_name: str
    event_date: date
    passed: bool
    n_rows: int
    detail: str
    first_offender: str | None = None


def results_by_date(
    check_name: str,
    dates: Sequence[date],
    row_days: Ints,
    ok: Bools,
    rule: str,
    offender: Callable[[int], str],
    *,
    allow_empty: str | None = None,
    note: Callable[[Bools], str] | None = None,
) -> tuple[GateResult, ...]:
    """One result a date, in the order of ``dates``; rows of other dates are not looked at.

    Args:
        check_name: the check.
        dates: the partitions asked about; at least one.
        row_days: event date of each row in days since 1970, shape (n_rows,).
        ok: whether each row keeps the rule, shape (n_rows,). A comparison with NaN is False, thus a failure.
        rule: the rule in words, for the detail of a failure.
        offender: describes the row at a position.
        allow_empty: why a date without rows may pass; None makes it fail.
        note: words to add about the rows selected by a mask.

    Raises:
        DomainError: no date asked about, or a blank reason in ``allow_empty``.
    """
    require_dates(check_name, dates)
    if allow_empty is not None and not allow_empty.strip():
        raise DomainError(f"{check_name} may pass without rows only for a stated reason; give allow_empty some words")
    results = []
    for day in dates:
        mine = row_days == day_number(day)
        n, broken = int(mine.sum()), np.flatnonzero(mine & ~ok)
        if n == 0:
            detail = NOTHING_TO_CHECK if allow_empty is None else f"{NOTHING_TO_CHECK}: {allow_empty}"
            results.append(GateResult(check_name, day, allow_empty is not None, 0, detail))
            continue
        detail = f"{broken.size} of {n} rows break the rule: {rule}" if broken.size else f"{n} rows checked"
        if note is not None and (words := note(mine)):
            detail = f"{detail}; {words}"
        first = offender(int(broken[0])) if broken.size else None
        results.append(GateResult(check_name, day, not broken.size, n, detail, first))
    return tuple(results)


def require_dates(check_name: str, dates: Sequence[date]) -> None:
    """Refuse a check that would pass by being asked nothing.

    Raises:
        DomainError: no dates.
    """
    if not dates:
        raise DomainError(f"{check_name} was given no event date; name the partitions that it shall speak for")


def failed_everywhere(
    check_name: str, dates: Sequence[date], n_rows: int, detail: str, offender: str | None = None
) -> tuple[GateResult, ...]:
    """The same failure for every date: the table itself is wrong."""
    require_dates(check_name, dates)
    return tuple(GateResult(check_name, day, False, n_rows, detail, offender) for day in dates)
