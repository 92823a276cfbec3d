"""FRED behind a scripted server, with real-time periods and paging; assertions do not belong here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from kalshi_assets_tests.http.scripted_server import Reply, Seen

TODAY = "2026-11-22"
END = "9999-12-31"


@dataclass
class FakeFred:
    """Serves vintages and release days put into it.

    ``vintages`` maps (series, units) to rows of (observation date, vintage day, value), all ISO texts.
    """

    vintages: dict[tuple[str, str], list[tuple[str, str, str]]] = field(default_factory=dict)
    releases: dict[str, list[str]] = field(default_factory=dict)
    most: int = 100_000
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def __call__(self, seen: Seen) -> Reply:
        q = {k: v[0] for k, v in seen.query.items()}
        self.asked.append((seen.path, q))
        if "api_key" not in q:
            return _bad("Bad Request. Variable api_key is not set.")
        if seen.path == "/fred/series/observations":
            return self._observations(q)
        if seen.path == "/fred/release/dates":
            return self._dates(q)
        return Reply(404, {"error_code": 404, "error_message": "Not Found."})

    def _observations(self, q: dict[str, str]) -> Reply:
        rows = self.vintages.get((q["series_id"], q.get("units", "lin")))
        if rows is None:
            return _bad("Bad Request. The series does not exist.")
        start, end = q.get("realtime_start", TODAY), q.get("realtime_end", TODAY)
        found = []
        for observed in sorted({r[0] for r in rows}):
            versions = sorted(r[1:] for r in rows if r[0] == observed)
            for i, (vintage, value) in enumerate(versions):
                until = _day_before(versions[i + 1][0]) if i + 1 < len(versions) else END
                if vintage <= end and until >= start and observed >= q.get("observation_start", ""):
                    period = {"realtime_start": max(vintage, start), "realtime_end": min(until, end)}
                    found.append({**period, "date": observed, "value": value})
        return self._page("observations", found, q)

    def _dates(self, q: dict[str, str]) -> Reply:
        if q["release_id"] not in self.releases:
            return _bad("Bad Request. The release does not exist.")
        days = [d for d in sorted(self.releases[q["release_id"]]) if q["realtime_start"] <= d <= q["realtime_end"]]
        if q.get("include_release_dates_with_no_data") != "true":
            days = [d for d in days if d <= TODAY]
        return self._page("release_dates", [{"release_id": int(q["release_id"]), "date": d} for d in days], q)

    def _page(self, key: str, rows: list[dict[str, Any]], q: dict[str, str]) -> Reply:
        offset, limit = int(q["offset"]), min(int(q["limit"]), self.most)
        return Reply(200, {"count": len(rows), "offset": offset, "limit": limit, key: rows[offset : offset + limit]})


def _bad(message: str) -> Reply:
    return Reply(400, {"error_code": 400, "error_message": message})


def _day_before(day: str) -> str:
    return date.fromordinal(date.fromisoformat(day).toordinal() - 1).isoformat()
