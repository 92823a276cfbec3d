"""What the data files hold: every page read, and every stage's rows held against what its gates saw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from kalshi_assets.core.tables import TABLES
from kalshi_assets.doctor.check import Check, failure, ok, skipped, warning
from kalshi_assets.doctor.disk_checks import megabytes
from kalshi_assets.doctor.lake_checks import refill
from kalshi_assets.errors import StoreError, StoreUnreachable
from kalshi_assets.stages.evidence import OUTPUTS, STAGES, data_hashes
from kalshi_assets.store.inspection import NOT_THERE, OTHER_SIZE, FileFault, file_faults
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.past_versions import taken_out
from kalshi_assets.store.repairing import REFILLED
from kalshi_assets.store.snapshots import published

CONTENT, EVIDENCE = "lake.content", "lake.evidence"
# About half a minute of reading on two cores.
READ_BY_DEFAULT_BYTES = 1_000_000_000

_AGAIN = "Run that date again (`kalshi-assets run`)."

# Bytes read so far, and bytes in all.
Progress = Callable[[int, int], None]


def _silent(_done: int, _total: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class StaleDate:
    """A stage's rows of one date that are not those that its gates saw.

    Attributes:
        stage: the stage.
        day: the event date.
        files: the data files that hold them, by table.
        emptied: tables of the stage out of which a repair took rows of that date.
    """

    stage: str
    day: date
    files: Mapping[str, tuple[str, ...]]
    emptied: tuple[str, ...]


def too_large(lake: Lake) -> Check | None:
    """A lake that takes too long to be read unasked; a damaged log counts as empty, since its check names it."""
    size = 0
    for name in TABLES:
        try:
            size += sum(f.size for f in lake.files(name))
        except StoreUnreachable:
            raise
        except StoreError:
            continue
    if size <= READ_BY_DEFAULT_BYTES:
        return None
    return skipped(CONTENT, f"The lake holds {megabytes(size)}, which takes minutes to read.", "Add --deep to read it.")


def check_content(lake: Lake, progress: Progress = _silent) -> list[Check]:
    """Every data file of the newest versions, read to its end."""
    found, files = content_faults(lake, progress)
    return judge_content(files, found)


def content_faults(lake: Lake, progress: Progress = _silent) -> tuple[list[FileFault], int]:
    """The faults of all tables' files, absent ones among them, and the number of files; broken logs are left out."""
    readable: list[str] = []
    files = total = done = 0
    for name in TABLES:
        try:
            listed = lake.files(name)
        except StoreUnreachable:
            raise
        except StoreError:
            continue
        readable.append(name)
        files, total = files + len(listed), total + sum(f.size for f in listed)

    def read(size: int) -> None:
        nonlocal done
        done += size
        progress(done, total)

    return [fault for name in readable for fault in file_faults(lake, name, read=read)], files


def judge_content(files: int, faults: Sequence[FileFault]) -> list[Check]:
    """A failure for each table with a file that is wrong inside; those that are gone are another check's.

    Args:
        files: how many there are.
        faults: what is wrong with them.
    """
    if not files:
        return [skipped(CONTENT, "There is no data file to read.")]
    inside = [f for f in faults if not f.words.startswith((NOT_THERE, OTHER_SIZE))]
    whole = ok(CONTENT, f"{files - len(faults):,} of {files:,} data files were read to the end and are whole.")
    by_table: dict[str, list[FileFault]] = defaultdict(list)
    for fault in inside:
        by_table[fault.table].append(fault)
    return [whole, *(_damage(name, some) for name, some in by_table.items())]


def check_evidence(lake: Lake) -> list[Check]:
    """Every stage's rows, as readers see them, against the hash that its gates filed."""
    stale, dates = stale_dates(lake)
    return judge_evidence(dates, stale)


def stale_dates(lake: Lake) -> tuple[list[StaleDate], int]:
    """The dates of stages whose rows no gate saw as they are, and how many were compared.

    A date whose files cannot be read is left out: reading names the file.

    Raises:
        StoreError: the evidence itself cannot be read.
    """
    seen = published(lake)
    evidence = seen.read("gate_evidence", columns=["asset", "event_date", "data_hash"])
    filed: dict[str, dict[date, set[str]]] = defaultdict(lambda: defaultdict(set))
    for stage, day, text in zip(*(evidence.column(c).to_pylist() for c in evidence.column_names), strict=True):
        filed[stage][day].add(text)
    stale: list[StaleDate] = []
    compared = 0
    for stage in STAGES:
        hashes = _readable_hashes(seen, stage, sorted(filed[stage]))
        compared += len(hashes)
        days = [day for day, text in hashes.items() if text not in filed[stage][day]]
        if days:
            # A whole log each.
            emptied = {table: taken_out(seen, table) for table in OUTPUTS[stage]}
            stale += [_stale(seen, stage, day, emptied) for day in days]
    return stale, compared


def judge_evidence(dates: int, stale: Sequence[StaleDate]) -> list[Check]:
    """A failure for each stage with rows that its gates did not see, a warning where rows are only gone.

    Args:
        dates: stages' dates that were compared.
        stale: those that differ.
    """
    if not dates:
        return [skipped(EVIDENCE, "No stage has filed evidence yet.")]
    same = ok(EVIDENCE, f"{dates - len(stale):,} of {dates:,} stages' dates hold exactly what their gates saw.")
    by_stage: dict[str, list[StaleDate]] = defaultdict(list)
    for one in stale:
        by_stage[one.stage].append(one)
    return [same, *(_unseen(stage, some) for stage, some in by_stage.items())]


def _damage(table: str, faults: Sequence[FileFault]) -> Check:
    more = f" ({len(faults) - 1} more files of this table are damaged)" if len(faults) > 1 else ""
    advice = (
        refill([table])
        if table in REFILLED
        else f"Restore that file from a copy: no run makes the rows of {table} again."
    )
    return failure(f"lake.{table}.content", f"The data file {faults[0].file.path} {faults[0].words}{more}.", advice)


def _unseen(stage: str, stale: Sequence[StaleDate]) -> Check:
    name = f"lake.{stage}.evidence"
    altered = [s for s in stale if not s.emptied]
    first = (altered or stale)[0]
    more = f" (and of {len(stale) - 1} more dates)" if len(stale) > 1 else ""
    if not altered:
        return warning(
            name,
            f"A repair took damaged rows of {first.day}{more} out of {' and '.join(first.emptied)}.",
            f"Run {first.day} again (`kalshi-assets run`); until then no stage reads it.",
        )
    files = " or ".join(path for paths in first.files.values() for path in paths)
    mendable = all(t in REFILLED for t in OUTPUTS[stage])
    if not any(first.files.values()):
        return failure(name, f"{stage} holds nothing of {first.day}{more}, and its gates saw rows.", _AGAIN)
    return failure(
        name,
        f"What {stage} holds of {first.day}{more} is not what its gates saw: {files}.",
        refill(OUTPUTS[stage])
        if mendable
        else "Restore these files from a copy; no run makes all of their rows again.",
    )


def _readable_hashes(lake: Lake, stage: str, dates: Sequence[date]) -> dict[date, str]:
    try:
        return data_hashes(lake, stage, dates)
    except StoreUnreachable:
        raise
    except StoreError:
        if len(dates) < 2:
            return {}
    half = len(dates) // 2
    return _readable_hashes(lake, stage, dates[:half]) | _readable_hashes(lake, stage, dates[half:])


def _stale(lake: Lake, stage: str, day: date, emptied: Mapping[str, Collection[date]]) -> StaleDate:
    files: dict[str, tuple[str, ...]] = {}
    for table in OUTPUTS[stage]:
        position = TABLES[table].partition_by.index("event_date")
        files[table] = tuple(sorted(f.path for f in lake.files(table) if f.partition[position] == day))
    return StaleDate(stage, day, files, tuple(t for t in files if day in emptied[t]))
