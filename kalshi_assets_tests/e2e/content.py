"""The content of a lake, for comparing homes."""

from kalshi_assets.core.tables import TABLES
from kalshi_assets.store.lake import Lake

# The log of requests says what a run did, so it is no content of the data.
CONTENT = [name for name in TABLES if name != "ingest_log"]


def content(home, tables=CONTENT):
    """One hash a table and event date."""
    lake = Lake(home / "lake")
    return {name: lake.content_hash(name) for name in tables}


def versions(home):
    """The Delta version of each table."""
    held = Lake(home / "lake").versions()
    return {name: held[name] for name in CONTENT if name in held}
