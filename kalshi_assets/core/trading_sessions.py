"""When an asset trades: sessions as arrays, and which calendar each symbol keeps.

Belongs here: arithmetic on sessions that are given. Where they come from (a
kept calendar library) is ``macro.trading_days``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kalshi_assets.core.columns import Bools, Ints

STOCKS, BONDS = "XNYS", "SIFMA_US"
EQUITY_FUTURES, RATE_FUTURES = "CME_Equity", "CME Globex Interest Rate Products"

# A symbol that is not here trades whenever it has a price.
_SYMBOLS = {
    STOCKS: (
        "SP500", "DJIA", "NASDAQCOM", "NASDAQ100", "VIXCLS", "SPX", "SPY", "QQQ", "IWM", "TLT", "IEF", "SHY", "GLD",
    ),
    BONDS: (
        "DGS1MO", "DGS3MO", "DGS6MO", "DGS1", "DGS2", "DGS3", "DGS5", "DGS7", "DGS10", "DGS20", "DGS30", "DFII10",
        "T10YIE", "T5YIE", "T10Y2Y", "T10Y3M",
    ),
    EQUITY_FUTURES: ("ES", "NQ", "YM", "RTY", "MES", "MNQ"),
    RATE_FUTURES: ("ZT", "ZF", "ZN", "TN", "ZB", "UB", "ZQ", "FF", "SR3"),
}  # fmt: skip
CALENDAR_OF = {symbol: calendar for calendar, symbols in _SYMBOLS.items() for symbol in symbols}


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of one calendar in ascending order, without overlaps.

    Attributes:
        calendar: its name.
        day: the session's date, days since 1970.
        open: microseconds since 1970 UTC.
        close: likewise; early closes are the real ones.
    """

    calendar: str
    day: Ints
    open: Ints
    close: Ints

    def holds(self, moment: Ints) -> Bools:
        """Whether each instant lies within [open, close] of a session."""
        at = np.searchsorted(self.close, moment, side="left")
        inside = at < self.close.size
        if not self.close.size:
            return np.zeros(moment.shape, bool)
        return np.asarray(inside & (self.open[np.minimum(at, self.close.size - 1)] <= moment))

    def opens_within(self, moment: Ints, wait: int) -> Bools:
        """Whether the market is open at some time in [moment, moment + wait]."""
        if not self.close.size:
            return np.zeros(moment.shape, bool)
        at = np.searchsorted(self.close, moment, side="left")
        return np.asarray((at < self.close.size) & (self.open[np.minimum(at, self.close.size - 1)] <= moment + wait))

    def missing(self, days: Ints) -> Ints:
        """Sessions between the first and the last of some days that are not among them."""
        if not days.size:
            return np.zeros(0, np.int64)
        within = (self.day >= days.min()) & (self.day <= days.max())
        return np.asarray(self.day[within & ~np.isin(self.day, days)])
