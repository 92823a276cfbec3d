"""An archive with another future: the same up to a time, and after it nothing as it was.

Belongs here: rewriting what an archive says of later times, a release that is put off among it.
Running both and comparing them is the test's business.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kalshi_assets.core.series import SERIES_FACTS
from kalshi_assets.core.tables import TIME
from kalshi_assets.macro.new_york import NEW_YORK, start_of_day

_CANDLE_KEY = ("ticker", "period_interval", "end_period_ts")
_OUTCOME = ("result", "expiration_value", "settlement_value_dollars", "volume")
_CLOSING = ("close_time", "expected_expiration_time", "latest_expiration_time", "settlement_ts")


@dataclass(frozen=True)
class Release:
    """A release that is put off.

    Attributes:
        release_id: of the statistic.
        events: tickers of the events about it.
        at: when it was due.
    """

    release_id: int
    events: tuple[str, ...]
    at: datetime


def releases(archive: Path) -> list[Release]:
    """The releases that an archive has ladders about, in order of time."""
    events = {r["event_ticker"]: r["series_ticker"] for r in pq.read_table(archive / "events.parquet").to_pylist()}
    closes: dict[str, datetime] = {}
    for row in pq.read_table(archive / "markets.parquet").to_pylist():
        closes[row["event_ticker"]] = row["close_time"]
    found: dict[tuple[int, datetime], list[str]] = {}
    for event, series in sorted(events.items()):
        statistic = SERIES_FACTS[series].statistic
        assert statistic is not None
        # Trading stops five minutes before the print.
        found.setdefault((statistic.release_id, closes[event] + timedelta(minutes=5)), []).append(event)
    return sorted((Release(i, tuple(e), at) for (i, at), e in found.items()), key=lambda r: (r.at, r.release_id))


def another_future(
    archive: Path, facts: Path, out: Path, moment: datetime, moved: Release, rng: np.random.Generator
) -> tuple[Path, Path]:
    """Copy an archive and the facts beside it, with everything after a time made up.

    Candles and trades change places, some go, prints and closes get other values, results and closing times of
    contracts change, and one release is put off by some days, announced at the end of the day of ``moment``.

    Args:
        archive: the archive.
        facts: the packaged facts.
        out: folder for both copies.
        moment: nothing known up to it changes.
        moved: a release that lies after it.
        rng: source of what is made up.

    Returns:
        The new archive and the new facts.
    """
    shutil.copytree(archive, out / "archive")
    shutil.copytree(facts, out / "facts")
    later = timedelta(days=int(rng.integers(4, 10)))
    rewrite = _Rewriting(out / "archive", moment, rng)
    rewrite.mixed("candlesticks", "end_period_ts", but=_CANDLE_KEY)
    rewrite.mixed("trades", "created_time", only=("yes_price", "no_price", "count"))
    rewrite.mixed("macro_observations", "released_at", only=("value",))
    if (archive / "asset_prices.parquet").is_file():
        rewrite.mixed("asset_prices", "known_at", only=("close",))
    rewrite.mixed("markets", "settlement_ts", only=_OUTCOME)
    for name in _CLOSING:
        rewrite.delayed("markets", name, lambda row: later if row["event_ticker"] in moved.events else None)
    rewrite.delayed("macro_observations", "released_at", lambda row: later if row["released_at"] == moved.at else None)
    rewrite.delayed("release_calendar", "release_time", lambda row: later if row["release_time"] == moved.at else None)
    rewrite.counted()
    _put_off(out / "facts" / "release_calendar.csv", moved, moved.at + later, announced=_day_of(moment))
    return out / "archive", out / "facts"


class _Rewriting:
    """The tables of one archive, of which everything after a time is rewritten."""

    def __init__(self, archive: Path, moment: datetime, rng: np.random.Generator) -> None:
        self._archive, self._moment, self._rng = archive, moment, rng

    def mixed(self, name: str, time: str, *, only: tuple[str, ...] = (), but: tuple[str, ...] = ()) -> None:
        """Rows after the time swap some columns (all ``but`` some); of tables without a key of results some rows go."""
        table = pq.read_table(self._archive / f"{name}.parquet")
        after = np.flatnonzero(self._later(table[time]))
        place = np.arange(table.num_rows)
        place[after] = self._rng.permutation(after)
        for column in only or [c for c in table.column_names if c not in but]:
            at = table.schema.get_field_index(column)
            table = table.set_column(at, table.schema.field(at), table[column].take(pa.array(place)))
        if name in ("candlesticks", "trades"):
            gone = self._rng.permutation(after)[: after.size // 10]
            table = table.take(pa.array(np.delete(np.arange(table.num_rows), gone)))
        pq.write_table(table, self._archive / f"{name}.parquet", compression="zstd")

    def delayed(self, name: str, time: str, by: Any) -> None:
        """Times after the time move: by what is said of the row, else, of contracts, by an hour or so."""
        table = pq.read_table(self._archive / f"{name}.parquet")
        rows = table.to_pylist()
        for row, after in zip(rows, self._later(table[time]).tolist(), strict=True):
            if after:
                said = by(row)
                row[time] += said or timedelta(minutes=int(self._rng.integers(0, 90)) if name == "markets" else 0)
        pq.write_table(
            pa.Table.from_pylist(rows, schema=table.schema), self._archive / f"{name}.parquet", compression="zstd"
        )

    def counted(self) -> None:
        """How many rows there are now, where the archive says it."""
        about = self._archive / "archive.json"
        said = json.loads(about.read_text("utf-8"))
        said["rows"] = {name: pq.read_metadata(self._archive / f"{name}.parquet").num_rows for name in said["rows"]}
        about.write_text(json.dumps(said), "utf-8")

    def _later(self, column: Any) -> np.ndarray:
        if pa.types.is_integer(column.type):
            return np.asarray(column) > self._moment.timestamp()
        return np.asarray(pc.fill_null(pc.greater(column, pa.scalar(self._moment, TIME)), False))


def _put_off(calendar: Path, moved: Release, to: datetime, *, announced: date) -> None:
    """A calendar in which one release was planned for its day and then for another."""
    due, lines = _day_of(moved.at).isoformat(), []
    for line in calendar.read_text("utf-8").splitlines():
        cells = line.split(",")
        if cells[0] == str(moved.release_id) and cells[2] == due and cells[-1] in ("", "rescheduled", "scheduled"):
            then = to.astimezone(NEW_YORK)
            lines.append(",".join([*cells[:-1], "superseded"]))
            again = [*cells[:2], then.date().isoformat(), then.strftime("%H:%M"), announced.isoformat(), cells[5]]
            lines.append(",".join([*again, "rescheduled"]))
        else:
            lines.append(line)
    calendar.write_text("\n".join(lines) + "\n", "utf-8")


def _day_of(moment: datetime) -> date:
    return moment.astimezone(NEW_YORK).date()


def midnight_before(moment: datetime) -> datetime:
    """The New York midnight that begins the day of a time, a microsecond before it."""
    return start_of_day(_day_of(moment)).astimezone(UTC) - timedelta(microseconds=1)
