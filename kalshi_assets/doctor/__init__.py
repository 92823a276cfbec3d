"""Examines an installation and a home: is everything there that a run needs, and what to do where it is not.

One module a theme. Each tells probing (asking the system) from judging (facts
to a ``Check``), so that thresholds are literals in tests. Nothing here repairs,
and nothing outlives the examination.
"""

from kalshi_assets.doctor.check import Check, exit_code
from kalshi_assets.doctor.examination import examine

__all__ = ["Check", "examine", "exit_code"]
