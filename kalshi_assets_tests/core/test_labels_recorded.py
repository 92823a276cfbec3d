"""Labels of a recorded archive: the exchange's outcomes and the agencies' prints must tell one story."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalshi_assets.core.contracts import resolve_specs
from kalshi_assets.core.gates import check_labels_learned_after_release, check_schema_and_keys
from kalshi_assets.core.label_sets import first_print_labels, revised_labels
from kalshi_assets.core.labels import label_table
from kalshi_assets.core.tables import TABLES
from kalshi_assets_tests.core.event_rows import empty, table

ARCHIVE = Path(__file__).parents[3] / "shared" / "archive" / "macro-run"
STATISTICS = {"CPIAUCNS_PC1": ("CPIAUCNS", "pc1"), "UNRATE": ("UNRATE", "lin")}

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not ARCHIVE.is_dir(), reason="no recorded archive beside the project"),
]


def read(name: str) -> list[dict[str, Any]]:
    return list(pq.read_table(ARCHIVE / f"{name}.parquet").to_pylist())


def lake() -> dict[str, pa.Table]:
    macro = [
        {
            "series_id": STATISTICS[r["series_id"]][0], "units": STATISTICS[r["series_id"]][1], "value": r["value"],
            "observation_date": r["observation_date"], "vintage_date": r["released_at"].date(),
            "ts": r["released_at"], "known_at": r["released_at"],
        }
        for r in read("macro_observations") if r["series_id"] in STATISTICS
    ]  # fmt: skip
    first = {}
    for r in sorted(macro, key=lambda r: r["known_at"]):
        first.setdefault((r["series_id"], r["observation_date"]), r["known_at"])
    statistic_of = {"KXCPIYOY": "CPIAUCNS", "KXU3": "UNRATE"}
    events = []
    for e in read("events"):
        if e["series_ticker"] in statistic_of:
            period = datetime.strptime(e["strike_period"], "%B %Y").replace(tzinfo=UTC).date()
            release = first[statistic_of[e["series_ticker"]], period]
            keep = {k: e[k] for k in ("event_ticker", "series_ticker")}
            events.append(keep | {
                "event_date": release.date(), "release_time": release, "release_time_source": "calendar",
                "period": period, "ts": release, "known_at": release - timedelta(days=90),
            })  # fmt: skip
    by_event = {e["event_ticker"]: e for e in events}
    columns = ("ticker", "strike_type", "floor_strike", "cap_strike", "result", "expiration_value", "close_time")
    contracts = [
        {k: m[k] for k in columns} | {
            "event_ticker": m["event_ticker"], "series_ticker": by_event[m["event_ticker"]]["series_ticker"],
            "event_date": by_event[m["event_ticker"]]["event_date"], "status": m["status"], "market_type": "binary",
            "settlement_time": m["settlement_ts"], "ts": m["close_time"],
            "known_at": m["created_time"] or m["open_time"],
        }
        for m in read("markets") if m["event_ticker"] in by_event
    ]  # fmt: skip
    tables = {"events": table("events", events), "macro_observations": table("macro_observations", macro)}
    tables["contracts"] = table("contracts", contracts)
    tables["contract_specs"] = resolve_specs(tables["contracts"])
    return tables


def test_the_print_lies_within_what_the_contracts_settled() -> None:
    t = lake()
    labels = label_table(
        t["events"], t["macro_observations"], t["contracts"], empty("distributions"), t["contract_specs"]
    )  # fmt: skip
    first = first_print_labels(labels).table
    assert first.num_rows == t["events"].num_rows
    assert first.num_rows >= 50
    settled = [r for r in labels.to_pylist() if r["settled_lo"] is not None or r["settled_hi"] is not None]
    assert len({r["event_ticker"] for r in settled}) >= 50
    for r in settled:
        assert r["settled_lo"] is None or r["settled_lo"] <= r["first_print"], r
        assert r["settled_hi"] is None or r["first_print"] <= r["settled_hi"], r
    dates = sorted(set(labels["event_date"].to_pylist()))
    assert all(g.passed for g in check_labels_learned_after_release(labels, dates))
    assert all(g.passed for g in check_schema_and_keys(TABLES["labels"], labels, dates))


def test_unemployment_revisions_are_seen_only_when_they_came() -> None:
    t = lake()
    labels = label_table(
        t["events"], t["macro_observations"], t["contracts"], empty("distributions"), t["contract_specs"]
    )  # fmt: skip
    assert revised_labels(labels, datetime(2025, 1, 1, tzinfo=UTC)).table.num_rows == 0
    assert revised_labels(labels, datetime(2027, 1, 1, tzinfo=UTC)).table.num_rows == 35
