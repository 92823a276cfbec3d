"""An event as it was known while its ladder grew: one version whenever a contract or another release became known.

What an event says of its contracts rests on those that were listed by then, so it comes from
their versions, not from today's listing. What becomes of a version that is held already is
``core.contract_history``'s.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from datetime import datetime
from typing import Any

import pyarrow as pa

from kalshi_assets.core.columns import newest_versions


def event_versions(events: pa.Table, contracts: pa.Table) -> pa.Table:
    """Each event at each time at which more of it became known.

    Args:
        events: rows of table ``events``, with any further columns: one for each release of an event,
            known since that was effective.
        contracts: rows of table ``contracts``, all versions. A contract is known from its first one on; when
            it opens and closes is what its newest one says.

    Returns:
        Rows in the columns of ``events``, by event in the order given and then by ``known_at``, with
        ``n_contracts``, ``listed_at`` and ``close_time`` of the contracts that were known by then. The
        first row is known once a release and a contract are; an event without any contract has none.
    """
    listed = _listed(contracts)
    releases: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in events.to_pylist():
        releases[row["event_ticker"]].append(row)
    rows = []
    for event, stated in releases.items():
        stated.sort(key=lambda r: r["known_at"])
        known, effective = listed[event], [r["known_at"] for r in stated]
        for moment in sorted({*effective, *(born for born, _, _ in known)}):
            there = [(opens, closes) for born, opens, closes in known if born <= moment]
            release = bisect_right(effective, moment) - 1
            if there and release >= 0:
                rows.append(
                    {
                        **stated[release],
                        "ts": moment,
                        "known_at": moment,
                        "n_contracts": len(there),
                        "listed_at": min(opens for opens, _ in there),
                        "close_time": max(closes for _, closes in there),
                    }
                )
    return pa.Table.from_pylist(rows, schema=events.schema)


def _listed(contracts: pa.Table) -> dict[str, list[tuple[datetime, datetime, datetime]]]:
    """By event, when each of its contracts became known, opens and closes."""
    first = contracts.group_by("ticker").aggregate([("known_at", "min")])
    born = dict(zip(first["ticker"].to_pylist(), first["known_at_min"].to_pylist(), strict=True))
    listed: dict[str, list[tuple[datetime, datetime, datetime]]] = defaultdict(list)
    wanted = ["event_ticker", "ticker", "open_time", "close_time"]
    for row in newest_versions(contracts, "ticker").select(wanted).to_pylist():
        listed[row["event_ticker"]].append((born[row["ticker"]], row["open_time"], row["close_time"]))
    return listed
