"""An event as it was known while its ladder grew: one version whenever more of it, or something else, became known.

What an event says of its contracts rests on those that were listed by then and on what they said then, so it
comes from their versions, not from today's listing. What becomes of a version that is held already is
``core.contract_history``'s.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa


class _Version(NamedTuple):
    known_at: datetime
    ticker: str
    open_time: datetime
    close_time: datetime


def event_versions(events: pa.Table, contracts: pa.Table) -> pa.Table:
    """Each event at each time at which more of it became known.

    Args:
        events: rows of table ``events``, with any further columns: one for each release of an event,
            known since that was effective.
        contracts: rows of table ``contracts``, all versions. A contract is known from its first one on, and
            opens and closes when its newest one by then says.

    Returns:
        Rows in the columns of ``events``, by event in the order given and then by ``known_at``, with
        ``n_contracts``, ``listed_at`` and ``close_time`` of the contracts as they were known by then: one when
        a release or a contract became known, and one when its contracts opened or closed at other times. The
        first row is known once a release and a contract are; an event without any contract has none.
    """
    listed = _listed(contracts)
    releases: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in events.to_pylist():
        releases[row["event_ticker"]].append(row)
    rows = []
    for event, stated in releases.items():
        stated.sort(key=lambda r: r["known_at"])
        effective = [r["known_at"] for r in stated]
        said, there, before = deque(listed[event]), {}, None
        for moment in sorted({*effective, *(v.known_at for v in said)}):
            born = moment in effective
            while said and said[0].known_at <= moment:
                version = said.popleft()
                born |= version.ticker not in there
                there[version.ticker] = version
            release = bisect_right(effective, moment) - 1
            if not there or release < 0:
                continue
            span = min(v.open_time for v in there.values()), max(v.close_time for v in there.values())
            if born or span != before:
                counted = {"n_contracts": len(there), "listed_at": span[0], "close_time": span[1]}
                rows.append({**stated[release], "ts": moment, "known_at": moment, **counted})
            before = span
    return pa.Table.from_pylist(rows, schema=events.schema)


def _listed(contracts: pa.Table) -> dict[str, list[_Version]]:
    """By event, what was said of its contracts, in the order in which it became known."""
    listed: dict[str, list[_Version]] = defaultdict(list)
    columns = contracts.select(["event_ticker", *_Version._fields]).sort_by([("known_at", "ascending")]).to_pylist()
    for row in columns:
        listed[row.pop("event_ticker")].append(_Version(**row))
    return listed
