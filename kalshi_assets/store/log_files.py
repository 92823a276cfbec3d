"""The files of a table's transaction log, and which of them are damaged.

delta-rs takes an emptied entry for one that changed nothing, and gives up at a checkpoint
that it does not need. So the log's files are looked at one by one here. Opening tables
belongs to ``versions``, mending logs to ``repairing``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from kalshi_assets.errors import StoreUnreachable
from kalshi_assets.store.lake import Lake

HINT = "_last_checkpoint"
_ENTRY = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint.*\.parquet")
# What delta-rs leaves where it is killed between writing an entry and giving it its name.
_UNFINISHED = re.compile(r"_commit_.*\.tmp|.*\.json\.tmp.*|.*#\d+")
_ACTIONS = frozenset({"commitInfo", "metaData", "protocol", "add", "remove", "txn", "domainMetadata", "cdc"})
_READERS = 8


@dataclass(frozen=True, slots=True)
class LogFault:
    """One damaged file of a log.

    Attributes:
        table: the table's folder.
        kind: what file it is; ``gap`` is an entry that is not there.
        path: the file, relative to the lake.
        version: that of the entry or checkpoint; for the hint the one that it names, -1 where it names none.
        words: what is wrong with it.
        blocks: whether the newest version cannot be opened, or is not what was committed.
        spare: whether all that the file says stands in other files of the log.
    """

    table: str
    kind: Literal["entry", "gap", "checkpoint", "hint"]
    path: str
    version: int
    words: str
    blocks: bool
    spare: bool


class LogFiles:
    """The log of one table as its files are now.

    Args:
        lake: the lake.
        name: the table's folder.
    """

    def __init__(self, lake: Lake, name: str) -> None:
        self._lake, self._name = lake, name
        listed = [
            info
            for info in lake.filesystem.get_file_info(pafs.FileSelector(f"{name}/_delta_log", allow_not_found=True))
            if info.type == pafs.FileType.File
        ]
        self.entries: dict[int, str] = {int(m.group(1)): i.path for i in listed if (m := _ENTRY.fullmatch(i.base_name))}
        self.checkpoints: dict[int, list[str]] = {}
        for info in listed:
            if m := _CHECKPOINT.fullmatch(info.base_name):
                self.checkpoints.setdefault(int(m.group(1)), []).append(info.path)
        self.hint = next((i.path for i in listed if i.base_name == HINT), None)
        self.unfinished = [i for i in listed if _UNFINISHED.fullmatch(i.base_name)]

    @property
    def newest(self) -> int:
        """The newest version of which there is a file; -1 without any."""
        return max((*self.entries, *self.checkpoints), default=-1)

    def run_of(self, version: int) -> str | None:
        """The run that a version's entry is marked with; None where it is not, or cannot be read."""
        actions = _actions(self._lake, self.entries[version]) if version in self.entries else ""
        marks = [a["commitInfo"].get("run_id") for a in actions if isinstance(a, dict) and "commitInfo" in a]
        return str(marks[0]) if marks and marks[0] is not None else None

    @cached_property
    def faults(self) -> list[LogFault]:
        """Every damaged file, entries first."""
        broken = self._broken_entries
        wrong = self._wrong_checkpoints
        whole = [c for c in self.checkpoints if c not in wrong]
        covered = max(whole, default=-1)
        first = min(self.entries, default=self.newest + 1)
        found = [
            self._fault("entry", self.entries[v], v, words, blocks=v > covered) for v, words in sorted(broken.items())
        ]
        missing = [v for v in range(first, self.newest + 1) if v not in self.entries]
        # Other engines remove the oldest entries once a checkpoint says what they said.
        gaps = missing if first == 0 or any(c >= first - 1 for c in self.checkpoints) else [0, *missing]
        found += [
            self._fault("gap", f"{self._name}/_delta_log/{v:020d}.json", v, "is not there", blocks=v > covered)
            for v in gaps
        ]
        lost = {*broken, *(v for v in range(self.newest + 1) if v not in self.entries)}
        found += [
            self._fault(
                "checkpoint",
                self.checkpoints[v][0],
                v,
                words,
                blocks=v == max(self.checkpoints),
                spare=_replays(v, whole, lost),
            )
            for v, words in sorted(wrong.items())
        ]
        hint = self._hint_fault()
        return [*found, hint] if hint else found

    def _fault(
        self,
        kind: Literal["entry", "gap", "checkpoint", "hint"],
        path: str,
        version: int,
        words: str,
        *,
        blocks: bool,
        spare: bool = False,
    ) -> LogFault:
        return LogFault(self._name, kind, path, version, words, blocks, spare)

    @cached_property
    def _parsed(self) -> Mapping[int, list[dict[str, Any]] | str]:
        """The actions of each entry; a text says why they cannot be read."""
        with ThreadPoolExecutor(_READERS) as pool:
            numbers = sorted(self.entries)
            return dict(zip(numbers, pool.map(lambda v: _actions(self._lake, self.entries[v]), numbers), strict=True))

    @property
    def _broken_entries(self) -> dict[int, str]:
        return {v: words for v, words in self._parsed.items() if isinstance(words, str)}

    @property
    def _wrong_checkpoints(self) -> dict[int, str]:
        wrong: dict[int, str] = {}
        for version, paths in sorted(self.checkpoints.items()):
            try:
                named = {p for path in paths for p in self._added(path)}
            except StoreUnreachable:
                raise
            except (OSError, pa.ArrowException, KeyError) as error:
                wrong[version] = f"cannot be read ({_first_line(error)})"
                continue
            replayed = self._files_at(version)
            if replayed is not None and replayed != named:
                wrong[version] = "names other data files than the entries before it"
        return wrong

    def _added(self, path: str) -> list[str]:
        with self._lake.filesystem.open_input_file(path) as source:
            rows = pq.ParquetFile(source).read()
            return [a["path"] for a in rows.column("add").to_pylist() if a is not None and a["path"] is not None]

    def _files_at(self, version: int) -> set[str] | None:
        """The data files of a version by its entries alone; None where one of them is damaged or gone."""
        files: set[str] = set()
        for v in range(version + 1):
            actions = self._parsed.get(v)
            if actions is None or isinstance(actions, str):
                return None
            files -= {a["remove"]["path"] for a in actions if "remove" in a}
            files |= {a["add"]["path"] for a in actions if "add" in a}
        return files

    def _hint_fault(self) -> LogFault | None:
        if self.hint is None:
            return None
        try:
            with self._lake.filesystem.open_input_file(self.hint) as source:
                version = json.loads(source.read())["version"]
            if not isinstance(version, int):
                raise TypeError("its version is no number")
        except StoreUnreachable:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            return self._fault(
                "hint", self.hint, -1, f"cannot be read ({_first_line(error)})", blocks=False, spare=True
            )
        if version in self.checkpoints:
            return None
        words = f"names a checkpoint of version {version}, which is not there"
        # What stands before a checkpoint that was removed may be gone with it; then entries are missing as well.
        return self._fault("hint", self.hint, version, words, blocks=True, spare=True)


def log_files(lake: Lake, names: Collection[str]) -> list[LogFiles]:
    """The logs of some folders, those without a log left out."""
    return [log for name in names if (log := LogFiles(lake, name)).newest >= 0 or log.hint is not None]


def _replays(version: int, whole: Collection[int], lost: Collection[int]) -> bool:
    """Whether a version follows from an earlier checkpoint, or from nothing, by entries that are whole."""
    base = max((c for c in whole if c < version), default=-1)
    return not any(base < v <= version for v in lost)


def _actions(lake: Lake, path: str) -> list[dict[str, Any]] | str:
    try:
        with lake.filesystem.open_input_file(path) as source:
            text = source.read()
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    except StoreUnreachable:
        raise
    except (OSError, ValueError) as error:
        return f"cannot be read ({_first_line(error)})"
    if not lines:
        return "is empty"
    if not all(isinstance(line, dict) and len(line.keys() & _ACTIONS) == 1 for line in lines):
        return "holds what is no action of a log"
    for line in lines:
        for kind in ("add", "remove"):
            if kind in line and not isinstance(line[kind].get("path") if isinstance(line[kind], dict) else None, str):
                return "adds or removes a file without naming it"
    return lines


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
