"""Writers and readers of the load test: each runs in a process of its own and keeps a ledger of what it was told.

A writer notes a write once the lake has acknowledged it, never before. A reader notes what it saw
and the first state that no whole sequence of commits could have left. What both notes must add
up to is ``test_many_writers``'.
"""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake.exceptions import CommitFailedError

from kalshi_assets.errors import StoreError
from kalshi_assets.store import lake as lake_module
from kalshi_assets.store.lake import Commit, Lake, Scope
from kalshi_assets.store.snapshots import newest_snapshot, record_snapshot
from kalshi_assets.store.transactions import transaction
from kalshi_assets_tests.store.rows import at, day, event_fields, label, macro, quote, table, trial

# Event dates of ``quotes``: three for each writer, and three that all of them replace.
SHARED = tuple(day(n) for n in range(90, 93))
# Where all writers add trials, and what the transactions replace.
LEDGER = tuple(day(n) for n in range(8))
PAIRED = tuple(day(n) for n in range(3))
# The bids of one write to ``quotes`` add up to this, over its dates.
TOTAL = Decimal(1)


def own_dates(writer: int) -> tuple[date, ...]:
    return tuple(day(3 * writer + n) for n in range(3))


def bids(rng: random.Random, n: int) -> list[Decimal]:
    """Random bids with the total that readers expect."""
    cuts = sorted(rng.sample(range(1, 1_000_000), n - 1))
    parts = [b - a for a, b in zip([0, *cuts], [*cuts, 1_000_000], strict=True)]
    return [Decimal(p) / 1_000_000 for p in parts]


def quotes_of(writer: int, n: int, dates: Sequence[date], rng: random.Random) -> pa.Table:
    places = [(d, m) for d in dates for m in range(2)]
    prices = bids(rng, len(places))
    named = f"{writer}.{n}"
    return table("quotes", [quote(d, m, strike=named, bid=str(p)) for (d, m), p in zip(places, prices, strict=True)])


def coverage_of(stamp: int) -> pa.Table:
    times = {"endpoint": "candles", "ts": at(0), "known_at": at(0)}
    return table("coverage", [{**event_fields(d), **times, "expected": stamp, "received": stamp} for d in PAIRED])


def labels_of(stamp: int) -> pa.Table:
    return table("labels", [label(d, 0, float(stamp)) for d in PAIRED])


class BrokenOff(Exception):
    """Ends a transaction on purpose."""


class Writer:
    """Writes until a moment, and notes each acknowledged write.

    Attributes:
        refusals: commits that delta-rs refused because the version was there already.
        waits: how often the lake waited before it tried again.
    """

    def __init__(self, root: str, number: int, ledger: Path) -> None:
        self.number = number
        self.rng = random.Random(number)
        self.lake = Lake(root, sleep=self._wait, rng=self.rng)
        self.refusals = 0
        self.waits = 0
        self.n = 0
        self.added: list[tuple[str, date]] = []
        self._file = ledger.open("w", buffering=1)

    def _wait(self, seconds: float) -> None:
        self.waits += 1
        time.sleep(seconds)

    def note(self, kind: str, **more: Any) -> None:
        self._file.write(json.dumps({"kind": kind, "writer": self.number, "n": self.n, **more}) + "\n")

    def acknowledged(self, kind: str, commit: Commit, **more: Any) -> None:
        told = {"table": commit.table, "version": commit.version, "attempts": commit.attempts}
        self.note(kind, **told, changed=commit.changed, **more)

    @property
    def run_id(self) -> str:
        return f"w{self.number}-{self.n}"

    @property
    def stamp(self) -> int:
        return self.n * 100 + self.number

    def add_trial(self) -> None:
        on = self.rng.choice(LEDGER)
        name = f"w{self.number}.{self.n}"
        rows = table("trials", [trial(0, on, trial_id=name)])
        self.acknowledged("add", self.lake.upsert("trials", rows, run_id=self.run_id), key=name)
        self.added.append((name, on))

    def add_again(self) -> None:
        """As a client does that never heard the answer."""
        if self.added:
            name, on = self.rng.choice(self.added)
            rows = table("trials", [trial(0, on, trial_id=name)])
            self.acknowledged("again", self.lake.upsert("trials", rows, run_id=self.run_id), key=name)

    def count_up(self) -> None:
        """A row of its own in a file that all share."""
        rows = table("macro_observations", [macro(day(self.number), 0, float(self.stamp))])
        commit = self.lake.upsert("macro_observations", rows, run_id=self.run_id)
        self.acknowledged("count", commit, value=float(self.stamp))

    def replace_own(self) -> None:
        self._replace("own", own_dates(self.number))

    def replace_shared(self) -> None:
        self._replace("shared", SHARED)

    def _replace(self, kind: str, dates: Sequence[date]) -> None:
        rows = quotes_of(self.number, self.n, dates, self.rng)
        commit = self.lake.replace("quotes", rows, scope=Scope(dates), run_id=self.run_id)
        self.acknowledged(kind, commit, value=f"{self.number}.{self.n}")

    def transact(self) -> None:
        """Two tables that belong together; one transaction in four breaks off before its end."""
        breaks = self.rng.choice([None] * 6 + [1, 2])
        try:
            with transaction(self.lake, self.run_id):
                for i, (name, rows) in enumerate(
                    [("labels", labels_of(self.stamp)), ("coverage", coverage_of(self.stamp))], start=1
                ):
                    commit = self.lake.replace(name, rows, scope=Scope(PAIRED), run_id=self.run_id)
                    self.acknowledged("taken back" if breaks else "paired", commit)
                    if breaks == i:
                        raise BrokenOff
                told = {"run_id": self.run_id, "code_version": "", "config_hash": ""}
                record_snapshot(self.lake, stage=self.run_id, **told)
                newest = newest_snapshot(self.lake)
                assert newest is not None
                self.note("snapshot", sequence=newest.sequence, run_id=newest.run_id, value=self.stamp)
        except BrokenOff:
            self.note("broken off")

    def run(self, until: float) -> None:
        works = [self.add_trial] * 4 + [self.add_again, self.count_up, self.replace_own, self.replace_shared]
        with self._counted():
            while time.time() < until:
                self.n += 1
                work = self.rng.choice([*works, self.transact])
                try:
                    work()
                except StoreError as error:
                    if "was changed by others in each of" not in str(error):
                        raise
                    self.note("given up", work=work.__name__, attempts=lake_module._ATTEMPTS)
        self.note("end", refusals=self.refusals, waits=self.waits)
        self._file.close()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count what delta-rs refuses, apart from what the lake says of it."""
        plain: Callable[..., int] = lake_module.commit_files

        def counting(*args: Any) -> int:
            try:
                return plain(*args)
            except CommitFailedError:
                self.refusals += 1
                raise

        lake_module.commit_files = counting  # type: ignore[assignment]
        try:
            yield
        finally:
            lake_module.commit_files = plain


def write(root: str, number: int, ledger: str, gate: Any, seconds: float) -> None:
    """The life of a writer's process."""
    writer = Writer(root, number, Path(ledger))
    gate.wait()
    writer.run(time.time() + seconds)


def torn(rows: pa.Table, groups: dict[date, object]) -> str | None:
    """What shows that rows of ``quotes`` are not those of whole commits; None where nothing does."""
    held: dict[object, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.to_pylist():
        held[groups[row["event_date"]]].append(row)
    for group, found in held.items():
        strikes = {r["ticker"].rsplit("-", 1)[1] for r in found}
        runs = {r["run_id"] for r in found}
        total = sum(r["yes_bid_close_usd"] for r in found)
        (strike, run), more = (min(strikes), min(runs)), len(strikes) + len(runs) - 2
        if more or len(found) != 6 or total != TOTAL or run != "w" + strike.replace(".", "-"):
            return f"quotes of {group}: {len(found)} rows, strikes {strikes}, runs {runs}, bids {total}"
    missing = set(groups.values()) - held.keys()
    return f"no quotes of {missing}" if missing else None


class Reader:
    """Reads the newest and the published state in turn, and notes the first impossible one."""

    def __init__(self, root: str, writers: int) -> None:
        self.lake = Lake(root)
        self.groups: dict[date, object] = {d: w for w in range(writers) for d in own_dates(w)}
        self.groups |= dict.fromkeys(SHARED, "all")
        self.sequence = 0
        self.versions: dict[str, int] = {}
        self.trials: dict[date, set[str]] = defaultdict(set)
        self.reads = 0
        self.states: set[int] = set()

    def look(self, rng: random.Random) -> str | None:
        self.reads += 1
        return self._newest(rng.choice(LEDGER)) or self._published()

    def _newest(self, on: date) -> str | None:
        odd = torn(self.lake.read("quotes", bookkeeping=True), self.groups)
        names = self.lake.read("trials", event_dates=[on], columns=["trial_id"])["trial_id"].to_pylist()
        if odd is None and len(set(names)) < len(names):
            odd = f"a trial of {on} is there twice"
        if odd is None and not self.trials[on] <= set(names):
            odd = f"trials of {on} are gone: {sorted(self.trials[on] - set(names))[:3]}"
        self.trials[on] = set(names)
        return odd

    def _published(self) -> str | None:
        newest = newest_snapshot(self.lake)
        assert newest is not None
        before, self.versions = self.versions, dict(newest.versions)
        if newest.sequence < self.sequence or any(v > self.versions.get(t, -1) for t, v in before.items()):
            return f"versions went back: {self.sequence} {before} to {newest.sequence} {self.versions}"
        self.sequence = newest.sequence
        lake = self.lake.at(newest.versions)
        told = [*lake.read("labels")["first_print"].to_pylist(), *lake.read("coverage")["expected"].to_pylist()]
        self.states.update(map(int, told))
        if len(told) != 6 or len(set(map(int, told))) != 1:
            return f"half a transaction is published as {newest.sequence}: {told}"
        return torn(lake.read("quotes", bookkeeping=True), self.groups)


def read(root: str, writers: int, ledger: str, gate: Any, seconds: float) -> None:
    """The life of a reader's process."""
    reader, rng, odd = Reader(root, writers), random.Random(writers), None
    gate.wait()
    until = time.time() + seconds
    while time.time() < until and odd is None:
        odd = reader.look(rng)
    notes = {"reads": reader.reads, "states": len(reader.states), "odd": odd}
    Path(ledger).write_text(json.dumps(notes))
