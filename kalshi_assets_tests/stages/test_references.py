"""Reference files on their way into the lake: kept, put aside, refused, and never in a run's way."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalshi_assets.errors import DiskFull, StoreError, StoreUnreachable, UsageError
from kalshi_assets.stages.references import import_and_record, import_file, import_folder, reference_state, sentences
from kalshi_assets.store.lake import Lake
from kalshi_assets_tests.stages.test_catalog_corrections import CLOSED, FIRST, LATER, MICROSECOND, pull

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


def test_what_became_of_a_file_is_told_again_when_it_becomes_another_and_stands_as_it_was_before(
    lake: Lake, tmp_path: Path
) -> None:
    file, later = tmp_path / "ours.csv", NOW + timedelta(days=1)
    bad = HEAD + ROWS + "KXU3,2024-07-01,4.0,2030-06-28T12:00Z\n"
    for now, text in ((NOW, bad), (later, HEAD + ROWS), (later, HEAD + ROWS), (later + timedelta(days=1), bad)):
        file.write_text(text)
        import_file(lake, "consensus", file, now=now, run_id="a")
    told = lake.read("reference_files", history=True).to_pylist()
    assert [(r["state"], r["known_at"]) for r in told] == [
        ("in_part", NOW), ("accepted", later), ("in_part", later + timedelta(days=1)),
    ]  # fmt: skip
    assert lake.read("reference_files", as_of=NOW)["state"].to_pylist() == ["in_part"]
    assert lake.read("reference_rejects", history=True)["known_at"].to_pylist() == [NOW]


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


SURFACES = "symbol,date,iv_30\nSPX,2024-07-01,0.1\nSPX,2024-07-02,0.1\n"
LONG = "days,delta,cp_flag,impl_volatility"
BARS = "symbol,ts,close,period_s\nES,2024-07-11T12:31Z,1,60\nES,2024-07-11T12:32Z,1,60\n"


@pytest.mark.parametrize(
    ("kind", "text", "state", "said"),
    [
        ("option_surfaces", SURFACES + "SPX,9999-12-31,0.1\n", "in_part", "on line 4: date lies in the future"),
        ("option_surfaces", SURFACES + "SPX,0001-01-01,0.1\n", "in_part", "on line 4: date lies before 1900"),
        ("option_surfaces", f"symbol,{LONG}\nSPX,30,50,C,0.1\n", "refused", "it lacks the column date"),
        ("option_surfaces", f"date,{LONG}\n2024-07-01,30,50,C,0.1\n", "refused", "it lacks the column symbol"),
        ("asset_bars", BARS + "ES,2024-07-11T12:33Z,1,99999999999999999999\n", "in_part", "period_s cannot be read"),
    ],
)
def test_no_file_stops_an_import(kind: str, text: str, state: str, said: str, lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "given.csv"
    file.write_text(text)
    done = import_file(lake, kind, file, now=NOW, run_id="a")
    assert (done.state, said in done.sentence) == (state, True), done.sentence
    assert lake.read(kind).num_rows == done.n_rows == (0 if state == "refused" else 2)
    assert lake.read("reference_files")["state"].to_pylist() == [state]


def test_what_nobody_foresaw_refuses_the_file(lake: Lake, tmp_path: Path) -> None:
    beyond = pa.array([0, 60_000_000, 2**62], pa.timestamp("us", "UTC"))
    file = tmp_path / "given.parquet"
    pq.write_table(pa.table({"symbol": ["ES"] * 3, "ts": beyond, "close": [1.0] * 3}), file)
    done = import_file(lake, "asset_bars", file, now=NOW, run_id="a")
    assert done.state == "refused"
    assert "asset_bars/given.parquet was refused: it could not be read: " in done.sentence
    assert lake.read("reference_files")["state"].to_pylist() == ["refused"]


@pytest.mark.parametrize("error", [StoreUnreachable, DiskFull, StoreError])
def test_an_error_of_the_lake_is_not_the_files(
    error: type[StoreError], lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Lake.append

    def append(self: Lake, name: str, rows: pa.Table, *, run_id: str) -> object:
        if name == "consensus":
            raise error("no answer")
        return honest(self, name, rows, run_id=run_id)

    (tmp_path / "ours.csv").write_text(HEAD + ROWS)
    monkeypatch.setattr(Lake, "append", append)
    with pytest.raises(error):
        import_file(lake, "consensus", tmp_path / "ours.csv", now=NOW, run_id="a")
    monkeypatch.undo()
    assert lake.read("reference_files").num_rows == 0


def test_a_gap_shows_and_the_file_is_taken_in_once(lake: Lake, folder: Path) -> None:
    (folder / "consensus" / "ours.csv").write_text(HEAD + ROWS.replace("KXU3,2024-03-01,4.3,2024-03-28T12:00Z\n", ""))
    (done,) = import_folder(lake, folder, now=NOW, run_id="a")
    assert (done.state, done.n_rows, done.n_rejected) == ("in_part", 4, 0)
    assert done.sentence.endswith("KXU3 lacks 1 of 5 periods, the first 2024-03-01.")
    later = NOW + timedelta(days=1)
    versions = lake.versions()
    assert import_folder(lake, folder, now=later, run_id="b") == [done]
    assert lake.versions() == versions


def test_a_contradictory_day_is_filed_with_its_line_in_the_file(lake: Lake, tmp_path: Path) -> None:
    points = [f"SPX,2024-07-0{d},30,50,{side}" for d in (1, 2, 3) for side in ("C,0.12", "P,0.14")]
    file = tmp_path / "given.csv"
    file.write_text("\n".join([f"ticker,date,{LONG}", *points, "SPX,2024-07-03,30,50,C,0.50"]))
    done = import_file(lake, "option_surfaces", file, now=NOW, run_id="a")
    assert (done.state, done.n_rows, done.n_rejected) == ("in_part", 2, 1)
    (reject,) = lake.read("reference_rejects").to_pylist()
    assert (reject["line"], "twice with different values" in reject["reason"]) == (6, True)
    assert lake.read("option_surfaces")["date"].to_pylist() == [date(2024, 7, 1), date(2024, 7, 2)]


def own_close(lake: Lake, tmp_path: Path, value: float, now: datetime, **more: str) -> str:
    file = tmp_path / "own.csv"
    columns = {"symbol": "SP500", "date": "2026-11-20", "close": str(value), **more}
    file.write_text(f"{','.join(columns)}\n{','.join(columns.values())}\n")
    return import_file(lake, "asset_prices", file, now=now, run_id="own").state


def closes(lake: Lake) -> list[tuple[float, datetime, str | None]]:
    rows = sorted(lake.read("asset_prices", history=True).to_pylist(), key=lambda r: r["known_at"])
    return [(r["close"], r["known_at"], r["source"]) for r in rows]


def test_an_own_close_that_was_there_first_is_the_only_one(lake: Lake, tmp_path: Path) -> None:
    assert own_close(lake, tmp_path, 5005.0, FIRST) == "accepted"
    for close in (5000.0, 5001.0):
        pull(lake, LATER, close=close)
        assert closes(lake) == [(5005.0, CLOSED, None)]


@pytest.mark.parametrize("more", [{}, {"source": "mine"}])
def test_an_own_close_stands_beside_freds_and_is_the_newer_one(
    lake: Lake, tmp_path: Path, more: dict[str, str]
) -> None:
    pull(lake, FIRST, close=5000.0)
    for _ in range(2):
        assert own_close(lake, tmp_path, 5005.0, FIRST, **more) == "accepted"
        # A restatement of FRED's does not displace it either.
        pull(lake, LATER, close=5001.0)
        both = [(5000.0, CLOSED, "fred"), (5005.0, CLOSED + MICROSECOND, more.get("source"))]
        assert closes(lake) == both
    assert lake.read("asset_prices")["close"].to_pylist() == [5005.0]
    assert own_close(lake, tmp_path, 5006.0, FIRST, **more) == "refused", "of one's own two values"
