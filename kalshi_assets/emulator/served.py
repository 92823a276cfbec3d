"""An archive as the loopback exchange serves it: indexed once, read by every route."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kalshi_assets.emulator.archive import Archive
from kalshi_assets.emulator.candles import CandleBook
from kalshi_assets.emulator.catalog import Catalog
from kalshi_assets.emulator.trades import TradeTape
from kalshi_assets.errors import UsageError

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class ServedArchive:
    """What the routes work on.

    Attributes:
        archive: the archive itself.
        catalog: series, events, markets and their tiers.
        candles: candlesticks.
        trades: trades.
        replay_clock: Unix seconds of the replayed exchange, or None where the archive is shown as recorded.
    """

    archive: Archive
    catalog: Catalog
    candles: CandleBook
    trades: TradeTape
    replay_clock: Clock | None

    def now(self) -> float | None:
        """The replayed instant; None where nothing is hidden."""
        return None if self.replay_clock is None else self.replay_clock()

    def clock(self) -> float:
        """The clock against which signatures are judged."""
        return time.time() if self.replay_clock is None else self.replay_clock()


def index_archive(
    archive: Archive,
    *,
    now: Clock | None = None,
    cutoff: Mapping[str, str] | None = None,
    overlap_s: float = 0.0,
) -> ServedArchive:
    """Index an archive for serving.

    Args:
        archive: the archive.
        now: replays the archive at this clock: later candles, trades and outcomes are hidden.
        cutoff: moves the boundary of the tiers, by field of ``/historical/cutoff``.
        overlap_s: seconds before the cutoff in which a settled market is on both tiers.

    Raises:
        UsageError: a cutoff that is no RFC 3339 time.
    """
    moved = {**archive.historical_cutoff, **(cutoff or {})}
    candles = CandleBook(archive.tables["candlesticks"])
    try:
        return ServedArchive(
            archive=archive,
            catalog=Catalog(archive, candles, moved, overlap_s),
            candles=candles,
            trades=TradeTape(archive.tables["trades"], moved["trades_created_ts"]),
            replay_clock=now,
        )
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"The historical cutoff {moved} holds something that is no RFC 3339 time ({error})."
        ) from error
