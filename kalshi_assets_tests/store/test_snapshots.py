from __future__ import annotations

from pathlib import Path

import pytest

from kalshi_assets.errors import StoreError
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.snapshots import load_snapshot, record_snapshot
from kalshi_assets_tests.store.rows import day, macro, quote, table


def snap(lake: Lake, run_id: str, **more: str) -> str:
    return record_snapshot(
        lake, **{"stage": "quotes", "run_id": run_id, "code_version": "1", "config_hash": "c", **more}
    )


def test_a_snapshot_names_versions_that_read_as_they_were(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.replace("quotes", table("quotes", [quote(day(0), 1)]), scope=Scope([day(0)]), run_id="r")
    first = snap(lake, "run-1")
    assert snap(lake, "run-2") == first
    lake.replace("quotes", table("quotes", []), scope=Scope([day(0)]), run_id="r")
    lake.upsert("macro_observations", table("macro_observations", [macro(day(0), 0, 1.0)]), run_id="r")
    second = snap(lake, "run-3")
    others = {
        snap(lake, "run-3", stage="labels"),
        snap(lake, "run-3", code_version="2"),
        snap(lake, "r", config_hash="d"),
    }
    assert len({first, second, *others}) == 5
    loaded = load_snapshot(lake, first)
    assert (loaded.run_id, loaded.stage, loaded.versions) == ("run-1", "quotes", {"quotes": 1})
    assert load_snapshot(lake, second).versions == {"quotes": 2, "macro_observations": 1}
    assert lake.at(loaded.versions).read("quotes").num_rows == 1
    assert {p.suffix for p in (tmp_path / "_snapshots").iterdir()} == {".json"}


def test_the_id_depends_on_content_only(tmp_path: Path) -> None:
    assert snap(Lake(tmp_path / "a"), "x") == snap(Lake(tmp_path / "b"), "y")


def test_absent_altered_and_torn_records_are_said(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    snapshot_id = snap(lake, "run-1")
    path = tmp_path / "_snapshots" / f"{snapshot_id}.json"
    text = path.read_text()
    with pytest.raises(StoreError, match="no lake snapshot"):
        load_snapshot(lake, "0" * 32)
    with pytest.raises(StoreError, match="is no lake snapshot"):
        load_snapshot(lake, "../../etc/passwd")
    path.write_text(text.replace('"code_version":"1"', '"code_version":"2"'))
    with pytest.raises(StoreError, match="altered"):
        load_snapshot(lake, snapshot_id)
    path.write_text(text[:20])
    with pytest.raises(StoreError, match="cannot be read"):
        load_snapshot(lake, snapshot_id)
