from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from kalshi_assets.emulator.archive import SCHEMAS, Archive
from kalshi_assets.emulator.server import serve
from kalshi_assets_tests.emulator.conftest import Client

EVER = {"realtime_start": "1776-07-04", "realtime_end": "9999-12-31"}


def released(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T13:30:00+00:00")


@pytest.fixture(scope="module")
def vintages() -> Any:
    """June's rate was 4.0, then 4.1 from 3 August on; July's came on 2 August; a daily yield."""
    rows = [
        ("UNRATE", date(2024, 6, 1), 4.0, released("2024-07-05"), 0.1),
        ("UNRATE", date(2024, 6, 1), 4.1, released("2024-08-03"), 0.1),
        ("UNRATE", date(2024, 7, 1), 4.3, released("2024-08-02"), 0.1),
        ("PAYEMS_CHG", date(2024, 7, 1), 114.0, released("2024-08-02"), 1.0),
        ("CPIAUCNS_PC1", date(2024, 6, 1), 3.0, released("2024-07-11"), 0.1),
    ]
    names = ("series_id", "observation_date", "value", "released_at", "precision")
    observations = [dict(zip(names, row, strict=True)) for row in rows]
    # 03:00 UTC is still the evening before in New York.
    late = datetime(2024, 7, 3, 3, 0, tzinfo=UTC)
    prices = [{"symbol": "DGS10", "date": date(2024, 7, 2), "close": 4.43, "known_at": late}]
    calendar = [
        {"series_ticker": "KXU3", "release_time": released("2024-08-02"), "flag": None},
        {"series_ticker": "KXU3", "release_time": released("2024-09-06"), "flag": "scheduled"},
        {"series_ticker": "KXU3", "release_time": released("2024-10-04"), "flag": "not_published"},
    ]
    tables = {name: schema.empty_table() for name, schema in SCHEMAS.items()}
    for name, content in (
        ("macro_observations", observations),
        ("asset_prices", prices),
        ("release_calendar", calendar),
    ):
        tables[name] = pa.Table.from_pylist(content, SCHEMAS[name])
    day = "2024-08-01T00:00:00Z"
    cutoff = {"market_settled_ts": day, "trades_created_ts": day, "orders_updated_ts": day}
    now = datetime(2024, 8, 2, 12, 0, tzinfo=UTC).timestamp()
    with serve(Archive("vintages", True, cutoff, tables, {}), now=lambda: now) as server:
        c = Client(server)
        yield c
        c.session.close()


def rows(body: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    return [(o["date"], o["realtime_start"], o["realtime_end"], o["value"]) for o in body["observations"]]


def test_every_vintage_stands_until_the_day_before_the_next(vintages: Client) -> None:
    body = vintages.fred("series/observations", series_id="UNRATE", **EVER)
    assert rows(body) == [
        ("2024-06-01", "2024-07-05", "2024-08-02", "4.0"),
        ("2024-06-01", "2024-08-03", "9999-12-31", "4.1"),
        ("2024-07-01", "2024-08-02", "9999-12-31", "4.3"),
    ]
    assert (body["count"], body["limit"], body["units"]) == (3, 100_000, "lin")


def test_rows_are_clipped_to_the_real_time_period(vintages: Client) -> None:
    body = vintages.fred(
        "series/observations", series_id="UNRATE", realtime_start="2024-07-10", realtime_end="2024-08-02"
    )
    assert rows(body) == [
        ("2024-06-01", "2024-07-10", "2024-08-02", "4.0"),
        ("2024-07-01", "2024-08-02", "2024-08-02", "4.3"),
    ]


def test_without_a_period_only_today_counts(vintages: Client) -> None:
    body = vintages.fred("series/observations", series_id="UNRATE")
    assert rows(body) == [
        ("2024-06-01", "2024-08-02", "2024-08-02", "4.0"),
        ("2024-07-01", "2024-08-02", "2024-08-02", "4.3"),
    ]


def test_transformed_series_and_published_precision(vintages: Client) -> None:
    assert rows(vintages.fred("series/observations", series_id="PAYEMS", units="chg", **EVER))[0][3] == "114"
    assert rows(vintages.fred("series/observations", series_id="CPIAUCNS", units="pc1", **EVER))[0][3] == "3.0"
    for params in ({"series_id": "PAYEMS"}, {"series_id": "NONE"}, {"series_id": "CPIAUCNS_PC1"}):
        body = vintages.fred("series/observations", 400, **params)
        assert body == {"error_code": 400, "error_message": "Bad Request.  The series does not exist."}


def test_daily_series_start_on_the_new_york_day_they_were_known(vintages: Client) -> None:
    body = vintages.fred("series/observations", series_id="DGS10", **EVER)
    assert rows(body) == [("2024-07-02", "2024-07-02", "9999-12-31", "4.43")]


def test_paging_order_and_observation_window(vintages: Client) -> None:
    newest = vintages.fred("series/observations", series_id="UNRATE", sort_order="desc", limit=1, **EVER)
    assert rows(newest)[0][0] == "2024-07-01"
    assert (newest["count"], newest["limit"]) == (3, 1)
    assert len(rows(vintages.fred("series/observations", series_id="UNRATE", offset=2, **EVER))) == 1
    june = vintages.fred("series/observations", series_id="UNRATE", observation_end="2024-06-30", **EVER)
    assert {r[0] for r in rows(june)} == {"2024-06-01"}


def test_a_misspelt_parameter_is_ignored(vintages: Client) -> None:
    plain = vintages.fred("series/observations", series_id="UNRATE")
    assert vintages.fred("series/observations", series_id="UNRATE", vintage_date="2024-07-06") == plain


@pytest.mark.parametrize(
    "key", [None, "", "short", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcde!"]
)
def test_the_key_must_look_like_one(vintages: Client, key: str | None) -> None:
    body = vintages.fred("series/observations", 400, series_id="UNRATE", api_key=key)
    assert body["error_code"] == 400
    assert "api_key" in body["error_message"]


def test_json_must_be_asked_for(vintages: Client) -> None:
    url = f"{vintages.server.fred_url}/series/observations"
    reply = vintages.session.get(url, params={"series_id": "UNRATE", "api_key": "a" * 32}, timeout=5)
    assert reply.status_code == 400
    assert reply.text.startswith("<?xml")


@pytest.mark.parametrize(
    "bad",
    [
        {"limit": 0},
        {"limit": 100_001},
        {"offset": -1},
        {"sort_order": "up"},
        {"units": "x"},
        {"realtime_start": "2024-13-01"},
        {"realtime_start": "2030-01-01", "realtime_end": "2029-01-01"},
    ],
)
def test_wrong_values_are_refused(vintages: Client, bad: dict[str, Any]) -> None:
    assert vintages.fred("series/observations", 400, series_id="UNRATE", **bad)["error_code"] == 400


def test_release_dates(vintages: Client) -> None:
    def days(**params: Any) -> list[str]:
        return [d["date"] for d in vintages.fred("release/dates", release_id=50, **params)["release_dates"]]

    # What was never published is no release date; what lies ahead is one only on request.
    assert days() == ["2024-07-05", "2024-08-02"]
    planned = ["2024-07-05", "2024-08-02", "2024-09-06"]
    assert days(include_release_dates_with_no_data="true") == planned
    assert days(include_release_dates_with_no_data="true", realtime_start="2024-08-03") == planned[2:]
    assert days(include_release_dates_with_no_data="true", sort_order="desc", limit=1) == planned[2:]
    vintages.fred("release/dates", 400, release_id=99999)
    vintages.fred("release/dates", 400)


def test_the_simulated_archive_answers_with_the_facts(client: Client) -> None:
    body = client.fred("series/observations", series_id="CPIAUCNS", units="pc1", observation_start="2025-09-01", **EVER)
    assert rows(body)[:2] == [
        ("2025-09-01", "2025-10-24", "9999-12-31", "3.0"),
        ("2025-11-01", "2025-12-18", "9999-12-31", "2.7"),
    ]
    dates = [
        d["date"] for d in client.fred("release/dates", release_id=10, realtime_start="2025-10-01")["release_dates"]
    ]
    assert dates[:2] == ["2025-10-24", "2025-12-18"]
