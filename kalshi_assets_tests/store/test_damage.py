"""Damaged files and logs are named in a sentence, never read as if they were whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalshi_assets.errors import StoreError
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.sql import query
from kalshi_assets_tests.store.rows import day, macro, quote, table


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    rows = table("quotes", [quote(day(d), m) for d in range(2) for m in range(50)])
    lake.replace("quotes", rows, scope=Scope([day(0), day(1)]), run_id="r")
    return lake


def data_file(root: Path, d: int) -> Path:
    (path,) = (root / f"quotes/event_date={day(d)}").rglob("*.parquet")
    return path


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_bytes(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4:200] = bytes(b ^ 0xFF for b in data[4:200])
    path.write_bytes(data)


def other_rows(path: Path) -> None:
    pq.write_table(pq.ParquetFile(path).read()[:7], path)


def other_columns(path: Path) -> None:
    pq.write_table(pa.table({"x": list(range(50))}), path)


@pytest.mark.parametrize("damage", [Path.unlink, cut_short, flip_bytes, other_rows, other_columns])
def test_a_damaged_data_file_is_named_and_a_rewrite_heals_it(lake: Lake, tmp_path: Path, damage) -> None:
    path = data_file(tmp_path, 1)
    damage(path)
    with pytest.raises(StoreError, match=path.name):
        lake.read("quotes")
    with pytest.raises(StoreError, match=path.name):
        query(lake, "select * from quotes")
    assert lake.read("quotes", event_dates=[day(0)]).num_rows == 50
    rows = table("quotes", [quote(day(1), m) for m in range(50)])
    assert lake.replace("quotes", rows, scope=Scope([day(1)]), run_id="again").changed
    assert lake.read("quotes").num_rows == 100


def test_an_upsert_does_not_write_over_what_it_cannot_read(lake: Lake, tmp_path: Path) -> None:
    cut_short(data_file(tmp_path, 0))
    with pytest.raises(StoreError, match=r"\.parquet"):
        lake.upsert("quotes", table("quotes", [quote(day(0), 99)]), run_id="r")


@pytest.mark.parametrize("text", ["", "{", '{"add": 1}\n'])
def test_a_damaged_log_is_named(lake: Lake, tmp_path: Path, text: str) -> None:
    (tmp_path / "quotes/_delta_log/00000000000000000000.json").write_text(text)
    for act in (lambda: lake.read("quotes"), lambda: lake.version("quotes"), lambda: query(lake, "from quotes")):
        with pytest.raises(StoreError, match="quotes/_delta_log"):
            act()
    with pytest.raises(StoreError, match="quotes/_delta_log"):
        lake.replace("quotes", table("quotes", []), scope=Scope([day(0)]), run_id="r")


def test_a_lost_log_is_not_an_empty_table(lake: Lake, tmp_path: Path) -> None:
    for f in (tmp_path / "quotes/_delta_log").iterdir():
        f.unlink()
    with pytest.raises(StoreError, match="quotes/_delta_log"):
        lake.read("quotes")
    shutil.rmtree(tmp_path / "quotes/_delta_log")
    with pytest.raises(StoreError, match="has data files but no log"):
        lake.read("quotes")


def test_a_creation_cut_short_before_its_first_log_entry_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "macro_observations/_delta_log").mkdir(parents=True)
    lake = Lake(tmp_path)
    assert lake.version("macro_observations") is None
    lake.upsert("macro_observations", table("macro_observations", [macro(day(0), 0, 1.0)]), run_id="r")
    assert lake.read("macro_observations").num_rows == 1


def test_a_table_of_another_schema_is_refused(tmp_path: Path) -> None:
    from deltalake import write_deltalake

    write_deltalake(str(tmp_path / "series"), pa.table({"x": [1]}))
    with pytest.raises(StoreError, match="other columns"):
        Lake(tmp_path).read("series")


def test_a_root_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="quotes"):
        Lake(tmp_path / "file").replace(
            "quotes", table("quotes", [quote(day(0), 1)]), scope=Scope([day(0)]), run_id="r"
        )
