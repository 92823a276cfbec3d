"""What forecasts of an event are scored against: one number an event and when it was learned.

Cutting labels at a time is the reader's work; making them is ``core.labels``'.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import newest_versions
from kalshi_assets.core.tables import DATE, REAL, TEXT, TIME

FIRST_PRINT, SETTLEMENT = "first_print", "settlement"
OUTCOMES = pa.schema(
    [
        pa.field("event_ticker", TEXT, nullable=False),
        pa.field("series_ticker", TEXT, nullable=False),
        pa.field("event_date", DATE, nullable=False),
        pa.field("release_time", TIME, nullable=False),
        pa.field("outcome", REAL, nullable=False),
        pa.field("outcome_source", TEXT, nullable=False),
        pa.field("outcome_learned_at", TIME, nullable=False),
    ]
)


def outcomes_of(labels: pa.Table) -> pa.Table:
    """The outcome of each event that has one: its first print, else its settlement where that is one lattice point.

    A settlement that only bounds the number gives no outcome: a forecast cannot be scored against an interval, and
    a point chosen within it would be ours. A settlement is learned when the exchange says it was, even where that
    lies before the release: ``core.forecast_errors`` leaves out what was forecast after that.

    Args:
        labels: rows of that table as known at the time of scoring; the newest version of each event counts.

    Returns:
        Rows of ``OUTCOMES``, ordered by event.
    """
    newest = newest_versions(labels, "event_ticker")
    printed = pc.is_valid(newest["first_print"])
    point = pc.fill_null(pc.equal(newest["settled_lo"], newest["settled_hi"]), False)
    settled_at = pc.coalesce(newest["settlement_learned_at"], newest["known_at"])
    columns = {
        "outcome": pc.if_else(printed, newest["first_print"], newest["settled_lo"]),
        "outcome_source": pc.if_else(printed, FIRST_PRINT, SETTLEMENT),
        "outcome_learned_at": pc.if_else(printed, newest["first_print_learned_at"], settled_at),
    }
    rows = pa.table([columns[f.name] if f.name in columns else newest[f.name] for f in OUTCOMES], names=OUTCOMES.names)
    return rows.filter(pc.or_(printed, point)).cast(OUTCOMES)
