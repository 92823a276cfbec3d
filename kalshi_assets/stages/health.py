"""The daily report on how whole the lake is: reads it, counts, files one row a series.

Nothing rests on it and no gate reads it: it is for whoever operates the platform.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.health import health_rows
from kalshi_assets.core.tables import TABLES
from kalshi_assets.stages.commit import code_version
from kalshi_assets.stages.context import StageContext
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.snapshots import record_snapshot
from kalshi_assets.store.transactions import transaction

NAME = "health"
_NEW_YORK = ZoneInfo("America/New_York")


def health(context: StageContext) -> pa.Table:
    """Write today's rows of table ``health`` and return them, in one transaction; the same day's are replaced."""
    with transaction(context.lake, context.run_id):
        rows = health_of(context.lake, context.now())
        context.lake.upsert(NAME, rows, run_id=context.run_id)
        record_snapshot(
            context.lake,
            stage=NAME,
            run_id=context.run_id,
            code_version=code_version(),
            config_hash=context.strategy.config_hash,
        )
    return rows


def health_of(lake: Lake, now: datetime) -> pa.Table:
    """Rows of table ``health`` for a moment, without writing them; a day is New York's."""
    place = TABLES["quotes"].partition_by.index("series_ticker")
    newest: dict[str, datetime] = {}
    for file in lake.files("quotes"):
        if file.last_known_at is not None:
            # The log keeps milliseconds and rounds a maximum up by less than one.
            last, ticker = _whole_ms(file.last_known_at), file.partition[place]
            newest[ticker] = max(newest.get(ticker, last), last)
    return health_rows(
        now.astimezone(_NEW_YORK).date(),
        now,
        series=sorted(pc.unique(lake.read("series")["series_ticker"]).to_pylist()),
        events=lake.read("events"),
        labels=lake.read("labels"),
        coverage=lake.read("coverage"),
        rejected=lake.read("rejected_rows"),
        evidence=lake.read("gate_evidence"),
        newest_quotes=newest,
    )


def _whole_ms(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
