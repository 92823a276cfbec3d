"""Labels as they were known at a time: the newest version of each event's label before a cut.

The one place where training and judging read labels, so that neither can see
a print that nobody had yet. Making labels is ``core.labels``' work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kalshi_assets.core.columns import MISSING_TIME, reals, times
from kalshi_assets.errors import DomainError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_READ = ("event_ticker", "known_at", "first_print", "first_print_learned_at")


@dataclass(frozen=True, slots=True)
class KnownLabels:
    """First prints known at a cut, one entry an event.

    Attributes:
        first_print: shape (n_events,), NaN where not known.
        learned_at: shape (n_events,), microseconds; ``MISSING_TIME`` where not known.
    """

    first_print: FloatArray
    learned_at: IntArray

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """True where the first print was known."""
        return np.isfinite(self.first_print)

    def of(self, event: IntArray) -> KnownLabels:
        """The entries of some events, by their positions; one may be asked for several times."""
        return KnownLabels(self.first_print[event], self.learned_at[event])


class LabelHistory:
    """All versions of the first prints of a list of events, ready for many cuts.

    Whoever trains or judges takes ``KnownLabels`` and nothing else, and only this makes them; revised values
    (``core.label_sets.RevisedLabels``) have no way in.
    """

    def __init__(self, labels: pa.Table, event_tickers: Sequence[str]) -> None:
        """Index the versions.

        Args:
            labels: rows of table ``labels`` with their history, in any order; events outside the list are ignored.
            event_tickers: the events, in the order of the answers.

        Raises:
            DomainError: labels without first prints (revised ones, say), a first print without the time at which
                it was learned, or a version that claims to be known before its own print was learned.
        """
        _require_first_prints(labels)
        position = {ticker: i for i, ticker in enumerate(event_tickers)}
        event = np.array([position.get(t, -1) for t in labels["event_ticker"].to_pylist()], dtype=np.int64)
        known_at = times(labels["known_at"])
        order = np.lexsort((known_at, event))
        order = order[event[order] >= 0]
        self._event, self._known_at = event[order], known_at[order]
        self._print = reals(labels["first_print"])[order]
        self._learned_at = times(labels["first_print_learned_at"])[order]
        self._tickers = event_tickers
        stated = np.isfinite(self._print)
        self._refuse(stated & (self._learned_at == MISSING_TIME), "has a first print without the time it was learned")
        early = stated & (self._learned_at > self._known_at)
        self._refuse(early, "is marked as known before its first print was learned")

    def _refuse(self, wrong: npt.NDArray[np.bool_], fault: str) -> None:
        if wrong.any():
            ticker = self._tickers[int(self._event[np.flatnonzero(wrong)[0]])]
            raise DomainError(f"The label of {ticker} {fault}: rebuild the labels before using them.")

    def known_before(self, cut_us: int) -> KnownLabels:
        """The newest version of each label with ``known_at < cut_us``.

        A version that withdraws the print (null) makes the label unknown again.
        """
        rows = np.flatnonzero(self._known_at < cut_us)
        first_print = np.full(len(self._tickers), np.nan)
        learned_at = np.full(len(self._tickers), MISSING_TIME, dtype=np.int64)
        # Rows ascend in known_at within an event, and numpy keeps the last of repeated assignments.
        first_print[self._event[rows]] = self._print[rows]
        learned_at[self._event[rows]] = self._learned_at[rows]
        learned_at[~np.isfinite(first_print)] = MISSING_TIME
        return KnownLabels(first_print, learned_at)


def _require_first_prints(labels: object) -> None:
    missing = [c for c in _READ if not isinstance(labels, pa.Table) or c not in labels.column_names]
    if missing:
        raise DomainError(
            f"Training and judging read first prints from rows of table labels; {type(labels).__name__} has no "
            f"{missing[0]}: pass the rows themselves, not a set that was cut from them or revised values."
        )
