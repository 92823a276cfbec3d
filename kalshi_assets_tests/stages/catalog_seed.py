"""A lake that holds a small catalog, and evidence for it; assertions do not belong here."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.tables import TABLES
from kalshi_assets.stages.evidence import GATES, data_hashes, record_evidence
from kalshi_assets.store.lake import Lake

DAY, LATER = date(2024, 7, 11), date(2024, 8, 14)
OPENED = datetime(2024, 6, 12, 14, 0, tzinfo=UTC)
CLOSED = datetime(2024, 7, 11, 12, 25, tzinfo=UTC)
RELEASE = datetime(2024, 7, 11, 12, 30, tzinfo=UTC)
SERIES, EVENT = "KXCPIYOY", "KXCPIYOY-24JUN"


def fill_catalog(lake: Lake, strikes: Sequence[str] = ("2.9", "3.0", "3.1"), day: date = DAY) -> list[str]:
    """One event with a contract a strike, moved as a whole to ``day``; its contracts' tickers."""
    ahead = timedelta(days=(day - DAY).days)
    event = EVENT if day == DAY else f"KXCPIYOY-{day:%y%b}".upper()
    key: dict[str, Any] = {"event_ticker": event, "series_ticker": SERIES, "event_date": day}
    times = {"ts": OPENED + ahead, "known_at": OPENED + ahead}
    contracts = [
        {
            **key, **times, "ticker": f"{event}-T{strike}", "status": "active",
            "open_time": OPENED + ahead, "close_time": CLOSED + ahead,
        }
        for strike in strikes
    ]  # fmt: skip
    write(lake, "contracts", contracts)
    write(lake, "events", [{**key, **times, "release_time": RELEASE + ahead, "release_time_source": "calendar:facts"}])
    return [row["ticker"] for row in contracts]


def write(lake: Lake, name: str, rows: list[dict[str, Any]]) -> None:
    lake.upsert(name, pa.Table.from_pylist(rows, schema=TABLES[name].schema), run_id="seed")


def vouch(
    lake: Lake, stage: str = "market_catalog", *days: date, failed: str = "", detail: str = "said by the test"
) -> None:
    """File a result of every gate of a stage for what the lake holds now."""
    asked = days or (DAY,)
    results = [GateResult(c, d, c != failed, 1, detail) for c in GATES[stage] for d in asked]
    record_evidence(lake, stage, results, run_id="seed", hashes=data_hashes(lake, stage, asked))
