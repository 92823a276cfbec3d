from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalshi_assets.emulator.archive import SCHEMAS, load_archive
from kalshi_assets.errors import ArchiveError


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "archive"))


def test_reads_every_kind_and_leaves_missing_ones_empty(folder: Path) -> None:
    archive = load_archive(folder)
    assert archive.simulated is True
    assert archive.tables["candlesticks"].num_rows > 1000
    assert archive.tables["fed_funds_futures"].num_rows == 0
    assert set(archive.tables) == set(SCHEMAS)
    assert all(t.schema.equals(SCHEMAS[n]) for n, t in archive.tables.items())


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no archive folder"):
        load_archive(tmp_path / "nowhere")


def test_folder_without_archive_json_is_half_written(folder: Path) -> None:
    (folder / "archive.json").unlink()
    with pytest.raises(ArchiveError, match="half-written"):
        load_archive(folder)


@pytest.mark.parametrize("text", ["{", "[1]", '{"format": 2}', "{}"])
def test_broken_or_unknown_archive_json(folder: Path, text: str) -> None:
    (folder / "archive.json").write_text(text)
    with pytest.raises(ArchiveError, match=r"archive\.json"):
        load_archive(folder)


def test_missing_cutoff(folder: Path) -> None:
    about = json.loads((folder / "archive.json").read_text())
    del about["historical_cutoff"]["trades_created_ts"]
    (folder / "archive.json").write_text(json.dumps(about))
    with pytest.raises(ArchiveError, match="historical_cutoff"):
        load_archive(folder)


@pytest.mark.parametrize("keep", [0, 3, 5000])
def test_truncated_parquet(folder: Path, keep: int) -> None:
    path = folder / "candlesticks.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArchiveError, match=r"candlesticks\.parquet is not a whole Parquet file"):
        load_archive(folder)


def test_fewer_rows_than_announced(folder: Path) -> None:
    path = folder / "trades.parquet"
    pq.write_table(pq.read_table(path).slice(0, 5), path)
    with pytest.raises(ArchiveError, match="half-written"):
        load_archive(folder)


def test_missing_column(folder: Path) -> None:
    path = folder / "markets.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["close_time", "status"]), path)
    with pytest.raises(ArchiveError, match="close_time, status"):
        load_archive(folder)


def test_null_where_a_value_is_due(folder: Path) -> None:
    path = folder / "events.parquet"
    table = pq.read_table(path)
    column = pa.array([None, *table["series_ticker"].to_pylist()[1:]], pa.string())
    table = table.drop_columns(["series_ticker"]).append_column("series_ticker", column)
    pq.write_table(table, path)
    with pytest.raises(ArchiveError, match="series_ticker has 1 empty"):
        load_archive(folder)


def test_column_of_another_kind(folder: Path) -> None:
    path = folder / "series.parquet"
    table = pq.read_table(path)
    table = table.drop_columns(["fee_multiplier"]).append_column("fee_multiplier", pa.array(["x"] * table.num_rows))
    pq.write_table(table, path)
    with pytest.raises(ArchiveError, match="fee_multiplier"):
        load_archive(folder)
