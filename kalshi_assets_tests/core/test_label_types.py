"""First prints and revisions are two types: no function that trains or judges can be given the other."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, get_type_hints

import pyarrow as pa
import pytest

from kalshi_assets.core import walk_forward as module
from kalshi_assets.core.forecast_record import ForecastRecord
from kalshi_assets.core.label_history import KnownLabels, LabelHistory
from kalshi_assets.core.label_sets import FirstPrintLabels, RevisedLabels, first_print_labels, revised_labels
from kalshi_assets.core.strategy import StrategyConfig
from kalshi_assets.core.tables import TABLES
from kalshi_assets.core.walk_forward import walk_forward
from kalshi_assets.errors import DomainError

RELEASE = datetime(2024, 7, 11, 12, 30, tzinfo=UTC)
LATER = RELEASE + timedelta(days=30)
ROW = {
    "event_ticker": "E", "series_ticker": "KXCPIYOY", "event_date": date(2024, 7, 11), "release_time": RELEASE,
    "ts": RELEASE, "first_print": 3.0, "first_print_learned_at": RELEASE,
}  # fmt: skip
REVISION = {"known_at": LATER, "revised": 3.2, "revised_vintage": date(2024, 8, 10), "revised_learned_at": LATER}
LABELS = pa.Table.from_pylist([{**ROW, "known_at": RELEASE}, {**ROW, **REVISION}], schema=TABLES["labels"].schema)


def test_the_revision_never_displaces_the_first_print_in_training() -> None:
    history = LabelHistory(LABELS, ["E"])
    micros = [pa.scalar(t).cast(pa.timestamp("us", "UTC")).cast(pa.int64()).as_py() for t in (RELEASE, LATER)]
    known = [history.known_before(micros[i] + more).first_print.tolist() for i in (0, 1) for more in (1, 999)]
    assert known == [[3.0]] * 4
    assert not history.known_before(micros[0]).known.any()


@pytest.mark.parametrize("mixed", [revised_labels(LABELS, LATER), revised_labels(LABELS, LATER).table, None])
def test_training_and_judging_refuse_revised_labels(mixed: Any) -> None:
    panel, predictions = TABLES["feature_panel"].schema.empty_table(), TABLES["predictions"].schema.empty_table()
    with pytest.raises(DomainError, match="read first prints"):
        LabelHistory(mixed, ["E"])
    with pytest.raises(DomainError, match="read first prints"):
        walk_forward(panel, mixed, test_dates=[date(2024, 7, 11)], config=StrategyConfig())
    with pytest.raises(DomainError, match="read first prints"):
        ForecastRecord(predictions, mixed, model="ridge", horizon="1d")


def test_each_type_refuses_the_rows_of_the_other_and_neither_is_the_other() -> None:
    first, revised = first_print_labels(LABELS), revised_labels(LABELS, LATER)
    with pytest.raises(DomainError, match="first-print labels need"):
        FirstPrintLabels(revised.table)
    with pytest.raises(DomainError, match="revised labels need"):
        RevisedLabels(first.table, LATER)
    assert not issubclass(RevisedLabels, FirstPrintLabels)
    assert not issubclass(FirstPrintLabels, RevisedLabels)


def test_the_fold_takes_no_bare_array_of_labels() -> None:
    """What mypy holds the callers to: fits see labels only as first prints known before the fold."""
    for function in (module._run_fold, module._fit_fold):
        assert get_type_hints(function)["labels"] is KnownLabels
    assert get_type_hints(LabelHistory.known_before)["return"] is KnownLabels
