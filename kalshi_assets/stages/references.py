"""Brings reference files into the lake: options, prices, futures and consensus that the user supplies.

Files lie in a folder a kind, or are named on the command line. Each is judged
whole (``macro.reference_checks``); what is refused or put aside is filed with
its reason, and nothing here ever stops a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import time_column, times
from kalshi_assets.core.corrections import REFERENCE_FILES, REFERENCE_REJECTS, corrected
from kalshi_assets.core.ordering import key_numbers
from kalshi_assets.core.strategy import StrategyConfig
from kalshi_assets.core.tables import TABLES
from kalshi_assets.core.trading_sessions import Sessions
from kalshi_assets.errors import RowsRefused, UsageError
from kalshi_assets.macro.option_quotes import by_day, is_long_surface
from kalshi_assets.macro.reference_checks import Checked, check_reference
from kalshi_assets.macro.reference_files import SUFFIXES, read_reference_file, sha256_of
from kalshi_assets.macro.reference_formats import REFERENCE_FORMATS
from kalshi_assets.macro.reference_gaps import SessionsOf
from kalshi_assets.macro.source import PUBLISHER
from kalshi_assets.macro.trading_days import calendars_installed, trading_sessions
from kalshi_assets.stages.commit import code_version
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.snapshots import record_snapshot
from kalshi_assets.store.transactions import transaction

ACCEPTED, IN_PART, REFUSED = "accepted", "in_part", "refused"


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """What became of one file.

    Attributes:
        kind: the kind of reference.
        file: the file's name.
        state: ``accepted``, ``in_part`` (rows were put aside, or some are missing) or ``refused``.
        n_rows: rows that the lake now holds from it.
        n_rejected: rows put aside.
        newest_known_at: greatest ``known_at`` of its rows; None where it has none.
        sentence: what a person should know; empty where all is well.
    """

    kind: str
    file: str
    state: str
    n_rows: int
    n_rejected: int
    newest_known_at: datetime | None
    sentence: str

    def as_json(self) -> dict[str, Any]:
        """The answer as one JSON-ready object."""
        newest = self.newest_known_at
        return {**asdict(self), "newest_known_at": newest.isoformat() if newest else None}


def import_and_record(lake: Lake, kind: str, path: Path, *, now: datetime) -> ImportedFile:
    """Import one file as a transaction of its own, and record the lake snapshot from which readers see it.

    Raises:
        UsageError: for a kind that does not exist.
    """
    run_id = f"import-{uuid4().hex[:12]}"
    with transaction(lake, run_id):
        done = import_file(lake, kind, path, now=now, run_id=run_id)
        record_snapshot(
            lake,
            stage="references",
            run_id=run_id,
            code_version=code_version(),
            config_hash=StrategyConfig().config_hash,
        )
    return done


def import_folder(lake: Lake, folder: Path, *, now: datetime, run_id: str) -> list[ImportedFile]:
    """Import every CSV and Parquet file of the folder's kinds; a file whose bytes were taken in before is skipped.

    Args:
        lake: the store.
        folder: holds one folder a kind; need not exist.
        now: the clock.
        run_id: noted in the rows.

    Returns:
        What became of every file that is there now, new or not, by kind and name.
    """
    found: list[ImportedFile] = []
    known = {(r["kind"], r["file"]): r for r in lake.read("reference_files").to_pylist()}
    for kind in REFERENCE_FORMATS:
        place = folder / kind
        files = sorted(p for p in place.iterdir() if p.suffix.lower() in SUFFIXES) if place.is_dir() else []
        for path in files:
            before = known.get((kind, path.name))
            # A row that was put aside because it lay in the future may have come to pass.
            settled = before and before["state"] != REFUSED and not before["n_rejected"]
            if before and settled and before["sha256"] == _hash_or_none(path):
                found.append(_as_recorded(before))
            else:
                found.append(import_file(lake, kind, path, now=now, run_id=run_id))
    found += [
        ImportedFile(place.name, "", REFUSED, 0, 0, None, f"References: {place.name} is no kind of reference; "
                     f"the kinds are {', '.join(REFERENCE_FORMATS)}.")
        for place in (sorted(folder.iterdir()) if folder.is_dir() else [])
        if place.is_dir() and place.name not in REFERENCE_FORMATS
    ]  # fmt: skip
    return found


def import_file(lake: Lake, kind: str, path: Path, *, now: datetime, run_id: str) -> ImportedFile:
    """Import one file; what is wrong with it is in the answer and in the lake, not raised.

    Raises:
        UsageError: for a kind that does not exist.
    """
    if kind not in REFERENCE_FORMATS:
        raise UsageError(f"{kind!r} is no kind of reference: choose among {', '.join(REFERENCE_FORMATS)}.")
    try:
        checked = _judged(kind, path, now)
        rows = _beside_published(lake, checked.rows) if kind == "asset_prices" else checked.rows
        lake.append(kind, rows, run_id=run_id)
        answer = _taken_in(kind, path, checked)
    except (UsageError, RowsRefused) as error:
        reason = str(error).rstrip(".")
        if isinstance(error, RowsRefused):
            reason += "; a correction needs a known_at of its own, later than that of what it corrects"
        checked = None
        sentence = f"References: {kind}/{path.name} was refused: {reason}. Runs go on without it."
        answer = ImportedFile(kind, path.name, REFUSED, 0, 0, None, sentence)
    _file_away(lake, answer, checked, _hash_or_none(path), now, run_id)
    return answer


def _judged(kind: str, path: Path, now: datetime) -> Checked:
    try:
        return _read_and_checked(kind, path, now)
    except UsageError:
        raise
    except Exception as error:  # What a strange file makes of a library's readers is no reason for a run to stop.
        said = next(iter(str(error).splitlines()), "")
        raise UsageError(f"it could not be read: {type(error).__name__}: {said}") from error


def _read_and_checked(kind: str, path: Path, now: datetime) -> Checked:
    raw = read_reference_file(path)
    first_line = 2 if path.suffix.lower() == ".csv" else 1
    form, sessions_of = REFERENCE_FORMATS[kind], _sessions_of()
    if kind == "option_surfaces" and is_long_surface(raw):
        days = by_day(raw, first_line=first_line)
        return check_reference(form, days.rows, now=now, sessions_of=sessions_of, lines=days.lines, faults=days.faults)
    lines = np.arange(raw.num_rows) + first_line
    return check_reference(form, raw, now=now, sessions_of=sessions_of, lines=lines)


def _beside_published(lake: Lake, rows: pa.Table) -> pa.Table:
    """The user's closes; one dated like the publisher's follows it by a microsecond, so that it is the newer one."""
    held = lake.read("asset_prices", history=True)
    published = held.filter(pc.equal(held["source"], PUBLISHER))
    place = ("symbol", "date", "known_at")
    number = key_numbers(pa.concat_tables([published.select(place), rows.select(place)]), place)
    theirs = np.asarray(pc.fill_null(pc.not_equal(rows["source"], PUBLISHER), True), bool)
    taken = theirs & np.isin(number[published.num_rows :], number[: published.num_rows])
    at = rows.schema.get_field_index("known_at")
    return rows.set_column(at, rows.schema.field(at), time_column(times(rows["known_at"]) + taken))


def _sessions_of() -> SessionsOf | None:
    def sessions(calendar: str, first: date, last: date) -> Sessions:
        return trading_sessions(calendar, first, last)

    return sessions if calendars_installed() else None


def _taken_in(kind: str, path: Path, checked: Checked) -> ImportedFile:
    said = [*checked.missing, *checked.remarks]
    if checked.rejected:
        line, reason, _ = checked.rejected[0]
        said.insert(0, f"{len(checked.rejected)} rows were put aside, the first on line {line}: {reason}.")
    return ImportedFile(
        kind=kind,
        file=path.name,
        state=IN_PART if checked.rejected or checked.missing else ACCEPTED,
        n_rows=checked.rows.num_rows,
        n_rejected=len(checked.rejected),
        newest_known_at=pc.max(checked.rows["known_at"]).as_py(),
        sentence=f"References: {kind}/{path.name}: {' '.join(said)}" if said else "",
    )


def _file_away(
    lake: Lake, answer: ImportedFile, checked: Checked | None, sha256: str | None, now: datetime, run_id: str
) -> None:
    row = {
        "kind": answer.kind, "file": answer.file, "state": answer.state, "sha256": sha256, "n_rows": answer.n_rows,
        "n_rejected": answer.n_rejected, "newest_known_at": answer.newest_known_at,
        "sentence": answer.sentence or None, "ts": now, "known_at": now,
    }  # fmt: skip
    rejects = [
        {"kind": answer.kind, "file": answer.file, "sha256": sha256, "line": line, "reason": reason,
         "row_json": written, "ts": now, "known_at": now}
        for line, reason, written in (checked.rejected if checked else ())
    ]  # fmt: skip
    for name, rows, rule in (
        ("reference_files", [row], REFERENCE_FILES),
        ("reference_rejects", rejects, REFERENCE_REJECTS),
    ):
        new = corrected(lake.read(name, history=True), _table(name, rows), rule, received_at=now)
        lake.append(name, new, run_id=run_id)


def reference_state(lake: Lake) -> dict[str, dict[str, Any]]:
    """Rows held and newest ``known_at`` of each kind, and the sentences on its files: what an asset's page shows."""
    files = lake.read("reference_files").to_pylist()
    state: dict[str, dict[str, Any]] = {}
    for kind in REFERENCE_FORMATS:
        known_at = lake.read(kind, columns=["known_at"], history=True)["known_at"]
        state[kind] = {
            "rows": len(known_at),
            "newest_known_at": pc.max(known_at).as_py() if len(known_at) else None,
            "sentences": [r["sentence"] for r in files if r["kind"] == kind and r["sentence"]],
        }
    return state


def _as_recorded(row: dict[str, Any]) -> ImportedFile:
    return ImportedFile(
        row["kind"], row["file"], row["state"], row["n_rows"], row["n_rejected"], row["newest_known_at"],
        row["sentence"] or "",
    )  # fmt: skip


def sentences(files: Sequence[ImportedFile]) -> tuple[str, ...]:
    """What is wrong with some files, a sentence each."""
    return tuple(f.sentence for f in files if f.sentence)


def _hash_or_none(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except UsageError:
        return None


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=TABLES[name].schema)
