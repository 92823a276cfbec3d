"""What is publicly known of each supported series: what it measures, on which lattice, from which statistic.

Facts only. Quotes, strikes and dates come from the exchange and the calendar;
a series that is not listed here works too, with a lattice inferred from its
strikes and no macro print (see ``core.contracts``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statistic:
    """A published number on FRED.

    Attributes:
        series_id: FRED's series.
        units: FRED's ``units`` transformation (``lin``, ``pc1`` = per cent from a year ago, ``chg`` = change).
        release_id: FRED's release, whose dates make the calendar.
        release_hour: New York wall-clock hour and minute of publication.
        scale: a published value times this is in the series' unit (FRED gives payrolls in thousands).
    """

    series_id: str
    units: str
    release_id: int
    release_hour: tuple[int, int] = (8, 30)
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What a series is about.

    Attributes:
        series_ticker: the exchange's series.
        event_type: the class that sets stale-quote multipliers, purge windows and tail thresholds.
        unit: unit of the settled number.
        tick: step of the publication lattice, in that unit.
        rounding: how the agency rounds to the lattice.
        statistic: where first prints and vintages are published; None where the exchange alone settles.
        release_clock: New York hour and minute of publication where no statistic says it.
        prefixes: older ticker prefixes filed under this series.
    """

    series_ticker: str
    event_type: str
    unit: str
    tick: float
    rounding: str = "half_up"
    statistic: Statistic | None = None
    release_clock: tuple[int, int] | None = None
    prefixes: tuple[str, ...] = ()


# The event type whose number the Federal Open Market Committee decides.
RATE_DECISION = "FOMC"
# What the regimes are read from, whichever series a run is about.
INFLATION_SERIES = "KXCPIYOY"
VOLATILITY_SYMBOL = "VIXCLS"
POLICY_RATE = "DFEDTARU"

_CPI = 10
_EMPLOYMENT = 50
_GDP = 53

_FACTS = (
    SeriesFacts("KXCPIYOY", "CPI", "percent", 0.1, statistic=Statistic("CPIAUCNS", "pc1", _CPI), prefixes=("CPIYOY",)),
    SeriesFacts("KXCPI", "CPI", "percent", 0.1, statistic=Statistic("CPIAUCSL", "pch", _CPI), prefixes=("CPI",)),
    SeriesFacts(
        "KXCPICORE", "CPI", "percent", 0.1, statistic=Statistic("CPILFESL", "pch", _CPI), prefixes=("CPICORE",)
    ),
    SeriesFacts(
        "KXCPICOREYOY", "CPI", "percent", 0.1, statistic=Statistic("CPILFENS", "pc1", _CPI), prefixes=("CPICOREYOY",)
    ),
    SeriesFacts(
        "KXU3", "UNEMPLOYMENT", "percent", 0.1, statistic=Statistic("UNRATE", "lin", _EMPLOYMENT), prefixes=("U3",)
    ),
    SeriesFacts(
        "KXPAYROLLS",
        "PAYROLLS",
        "persons",
        1000.0,
        statistic=Statistic("PAYEMS", "chg", _EMPLOYMENT, scale=1000.0),
        prefixes=("PAYROLLS", "PROLLS"),
    ),
    SeriesFacts("KXGDP", "GDP", "percent", 0.1, statistic=Statistic("A191RL1Q225SBEA", "lin", _GDP), prefixes=("GDP",)),
    SeriesFacts("KXFED", RATE_DECISION, "percent", 0.25, rounding="none", release_clock=(14, 0), prefixes=("FED",)),
    SeriesFacts("KXHIGHNY", "TEMPERATURE", "degrees_fahrenheit", 1.0, prefixes=("HIGHNY",)),
    SeriesFacts("KXLOWTNYC", "TEMPERATURE", "degrees_fahrenheit", 1.0, prefixes=("LOWTNYC", "KXLOWNY")),
)

SERIES_FACTS: dict[str, SeriesFacts] = {f.series_ticker: f for f in _FACTS}


def facts_for(series_ticker: str) -> SeriesFacts | None:
    """The facts of a series, or None for a series that nobody described here."""
    return SERIES_FACTS.get(series_ticker)


def release_clock_of(series_ticker: str) -> tuple[int, int] | None:
    """New York hour and minute at which a series' numbers come out; None where nobody described it."""
    facts = facts_for(series_ticker)
    if facts is None:
        return None
    return facts.statistic.release_hour if facts.statistic is not None else facts.release_clock
