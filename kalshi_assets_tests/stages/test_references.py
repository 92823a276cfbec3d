"""Reference files on their way into the lake: kept, put aside, refused, and never in a run's way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kalshi_assets.errors import UsageError
from kalshi_assets.stages.references import import_and_record, import_file, import_folder, reference_state, sentences
from kalshi_assets.store.lake import Lake

NOW = datetime(2024, 12, 31, 12, tzinfo=UTC)
HEAD = "series_ticker,period,consensus,known_at\n"
ROWS = "".join(f"KXU3,2024-0{m}-01,4.{m},2024-0{m}-28T12:00Z\n" for m in range(1, 6))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "references" / "consensus").mkdir(parents=True)
    return tmp_path / "references"


def test_a_folder_is_taken_in_once(lake: Lake, folder: Path) -> None:
    (folder / "consensus" / "ours.csv").write_text(HEAD + ROWS)
    (folder / "consensus" / "notes.txt").write_text("not looked at")
    (done,) = import_folder(lake, folder, now=NOW, run_id="a")
    assert (done.state, done.n_rows, done.sentence) == ("accepted", 5, "")
    assert lake.read("consensus")["consensus"].to_pylist() == [4.1, 4.2, 4.3, 4.4, 4.5]
    versions = lake.versions()
    assert import_folder(lake, folder, now=NOW + timedelta(days=1), run_id="b") == [done]
    assert lake.versions() == versions, "the same bytes change nothing"
    (folder / "consensus" / "ours.csv").write_text(HEAD + ROWS + "KXU3,2024-06-01,4.0,2024-06-28T12:00Z\n")
    assert import_folder(lake, folder, now=NOW, run_id="c")[0].n_rows == 6
    assert lake.read("consensus").num_rows == 6


def test_a_bad_file_stands_beside_a_good_one(lake: Lake, folder: Path) -> None:
    (folder / "consensus" / "a.csv").write_text("what,is,this\n1,2,3\n")
    (folder / "consensus" / "b.csv").write_text(HEAD + ROWS + "KXU3,2024-07-01,4.0,2030-06-28T12:00Z\n")
    (folder / "weather").mkdir()
    refused, partly, unknown = import_folder(lake, folder, now=NOW, run_id="a")
    assert sentences([refused]) == (
        "References: consensus/a.csv was refused: it has the column what, which consensus does not know; its columns "
        "are series_ticker, period, consensus, ts, known_at, source. Runs go on without it.",
    )
    assert (partly.state, partly.n_rows, partly.n_rejected) == ("in_part", 5, 1)
    assert "1 rows were put aside, the first on line 7: known_at lies in the future." in partly.sentence
    assert "weather is no kind of reference" in unknown.sentence
    (reject,) = lake.read("reference_rejects").to_pylist()
    assert (reject["line"], reject["reason"]) == (7, "known_at lies in the future")
    assert {(r["file"], r["state"]) for r in lake.read("reference_files").to_pylist()} == {
        ("a.csv", "refused"), ("b.csv", "in_part"),
    }  # fmt: skip
    state = reference_state(lake)["consensus"]
    assert (state["rows"], state["newest_known_at"]) == (5, datetime(2024, 5, 28, 12, tzinfo=UTC))
    assert len(state["sentences"]) == 2


def test_history_is_not_rewritten(lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "ours.csv"
    file.write_text(HEAD + ROWS)
    import_file(lake, "consensus", file, now=NOW, run_id="a")
    file.write_text(HEAD + ROWS.replace("4.1", "9.9"))
    done = import_file(lake, "consensus", file, now=NOW, run_id="b")
    assert done.state == "refused"
    assert "a correction needs a known_at of its own" in done.sentence
    assert lake.read("consensus")["consensus"][0].as_py() == 4.1
    file.write_text(HEAD + "KXU3,2024-01-01,9.9,2024-02-01T00:00Z\n")
    assert import_file(lake, "consensus", file, now=NOW, run_id="c").state == "accepted"
    assert lake.read("consensus")["consensus"][0].as_py() == 9.9
    before = datetime(2024, 1, 29, tzinfo=UTC)
    assert lake.read("consensus", as_of=before)["consensus"].to_pylist() == [4.1]


def test_every_kind_fits_its_table(lake: Lake, tmp_path: Path) -> None:
    files = {
        "asset_prices": "symbol,date,close\nSP500,2024-07-05,5500\n",
        "asset_bars": "symbol,ts,close,volume,period_s\nES,2024-07-11T12:31:00Z,5600,10,60\n",
        "option_surfaces": "symbol,date,iv_30,put_25d\nSPX,2024-07-05,0.12,0.15\n",
        "fed_funds_futures": "contract_month,date,price\n2024-08-01,2024-07-05,94.67\n",
        "fomc_probabilities": "meeting_date,date,target_mid_pct,probability\n2024-07-31,2024-07-05,5.375,1\n",
        "consensus": HEAD + ROWS,
    }
    for kind, text in files.items():
        file = tmp_path / f"{kind}.csv"
        file.write_text(text)
        done = import_and_record(lake, kind, file, now=NOW)
        assert (done.state, done.n_rejected) == ("accepted", 0), done.sentence
        assert lake.read(kind).num_rows == done.n_rows > 0
    with pytest.raises(UsageError, match="'gold' is no kind of reference"):
        import_and_record(lake, "gold", tmp_path / "consensus.csv", now=NOW)
