"""Data files: what is in them, what the log says of them, and that nothing is lost on the way."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from kalshi_assets.core.tables import TABLES
from kalshi_assets.store import encoding
from kalshi_assets.store.drafts import stamp
from kalshi_assets.store.encoding import TS_RISES, Encoder, NewFile
from kalshi_assets_tests.store.rows import at, day, quote, table

MOMENT = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
PARTITION = (day(0), "KXCPIYOY")


def written(folder: Path, rows: pa.Table, partition: tuple[object, ...] = PARTITION) -> NewFile:
    filesystem = pafs.SubTreeFileSystem(str(folder), pafs.LocalFileSystem())
    return Encoder(TABLES["quotes"], filesystem).write(partition, stamp(rows, "run-1", MOMENT))


def columns_of(file: Path) -> dict[str, pq.ColumnChunkMetaData]:
    group = pq.read_metadata(file).row_group(0)
    return {c.path_in_schema: c for c in (group.column(i) for i in range(group.num_columns))}


def test_texts_and_prices_are_dictionaries_and_what_grows_are_differences(tmp_path: Path) -> None:
    rows = table("quotes", [quote(day(0), m % 999, strike=f"T{m // 999}", bid="0.41") for m in range(3000)])
    columns = columns_of(tmp_path / written(tmp_path, rows).path)
    for name in ("ticker", "source", "yes_bid_close_usd", "run_id"):
        assert "RLE_DICTIONARY" in columns[name].encodings
    for name in ("ts", "known_at", "period_s", "volume_contracts", "recorded_at"):
        assert "DELTA_BINARY_PACKED" in columns[name].encodings
        assert "RLE_DICTIONARY" not in columns[name].encodings
    assert columns["yes_bid_close_usd"].physical_type == "INT32"
    assert columns["volume_contracts"].physical_type == "INT64"
    assert {c.compression for c in columns.values()} == {"ZSTD"}
    assert {n for n, c in columns.items() if c.is_stats_set} == {
        "event_ticker", "ticker", "source", "period_s", "ts", "known_at",
    }  # fmt: skip


def test_a_few_rows_are_not_worth_compressing(tmp_path: Path) -> None:
    columns = columns_of(tmp_path / written(tmp_path, table("quotes", [quote(day(0), 1)])).path)
    assert {c.compression for c in columns.values()} == {"UNCOMPRESSED"}


def test_the_file_holds_the_rows_with_their_types_and_bookkeeping(tmp_path: Path) -> None:
    rows = table("quotes", [quote(day(0), m, bid=bid) for m, bid in enumerate(["0.123456", None, "-1.000000"])])
    got = pq.ParquetFile(tmp_path / written(tmp_path, rows).path).read()
    assert got.drop_columns(["run_id", "recorded_at"]).equals(rows.drop_columns(["event_date", "series_ticker"]))
    assert got["run_id"].to_pylist() == ["run-1"] * 3
    assert got["recorded_at"].to_pylist() == [MOMENT] * 3
    assert not any(pa.types.is_dictionary(f.type) for f in got.schema)


def test_the_log_learns_rows_and_bounds_to_the_microsecond(tmp_path: Path) -> None:
    late = at(5) + timedelta(microseconds=7)
    rows = table("quotes", [quote(day(0), 1, known_at=late, strike="T1"), quote(day(0), 2, strike="T2")])
    file = written(tmp_path, rows)
    said = json.loads(file.statistics)
    assert (file.rows, said["numRecords"]) == (2, 2)
    assert file.size == (tmp_path / file.path).stat().st_size
    assert said["minValues"] == {
        "event_ticker": "KXCPIYOY-24FEB01", "ticker": "KXCPIYOY-24FEB01-T1", "source": "candles", "period_s": 60,
        "ts": "2024-01-01T12:01:00.000000Z", "known_at": "2024-01-01T12:02:00.000000Z",
    }  # fmt: skip
    assert said["maxValues"]["known_at"] == "2024-01-01T12:05:00.000007Z"
    assert said["maxValues"]["ticker"] == "KXCPIYOY-24FEB01-T2"
    assert set(said["nullCount"].values()) == {0}


def test_a_text_too_long_for_an_exact_bound_has_none(tmp_path: Path) -> None:
    for length, bounded in ((63, True), (64, False)):
        file = written(tmp_path, table("quotes", [quote(day(0), 1, ticker="x" * length)]))
        assert ("ticker" in json.loads(file.statistics)["minValues"]) is bounded


def test_the_partition_is_in_the_folder_and_escaped_there(tmp_path: Path) -> None:
    file = written(tmp_path, table("quotes", [quote(day(0), 1)]), (day(0), "a/b=ü"))
    folder = file.path.rpartition("/")[0]
    assert folder == "quotes/event_date=2024-02-01/series_ticker=a%2Fb%3D%C3%BC"
    assert file.path != written(tmp_path, table("quotes", [quote(day(0), 1)]), (day(0), "a/b=ü")).path


@pytest.mark.parametrize(
    ("rows", "rises"),
    [
        ([(1, "T1", 1), (2, "T1", 2), (0, "T2", 1)], b"strictly"),
        ([(1, "T1", 1), (1, "T1", 2), (0, "T2", 1)], b"true"),
        ([(2, "T1", 2), (1, "T1", 3)], None),
        ([(1, "T1", 1), (3, "T2", 3), (2, "T2", 4)], None),
        ([(1, "T1", 1), (1, "T1", 2), (0, "T1", 3)], None),
        ([(5, "T1", 5)], b"strictly"),
    ],
)
def test_the_foot_says_whether_the_last_row_known_is_the_newest(
    tmp_path: Path, rows: list[tuple[int, str, int]], rises: bytes | None
) -> None:
    content = table("quotes", [quote(day(0), ts, strike=strike, known_at=at(known)) for ts, strike, known in rows])
    said = pq.read_metadata(tmp_path / written(tmp_path, content).path).metadata
    assert (said or {}).get(TS_RISES) == rises


def test_a_large_partition_has_several_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "ROW_GROUP_ROWS", 4)
    rows = table("quotes", [quote(day(0), m, strike=f"T{m // 5}") for m in range(10)])
    file = written(tmp_path, rows)
    assert pq.read_metadata(tmp_path / file.path).num_row_groups == 3
    assert json.loads(file.statistics)["maxValues"]["ticker"] == "KXCPIYOY-24FEB01-T1"
