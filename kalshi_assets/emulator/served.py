"""An archive as the loopback exchange serves it: indexed once, read by every route."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from kalshi_assets.emulator.archive import Archive
from kalshi_assets.emulator.candles import CandleBook
from kalshi_assets.emulator.catalog import Catalog
from kalshi_assets.emulator.fixed_point import time_text
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
        overlap_s: seconds before the cutoff in which a settled market is on both tiers.
        clock_skew_s: how far the exchange's own clock is ahead.
        maintenance: True where the exchange is being maintained.
    """

    archive: Archive
    catalog: Catalog
    candles: CandleBook
    trades: TradeTape
    replay_clock: Clock | None
    overlap_s: float = 0.0
    clock_skew_s: float = 0.0
    maintenance: bool = False

    def now(self) -> float | None:
        """The replayed instant; None where nothing is hidden."""
        return None if self.replay_clock is None else self.replay_clock()

    def clock(self) -> float:
        """The clock against which signatures are judged, and of the ``Date`` header."""
        return (time.time() if self.replay_clock is None else self.replay_clock()) + self.clock_skew_s

    def moved(self, cutoff: Mapping[str, str]) -> ServedArchive:
        """The same archive under another boundary of the tiers, given by the fields that change."""
        boundary = {**self.catalog.cutoff, **cutoff}
        return replace(
            self,
            catalog=Catalog(self.archive, self.candles, boundary, self.overlap_s),
            trades=self.trades.under(boundary["trades_created_ts"]),
        )


def index_archive(
    archive: Archive,
    *,
    now: Clock | None = None,
    cutoff: Mapping[str, str] | None = None,
    overlap_s: float = 0.0,
    clock_skew_s: float = 0.0,
    maintenance: bool = False,
) -> ServedArchive:
    """Index an archive for serving.

    Args:
        archive: the archive.
        now: replays the archive at this clock: later candles, trades and outcomes are hidden, and the
            archive's boundary of the tiers is where the replay begins, if it is later than that.
        cutoff: moves the boundary of the tiers, by field of ``/historical/cutoff``.
        overlap_s: seconds before the cutoff in which a settled market is on both tiers.
        clock_skew_s: how far the exchange's own clock is ahead.
        maintenance: True where the exchange is being maintained.

    Raises:
        UsageError: a cutoff that is no RFC 3339 time.
    """
    boundary = dict(archive.historical_cutoff)
    candles = CandleBook(archive.tables["candlesticks"])
    try:
        if now is not None:
            start = datetime.fromtimestamp(now(), UTC)
            boundary = {k: v if datetime.fromisoformat(v) <= start else time_text(start) for k, v in boundary.items()}
        boundary |= cutoff or {}
        return ServedArchive(
            archive=archive,
            catalog=Catalog(archive, candles, boundary, overlap_s),
            candles=candles,
            trades=TradeTape(archive.tables["trades"], boundary["trades_created_ts"]),
            replay_clock=now,
            overlap_s=overlap_s,
            clock_skew_s=clock_skew_s,
            maintenance=maintenance,
        )
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"The historical cutoff {boundary} holds something that is no RFC 3339 time ({error})."
        ) from error
