from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from kalshi_assets.core.tables import TABLES
from kalshi_assets.http import RetryPolicy, Transport
from kalshi_assets.macro import FactsSource, Fred, FredSource, MacroSource
from kalshi_assets.settings import facts_folder
from kalshi_assets_tests.http.scripted_server import ScriptedServer
from kalshi_assets_tests.macro.fake_fred import FakeFred
from kalshi_assets_tests.macro.test_facts import folder

D = date.fromisoformat


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@contextmanager
def fred_source(fake: FakeFred, facts_dir: Path | None = None) -> Iterator[FredSource]:
    with ScriptedServer(fake) as server, Transport(server.url + "/fred", retry=RetryPolicy(attempts=1)) as transport:
        yield FredSource(Fred(transport, "k" * 32), facts_dir, since=D("2025-01-01"))


FAKE_ROWS = {
    ("UNRATE", "lin"): [
        ("2026-01-01", "2026-02-06", "4.3"),
        ("2026-02-01", "2026-03-06", "4.4"),
        ("2026-01-01", "2026-05-20", "4.2"),  # a revision on no day of release
    ],
    ("PAYEMS", "chg"): [("2026-01-01", "2026-02-06", "130"), ("2026-01-01", "2026-03-06", "126")],
}
RELEASES = {"50": ["2026-02-06", "2026-03-06", "2026-12-04"]}


def test_fred_vintages_in_the_series_own_unit_with_their_times() -> None:
    with fred_source(FakeFred(FAKE_ROWS, RELEASES)) as source:
        table = source.observations(["KXU3", "KXPAYROLLS"])
    assert table.schema.equals(TABLES["macro_observations"].schema)
    got = [(r["series_id"], r["vintage_date"].isoformat(), r["value"], r["known_at"]) for r in table.to_pylist()]
    assert got == [
        ("PAYEMS", "2026-02-06", 130_000.0, utc("2026-02-06T13:30")),
        ("PAYEMS", "2026-03-06", 126_000.0, utc("2026-03-06T13:30")),
        ("UNRATE", "2026-02-06", 4.3, utc("2026-02-06T13:30")),
        ("UNRATE", "2026-05-20", 4.2, utc("2026-05-21T04:00")),
        ("UNRATE", "2026-03-06", 4.4, utc("2026-03-06T13:30")),
    ]


def test_fred_calendar_with_scheduled_days() -> None:
    with fred_source(FakeFred(FAKE_ROWS, RELEASES)) as source:
        table = source.calendar(["KXU3", "KXFED", "KXHIGHNY"])
    assert [(r["period"].isoformat(), r["release_time"]) for r in table.to_pylist()] == [
        ("2026-01-01", utc("2026-02-06T13:30")),
        ("2026-02-01", utc("2026-03-06T13:30")),
        ("2026-11-01", utc("2026-12-04T13:30")),
    ]


def test_each_series_and_release_is_fetched_once() -> None:
    fake = FakeFred(FAKE_ROWS, RELEASES)
    with fred_source(fake) as source:
        for _ in range(2):
            source.calendar(["KXU3", "KXPAYROLLS"])
            source.observations(["KXU3", "KXPAYROLLS"])
    assert len(fake.asked) == 3


def test_packaged_facts_tell_fred_when_a_date_was_announced(tmp_path: Path) -> None:
    fake = FakeFred({("CPIAUCSL", "pch"): []}, {"10": ["2026-02-13"]})
    with fred_source(fake, folder(tmp_path)) as source:
        (row,) = source.calendar(["KXCPI"]).to_pylist()
    assert (row["source"], row["flag"]) == ("packaged_facts", "rescheduled")
    assert row["known_at"] == utc("2026-02-05T05:00")


def test_what_fred_lacks_has_no_rows() -> None:
    with fred_source(FakeFred()) as source:
        assert source.calendar(["KXU3"]).num_rows == 0
        assert source.observations(["KXU3"]).num_rows == 0
        assert source.daily(["SP500"], D("2026-01-01"), D("2026-02-01")).num_rows == 0


def test_daily_closes_are_known_at_the_close_and_holidays_are_absent() -> None:
    rows = [
        ("2026-03-05", "2026-03-06", "4.10"),
        ("2026-03-06", "2026-03-07", "."),
        ("2026-03-09", "2026-03-10", "4.20"),
        ("2026-03-10", "2026-03-11", "4.30"),
    ]
    fake = FakeFred({("DGS10", "lin"): rows})
    with fred_source(fake) as source:
        table = source.daily(["DGS10", "ABSENT"], D("2026-03-05"), D("2026-03-10"))
    assert table.schema.equals(TABLES["asset_prices"].schema)
    assert [(r["symbol"], r["date"].isoformat(), r["close"], r["known_at"]) for r in table.to_pylist()] == [
        ("DGS10", "2026-03-05", 4.1, utc("2026-03-05T21:00")),  # winter time
        ("DGS10", "2026-03-09", 4.2, utc("2026-03-09T20:00")),  # summer time
    ]
    assert all("realtime_start" not in q for _, q in fake.asked)


PRINTS = """series_id,units,observation_date,value,released_on,precision,source
CPIAUCNS,pc1,2026-01-01,2.4,2026-02-13,0.1,Office A
PAYEMS,chg,2026-01-01,-92,2026-02-06,1,Office B
UNRATE,lin,2026-06-01,4.3,2026-07-02,0.1,Office B
"""


def test_packaged_facts_without_a_key(tmp_path: Path) -> None:
    source: MacroSource = FactsSource(folder(tmp_path, prints=PRINTS))
    assert source.provenance == "packaged public facts (no FRED key)"
    assert source.calendar(["KXCPIYOY"])["release_time"].to_pylist() == [utc("2026-02-13T13:30")]
    rows = source.observations(["KXCPIYOY", "KXPAYROLLS", "KXU3", "KXFED"]).to_pylist()
    assert [(r["series_id"], r["value"], r["precision"], r["known_at"]) for r in rows] == [
        ("CPIAUCNS", 2.4, 0.1, utc("2026-02-13T13:30")),
        ("PAYEMS", -92_000.0, 1000.0, utc("2026-02-06T13:30")),
        ("UNRATE", 4.3, 0.1, utc("2026-07-02T12:30")),
    ]
    assert source.observations(["KXU3"])["series_id"].to_pylist() == ["UNRATE"]
    empty = source.daily(["DGS10"], D("2020-01-01"), D("2027-01-01"))
    assert empty.num_rows == 0
    assert empty.schema.equals(TABLES["asset_prices"].schema)


@pytest.mark.parametrize("series", [[], ["KXHIGHNY"], ["NOPE"]])
def test_series_without_a_statistic_have_typed_empty_tables(series: list[str], tmp_path: Path) -> None:
    source = FactsSource(folder(tmp_path, prints=PRINTS))
    assert source.calendar(series).schema.equals(TABLES["release_calendar"].schema)
    assert source.observations(series).schema.equals(TABLES["macro_observations"].schema)
    assert source.calendar(series).num_rows == source.observations(series).num_rows == 0


def test_decisions_come_from_the_packaged_meetings_with_and_without_a_key() -> None:
    with fred_source(FakeFred(), facts_folder()) as source:
        with_key = source.calendar(["KXFED"])
    without = FactsSource(facts_folder()).calendar(["KXFED", "KXHIGHNY"])
    assert with_key.equals(without)
    assert with_key.schema.equals(TABLES["release_calendar"].schema)
    assert set(with_key["series_ticker"].to_pylist()) == {"KXFED"}
    found = {r["period"]: r for r in with_key.to_pylist()}
    summer, winter = found[D("2025-09-01")], found[D("2025-12-01")]
    assert (summer["release_time"], winter["release_time"]) == (utc("2025-09-17T18:00"), utc("2025-12-10T19:00"))
    assert (summer["event_date"], summer["known_at"]) == (D("2025-09-17"), utc("2024-12-02T05:00"))
    assert (summer["source"], summer["flag"]) == ("packaged_facts", "announcement_assumed")
    assert len(found) == with_key.num_rows, "one decision a month"
