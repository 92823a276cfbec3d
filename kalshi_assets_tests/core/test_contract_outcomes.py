"""Which outcome stands, and since when, by hand."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from kalshi_assets.core.contract_outcomes import contract_outcomes
from kalshi_assets.core.tables import TABLES

NOON = datetime(2024, 10, 10, 12, tzinfo=UTC)
KEY = {"event_ticker": "E", "series_ticker": "S", "event_date": date(2024, 10, 10), "ticker": "T"}


def outcome(*states):
    """The outcome after versions an hour apart, each a result or None."""
    rows = [
        {
            **KEY, "status": "active", "ts": NOON + timedelta(hours=i), "known_at": NOON + timedelta(hours=i),
            "result": result, "outcome_type": "binary" if result else None,
        }
        for i, result in enumerate(states)
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows[::-1], schema=TABLES["contracts"].schema)
    found = contract_outcomes(table, pa.chunked_array([["T"]]))
    hour = (found.learned_at[0] - int(NOON.timestamp() * 1e6)) / 3.6e9 if found.settled[0] else None
    return found.yes_payout_usd[0], hour


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([None, "yes"], (1.0, 1)),
        ([None, "yes", "yes", "yes"], (1.0, 1)),
        ([None, "yes", "no"], (0.0, 2)),
        ([None, "yes", None, "yes"], (1.0, 3)),
        ([None, "yes", "no", "yes", "yes"], (1.0, 3)),
    ],
)
def test_the_newest_statement_stands_since_it_was_made(states, expected):
    assert outcome(*states) == expected


def test_a_result_that_was_withdrawn_is_none():
    payout, since = outcome(None, "yes", None)
    assert np.isnan(payout)
    assert since is None


def test_a_contract_without_rows_is_not_settled():
    found = contract_outcomes(TABLES["contracts"].schema.empty_table(), pa.chunked_array([["T"]]))
    assert not found.settled[0]
