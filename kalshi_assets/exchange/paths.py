"""Names as segments of a URL path; nothing else belongs here."""

from __future__ import annotations

from urllib.parse import quote

from kalshi_assets.errors import UsageError


def segment(name: str) -> str:
    """A ticker, percent-encoded whole: old tickers hold spaces, commas and ``>``.

    Raises:
        UsageError: an empty name, or one of dots, which would name another path.
    """
    if not name or not name.strip("."):
        raise UsageError(f"{name!r} is not a ticker.")
    return quote(name, safe="")
