"""Published macro statistics: FRED over HTTP, the packaged public facts, and the release calendar.

What the exchange lists, and what a print means for a contract, do not belong here.
"""

from kalshi_assets.macro.facts import load_first_prints, load_release_calendar
from kalshi_assets.macro.fred import Fred
from kalshi_assets.macro.source import FactsSource, FredSource, MacroSource

__all__ = ["FactsSource", "Fred", "FredSource", "MacroSource", "load_first_prints", "load_release_calendar"]
