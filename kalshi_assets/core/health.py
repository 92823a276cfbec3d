"""One row a series on how whole its data are at a moment; what to do about it is a person's decision.

Only counts of rows that are there already: fetching, gates and verdicts do not belong here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.ordering import last_of_each
from kalshi_assets.core.tables import TABLES

# Labels of a release that is older than this should be there.
DUE_AFTER = timedelta(days=1)


def health_rows(
    report_date: date,
    now: datetime,
    *,
    series: Sequence[str],
    events: pa.Table,
    labels: pa.Table,
    coverage: pa.Table,
    rejected: pa.Table,
    evidence: pa.Table,
    newest_quotes: dict[str, datetime],
) -> pa.Table:
    """Rows of table ``health``: one a series, in the order given.

    Args:
        report_date: the day that the report is filed under.
        now: the moment of the report.
        series: the series to report on.
        events: newest rows of ``events``.
        labels: newest rows of ``labels``; an event counts as labelled with a first print or a settlement.
        coverage: rows of ``coverage``; an event is incomplete when any of its rows says so.
        rejected: rows of ``rejected_rows``.
        evidence: rows of ``gate_evidence``; of each gate and date the newest result counts, for every series that
            has an event on that date.
        newest_quotes: newest ``known_at`` of ``quotes`` by series; a series without quotes is absent.
    """
    failed = _failed_gates(evidence)
    rows = [
        _row(
            ticker,
            now,
            _of(events, ticker),
            _of(labels, ticker),
            _of(coverage, ticker),
            _of(rejected, ticker).num_rows,
            failed,
            newest_quotes.get(ticker),
        )
        for ticker in series
    ]
    stamped = [{**row, "report_date": report_date, "ts": now, "known_at": now} for row in rows]
    return pa.Table.from_pylist(stamped, schema=TABLES["health"].schema)


def _row(
    ticker: str,
    now: datetime,
    events: pa.Table,
    labels: pa.Table,
    coverage: pa.Table,
    n_rejected: int,
    failed: dict[date, int],
    newest_quote: datetime | None,
) -> dict[str, Any]:
    release = {
        r["event_ticker"]: r["release_time"] for r in events.select(["event_ticker", "release_time"]).to_pylist()
    }
    known = pc.or_(
        pc.is_valid(labels["first_print"]), pc.or_(*(pc.is_valid(labels[c]) for c in ("settled_lo", "settled_hi")))
    )
    labelled = set(labels["event_ticker"].filter(known).to_pylist())
    explained = set(labels["event_ticker"].filter(pc.is_valid(labels["unlabelled_reason"])).to_pylist())
    released = {e for e, t in release.items() if t <= now}
    overdue = {e for e in released - labelled - explained if release[e] <= now - DUE_AFTER}
    short = coverage.filter(pc.fill_null(pc.equal(coverage["complete"], False), False))
    incomplete = set(short["event_ticker"].to_pylist())
    listed = coverage.filter(pc.equal(coverage["endpoint"], "markets"))
    n_failed = sum(failed.get(day, 0) for day in set(events["event_date"].to_pylist()))
    problems = []
    if overdue:
        problems.append(f"{len(overdue)} released events have no label a day later, the first is {min(overdue)}.")
    if incomplete:
        first = short.sort_by([("event_ticker", "ascending"), ("endpoint", "ascending")])
        problems.append(f"{len(incomplete)} events are incomplete: {first['event_ticker'][0]}: {first['reason'][0]}.")
    if n_failed:
        problems.append(f"{n_failed} gate results failed on its dates (table gate_evidence).")
    if n_rejected:
        problems.append(f"{n_rejected} impossible rows were put aside (table rejected_rows).")
    return {
        "series_ticker": ticker,
        "n_events": len(release),
        "n_released": len(released),
        "n_labelled": len(labelled & set(release)),
        "n_overdue": len(overdue),
        "n_incomplete": len(incomplete),
        "contracts_expected": pc.sum(listed["expected"]).as_py() or 0,
        "contracts_received": pc.sum(listed["received"]).as_py() or 0,
        "n_rejected_rows": n_rejected,
        "n_failed_gates": n_failed,
        "newest_quote": newest_quote,
        "next_release": min((t for t in release.values() if t > now), default=None),
        "problems": problems,
    }


def _of(table: pa.Table, ticker: str) -> pa.Table:
    return table.filter(pc.equal(table["series_ticker"], ticker))


def _failed_gates(evidence: pa.Table) -> dict[date, int]:
    """By event date, how many gates failed when they last spoke."""
    newest = evidence.filter(pa.array(last_of_each(evidence, ("asset", "check_name", "event_date"), ["known_at"])))
    counted: dict[date, int] = {}
    for day in newest["event_date"].filter(pc.invert(newest["passed"])).to_pylist():
        counted[day] = counted.get(day, 0) + 1
    return counted
