"""An as-of time is an instant at every door, and what is none is refused with what to write instead."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kalshi_assets.errors import UsageError
from kalshi_assets.research.store import open_store
from kalshi_assets.store.instants import utc_instant
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.mappings import mapping_as_of
from kalshi_assets.store.sql import open_connection, query
from kalshi_assets_tests.store.rows import at, day, quote, table

CUT = at(2)
WAYS = (CUT, CUT.astimezone(timezone(timedelta(hours=-5))), CUT.isoformat(), f"{CUT:%Y-%m-%dT%H:%M:%S}Z")
NONE = (
    datetime(2024, 10, 10),  # noqa: DTZ001
    "2024-10-10T00:00:00", "2024-10-10", date(2024, 10, 10), np.datetime64("2024-10-10"),
    1728518400, 1728518400.0, "yesterday", "", "2024-10-10T00:00:00+25:00", "0001-01-01T00:00:00+14:00",
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
)  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    rows = table("quotes", [quote(day(0), m) for m in range(5)])
    Lake(tmp_path / "lake").replace("quotes", rows, scope=Scope([day(0)]), run_id="r")
    return tmp_path


def newest(home: Path, as_of: Any) -> list[datetime]:
    """The newest row that each door shows."""
    lake = Lake(home / "lake")
    newest = "select max(known_at) m from quotes"
    with open_connection(lake, as_of=as_of) as connection:
        (own,) = connection.sql(newest).fetchall()[0]
    assert mapping_as_of(lake, as_of).num_rows == 0
    return [
        max(lake.read("quotes", as_of=as_of)["known_at"].to_pylist()),
        query(lake, newest, as_of=as_of)["m"][0].as_py(),
        open_store(as_of, home=home).sql(newest)["m"][0].as_py(),
        own,
    ]


@pytest.mark.parametrize("given", WAYS)
def test_every_door_takes_an_instant_in_any_zone_and_as_text(home: Path, given: Any) -> None:
    assert newest(home, given) == [CUT] * 4
    store = open_store(given, home=home)
    assert (store.as_of, store.as_of.tzinfo) == (CUT, UTC)


@pytest.mark.parametrize("given", NONE, ids=repr)
def test_every_door_says_what_to_write_instead(home: Path, given: Any) -> None:
    lake = Lake(home / "lake")
    for door in (
        lambda: lake.read("quotes", as_of=given),
        lambda: query(lake, "from quotes", as_of=given),
        lambda: open_connection(lake, as_of=given),
        lambda: open_store(given, home=home),
        lambda: mapping_as_of(lake, given),
    ):
        with pytest.raises(UsageError, match="as-of time") as caught:
            door()
        (advice,) = re.findall(r"write one like (\S+),", str(caught.value))
        assert utc_instant(advice) == datetime(2024, 10, 10, 4, tzinfo=UTC)
