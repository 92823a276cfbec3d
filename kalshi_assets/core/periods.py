"""Which reference period an event is about, read from what the exchange says of it.

Calendar arithmetic only; release times belong to the release calendar.
"""

from __future__ import annotations

import re
from datetime import date

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            ("january", "jan"),
            ("february", "feb"),
            ("march", "mar"),
            ("april", "apr"),
            ("may",),
            ("june", "jun"),
            ("july", "jul"),
            ("august", "aug"),
            ("september", "sep", "sept"),
            ("october", "oct"),
            ("november", "nov"),
            ("december", "dec"),
        ),
        start=1,
    )
    for name in names
}
_MONTH_YEAR = re.compile(r"\b([A-Za-z]{3,9})\.?,?\s+(\d{4})\b")
_QUARTER = re.compile(r"\bQ([1-4])\s+(\d{4})\b", re.IGNORECASE)
_TICKER = re.compile(r"-(\d{2})([A-Z]{3})$")


def reference_period(*texts: str | None, event_ticker: str | None = None) -> tuple[date | None, str]:
    """The first day of the month or quarter that an event is about, and where it was read.

    Args:
        texts: the event's own words, most trustworthy first (strike period, sub-title, title).
        event_ticker: read last, since the exchange warns against reading meaning into tickers.

    Returns:
        The day and ``"text"`` or ``"ticker"``; ``(None, "none")`` when nothing names a period.
    """
    for text in texts:
        if text and (found := _in_text(text)):
            return found, "text"
    match = _TICKER.search(event_ticker or "")
    if match and (month := _MONTHS.get(match.group(2).lower())):
        return date(2000 + int(match.group(1)), month, 1), "ticker"
    return None, "none"


def _in_text(text: str) -> date | None:
    for match in _MONTH_YEAR.finditer(text):
        if month := _MONTHS.get(match.group(1).lower()):
            return date(int(match.group(2)), month, 1)
    quarter = _QUARTER.search(text)
    return date(int(quarter.group(2)), 3 * int(quarter.group(1)) - 2, 1) if quarter else None
