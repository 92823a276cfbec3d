"""Ways in which a home gets damaged, each planted by one function on a small whole home.

A function returns what the doctor must name: the check, and a piece of its sentence.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote as escaped

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.tables import TABLES
from kalshi_assets.stages.evidence import GATES, data_hashes, record_evidence
from kalshi_assets.store.encoding import Encoder
from kalshi_assets.store.journal import DownloadJournal
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.registry import record_trials
from kalshi_assets.store.snapshots import record_snapshot
from kalshi_assets.store.transactions import transaction
from kalshi_assets_tests.store.rows import day, quote, table, trial

DAYS = [day(n) for n in range(4)]
ROWS = 40


@dataclass(frozen=True)
class Planted:
    """What the doctor must say.

    Attributes:
        check: the check's name.
        names: what its sentence names.
        state: how bad it is.
    """

    check: str
    names: str
    state: str = "failure"


@dataclass(frozen=True)
class Range:
    """A download."""

    endpoint: str = "/markets/candlesticks"
    key: str = "KXA"
    start_s: int = 0
    end_s: int = 60


def build_home(home: Path) -> None:
    """Quotes of four dates, a stage a date, with evidence and lake snapshots; trials; a download; a run storage."""
    lake = Lake(home / "lake")
    for n, one in enumerate(DAYS):
        fill(lake, n)
        assert lake.event_dates("quotes") == DAYS[: n + 1]
        assert one in DAYS
    with transaction(lake, "trials"):
        record_trials(lake, table("trials", [trial(n, DAYS[0]) for n in range(5)]), "trials")
        snapshot(lake, "walk_forward_folds", "trials")
    journal = DownloadJournal(home / "ingest", "source")
    for page in (1, 2):
        journal.keep(Range(), page, b"body" * 5000, rows=3, cursor="next")
    journal.close()
    (home / "dagster").mkdir()
    with closing(sqlite3.connect(home / "dagster" / "runs.db")) as db:
        db.execute("create table runs (body text)")
        db.executemany("insert into runs values (?)", [("x" * 200,)] * 200)
        db.commit()


def fill(lake: Lake, n: int, **rows_of_others: int) -> None:
    """One stage: quotes of one date, and so many of other series."""
    one, run = DAYS[n], f"run{n}"
    with transaction(lake, run):
        rows = table("quotes", [quote(one, m, bid=f"0.{30 + m}") for m in range(ROWS)])
        others = [quote(one, m, series=name) for name, count in rows_of_others.items() for m in range(count)]
        lake.replace("quotes", pa.concat_tables([rows, table("quotes", others)]), scope=Scope([one]), run_id=run)
        passed = [GateResult(check, one, passed=True, n_rows=ROWS, detail="") for check in GATES["quotes"]]
        record_evidence(lake, "quotes", passed, run_id=run, hashes=data_hashes(lake, "quotes", [one]))
        snapshot(lake, "quotes", run)


def snapshot(lake: Lake, stage: str, run_id: str) -> None:
    record_snapshot(lake, stage=stage, run_id=run_id, code_version="1", config_hash="c")


def data_file(home: Path, n: int = 1, name: str = "quotes") -> Path:
    (path,) = (home / "lake" / name / f"event_date={DAYS[n]}").rglob("*.parquet")
    return path


def log(home: Path, name: str = "quotes") -> Path:
    return home / "lake" / name / "_delta_log"


def entry(home: Path, version: int, name: str = "quotes") -> Path:
    return log(home, name) / f"{version:020d}.json"


def summed_up(home: Path, version: int, name: str = "quotes") -> Path:
    DeltaTable(str(home / "lake" / name), version=version).create_checkpoint()
    return log(home, name) / f"{version:020d}.checkpoint.parquet"


# Data files


def file_removed(home: Path) -> Planted:
    path = data_file(home)
    path.unlink()
    return Planted("lake.quotes", f"{path.name} is not there")


def file_cut_short(home: Path) -> Planted:
    path = data_file(home)
    path.write_bytes(path.read_bytes()[:-100])
    return Planted("lake.quotes", f"{path.name} has another size")


def page_flipped(home: Path) -> Planted:
    """One bit in the prices: it decodes to another price, and the size is the same."""
    path = data_file(home)
    column = pq.read_metadata(path).row_group(0).column(pq.read_schema(path).get_field_index("yes_bid_close_usd"))
    data = bytearray(path.read_bytes())
    data[column.dictionary_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(data)
    return Planted("lake.quotes.content", f"{path.name} cannot be read")


def footer_overwritten(home: Path) -> Planted:
    path = data_file(home)
    data = bytearray(path.read_bytes())
    data[-200:-8] = bytes(192)
    path.write_bytes(data)
    return Planted("lake.quotes.content", f"{path.name} cannot be read")


def foreign_file(home: Path) -> Planted:
    """A whole Parquet file with other columns, filled up to the very size."""
    path = data_file(home)
    size = path.stat().st_size
    room = size - len(_foreign(0))
    content = next(c for n in range(room, 0, -1) if len(c := _foreign(n)) == size)
    path.write_bytes(content)
    return Planted("lake.quotes.content", f"{path.name} cannot be read (no column")


def other_values(home: Path) -> Planted:
    """A whole file of the same size, keys and times, with two prices exchanged: only the gates' evidence knows."""
    rows = _stored(home)
    bids = rows.column("yes_bid_close_usd")
    path = _exchange(home, "yes_bid_close_usd", bids.take(pa.array([1, 0, *range(2, ROWS)])))
    return Planted("lake.quotes.evidence", path.name)


def rows_doubled(home: Path) -> Planted:
    """An entry that adds a file is there twice, the second time with a copy of the file."""
    path = data_file(home)
    copy = path.with_name(path.name.replace("part-", "xopy-"))
    shutil.copy(path, copy)
    last = max(log(home).glob("*.json"))
    added = next(a for f in log(home).glob("*.json") for a in map(json.loads, f.read_text().splitlines())
                 if "add" in a and a["add"]["path"].endswith(escaped(path.name)))  # fmt: skip
    added["add"]["path"] = added["add"]["path"].replace("part-", "xopy-")
    last.write_text(f"{last.read_text().rstrip()}\n{json.dumps(added)}\n")
    return Planted("lake.quotes.content", f"{copy.name} holds rows that are there twice")


def other_contract(home: Path) -> Planted:
    """A whole file of the same size with another contract's rows."""
    path = _exchange(home, "ticker", pc.replace_substring(_stored(home).column("ticker"), "T2.5", "T3.5"))
    return Planted("lake.quotes.content", f"{path.name} holds ticker")


def file_moved(home: Path) -> Planted:
    """A file in the folder of another date than its rows are of."""
    path = data_file(home, 1)
    path.rename(data_file(home, 2).with_name(path.name))
    return Planted("lake.quotes", f"event_date={DAYS[1]}")


def ledger_flipped(home: Path) -> Planted:
    path = data_file(home, 0, "trials")
    data = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(pq.read_schema(path).get_field_index("config_hash"))
    data[column.dictionary_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(data)
    return Planted("lake.trials.content", path.name)


# Logs


def entry_emptied(home: Path) -> Planted:
    """What a power cut leaves of a file that was named before it was written. delta-rs reads on as if nothing were."""
    entry(home, 2).write_bytes(b"")
    return Planted("lake.quotes.log", f"quotes/_delta_log/{2:020d}.json is empty")


def entry_garbled(home: Path) -> Planted:
    path = entry(home, 2)
    path.write_bytes(path.read_bytes()[:-40])
    return Planted("lake.quotes.log", f"quotes/_delta_log/{2:020d}.json cannot be read")


def entry_of_no_action(home: Path) -> Planted:
    """Whole JSON that is no action: delta-rs reads on, and the table lacks a date."""
    entry(home, 2).write_text('{"odd":{}}\n')
    return Planted("lake.quotes.log", f"quotes/_delta_log/{2:020d}.json holds what is no action of a log")


def entry_missing(home: Path) -> Planted:
    entry(home, 2).unlink()
    return Planted("lake.quotes.log", f"quotes/_delta_log/{2:020d}.json is not there")


def last_entry_missing(home: Path) -> Planted:
    """A table's folder from an older copy: it opens, and holds less than the lake snapshots say."""
    entry(home, 4).unlink()
    return Planted("lake.snapshot", "quotes 4")


def checkpoint_garbled(home: Path) -> Planted:
    path = summed_up(home, 3)
    path.write_bytes(path.read_bytes()[:200])
    return Planted("lake.quotes.log", f"{path.name} cannot be read")


def checkpoint_incomplete(home: Path) -> Planted:
    """It decodes, and a file of the table is missing from it."""
    path = summed_up(home, 3)
    rows = pq.read_table(path)
    added = [i for i, a in enumerate(rows["add"].to_pylist()) if a is not None]
    pq.write_table(rows.take([i for i in range(rows.num_rows) if i != added[0]]), path)
    return Planted("lake.quotes.log", f"{path.name} names other data files")


def checkpoint_garbled_without_entries(home: Path) -> Planted:
    """Another engine had removed the entries that it sums up."""
    path = checkpoint_without_entries(home)
    path.write_bytes(bytes(500))
    return Planted("lake.quotes.log", f"{path.name} cannot be read")


def checkpoint_without_entries(home: Path) -> Path:
    path = summed_up(home, 3)
    for version in range(4):
        entry(home, version).unlink()
    return path


def hint_of_no_checkpoint(home: Path) -> Planted:
    summed_up(home, 3).unlink()
    return Planted("lake.quotes.log", "_last_checkpoint names a checkpoint of version 3")


def hint_garbled(home: Path) -> Planted:
    summed_up(home, 3)
    (log(home) / "_last_checkpoint").write_text("{")
    return Planted("lake.quotes.log", "_last_checkpoint cannot be read", "warning")


def records_hint_garbled(home: Path) -> Planted:
    """The records of lake snapshots are a table with a log as well."""
    summed_up(home, 2, "_snapshots").unlink()
    return Planted("lake._snapshots.log", "_snapshots/_delta_log/_last_checkpoint")


# What runs leave


def stray_file(home: Path) -> Planted:
    path = data_file(home).with_name("part-00000-stray.parquet")
    shutil.copy(data_file(home), path)
    return Planted("lake.strays", path.name, "warning")


def note_torn(home: Path) -> Planted:
    (home / "lake" / "_transaction").write_text('{"pid": 7, "run_')
    return Planted("lake.stage", "was cut short", "warning")


def stage_broken_off(home: Path) -> Planted:
    """A writer that was killed between its commit and its lake snapshot."""
    lake = Lake(home / "lake")
    note = {"pid": 4_000_000, "run_id": "killed", "sequence": 6, "versions": lake.versions()}
    lake.replace("quotes", table("quotes", [quote(DAYS[0], 1)]), scope=Scope([DAYS[0]]), run_id="killed")
    (home / "lake" / "_transaction").write_text(json.dumps(note))
    return Planted("lake.stage", "run killed", "warning")


def last_entry_torn(home: Path) -> Planted:
    """As before, and the power cut tore the commit."""
    planted = stage_broken_off(home)
    assert planted.check == "lake.stage"
    entry(home, 5).write_bytes(b"")
    return Planted("lake.quotes.log", f"{5:020d}.json is empty")


def record_altered(home: Path) -> Planted:
    """A lake snapshot that names other versions than its id was made of."""
    path = max((home / "lake" / "_snapshots").glob("*.parquet"), key=lambda p: pq.read_table(p)["sequence"][0].as_py())
    rows = pq.read_table(path)
    place = rows.schema.get_field_index("versions_json")
    pq.write_table(rows.set_column(place, rows.schema.field(place), pa.array(['{"quotes":1}'])), path)
    return Planted("lake.snapshot", "was altered")


def journal_garbled(home: Path) -> Planted:
    path = home / "ingest" / "downloads.sqlite"
    data = bytearray(path.read_bytes())
    data[1000:] = bytes(len(data) - 1000)
    path.write_bytes(data)
    return Planted("lake.downloads", "ingest/downloads.sqlite is damaged")


def journal_page_garbled(home: Path) -> Planted:
    """SQLite finds nothing wrong with a body that cannot be unpacked."""
    with closing(sqlite3.connect(home / "ingest" / "downloads.sqlite")) as db:
        db.execute("update pages set body = x'00112233' where page = 2")
        db.commit()
    return Planted("lake.downloads", "/markets/candlesticks KXA")


def run_storage_garbled(home: Path) -> Planted:
    path = home / "dagster" / "runs.db"
    data = bytearray(path.read_bytes())
    data[4096:8192] = bytes(b ^ 0x5A for b in data[4096:8192])
    path.write_bytes(data)
    return Planted("dagster.files", "runs.db is damaged")


def _stored(home: Path) -> pa.Table:
    return Lake(home / "lake").read("quotes", event_dates=[DAYS[1]], bookkeeping=True)


def _exchange(home: Path, column: str, values: pa.ChunkedArray) -> Path:
    """Put a whole file of the same size, with other values in one column, in the place of a date's file."""
    path, rows = data_file(home), _stored(home)
    place = rows.schema.get_field_index(column)
    rows = rows.set_column(place, rows.schema.field(place), values)
    written = Encoder(TABLES["quotes"], Lake(home / "lake").filesystem).write((DAYS[1], "KXCPIYOY"), rows)
    assert written.size == path.stat().st_size
    (home / "lake" / written.path).replace(path)
    return path


def _foreign(filler: int) -> bytes:
    rows, sink = pa.table({"x": list(range(ROWS))}), pa.BufferOutputStream()
    with pq.ParquetWriter(sink, rows.schema, store_schema=False) as writer:
        writer.write_table(rows)
        writer.add_key_value_metadata({"filler": "x" * filler})
    return bytes(sink.getvalue().to_pybytes())


# Those that the repair mends without a run: afterwards everything is as it was.
MENDED: tuple[Callable[[Path], Planted], ...] = (
    checkpoint_garbled,
    checkpoint_incomplete,
    hint_of_no_checkpoint,
    hint_garbled,
    records_hint_garbled,
    stray_file,
    note_torn,
    stage_broken_off,
    last_entry_torn,
    rows_doubled,
    journal_garbled,
    journal_page_garbled,
)
# Those whose rows the repair takes out, for a run to fill in again.
REFILLED: tuple[Callable[[Path], Planted], ...] = (
    file_removed,
    file_cut_short,
    page_flipped,
    footer_overwritten,
    foreign_file,
    other_values,
    other_contract,
    file_moved,
)
# Those that only a copy mends.
REFUSED: tuple[Callable[[Path], Planted], ...] = (
    ledger_flipped,
    entry_emptied,
    entry_garbled,
    entry_of_no_action,
    entry_missing,
    checkpoint_garbled_without_entries,
    record_altered,
)
# Those that are not the repair's.
LEFT: tuple[Callable[[Path], Planted], ...] = (last_entry_missing, run_storage_garbled)
