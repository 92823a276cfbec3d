"""The file format of each kind of reference, as data: columns, their types and ranges, and when a row was known.

One entry a kind; the kind's name is that of the table that it fills. Reading
files is ``macro.reference_files``, judging rows ``macro.reference_checks``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kalshi_assets.core.trading_sessions import RATE_FUTURES

Kind = Literal["text", "day", "real", "count", "time"]
TEXT: Kind = "text"
DAY: Kind = "day"
REAL: Kind = "real"
COUNT: Kind = "count"
TIME: Kind = "time"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a file.

    Attributes:
        name: in the file and in the table.
        kind: how a cell is read.
        required: whether the column must be there and each of its cells filled.
        low, high: range of a number, both ends included.
        also: other names under which sources deliver it.
        monthly: whether a day must be the first of its month.
    """

    name: str
    kind: Kind
    required: bool = False
    low: float = float("-inf")
    high: float = float("inf")
    also: tuple[str, ...] = ()
    monthly: bool = False


@dataclass(frozen=True, slots=True)
class ReferenceFormat:
    """One kind of reference.

    Attributes:
        name: the kind, and the table.
        key: columns that name one fact, beside ``known_at``.
        columns: those of a file, ``ts``, ``known_at`` and ``source`` aside.
        clock: New York hour and minute that a row's ``date`` stands for where the file has no ``ts``;
            None where ``ts`` is required, or is ``known_at`` itself (``dated_by_receipt``).
        known: when a row counts as known where the file has no ``known_at``: at its ``ts``, at the end of the New
            York day, or not at all (the file must say).
        dated_by_receipt: whether ``ts`` is ``known_at``.
        gaps: what may be missing: days, a symbol's bars inside a session, or a series' periods.
        each: where days may be missing, the column whose values each have a first and a last day of their own; None
            for the file as a whole.
        calendar: where days may be missing, the calendar whose sessions are kept; None for that of each symbol.
        shut_days: whether a row on a day without a session is wrong.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    clock: tuple[int, int] | None = None
    known: Literal["at_ts", "end_of_day", "stated"] = "stated"
    dated_by_receipt: bool = False
    gaps: Literal["days", "bars", "periods"] = "days"
    each: str | None = None
    calendar: str | None = None
    shut_days: bool = True


_VOLATILITY = 5.0  # five hundred per cent a year: above it, per cent were written for fractions
_MONTH_S = 31 * 86_400
_SYMBOL = Column("symbol", TEXT, required=True, also=("ticker",))
_DATE = Column("date", DAY, required=True, also=("observation_date",))


def _volatility(name: str) -> Column:
    return Column(name, REAL, low=1e-6, high=_VOLATILITY)


_FORMATS = (
    ReferenceFormat(
        "asset_prices",
        ("symbol", "date"),
        (_SYMBOL, _DATE, Column("close", REAL, required=True)),
        clock=(16, 0),
        known="at_ts",
        each="symbol",
    ),
    ReferenceFormat(
        "asset_bars",
        ("symbol", "ts"),
        (
            _SYMBOL,
            Column("close", REAL, required=True),
            Column("open", REAL),
            Column("high", REAL),
            Column("low", REAL),
            Column("volume", REAL, low=0.0),
            Column("period_s", COUNT, low=1, high=_MONTH_S),
        ),
        known="at_ts",
        gaps="bars",
    ),
    ReferenceFormat(
        "option_surfaces",
        ("symbol", "date"),
        (
            _SYMBOL,
            _DATE,
            Column("iv_30", REAL, required=True, low=1e-6, high=_VOLATILITY),
            *(_volatility(name) for name in ("iv_60", "iv_90", "put_25d", "call_25d")),
            Column("close", REAL, low=1e-9),
        ),
        clock=(16, 0),
        known="end_of_day",
        each="symbol",
    ),
    ReferenceFormat(
        "fed_funds_futures",
        ("contract_month", "date"),
        (
            Column("contract_month", DAY, required=True),
            _DATE,
            Column("price", REAL, required=True, low=50.0, high=110.0),
        ),
        clock=(15, 0),
        known="end_of_day",
        calendar=RATE_FUTURES,
    ),
    ReferenceFormat(
        "fomc_probabilities",
        ("meeting_date", "date", "target_tenths_bp"),
        (
            Column("meeting_date", DAY, required=True, also=("fomc_date",)),
            _DATE,
            Column("target_mid_pct", REAL, required=True, low=-5.0, high=50.0),
            Column("probability", REAL, required=True, low=0.0, high=1.0),
        ),
        clock=(15, 0),
        known="end_of_day",
        each="meeting_date",
        calendar=RATE_FUTURES,
        # They are worked out on Sundays too, when the futures open in the evening.
        shut_days=False,
    ),
    ReferenceFormat(
        "consensus",
        ("series_ticker", "period"),
        (
            Column("series_ticker", TEXT, required=True),
            Column("period", DAY, required=True, monthly=True),
            Column("consensus", REAL, required=True),
        ),
        known="stated",
        dated_by_receipt=True,
        gaps="periods",
    ),
)

REFERENCE_FORMATS: Mapping[str, ReferenceFormat] = {f.name: f for f in _FORMATS}
